"""The mode of calls: what layers that a `call` calls take for `training` if they are not given one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["calling", "mode_of_caller"]

_mode: ContextVar[bool | None] = ContextVar("mode", default=None)


def mode_of_caller() -> bool | None:
    """Return the mode of the `call` that runs in this thread, None if it has none or there is none."""
    return _mode.get()


@contextmanager
def calling(training: bool | None) -> Iterator[None]:
    """Let calls of layers in the block have a mode."""
    before = _mode.get()
    try:  # set inside `try`: Ctrl-C may come right after it
        _mode.set(training)
        yield
    finally:
        _mode.set(before)
