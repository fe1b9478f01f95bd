"""Files of models, and of their weights alone: what is written and read, and what they cannot hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lamina._common.names import all_unique, required, unknown_argument
from lamina._common.objects import serialize, serialize_keras_object
from lamina._common.registry import LAMBDA, is_public
from lamina._common.warn import warn
from lamina._engine.variable import Variable
from lamina._engine.variables import assign_all, assign_together, one_moment
from lamina._files.errors import ModelFileError, damaged_where_wrong
from lamina._files.formats import EXPORT_FORMATS, export_format_of, format_of, weight_format_of
from lamina._files.keras_config import checked_for_keras
from lamina._files.keras_legacy import SUFFIXES as LEGACY_SUFFIXES
from lamina._files.keras_zip import SUFFIX as KERAS_SUFFIX
from lamina._files.native import SUFFIX, read_ensemble, write_ensemble
from lamina._files.network import NetworkState
from lamina._files.paths import check_path
from lamina._files.state import FoundWeights, ModelState, WeightState
from lamina.layers import Layer
from lamina.layers.inner import rules_of
from lamina.models.networks import network_state, with_examples
from lamina.models.states import model_from, model_state, optimizer_arrays, set_optimizer
from lamina.models.tensors import found_values, tensors_of, unplaced
from lamina.models.trainer import Trainer
from lamina.optimizers import Optimizer

__all__ = [
    "check_places", "check_saving", "export_model", "load_ensemble", "load_model", "restore_weights", "save_ensemble",
    "save_model", "save_weights",
]  # fmt: skip

Array = npt.NDArray[Any]


def save_model(model: Trainer, filepath: Any, overwrite: bool, include_optimizer: bool = True) -> None:
    """Write a model; see `lamina.models.Sequential.save`."""
    who = model.stack.who("save")
    if str(filepath).endswith(tuple(EXPORT_FORMATS)):
        raise ValueError(
            f"{who}: {filepath} must be written by export, which holds predictions alone, as the format does."
        )
    path, form = format_of(who, filepath, overwrite, writes=True)
    check_saving(who, model, path)
    state = model_state(model)
    if not include_optimizer:
        kept = state.compile_config if path.name.endswith(KERAS_SUFFIX) else None  # there Keras keeps it, too
        without_decay = None if kept is None else state.without_decay
        state = state.replaced(compile_config=kept, without_decay=without_decay, slots={}, optimizer=[])
    required(who, "a format", form.write)(who, path, state)


def export_model(model: Trainer, filepath: Any, format: Any, overwrite: Any, options: dict[str, Any]) -> Path:
    """Write what a model computes; see `lamina.models.Model.export`. Return the path."""
    who = model.stack.who("export")
    path, form = export_format_of(who, filepath, format, overwrite)
    if unknown := sorted(options.keys() - set(form.options)):
        raise unknown_argument(who, unknown[0])
    state = network_state(who, model.stack)
    if form.examples:
        state = with_examples(state, model.predict_on_batch, form.examples)
    form.write(who, path, state, **options)
    return path


def save_ensemble(who: str, models: Sequence[Trainer], filepath: Any, overwrite: bool) -> None:
    """Write models into one file; see `lamina.Ensemble.save`."""
    path = check_path(who, filepath, (SUFFIX,), overwrite)
    for model in models:
        check_saving(who, model, path)
    write_ensemble(who, path, [model_state(model) for model in models])


def load_ensemble(who: str, filepath: Any, compile: bool) -> list[Trainer]:
    """Read what `save_ensemble` wrote."""
    path = check_path(who, filepath, (SUFFIX,))
    states = read_ensemble(who, path)
    with damaged_where_wrong(who, path):
        return [model_from(state, compile) for state in states]


def load_model(filepath: Any, compile: bool) -> Trainer | NetworkState:
    """Read a model, or what one computes; see `lamina.models.load_model`."""
    path, form = format_of("load_model", filepath)
    state = form.read("load_model", path)
    if isinstance(state, NetworkState):
        return state
    with damaged_where_wrong("load_model", path):
        return model_from(state, compile)


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
        weights = [variable.numpy() for variable in variables]
        held = [] if compiled is None else optimizer_arrays(compiled.optimizer, model)
    paths = all_unique(variable.path for variable in variables)
    state = WeightState(dict(zip(paths, weights, strict=True)), tensors_of(model, weights), held)
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
        _assign(who, path, variables, arrays)
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
        found = held.by_name(tensors_of(model, [variable.numpy() for variable in variables]), skip_mismatch)
    pairs = [(variable, array) for variable, array in zip(variables, found, strict=True) if array is not None]
    named, arrays = [variable for variable, _ in pairs], [array for _, array in pairs]
    if skip_mismatch:
        _assign_fitting(who, path, named, arrays)
    else:
        _assign(who, path, named, arrays)


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
        set_optimizer(optimizer, arrays)
    elif optimizer.built or len(arrays) != len(own):
        warn(
            f"{who}: the optimizer keeps its state: the file holds {len(arrays)} tensors of one, and "
            f"{type(compiled.optimizer).__name__} has {len(own)}. It has those of the trained variables after a step, "
            "or after optimizer.build(model.trainable_variables)."
        )


def _assign(who: str, path: Path, variables: list[Variable], arrays: list[Array]) -> None:
    try:
        assign_all(f"{who}: {path}", variables, arrays)
    except ValueError as error:
        raise ModelFileError(str(error)) from None


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
