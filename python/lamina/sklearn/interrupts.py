"""Whether Ctrl-C ends one fit, which keeps what was trained, or the call that has many fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["ending_the_call", "ends_the_call"]

_ENDS: ContextVar[bool] = ContextVar("ends_the_call", default=False)


def ends_the_call() -> bool:
    """Return whether a fit is one of many, all of which end."""
    return _ENDS.get()


@contextmanager
def ending_the_call() -> Iterator[None]:
    """Let Ctrl-C end all fits of the block, those that other estimators begin too."""
    token = _ENDS.set(True)
    try:
        yield
    finally:
        _ENDS.reset(token)
