"""Models and their training as values that files hold, and back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import integer
from lamina._common.names import all_unique
from lamina._common.objects import serialize, serialize_keras_object
from lamina._common.registry import ConfigurationError, is_public
from lamina._common.warn import warn
from lamina._engine.variable import Variable
from lamina._engine.variables import assign_all, assign_together, one_moment
from lamina._files.state import Finder, ModelState
from lamina.layers import REGISTRY as LAYERS
from lamina.layers.inner import take_whole_state, whole_state
from lamina.layers.stored import Stored, loading
from lamina.models.parts import Part, shown
from lamina.models.tensors import found_values, tensors_of
from lamina.models.trainer import Trainer
from lamina.optimizers import Optimizer

__all__ = ["model_from", "model_state", "optimizer_arrays", "set_optimizer"]

Array = npt.NDArray[Any]

# Name, among the states of a layer, of whether it trains.
_TRAINABLE = "trainable"


def model_state(model: Trainer) -> ModelState:
    """Return the state of a model at one moment, between two steps of training."""
    stack, executor = model.stack, model.executor
    with one_moment(stack.weights):
        paths, arrays = _paths(model), [variable.numpy() for variable in stack.weights]
        state = ModelState(
            config=_config(model),
            weights=dict(zip(paths, arrays, strict=True)),
            tensors=tensors_of(model, arrays),
            training=executor.state(metrics=False),
            layer_states=_own_states(model),
            names=list(_names(model).values()),
            paths=paths,
        )
        compiled = executor.compiled
        if compiled is None:
            return state
        optimizer = compiled.optimizer
        return state.replaced(
            compile_config=serialize_keras_object(model.get_compile_config()),
            without_decay=optimizer.without_decay,
            slots=optimizer.slot_arrays(stack.weights),
            optimizer=optimizer_arrays(optimizer, model),
        )


def _config(model: Trainer) -> dict[str, Any]:
    """Return a model's configuration, for a model that is made by code with the shape for which it is built."""
    config: dict[str, Any] = serialize(model)
    if "layers" in config["config"] or not model.stack.built:
        return config
    return config | {"build_config": {"input_shape": [None, *(model.stack.row_shape or ())]}}


def _paths(model: Trainer) -> list[str]:
    """Return the paths of a model's weights; those of layers with the same name become different by numbers."""
    return all_unique(variable.path for variable in model.stack.weights)


def _names(model: Trainer) -> dict[int, str]:
    """Return the names of a model, of the models in it, and of all layers, by their ids, made different by numbers."""
    parts: list[Any] = [model, *model.stack.all_models(), *model.stack.layers]
    parts += [part for part in _made_by_code(model) if not any(part is one for one in parts)]
    return dict(zip(map(id, parts), all_unique(one.name for one in parts), strict=True))


def optimizer_arrays(optimizer: Optimizer, model: Trainer) -> list[tuple[str, Array]]:
    """Return names and values of the optimizer's variables for a model, which may share it with others."""
    return [(one.path, one.numpy()) for one in optimizer.variables_for(_trained(optimizer, model))]


def _trained(optimizer: Optimizer, model: Trainer) -> list[Variable]:
    """Return the variables of a model that an optimizer trains, none if it was not built."""
    trained, own = optimizer.trained, {id(variable) for variable in model.stack.weights}
    return trained if own.issuperset(map(id, trained)) else model.stack.trainable_weights


def _own_states(model: Trainer) -> dict[str, dict[str, int]]:
    """Return what a configuration does not hold.

    This is the state of layers; for those that are made by code, whether they train; and the seeds of models that are
    graphs.
    """
    names = _names(model)
    found = {names[id(layer)]: own for layer in model.stack.layers if (own := whole_state(layer))}
    for part in _made_by_code(model):
        name = names[id(part)]
        found[name] = found.get(name, {}) | {_TRAINABLE: int(part.trainable)}
    for graph in _graphs(model):
        name = names[id(graph)]
        found[name] = found.get(name, {}) | {"seed": graph.seed}
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
    names, paths = list(_names(model).values()), _paths(model)
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
    names = _names(model)
    for part in _made_by_code(model):
        part.trainable = bool(state.layer_states.get(names[id(part)], {}).get(_TRAINABLE, part.trainable))
    for layer in model.stack.layers:
        own = state.layer_states.get(names[id(layer)], {})
        take_whole_state(layer, {name: value for name, value in own.items() if name != _TRAINABLE})
    for graph in _graphs(model):
        graph.seed = integer("file", "seed", state.layer_states.get(names[id(graph)], {}).get("seed", graph.seed), 0)


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
    foreign = set(state.weights) - set(_paths(model))
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
        set_optimizer(optimizer, state.optimizer)
    elif state.optimizer[0][1].any():  # the first is the number of steps: it has taken some
        warn(
            f"load_model: the optimizer begins anew: the file holds {len(state.optimizer)} tensors of its state, and "
            f"{type(optimizer).__name__} has {len(optimizer.variables)}."
        )


def set_optimizer(optimizer: Optimizer, arrays: list[tuple[str, Array]]) -> None:
    """Set the optimizer's variables; a learning rate that is the same in float32 keeps its digits."""
    rate = optimizer.rate_if_constant()
    optimizer.restore([array for _, array in arrays])
    if rate is not None and np.float32(rate) == np.float32(optimizer.rate):
        optimizer.learning_rate = rate


def _take_the_rest(model: Trainer, values: dict[str, Array], taken: set[str]) -> None:
    """Assign the values that were not used while the model was made, as with classes of the user's."""
    by_path = zip(_paths(model), model.stack.weights, strict=True)
    rest = [(variable, values[path]) for path, variable in by_path if path not in taken]
    for variable, array in rest:
        if array.shape != variable.shape or str(array.dtype) != variable.dtype:
            raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
    assign_together([variable for variable, _ in rest], [array for _, array in rest])
