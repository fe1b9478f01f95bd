"""lamina's own file: safetensors, with the configuration as JSON in its metadata.

Tensors are named ``weights/<layer>/<variable>`` and ``optimizer/<slot>/<layer>/<variable>``. A backup
(`lamina.callbacks.BackupAndRestore`) holds the same tensors and all counters, and no configuration.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core, losses, metrics, optimizers
from lamina._checks import KindError, flag, integer, number
from lamina._interrupts import interrupts_later
from lamina._names import OfFunction, name_of, required, serialize
from lamina._registration import is_registered
from lamina.layers.base import Stored, assign_all, loading
from lamina.saving.tensors import read_tensors, write_tensors
from lamina.saving.writing import what_is_at
from lamina.variables import assign_together, one_moment

if TYPE_CHECKING:
    from lamina.models import Sequential

__all__ = [
    "check_classes", "check_suffix", "load_model", "load_weights", "restore_backup", "save_backup", "save_model",
    "save_weights",
]  # fmt: skip

FORMAT, BACKUP_FORMAT = 4, 1
SUFFIX = ".safetensors"


def check_suffix(who: str, filepath: Any) -> Path:
    """Return a path that ends as lamina's files do, or raise."""
    if not isinstance(filepath, (str, os.PathLike)):
        raise KindError(f"{who}: filepath must be a path; got {type(filepath).__name__}.")
    path = Path(os.path.expanduser(os.fsdecode(filepath)))  # where no such user is known it stays as it is
    if "\0" in str(path):
        raise ValueError(f"{who}: filepath must not contain a null byte; got {str(path)!r}.")
    if not path.name.endswith(SUFFIX):
        hint = " Keras's own formats are not written or read yet." if path.suffix in (".keras", ".h5") else ""
        raise ValueError(f"{who}: the file name must end in '{SUFFIX}'; got {path.name!r}.{hint}")
    return path


def save_model(model: Sequential, filepath: Any, overwrite: bool) -> None:
    """Write a model; see `lamina.models.Sequential.save`."""
    who = f"Sequential {model.name!r}: save"
    path = _target(who, filepath, overwrite)
    check_classes(who, model)
    with one_moment(model.weights):
        tensors, settings = _state(model)
    write_tensors(who, path, tensors, {"lamina": json.dumps(settings)})


def _target(who: str, filepath: Any, overwrite: bool) -> Path:
    """Return the path to write to, or raise."""
    path = check_suffix(who, filepath)
    if not flag(who, "overwrite", overwrite) and os.path.lexists(path):
        raise ValueError(f"{who}: {path} must not exist where overwrite is False; it does.")
    return path


def _state(model: Sequential) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors and the settings that a file holds."""
    tensors = dict(zip((f"weights/{v.path}" for v in model.weights), model.get_weights(), strict=True))
    settings: dict[str, Any] = {
        "format": FORMAT,
        "lamina": _core.__version__,
        "model": serialize(model),
        "shuffles": model._shuffles,
        "draws": model._draws.value,
        "layers": {layer.name: state for layer in model.flat_layers if (state := layer.own_state())},
        "compiled": None,
    }
    if model._compiled is not None:
        optimizer = model.optimizer
        settings["compiled"] = model.get_compile_config()
        settings["batches"], settings["without_decay"] = optimizer.batches, optimizer.without_decay
        tensors |= {f"optimizer/{key}": array for key, array in optimizer.slot_arrays(model.weights).items()}
    return tensors, settings


def check_classes(who: str, model: Sequential) -> None:
    """Raise for classes that a reader of the file would not know."""
    from lamina import constraints, initializers, layers, regularizers
    from lamina.sequential import Sequential

    own: list[tuple[Any, dict[str, Any]]] = [(layer, layers._CLASSES) for layer in model.flat_layers]
    own += [(one, {"Sequential": Sequential}) for one in model.all_models()]
    for layer in model.flat_layers:
        held = list(vars(layer).values())
        own += [(v, initializers._CLASSES) for v in held if isinstance(v, initializers.Initializer)]
        rules = [v for v in held if isinstance(v, (regularizers.Regularizer, constraints.Constraint))]
        own += [(rule, regularizers._CLASSES | constraints._CLASSES) for rule in rules]
        for variable in layer.weights:
            for rule in (variable.regularizer, variable.constraint):
                if rule is not None and not any(rule is known for known in rules):
                    raise ValueError(
                        f"{who}: the {type(rule).__name__} of {variable.path!r} must be an argument of its layer, for "
                        "that is what a file holds; it was assigned to the variable."
                    )
    if model._compiled is not None:
        own += [(model.optimizer, optimizers._CLASSES), (model.loss, losses._CLASSES)]
        rate = model.optimizer._learning_rate
        if not isinstance(rate, float):
            own.append((rate, optimizers.schedules._CLASSES))
        wanted = [*model._compiled.metrics, *model._compiled.weighted_metrics]
        own += [(metric, metrics._CLASSES) for metric in wanted if not isinstance(metric, str)]
        for metric in wanted:
            if isinstance(metric, metrics.MeanMetricWrapper):
                metric.get_config()  # raises where the function could not be found again
    for item in (*model.flat_layers, *([model.optimizer] if model._compiled is not None else [])):
        base = optimizers.Optimizer if isinstance(item, optimizers.Optimizer) else layers.Layer
        for hook in ("save_own_variables", "load_own_variables", "get_build_config", "build_from_config"):
            if getattr(type(item), hook, None) is not getattr(base, hook, None):
                raise ValueError(
                    f"{who}: {hook} of {type(item).__name__} would not be called: files hold what get_weights and "
                    "get_config give."
                )
    for item, known in own:
        if isinstance(item, OfFunction):
            if not is_registered(item.function):
                raise ValueError(
                    f"{who}: the function {name_of(item.function)!r} must be registered with "
                    "lamina.saving.register_keras_serializable: a file holds names, not code."
                )
            continue
        if type(item) not in known.values() and not is_registered(type(item)):
            raise ValueError(
                f"{who}: {type(item).__name__} must be a class of lamina's, or registered with "
                "lamina.saving.register_keras_serializable: a file holds names, not code."
            )


def save_weights(model: Sequential, filepath: Any, overwrite: bool) -> None:
    """Write parameters alone; see `lamina.models.Sequential.save_weights`."""
    who = f"Sequential {model.name!r}: save_weights"
    path = _target(who, filepath, overwrite)
    names = [f"weights/{v.path}" for v in model.weights]
    tensors = dict(zip(names, model.get_weights(), strict=True))
    write_tensors(who, path, tensors, {"lamina weights": json.dumps(names)})


def load_weights(model: Sequential, filepath: Any, skip_mismatch: bool) -> None:
    """Read what `save_weights` or `save_model` wrote, in the order of the weights."""
    who = f"Sequential {model.name!r}: load_weights"
    metadata, tensors = _read(who, filepath)
    try:
        if "lamina weights" in metadata:
            found = [tensors[name] for name in json.loads(metadata["lamina weights"])]
        else:
            found = list(_model_of(who, metadata, tensors, False).get_weights())
    except _BROKEN as error:
        raise _damaged(who, filepath, error) from None
    if not skip_mismatch:
        return assign_all(f"{who}: {Path(filepath)}", model.weights, found)
    fits = [array.shape == variable.shape for variable, array in zip(model.weights, found, strict=False)]
    fitting = [pair for *pair, same in zip(model.weights, found, fits, strict=False) if same]
    assign_together([variable for variable, _ in fitting], [array for _, array in fitting])
    left_out = len(model.weights) - sum(fits)
    if left_out or len(found) != len(model.weights):
        warnings.warn(
            f"{who}: {left_out} of {len(model.weights)} parameters were left as they are: {Path(filepath)} holds "
            f"{len(found)}, and others have another shape there.",
            stacklevel=4,
        )
    return None


def save_backup(model: Sequential, path: Path, epoch: int) -> None:
    """Write all that training goes on from, and nothing of what the model is made of."""
    with one_moment(model.weights):
        optimizer = model.optimizer
        tensors = {f"weights/{i}": array for i, array in enumerate(model.get_weights())}
        for name in optimizer.state_names():
            for i, variable in enumerate(model.weights):
                tensors[f"optimizer/{name}/{i}"] = optimizer.slot(name, variable).numpy()
        settings = {
            "format": BACKUP_FORMAT,
            "optimizer": type(optimizer).__name__,
            "learning_rate": optimizer.rate_if_constant(),
            "batches": optimizer.batches,
            "shuffles": model._shuffles,
            "draws": model._draws.value,
            "seed": model.seed,
            "layers": [layer.own_state() for layer in model.flat_layers],
            "epoch": epoch,
        }
    write_tensors(f"Sequential {model.name!r}: backup", path, tensors, {"lamina backup": json.dumps(settings)})


def restore_backup(model: Sequential, path: Path) -> int:
    """Bring a model to the state of a backup, of the same layers and optimizer; return the epoch to go on with.

    Raises
    ------
    ValueError
        The file is no backup, or not one of such a model. The model is as it was.
    """
    who = f"Sequential {model.name!r}: restore"
    metadata, tensors = _read(who, path)
    optimizer, variables = model.optimizer, model.weights
    try:
        settings = json.loads(metadata["lamina backup"])
        if settings["format"] != BACKUP_FORMAT:
            raise ValueError(f"its format is {settings['format']}, this lamina reads {BACKUP_FORMAT}")
        names, kind = optimizer.state_names(), settings["optimizer"]
        expected = {f"weights/{i}" for i in range(len(variables))}
        expected |= {f"optimizer/{name}/{i}" for name in names for i in range(len(variables))}
        if kind != type(optimizer).__name__ or {n for n in tensors if n[0] == "o"} != {
            n for n in expected if n[0] == "o"
        }:
            raise ValueError(f"it was written with another optimizer, {kind}; this is {optimizer!r}")
        if set(tensors) != expected:
            raise ValueError("it belongs to a model of other layers")
        for i, variable in enumerate(variables):
            for name in ("weights", *(f"optimizer/{state}" for state in names)):
                array = tensors[f"{name}/{i}"]
                if array.shape != variable.shape or str(array.dtype) != variable.dtype:
                    raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
        counts = {n: integer("file", n, settings[n], 0) for n in ("batches", "shuffles", "draws", "epoch")}
        seed, rate = integer("file", "seed", settings["seed"], -(2**63)), settings["learning_rate"]
        rate = None if rate is None else number("file", "learning_rate", rate, least=0)
        states = [_checked_state(state) for state in settings["layers"]]
        if len(states) != len(model.flat_layers):
            raise ValueError("it belongs to a model of other layers")
    except _BROKEN as error:
        raise _damaged(who, path, error) from None
    written = {f"weights/{i}": variable for i, variable in enumerate(variables)}
    written |= {f"optimizer/{name}/{i}": optimizer.slot(name, v) for name in names for i, v in enumerate(variables)}
    with one_moment(variables, write=True), interrupts_later():
        assign_together(written.values(), [tensors[name] for name in written])
        optimizer.batches, model._shuffles, model._draws.value = counts["batches"], counts["shuffles"], counts["draws"]
        model.seed = seed
        if rate is not None and optimizer.rate_if_constant() is not None:
            optimizer.learning_rate = rate
        for layer, state in zip(model.flat_layers, states, strict=True):
            layer.take_own_state(state)
    return counts["epoch"]


def _take_the_rest(model: Sequential, stored: Stored) -> None:
    """Take values over that were not taken while the model was made: by a `from_config` of the user's own."""
    rest = [variable for variable in model.weights if variable.path not in stored.taken]
    for variable in rest:
        array = stored.values[variable.path]
        if array.shape != variable.shape or str(array.dtype) != variable.dtype:
            raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
    assign_together(rest, [stored.values[variable.path] for variable in rest])


def _checked_state(state: Any) -> dict[str, int]:
    """Return a layer's own state, as `Layer.own_state` gives it."""
    return {str(name): integer("file", str(name), value, 0, most=2**64 - 1) for name, value in dict(state).items()}


# What reading a file that is not what it should be raises. A MemoryError says something else.
_BROKEN = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError, ZeroDivisionError,
    AssertionError, re.error,
)  # fmt: skip


def _damaged(who: str, filepath: Any, error: BaseException) -> ValueError:
    what = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return ValueError(f"{who}: {Path(filepath)} is damaged, of a newer lamina, or of another kind; {what}{error}.")


def load_model(filepath: Any, compile: bool) -> Sequential:
    """Read a model; see `lamina.models.load_model`."""
    metadata, tensors = _read("load_model", filepath)
    return _model_of("load_model", metadata, tensors, compile, filepath)


def _model_of(who: str, metadata: dict[str, str], tensors: dict[str, Any], compile: bool, path: Any = "") -> Sequential:
    if "lamina" not in metadata:
        raise ValueError(f"{who}: {path} must be a model that lamina has saved; it holds no configuration.")
    try:
        return _restore(json.loads(metadata["lamina"]), tensors, compile)
    except _BROKEN as error:
        raise _damaged(who, path, error) from None


def _read(who: str, filepath: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Return metadata and tensors of a file."""
    path = check_suffix(who, filepath)
    if not path.is_file():
        if path.exists():
            raise ValueError(f"{who}: {path} must be a file; it is {what_is_at(path)}.")
        raise FileNotFoundError(f"{who}: there is no file {path}.")
    return read_tensors(who, path)


def _restore(settings: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]], compile: bool) -> Sequential:
    from lamina.saving.objects import deserialize_keras_object
    from lamina.sequential import Sequential, deserialize_part

    if settings["format"] != FORMAT:
        raise ValueError(f"its format is {settings['format']}, this lamina reads {FORMAT}")
    weights = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
    slots = {k.removeprefix("optimizer/"): v for k, v in tensors.items() if k.startswith("optimizer/")}
    stored, before = Stored(settings["model"]["config"], weights), loading.get()
    try:  # set within: Ctrl-C may come as soon as it is
        loading.set(stored)
        model = deserialize_part(settings["model"])
    finally:
        loading.set(before)
    if not isinstance(model, Sequential):
        raise ValueError("it holds a layer instead of a model")
    for layer in model.flat_layers:
        layer.stored = None
    _take_the_rest(model, stored)
    model._shuffles = integer("file", "shuffles", settings["shuffles"], 0)
    model._draws.value = integer("file", "draws", settings.get("draws", 0), 0)
    states = {str(name): _checked_state(state) for name, state in dict(settings.get("layers", {})).items()}
    for layer in model.flat_layers:
        layer.take_own_state(states.get(layer.name, {}))
    expected = {f"weights/{variable.path}" for variable in model.weights}
    if settings["compiled"] is not None:
        how = {name: deserialize_keras_object(value) for name, value in settings["compiled"].items()}
        optimizer = required("file", "optimizer", optimizers.get(how["optimizer"]))
        optimizer.without_decay = settings["without_decay"]
        optimizer.batches = integer("file", "batches", settings["batches"], 0)
        optimizer.load_slot_arrays(slots, model.weights)
        expected |= {f"optimizer/{name}" for name in optimizer.slot_arrays(model.weights)}
        if compile:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # compiling the model that was saved said it already
                model.compile(**how)
    if set(tensors) != expected:
        raise ValueError(f"it holds tensors that belong to nothing: {sorted(set(tensors) - expected)[:3]}")
    return model
