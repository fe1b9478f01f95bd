"""lamina's own file: safetensors, with the configuration as JSON in its metadata.

Tensors are named ``weights/<layer>/<variable>`` and ``optimizer/<slot>/<layer>/<variable>``. A file is
written beside its target and moved over it when complete, so that an interruption leaves the old one.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lamina import _core, losses, metrics, optimizers
from lamina._names import serialize

if TYPE_CHECKING:
    from lamina.models import Sequential

__all__ = ["load_model", "save_model"]

FORMAT = 1
SUFFIX = ".safetensors"


def _checked_path(who: str, filepath: Any) -> Path:
    path = Path(filepath)
    if not path.name.endswith(SUFFIX):
        hint = " Keras's own formats are not written or read yet." if path.suffix in (".keras", ".h5") else ""
        raise ValueError(f"{who}: the file name must end in '{SUFFIX}'; got {path.name!r}.{hint}")
    return path


def save_model(model: Sequential, filepath: Any, overwrite: bool) -> None:
    """Write a model; see `lamina.models.Sequential.save`."""
    from safetensors.numpy import save

    who = f"Sequential {model.name!r}: save"
    path = _checked_path(who, filepath)
    if not overwrite and path.exists():
        raise ValueError(f"{who}: {path} exists already, and overwrite is False.")
    tensors = dict(zip((f"weights/{v.path}" for v in model.weights), model.get_weights(), strict=True))
    settings: dict[str, Any] = {
        "format": FORMAT,
        "lamina": _core.__version__,
        "model": model.get_config(),
        "shuffles": model._shuffles,
        "compiled": None,
    }
    if model._compiled is not None:
        compiled = model._compiled
        settings["compiled"] = {
            "optimizer": serialize(compiled.optimizer),
            "iterations": compiled.optimizer.iterations,
            "loss": serialize(compiled.loss),
            "metrics": [_spell_metric(metric) for metric in compiled.metrics],
            "weighted_metrics": [_spell_metric(metric) for metric in compiled.weighted_metrics],
        }
        tensors |= {f"optimizer/{key}": array for key, array in compiled.optimizer.slot_arrays().items()}
    write_atomically(path, save(tensors, {"lamina": json.dumps(settings)}))


def _spell_metric(metric: Any) -> Any:
    return metric if isinstance(metric, str) else serialize(metric)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that there is always a whole one at `path`, the old or the new."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def load_model(filepath: Any, compile: bool) -> Sequential:
    """Read a model; see `lamina.models.load_model`."""
    from safetensors import SafetensorError, safe_open

    path = _checked_path("load_model", filepath)
    if not path.is_file():
        raise FileNotFoundError(f"load_model: there is no file {path}.")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"load_model: {path} is damaged or no safetensors file; {error}.") from None
    if "lamina" not in metadata:
        raise ValueError(f"load_model: {path} was not written by lamina: it holds no configuration.")
    try:
        return _restore(json.loads(metadata["lamina"]), tensors, compile)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"load_model: {path} is damaged or of a newer lamina; {type(error).__name__}: {error}"
        ) from None


def _restore(settings: dict[str, Any], tensors: dict[str, np.ndarray[Any, Any]], compile: bool) -> Sequential:
    from lamina.models import Sequential

    if settings["format"] != FORMAT:
        raise ValueError(f"its format is {settings['format']}, this lamina reads {FORMAT}")
    model = Sequential.from_config(settings["model"])
    model._shuffles = int(settings["shuffles"])
    model.set_weights([tensors[f"weights/{variable.path}"] for variable in model.weights])
    how = settings["compiled"]
    if compile and how is not None:
        optimizer = optimizers.get(how["optimizer"])
        optimizer.iterations = int(how["iterations"])
        prefix = "optimizer/"
        optimizer.load_slot_arrays({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        model.compile(
            optimizer,
            losses.get(how["loss"]),
            [_read_metric(metric) for metric in how["metrics"]],
            [_read_metric(metric) for metric in how["weighted_metrics"]],
        )
    return model


def _read_metric(metric: Any) -> Any:
    return metric if isinstance(metric, str) else metrics.get(metric)
