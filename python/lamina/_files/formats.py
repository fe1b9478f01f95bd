"""The formats of files that hold a model, or its weights alone, by the suffix of the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy.typing as npt

from lamina._common.checks import choice
from lamina._common.imports import late_function
from lamina._common.records import Record
from lamina._files import keras_legacy, keras_store, keras_zip, native
from lamina._files.network import NetworkState
from lamina._files.paths import check_path
from lamina._files.state import FoundWeights, ModelState, WeightState

__all__ = [
    "EXPORT_FORMATS", "FORMATS", "WEIGHT_FORMATS", "ExportFormat", "Format", "WeightFormat", "export_format_of",
    "format_of", "weight_format_of",
]  # fmt: skip

Array = npt.NDArray[Any]


def _always(who: str) -> None:
    """Need nothing that may be missing."""


class Format(Record):
    """How a model is written to a file, and read.

    Attributes
    ----------
    write : callable
        Called with the beginning of messages, the path and the model. None for formats that models are exported to.
    read : callable
        Called with the beginning of messages and the path; returns the model, or what it computes, or raises
        ValueError.
    check : callable
        Called with the beginning of messages; raises if a library is missing.
    """

    write: Callable[[str, Path, ModelState], None] | None
    read: Callable[[str, Path], ModelState | NetworkState]
    check: Callable[[str], Any] = _always


class WeightFormat(Record):
    """How parameters alone are written to a file, and read.

    Attributes
    ----------
    write : callable
        Called with the beginning of messages, the path and the parameters. None for files of models, whose parameters
        can be read alone.
    read : callable
        Called with the beginning of messages and the path; returns the parameters in order, a whole model, or what
        finds them. Raises ValueError.
    check : callable
        As that of `Format`.
    """

    write: Callable[[str, Path, WeightState], None] | None
    read: Callable[[str, Path], list[Array] | ModelState | FoundWeights]
    check: Callable[[str], Any] = _always


class ExportFormat(Record):
    """How what a model computes is written to a file that other programs run.

    Attributes
    ----------
    name : str
        What `lamina.models.Model.export` calls the format.
    write : callable
        Called with the beginning of messages, the path, the network and the options that were given.
    check : callable
        As that of `Format`.
    options : tuple of str
        Names of the options that `write` takes.
    examples : int
        How many examples of predictions the network must come with.
    """

    name: str
    write: Callable[..., None]
    check: Callable[[str], Any] = _always
    options: tuple[str, ...] = ()
    examples: int = 0


# ONNX and C are of use to few, and not imported before.
_require_onnx = late_function("lamina._files.onnx.writer", "require_onnx")

# Longer suffixes come first: a name ends in `.weights.h5` and in `.h5`.
FORMATS: dict[str, Format] = {
    native.SUFFIX: Format(native.write_model, native.read_model),
    keras_zip.SUFFIX: Format(keras_zip.write_model, keras_zip.read_model, keras_zip.check),
    **dict.fromkeys(
        keras_legacy.SUFFIXES, Format(keras_legacy.write_model, keras_legacy.read_model, keras_legacy.check)
    ),
    ".onnx": Format(None, late_function("lamina._files.onnx.reader", "read_network"), _require_onnx),
}
WEIGHT_FORMATS: dict[str, WeightFormat] = {
    native.SUFFIX: WeightFormat(native.write_weights, native.read_weights),
    keras_store.SUFFIX: WeightFormat(keras_store.write_weights, keras_store.read_weights, keras_store.check),
    **dict.fromkeys(
        keras_legacy.SUFFIXES, WeightFormat(keras_legacy.write_weights, keras_legacy.read_weights, keras_legacy.check)
    ),
    keras_zip.SUFFIX: WeightFormat(None, keras_zip.read_model, keras_zip.check),
}


EXPORT_FORMATS: dict[str, ExportFormat] = {
    ".onnx": ExportFormat("onnx", late_function("lamina._files.onnx.writer", "write_network"), _require_onnx),
    ".h": ExportFormat(
        "c",
        late_function("lamina._files.c.header", "write_network"),
        options=("batch", "name", "own_math"),
        examples=4,
    ),
}


def export_format_of(who: str, filepath: Any, format: Any, overwrite: Any) -> tuple[Path, ExportFormat]:
    """Return a checked path and the format that its suffix, and the name if one is given, say."""
    if format is not None:
        choice(who, "format", format, tuple(found.name for found in EXPORT_FORMATS.values()))
    known = {suffix: found for suffix, found in EXPORT_FORMATS.items() if format in (None, found.name)}
    path = check_path(who, filepath, known, overwrite)
    return path, _found(who, path, known)


def format_of(who: str, filepath: Any, overwrite: Any = True, writes: bool = False) -> tuple[Path, Format]:
    """Return a checked path and the format of models that its suffix names; arguments as of `check_path`.

    With `writes` it is one that models can be written in.
    """
    known = {suffix: found for suffix, found in FORMATS.items() if found.write is not None or not writes}
    path = check_path(who, filepath, known, overwrite)
    if path.name.endswith(keras_store.SUFFIX):
        raise ValueError(f"{who}: names that end in '{keras_store.SUFFIX}' are files of weights; got {path.name!r}.")
    return path, _found(who, path, known)


def weight_format_of(who: str, filepath: Any, overwrite: Any = True, writes: bool = False) -> tuple[Path, WeightFormat]:
    """Return a checked path and the format of weights that its suffix names; arguments as of `check_path`.

    With `writes` it is one that weights can be written in.
    """
    known = {suffix: found for suffix, found in WEIGHT_FORMATS.items() if found.write is not None or not writes}
    path = check_path(who, filepath, known, overwrite)
    return path, _found(who, path, known)


def _found(who: str, path: Path, formats: dict[str, Any]) -> Any:
    form = next(found for suffix, found in formats.items() if path.name.endswith(suffix))
    form.check(who)
    return form
