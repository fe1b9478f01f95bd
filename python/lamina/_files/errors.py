"""ModelFileError, and what turns the exceptions of readers into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lamina._common.registry import ConfigurationError

__all__ = ["ModelFileError", "damaged_where_wrong"]


class ModelFileError(ConfigurationError):
    """A file is no model, is damaged, or is good for something else; a ValueError. Nothing has changed."""


# Exceptions that reading a damaged or foreign file may raise. A MemoryError does not mean that the file is damaged.
_BROKEN = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError, ZeroDivisionError,
    AssertionError, re.error,
)  # fmt: skip


@contextmanager
def damaged_where_wrong(who: str, path: Any) -> Iterator[None]:
    """Turn exceptions of the block, which reads a file's contents, into a ModelFileError that names the file."""
    try:
        yield
    except ConfigurationError as error:
        raise ModelFileError(f"{who}: {Path(path)}: {error}") from error.__cause__
    except _BROKEN as error:
        what = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ModelFileError(
            f"{who}: {Path(path)} is damaged, of a newer lamina, or of another kind; {what}{error}."
        ) from None
