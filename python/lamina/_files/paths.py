"""Checks of file paths."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lamina._common.checks import flag
from lamina._common.paths import path as checked_path
from lamina._files.writing import what_is_at

__all__ = ["MissingFileError", "check_path", "require_file"]


def check_path(who: str, filepath: Any, suffixes: Collection[str], overwrite: Any = True) -> Path:
    """Return `filepath` as a `Path`, after checking that it ends in one of the suffixes.

    Raises
    ------
    TypeError, ValueError
        `filepath` is no path, has another suffix, or exists although `overwrite` is False.
    """
    path = checked_path(who, "filepath", filepath)
    if not path.name.endswith(tuple(suffixes)):
        wanted = " or ".join(f"'{suffix}'" for suffix in suffixes)
        raise ValueError(f"{who}: the file name must end in {wanted}; got {path.name!r}.")
    if not flag(who, "overwrite", overwrite) and os.path.lexists(path):
        raise ValueError(f"{who}: {path} must not exist where overwrite is False; it does.")
    return path


class MissingFileError(FileNotFoundError, ValueError):
    """There is no such file. A ValueError too: that is what Keras raises for its own format."""


def require_file(who: str, path: Path) -> None:
    """Raise unless there is a file at `path`."""
    if not path.is_file():
        if path.exists():
            raise ValueError(f"{who}: {path} must be a file; it is {what_is_at(path)}.")
        raise MissingFileError(f"{who}: there is no file {path}.")
