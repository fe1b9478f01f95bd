"""Tries: what a user's code returns is tried, as for the shape of a layer's output, without any other effect."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from lamina._common.undo import noting

__all__ = ["drawn_in_try", "only_tries", "trying"]

# How often what draws has drawn in the try that runs in this thread, by its id; None outside of tries.
_draws: ContextVar[dict[int, int] | None] = ContextVar("draws", default=None)


def only_tries() -> bool:
    """Return whether code that runs in this thread is only tried."""
    return _draws.get() is not None


def drawn_in_try(source: object) -> int | None:
    """Return how often a source of seeds has drawn in the try that runs, and count one more; None outside of tries."""
    draws = _draws.get()
    if draws is None:
        return None
    count = draws.get(id(source), 0)
    draws[id(source)] = count + 1
    return count


@contextmanager
def trying() -> Iterator[None]:
    """Try code: in the block variables keep their values, and sources of seeds their place; what is built is undone."""
    before = _draws.get()
    with noting() as undo:
        try:  # set inside `try`: Ctrl-C may come right after it
            _draws.set(dict(before or {}))
            yield
        finally:
            _draws.set(before)
            undo()
