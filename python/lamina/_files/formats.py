"""The formats of files that hold a model, by the suffix of the file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lamina._files import native
from lamina._files.paths import check_path
from lamina._files.state import ModelState

__all__ = ["FORMATS", "Format", "format_of"]


class Format(NamedTuple):
    """How a model is written to a file, and read.

    Attributes
    ----------
    write : callable
        Called with the beginning of messages, the path and the model.
    read : callable
        Called with the beginning of messages and the path; returns the model, or raises ValueError.
    """

    write: Callable[[str, Path, ModelState], None]
    read: Callable[[str, Path], ModelState]


FORMATS: dict[str, Format] = {native.SUFFIX: Format(native.write_model, native.read_model)}


def format_of(who: str, filepath: Any, overwrite: Any = True) -> tuple[Path, Format]:
    """Return a checked path and the format that its suffix names; arguments as of `check_path`."""
    path = check_path(who, filepath, FORMATS, overwrite)
    return path, next(found for suffix, found in FORMATS.items() if path.name.endswith(suffix))
