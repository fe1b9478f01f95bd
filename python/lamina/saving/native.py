"""lamina's own file: safetensors, with the configuration as JSON in its metadata.

Tensors are named ``weights/<layer>/<variable>`` and ``optimizer/<slot>/<layer>/<variable>``. A file is
written beside its target and moved over it when complete, so that an interruption leaves the old one.
"""

from __future__ import annotations

import json
import os
import secrets
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core, losses, metrics, optimizers
from lamina._checks import integer
from lamina._names import required, serialize
from lamina._registration import is_registered
from lamina.layers.base import initial_values
from lamina.variables import one_moment

if TYPE_CHECKING:
    from lamina.models import Sequential

__all__ = ["check_suffix", "load_model", "load_weights", "restore_state", "save_model", "save_weights"]

FORMAT = 4
SUFFIX = ".safetensors"


def check_suffix(who: str, filepath: Any) -> Path:
    """Return a path that ends as lamina's files do, or raise."""
    path = Path(filepath)
    if not path.name.endswith(SUFFIX):
        hint = " Keras's own formats are not written or read yet." if path.suffix in (".keras", ".h5") else ""
        raise ValueError(f"{who}: the file name must end in '{SUFFIX}'; got {path.name!r}.{hint}")
    return path


def save_model(model: Sequential, filepath: Any, overwrite: bool, epoch: int | None = None) -> None:
    """Write a model; see `lamina.models.Sequential.save`. `epoch` is kept beside it."""
    from safetensors.numpy import save

    who = f"Sequential {model.name!r}: save"
    path = check_suffix(who, filepath)
    if not overwrite and path.exists():
        raise ValueError(f"{who}: {path} exists already, and overwrite is False.")
    _refuse_own_classes(who, model)
    with one_moment(model.weights):
        tensors, settings = _state(model, epoch)
    write_atomically(path, save(tensors, {"lamina": json.dumps(settings)}))


def _state(model: Sequential, epoch: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the tensors and the settings that a file holds."""
    tensors = dict(zip((f"weights/{v.path}" for v in model.weights), model.get_weights(), strict=True))
    settings: dict[str, Any] = {
        "format": FORMAT,
        "lamina": _core.__version__,
        "model": serialize(model),
        "shuffles": model._shuffles,
        "draws": model._draws.value,
        "epoch": epoch,
        "compiled": None,
    }
    if model._compiled is not None:
        optimizer = model.optimizer
        settings["compiled"] = model.get_compile_config()
        settings["batches"], settings["without_decay"] = optimizer.batches, optimizer.without_decay
        tensors |= {f"optimizer/{key}": array for key, array in optimizer.slot_arrays(model.weights).items()}
    return tensors, settings


def _refuse_own_classes(who: str, model: Sequential) -> None:
    """Raise for classes that a reader of the file would not know."""
    from lamina import constraints, initializers, layers, regularizers
    from lamina.sequential import Sequential

    own: list[tuple[Any, dict[str, Any]]] = [(layer, layers._CLASSES) for layer in model.flat_layers]
    own += [(one, {"Sequential": Sequential}) for one in model.all_models()]
    for layer in model.flat_layers:
        held = [*vars(layer).values(), *getattr(layer, "_rules", {}).values()]
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
    for item, known in own:
        if type(item) not in known.values() and not is_registered(type(item)):
            raise ValueError(
                f"{who}: {type(item).__name__} must be a class of lamina's, or registered with "
                "lamina.saving.register_keras_serializable: a file holds names, not code."
            )


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that there is always a whole one at `path`, the old or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def save_weights(model: Sequential, filepath: Any, overwrite: bool) -> None:
    """Write parameters alone; see `lamina.models.Sequential.save_weights`."""
    from safetensors.numpy import save

    who = f"Sequential {model.name!r}: save_weights"
    path = check_suffix(who, filepath)
    if not overwrite and path.exists():
        raise ValueError(f"{who}: {path} exists already, and overwrite is False.")
    names = [f"weights/{v.path}" for v in model.weights]
    tensors = dict(zip(names, model.get_weights(), strict=True))
    write_atomically(path, save(tensors, {"lamina weights": json.dumps(names)}))


def load_weights(model: Sequential, filepath: Any, skip_mismatch: bool) -> None:
    """Read what `save_weights` or `save_model` wrote, in the order of the weights."""
    who = f"Sequential {model.name!r}: load_weights"
    metadata, tensors = _read(who, filepath)
    if "lamina weights" in metadata:
        found = [tensors[name] for name in json.loads(metadata["lamina weights"])]
    else:
        found = list(load_model(filepath, False).get_weights())
    if skip_mismatch:
        for variable, array in zip(model.weights, found, strict=False):
            if array.shape == variable.shape:
                variable.assign(array)
    else:
        model.set_weights(found)


def restore_state(model: Sequential, filepath: Any) -> int:
    """Bring a model to the state of the one in a file, of the same layers and optimizer; return the file's epoch."""
    other = load_model(filepath, True)
    model.set_weights(list(other.get_weights()))
    model._shuffles, model._draws.value, model.seed = other._shuffles, other._draws.value, other.seed
    own, saved = model.optimizer, other.optimizer
    if type(own) is not type(saved) or own.state_names() != saved.state_names():
        raise ValueError(f"Sequential {model.name!r}: {filepath} was written with another optimizer, {saved!r}.")
    own.batches = saved.batches
    if isinstance(own._learning_rate, float) and isinstance(saved._learning_rate, float):
        own.learning_rate = saved._learning_rate
    for name in own.state_names():
        for variable, same in zip(model.weights, other.weights, strict=True):
            own.slot(name, variable).assign(saved.slot(name, same).numpy())
    metadata, _ = _read("restore_state", filepath)
    return integer("file", "epoch", json.loads(metadata["lamina"])["epoch"], 0)


def load_model(filepath: Any, compile: bool) -> Sequential:
    """Read a model; see `lamina.models.load_model`."""
    metadata, tensors = _read("load_model", filepath)
    path = Path(filepath)
    if "lamina" not in metadata:
        raise ValueError(f"load_model: {path} was not written by lamina: it holds no configuration.")
    try:
        return _restore(json.loads(metadata["lamina"]), tensors, compile)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"load_model: {path} is damaged or of a newer lamina; {type(error).__name__}: {error}"
        ) from None


def _read(who: str, filepath: Any) -> tuple[dict[str, str], dict[str, Any]]:
    """Return metadata and tensors of a file."""
    from safetensors import SafetensorError, safe_open

    path = check_suffix(who, filepath)
    if not path.is_file():
        raise FileNotFoundError(f"{who}: there is no file {path}.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{who}: {path} is damaged or no safetensors file; {error}.") from None
    return metadata, tensors


def _restore(settings: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]], compile: bool) -> Sequential:
    from lamina.saving.objects import deserialize_keras_object
    from lamina.sequential import Sequential, deserialize_part

    if settings["format"] != FORMAT:
        raise ValueError(f"its format is {settings['format']}, this lamina reads {FORMAT}")
    weights = {k.removeprefix("weights/"): v for k, v in tensors.items() if k.startswith("weights/")}
    slots = {k.removeprefix("optimizer/"): v for k, v in tensors.items() if k.startswith("optimizer/")}
    token = initial_values.set(weights)
    try:
        model = deserialize_part(settings["model"])
    finally:
        initial_values.reset(token)
    if not isinstance(model, Sequential):
        raise ValueError("it holds a layer instead of a model")
    model._shuffles = integer("file", "shuffles", settings["shuffles"], 0)
    model._draws.value = integer("file", "draws", settings.get("draws", 0), 0)
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
