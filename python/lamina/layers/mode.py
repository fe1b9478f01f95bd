"""Calls that run: what layers that a `call` calls take for `training` if they are not given one, and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["calling", "mode_of_caller", "runs"]

# The mode of the innermost `call` that runs in this thread, and the owners of all of them.
_mode: ContextVar[bool | None] = ContextVar("mode", default=None)
_owners: ContextVar[tuple[object, ...]] = ContextVar("owners", default=())


def mode_of_caller() -> bool | None:
    """Return the mode of the `call` that runs in this thread, None if it has none or there is none."""
    return _mode.get()


def runs(owner: object) -> bool:
    """Return whether a `call` of an owner runs in this thread."""
    return any(one is owner for one in _owners.get())


@contextmanager
def calling(owner: object, training: bool | None) -> Iterator[None]:
    """Let the block be a `call` of an owner, and calls of layers in it have a mode."""
    mode, owners = _mode.get(), _owners.get()
    try:  # set inside `try`: Ctrl-C may come right after it
        _mode.set(training)
        _owners.set((*owners, owner))
        yield
    finally:
        _mode.set(mode)
        _owners.set(owners)
