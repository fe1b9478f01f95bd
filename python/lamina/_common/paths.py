"""Checks of paths of files and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lamina._common.checks import KindError

__all__ = ["path", "writable_folder"]


def path(who: str, name: str, value: Any) -> Path:
    """Return the path of a file or directory, a leading ``~`` replaced by the home directory; or raise."""
    if not isinstance(value, (str, os.PathLike)):
        raise KindError(f"{who}: {name} must be a path; got {type(value).__name__}.")
    if not os.fspath(value):
        raise ValueError(f"{who}: {name} must be a path; got an empty one.")
    found = Path(os.path.expanduser(os.fsdecode(value)))  # an unknown ``~user`` stays as it is
    if "\0" in str(found):
        raise ValueError(f"{who}: {name} must not contain a null byte; got {str(found)!r}.")
    try:
        os.fsencode(found)
    except UnicodeEncodeError:
        raise ValueError(f"{who}: {name} must be of characters that names of files have; got {str(found)!r}.") from None
    return found


def writable_folder(who: str, name: str, folder: Path) -> None:
    """Raise OSError if `folder` is not a folder, or cannot be created or written to."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise NotADirectoryError(f"{who}: {name} must be a folder; {there} is none.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise PermissionError(f"{who}: {name} must be a folder that can be written to; {there} cannot.")
