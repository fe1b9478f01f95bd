"""Tries: what a user's code returns is tried, as for the shape of a layer's output, without any other effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["only_tries", "trying"]

_only_tries: ContextVar[bool] = ContextVar("only_tries", default=False)


def only_tries() -> bool:
    """Return whether code that runs in this thread is only tried."""
    return _only_tries.get()


@contextmanager
def trying() -> Iterator[None]:
    """Try code: in the block variables keep their values, and sequences of seeds do not move on."""
    before = _only_tries.get()
    try:  # set inside `try`: Ctrl-C may come right after it
        _only_tries.set(True)
        yield
    finally:
        _only_tries.set(before)
