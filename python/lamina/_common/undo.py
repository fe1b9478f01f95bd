"""Undo: what was built and made on the way to something, so that all of it can be undone if that fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["Undo", "noting", "undoable"]


class Undo:
    """Steps that undo what was done; a call takes them, the last one first, and forgets them."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[[], object]) -> None:
        """Add what undoes something that was just done."""
        self._steps.append(step)

    def __call__(self) -> None:
        while self._steps:
            self._steps.pop()()


_active: ContextVar[Undo | None] = ContextVar("active", default=None)


def undoable(step: Callable[[], object]) -> None:
    """Say how to undo what was just done, to those who are noting that in this thread."""
    undo = _active.get()
    if undo is not None:
        undo.add(step)


@contextmanager
def noting() -> Iterator[Undo]:
    """Note what the block does; the steps also become one of an outer block's."""
    outer, undo = _active.get(), Undo()
    if outer is not None:
        outer.add(undo)
    try:  # set inside `try`: Ctrl-C may come right after it
        _active.set(undo)
        yield undo
    finally:
        _active.set(outer)
