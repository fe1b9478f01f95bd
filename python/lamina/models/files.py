"""Converts models and their training to values that files hold, and back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import integer
from lamina._common.interrupts import interrupts_later
from lamina._common.names import required
from lamina._common.objects import serialize, serialize_keras_object
from lamina._common.registry import LAMBDA, ConfigurationError, is_public
from lamina._common.warn import warn
from lamina._engine.variable import Variable, assign_all, assign_together, one_moment
from lamina._files.formats import format_of, weight_format_of
from lamina._files.keras_config import checked_for_keras
from lamina._files.keras_legacy import SUFFIXES as LEGACY_SUFFIXES
from lamina._files.keras_zip import SUFFIX as KERAS_SUFFIX
from lamina._files.native import SUFFIX, read_backup, write_backup
from lamina._files.state import BackupState, Finder, FoundWeights, ModelState, WeightState, damaged_where_wrong
from lamina.layers import REGISTRY as LAYERS
from lamina.layers import Layer
from lamina.layers.inner import rules_of, take_whole_state, whole_state
from lamina.layers.stored import Stored, loading
from lamina.models.parts import Part, shown
from lamina.models.tensors import found_values, tensors_of, unplaced
from lamina.models.trainer import Trainer
from lamina.optimizers import Optimizer

__all__ = [
    "check_places", "check_saving", "model_from", "model_state", "restore_backup", "restore_weights", "save_backup",
    "save_model", "save_weights",
]  # fmt: skip

Array = npt.NDArray[Any]

# Name, among the states of a layer, of whether it trains.
_TRAINABLE = "trainable"


def save_model(model: Trainer, filepath: Any, overwrite: bool, include_optimizer: bool = True) -> None:
    """Write a model; see `lamina.models.Sequential.save`."""
    who = model.stack.who("save")
    path, form = format_of(who, filepath, overwrite)
    check_saving(who, model, path)
    state = model_state(model)
    if not include_optimizer:
        kept = state.compile_config if path.name.endswith(KERAS_SUFFIX) else None  # there Keras keeps it, too
        without_decay = None if kept is None else state.without_decay
        state = state.replaced(compile_config=kept, without_decay=without_decay, slots={}, optimizer=[])
    form.write(who, path, state)


def model_state(model: Trainer) -> ModelState:
    """Return the state of a model at one moment, between two steps of training."""
    stack, executor = model.stack, model.executor
    with one_moment(stack.weights):
        weights = {variable.path: variable.numpy() for variable in stack.weights}
        state = ModelState(
            config=_config(model),
            weights=weights,
            tensors=tensors_of(model, weights),
            training=executor.state(metrics=False),
            layer_states=_own_states(model),
            names=_names(model),
            paths=[variable.path for variable in stack.weights],
        )
        compiled = executor.compiled
        if compiled is None:
            return state
        optimizer = compiled.optimizer
        slots = optimizer.slot_arrays(stack.weights)
        return state.replaced(
            compile_config=serialize_keras_object(model.get_compile_config()),
            without_decay=optimizer.without_decay,
            slots=slots,
            optimizer=_optimizer_arrays(optimizer, model, slots),
        )


def _config(model: Trainer) -> dict[str, Any]:
    """Return a model's configuration, for a model that is made by code with the shape for which it is built."""
    config: dict[str, Any] = serialize(model)
    if "layers" in config["config"] or not model.stack.built:
        return config
    return config | {"build_config": {"input_shape": [None, *(model.stack.row_shape or ())]}}


def _names(model: Trainer) -> list[str]:
    """Return the names of a model, of the models in it, and of all layers."""
    parts: list[Any] = [model, *model.stack.all_models(), *model.stack.layers]
    return [one.name for one in parts]


def _optimizer_arrays(optimizer: Optimizer, model: Trainer, slots: dict[str, Array]) -> list[tuple[str, Array]]:
    """Return names and values of the optimizer's variables for a model, which may share it with others."""
    variables = optimizer.variables_for(_trained(optimizer, model))
    return [(one.path, slots[one.path] if one.path in slots else one.numpy()) for one in variables]


def _trained(optimizer: Optimizer, model: Trainer) -> list[Variable]:
    """Return the variables of a model that an optimizer trains, none if it was not built."""
    trained, own = optimizer.trained, {id(variable) for variable in model.stack.weights}
    return trained if own.issuperset(map(id, trained)) else model.stack.trainable_weights


def _own_states(model: Trainer) -> dict[str, dict[str, int]]:
    """Return what a configuration does not hold.

    This is the state of layers; for those that are made by code, whether they train; and the seeds of models that are
    graphs.
    """
    found = {layer.name: own for layer in model.stack.layers if (own := whole_state(layer))}
    for part in _made_by_code(model):
        found[part.name] = found.get(part.name, {}) | {_TRAINABLE: int(part.trainable)}
    for graph in _graphs(model):
        found[graph.stack.name] = found.get(graph.stack.name, {}) | {"seed": graph.seed}
    return found


def _made_by_code(model: Trainer) -> list[Part]:
    """Return the layers and models that code of the user's makes and no configuration holds, the outer ones first."""
    models: list[Any] = [model, *model.stack.all_models()]
    by_code = [one for one in models if one.stack.follows_attributes]
    return [part for one in by_code for part in (*shown(one.stack.all_models()), *one.stack.layers)]


def _graphs(model: Trainer) -> list[Any]:
    """Return the model and those in it whose configurations have Keras's arguments alone, without a seed."""
    models: list[Any] = [model, *model.stack.all_models()]
    return [one for one in models if not one.seed_in_config]


def load_model(filepath: Any, compile: bool) -> Trainer:
    """Read a model; see `lamina.models.load_model`."""
    path, form = format_of("load_model", filepath)
    state = form.read("load_model", path)
    with damaged_where_wrong("load_model", path):
        return model_from(state, compile)


def model_from(state: ModelState, compile: bool = True) -> Trainer:
    """Return a model made from a state; with `compile` it is compiled, too, if the state holds that."""
    return _from_keras(state, state.find, compile) if state.find is not None else _from_native(state, compile)


def _model_of(config: dict[str, Any]) -> Trainer:
    model: Any = LAYERS.get(config, "file", "the model")
    if not isinstance(model, Trainer):
        raise ValueError("it holds a layer instead of a model")
    built = config.get("build_config")
    if isinstance(built, dict) and not model.stack.built:
        model.build(tuple(built["input_shape"]))
    return model


def _with_present_names(model: Trainer, state: ModelState) -> ModelState:
    """Return a state with the names that layers and variables have now, if a class has given them others."""
    names, paths = _names(model), [variable.path for variable in model.stack.weights]
    layers, variables = _renamed("layers", state.names, names), _renamed("variables", state.paths, paths)
    slots = {}
    for name, array in state.slots.items():
        slot, _, path = name.partition("/")
        slots[f"{slot}/{variables.get(path, path)}"] = array
    return state.replaced(
        weights={variables.get(path, path): array for path, array in state.weights.items()},
        slots=slots,
        layer_states={layers.get(name, name): own for name, own in state.layer_states.items()},
    )


def _renamed(what: str, before: list[str], now: list[str]) -> dict[str, str]:
    """Return the names that are now in place of those before, if these are known."""
    if before and len(before) != len(now):
        raise ValueError(f"it holds {len(before)} {what}; the model has {len(now)}")
    return dict(zip(before, now, strict=True)) if before else {}


@contextmanager
def _fitting(model: Trainer) -> Iterator[None]:
    """Name the user's classes if the block, which gives a model what a file holds, raises: they may have changed."""
    try:
        yield
    except (ValueError, LookupError) as error:
        kinds = {type(one) for one in (model, *shown(model.stack.all_models()), *model.stack.layers)}
        users = [kind.__name__ for kind in kinds if not is_public(kind)]
        if not users:
            raise
        said = str(error).removesuffix(".")
        raise ConfigurationError(
            f"{said}. Either the file is damaged, or {' or '.join(sorted(users))} has changed since it was written."
        ) from error


def _take_states(model: Trainer, state: ModelState) -> None:
    for part in _made_by_code(model):
        part.trainable = bool(state.layer_states.get(part.name, {}).get(_TRAINABLE, part.trainable))
    for layer in model.stack.layers:
        own = state.layer_states.get(layer.name, {})
        take_whole_state(layer, {name: value for name, value in own.items() if name != _TRAINABLE})
    for graph in _graphs(model):
        graph.seed = integer("file", "seed", state.layer_states.get(graph.stack.name, {}).get("seed", graph.seed), 0)


def _compile(model: Trainer, config: dict[str, Any]) -> None:
    """Compile a model as it was when it was saved, if its class says how."""
    with warnings.catch_warnings():
        if type(model).compile is Trainer.compile:
            warnings.simplefilter("ignore")  # compiling the saved model has warned already
        model.compile_from_config(config)


def _from_native(state: ModelState, compile: bool) -> Trainer:
    stored, before = Stored(state.config["config"], state.weights), loading.get()
    try:  # set inside `try`: Ctrl-C may come right after it
        loading.set(stored)
        model = _model_of(state.config)
    finally:
        loading.set(before)
    for layer in model.stack.layers:
        layer.stored = None
    with _fitting(model):
        state = _with_present_names(model, state)
        _take_the_rest(model, state.weights, stored.taken)
        _take_states(model, state)
    weights = model.stack.weights
    foreign = set(state.weights) - {variable.path for variable in weights}
    if state.compile_config is not None and compile:
        _compile(model, state.compile_config)
        if model.executor.compiled is not None:
            optimizer = model.optimizer
            optimizer.without_decay, optimizer.batches = state.without_decay, state.training.batches
            optimizer.load_slot_arrays(state.slots, weights)
            foreign |= set(state.slots) ^ set(optimizer.slot_arrays(weights))
            optimizer.build(model.stack.trainable_weights)
    elif state.compile_config is None:
        foreign |= set(state.slots)
    if foreign:
        raise ValueError(f"it holds tensors that belong to nothing: {sorted(foreign)[:3]}")
    model.executor.restore(state.training)
    return model


def _from_keras(state: ModelState, find: Finder, compile: bool) -> Trainer:
    model, training = _model_of(state.config), state.training
    with _fitting(model):
        state = _with_present_names(model, state)
        assign_all("its weights", model.stack.weights, found_values(model, find))
        _take_states(model, state)
    if compile and state.compile_config is not None:
        _compile(model, state.compile_config)
        if model.executor.compiled is not None:
            _continue_optimizer(model, state)
            training = training._replace(batches=model.optimizer.batches)
    model.executor.restore(training)
    return model


def _continue_optimizer(model: Trainer, state: ModelState) -> None:
    """Give the optimizer the state that it had, if the file holds that."""
    optimizer = model.optimizer
    if state.without_decay is not None:
        optimizer.without_decay = state.without_decay
    if not state.optimizer:
        return
    optimizer.build(model.stack.trainable_weights)
    if len(state.optimizer) == len(optimizer.variables):
        _set_optimizer(optimizer, state.optimizer)
    elif state.optimizer[0][1].any():  # the first is the number of steps: it has taken some
        warn(
            f"load_model: the optimizer begins anew: the file holds {len(state.optimizer)} tensors of its state, and "
            f"{type(optimizer).__name__} has {len(optimizer.variables)}."
        )


def _set_optimizer(optimizer: Optimizer, arrays: list[tuple[str, Array]]) -> None:
    """Set the optimizer's variables; a learning rate that is the same in float32 keeps its digits."""
    rate = optimizer.rate_if_constant()
    optimizer.restore([array for _, array in arrays])
    if rate is not None and np.float32(rate) == np.float32(optimizer.rate):
        optimizer.learning_rate = rate


def _take_the_rest(model: Trainer, values: dict[str, Array], taken: set[str]) -> None:
    """Assign the values that were not used while the model was made, as with classes of the user's."""
    rest = [variable for variable in model.stack.weights if variable.path not in taken]
    for variable in rest:
        array = values[variable.path]
        if array.shape != variable.shape or str(array.dtype) != variable.dtype:
            raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
    assign_together(rest, [values[variable.path] for variable in rest])


def check_saving(who: str, model: Trainer, path: Path) -> None:
    """Raise if a file cannot hold the model; warn if it holds lambda expressions, which loading does not find."""
    check_places(who, model, path)
    layers, compiled = _with_inner(model.stack.layers), model.executor.compiled
    for layer in layers:
        rules = rules_of(layer)
        for variable in layer.own_weights if is_public(type(layer)) else ():  # a user's class makes its own again
            _check_rules_are_arguments(who, variable, rules)
    models: list[Any] = [model, *model.stack.all_models()]
    _check_hooks(who, [*models, *layers, *([] if compiled is None else [compiled.optimizer])])
    config = serialize(model)
    held = {
        "model": config, "compiled": None if compiled is None else serialize_keras_object(model.get_compile_config()),
    }  # fmt: skip
    if not path.name.endswith(SUFFIX):
        checked_for_keras(who, held)
    if "layers" not in config["config"] and path.name.endswith(LEGACY_SUFFIXES):
        raise ValueError(
            f"{who}: Keras's older files cannot hold a {type(model).__name__}, which is made by code; names that end "
            f"in '.keras' or '{SUFFIX}' can; got {path.name!r}."
        )
    if LAMBDA in _function_names(held):
        warn(
            f"{who}: a file holds no code, and so none of the lambda expressions that the model uses. Write them with "
            "def, or give load_model(..., custom_objects={'<lambda>': ...}); for those of loss and metrics also "
            "compile=False."
        )


def _function_names(value: Any) -> set[str]:
    """Return the names of all functions in a configuration."""
    if isinstance(value, dict):
        own = {value["config"]} if value.get("class_name") == "function" else set()
        return own.union(*map(_function_names, value.values()))
    return set().union(*map(_function_names, value)) if isinstance(value, (list, tuple)) else set()


def _with_inner(layers: Sequence[Layer]) -> list[Layer]:
    """Return layers, each followed by the layers that are its arguments."""
    found: list[Layer] = []
    for layer in layers:
        found += [layer, *_with_inner(list(layer.argument_layers.values()))]
    return found


def _check_rules_are_arguments(who: str, variable: Variable, rules: list[Any]) -> None:
    for rule in (variable.regularizer, variable.constraint):
        if rule is not None and not any(rule is known for known in rules):
            raise ValueError(
                f"{who}: the {type(rule).__name__} of {variable.path!r} must be an argument of its layer, for that is "
                "what a file holds; it was assigned to the variable."
            )


# Methods of layers, models and optimizers that Keras calls when it writes or reads a file.
_NOT_CALLED = (
    "build_from_config", "get_build_config", "load_assets", "load_own_variables", "save_assets", "save_own_variables",
)  # fmt: skip


def _check_hooks(who: str, items: list[Any]) -> None:
    for item in items:
        base = next(kind for kind in (Optimizer, Layer, Trainer) if isinstance(item, kind))
        for hook in _NOT_CALLED:
            if getattr(type(item), hook, None) is not getattr(base, hook, None):
                raise ValueError(
                    f"{who}: {hook} of {type(item).__name__} would not be called: files hold what get_weights and "
                    "get_config give."
                )


def save_weights(model: Trainer, filepath: Any, overwrite: bool) -> None:
    """Write parameters alone; see `lamina.models.Sequential.save_weights`."""
    who = model.stack.who("save_weights")
    path, form = weight_format_of(who, filepath, overwrite, writes=True)
    check_places(who, model, path)
    compiled = model.executor.compiled
    with one_moment(variables := model.stack.weights):
        weights = {variable.path: variable.numpy() for variable in variables}
        held = (
            []
            if compiled is None
            else _optimizer_arrays(compiled.optimizer, model, compiled.optimizer.slot_arrays(variables))
        )
    state = WeightState(weights, tensors_of(model, weights), held)
    required(who, "a format", form.write)(who, path, state)


def check_places(who: str, model: Trainer, path: Path) -> None:
    """Raise if a file in one of Keras's formats has no place for some weights: they go by attributes."""
    if path.name.endswith(SUFFIX):
        return
    for layer in unplaced(model):
        raise ValueError(
            f"{who}: {layer.name!r} must be an attribute of what calls it, for that is how Keras's files find its "
            f"weights; or the name end in '{SUFFIX}'; got {path.name!r}."
        )


def restore_weights(model: Trainer, filepath: Any, skip_mismatch: bool, by_name: bool) -> None:
    """Read what `save_weights` or `save_model` wrote, in the order of the weights or by the names of layers."""
    who, variables = model.stack.who("load_weights"), model.stack.weights
    path, form = weight_format_of(who, filepath)
    check_places(who, model, path)
    held = form.read(who, path)
    if by_name:
        _restore_by_name(who, model, path, held, skip_mismatch)
        return
    with damaged_where_wrong(who, path):
        if isinstance(held, ModelState) and held.find is None:
            held = _in_order(held)
        arrays = held if isinstance(held, list) else found_values(model, required(who, "values", held.find))
    if skip_mismatch:
        _assign_fitting(who, path, variables, arrays)
    else:
        assign_all(f"{who}: {path}", variables, arrays)
    if not isinstance(held, list) and held.optimizer:
        _restore_optimizer(who, model, held.optimizer)


def _restore_by_name(who: str, model: Trainer, path: Path, held: Any, skip_mismatch: bool) -> None:
    """Assign the values of the layers whose names a file holds."""
    if not isinstance(held, FoundWeights) or held.by_name is None:
        raise ValueError(
            f"{who}: by_name must be False but for files of Keras's older format, .h5 and .hdf5, which hold the names "
            f"of layers; got {path.name!r}."
        )
    variables = model.stack.weights
    with damaged_where_wrong(who, path):
        found = held.by_name(tensors_of(model, {v.path: v.numpy() for v in variables}), skip_mismatch)
    pairs = [(variable, array) for variable, array in zip(variables, found, strict=True) if array is not None]
    named, arrays = [variable for variable, _ in pairs], [array for _, array in pairs]
    if skip_mismatch:
        _assign_fitting(who, path, named, arrays)
    else:
        assign_all(f"{who}: {path}", named, arrays)


def _in_order(state: ModelState) -> list[Array]:
    """Return the values of a model's weights in their order, which older files tell only by their layers."""
    if state.paths:
        return [state.weights[path] for path in state.paths]
    return [variable.numpy() for variable in model_from(state, compile=False).stack.weights]


def _restore_optimizer(who: str, model: Trainer, arrays: list[tuple[str, Array]]) -> None:
    """Give the optimizer of a model that has been trained the state that a file holds, as Keras does."""
    compiled = model.executor.compiled
    if compiled is None:
        return
    optimizer, own = compiled.optimizer, compiled.optimizer.variables
    if optimizer.built and [array.shape for _, array in arrays] == [one.shape for one in own]:
        _set_optimizer(optimizer, arrays)
    elif optimizer.built or len(arrays) != len(own):
        warn(
            f"{who}: the optimizer keeps its state: the file holds {len(arrays)} tensors of one, and "
            f"{type(compiled.optimizer).__name__} has {len(own)}. It has those of the trained variables after a step, "
            "or after optimizer.build(model.trainable_variables)."
        )


def _assign_fitting(who: str, path: Path, variables: list[Variable], arrays: list[Array]) -> None:
    """Assign the arrays that have the shape of their variable, and warn of the others."""
    pairs = list(zip(variables, arrays, strict=False))
    fitting = [(variable, array) for variable, array in pairs if array.shape == variable.shape]
    assign_together([variable for variable, _ in fitting], [array for _, array in fitting])
    left_out = len(variables) - len(fitting)
    if left_out or len(arrays) != len(variables):
        warn(
            f"{who}: {left_out} of {len(variables)} parameters were left as they are: {path} holds "
            f"{len(arrays)}, and others have another shape there."
        )


def save_backup(model: Trainer, path: Path, epoch: int) -> None:
    """Write the state from which training resumes, without the model's configuration."""
    stack, executor, optimizer = model.stack, model.executor, model.optimizer
    with one_moment(variables := stack.weights):
        state = BackupState(
            weights=[variable.numpy() for variable in variables],
            slots={name: [optimizer.slot(name, v).numpy() for v in variables] for name in optimizer.state_names()},
            optimizer=type(optimizer).__name__,
            learning_rate=optimizer.rate_if_constant(),
            training=executor.state(metrics=False)._replace(epoch=epoch),
            seed=model.seed,
            layer_states=[whole_state(layer) for layer in stack.layers],
        )
    write_backup(stack.who("backup"), path, state)


def restore_backup(model: Trainer, path: Path) -> int:
    """Restore a backup of a model with the same layers and optimizer; return the epoch to resume with.

    Raises
    ------
    ValueError
        The file is no backup, or belongs to another kind of model. The model is unchanged.
    """
    stack, executor, optimizer = model.stack, model.executor, model.optimizer
    who, variables = stack.who("restore"), stack.weights
    state = read_backup(who, path, optimizer.state_names(), len(variables))
    with damaged_where_wrong(who, path):
        _check_backup(state, optimizer, stack.layers, variables)
    targets: list[tuple[Variable, Array]] = list(zip(variables, state.weights, strict=True))
    for name, arrays in state.slots.items():
        targets += [(optimizer.slot(name, v), array) for v, array in zip(variables, arrays, strict=True)]
    with one_moment(variables, write=True), interrupts_later():
        assign_together([variable for variable, _ in targets], [array for _, array in targets])
        executor.restore(state.training)
        model.seed = state.seed
        if state.learning_rate is not None and optimizer.rate_if_constant() is not None:
            optimizer.learning_rate = state.learning_rate
        for layer, own in zip(stack.layers, state.layer_states, strict=True):
            take_whole_state(layer, own)
    return state.training.epoch


def _check_backup(state: BackupState, optimizer: Optimizer, layers: list[Layer], variables: list[Variable]) -> None:
    if state.optimizer != type(optimizer).__name__:
        raise ValueError(f"it was written with another optimizer, {state.optimizer}; this is {optimizer!r}")
    for arrays in (state.weights, *state.slots.values()):
        for variable, array in zip(variables, arrays, strict=True):
            if array.shape != variable.shape or str(np.dtype(array.dtype)) != variable.dtype:
                raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
    if len(state.layer_states) != len(layers):
        raise ValueError("it belongs to a model of other layers")
