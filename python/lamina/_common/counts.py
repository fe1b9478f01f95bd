"""Counters that the engine increments while other threads read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

__all__ = ["Count", "Steps"]


class Steps(Protocol):
    """A run of the engine, which counts its steps."""

    @property
    def steps(self) -> int:
        """Steps that were completed so far."""


class Count:
    """A counter that stays up to date while the engine runs and counts.

    `during`, `add` and assignments are called by one thread at a time; each may be called while a run counts on.

    Attributes
    ----------
    value : int
        If read inside `lamina._engine.variables.one_moment`, between two steps of training, it matches the parameters
        of that moment.
    """

    def __init__(self, value: int = 0) -> None:
        # The count before the engine's run, and the run that counts on from there: one tuple, replaced at once.
        self._state: tuple[int, Steps | None] = (value, None)
        self._added = 0  # by `add`

    @property
    def value(self) -> int:
        """The count."""
        count, assumed = _assumed.get()
        if count is self:
            return assumed
        before, run = self._state
        return before + self._added if run is None else before + self._added + run.steps

    @value.setter
    def value(self, value: int) -> None:
        self._state, self._added = (value, None), 0

    def add(self, number: int) -> int:
        """Add to the count; return it."""
        self._added += number
        return self.value

    @contextmanager
    def during(self, run: Steps) -> Iterator[None]:
        """Add the steps of a run of the engine to the count, within the block."""
        before, _ = self._state
        try:  # set inside `try`: Ctrl-C may come right after it
            self._state = (before, run)
            yield
        finally:
            self._state = (before + run.steps, None)

    @contextmanager
    def assumed(self, value: int) -> Iterator[None]:
        """Let the calling thread (and no other) read `value` instead of the count, within the block."""
        before = _assumed.get()
        try:  # set inside `try`: Ctrl-C may come right after it
            _assumed.set((self, value))
            yield
        finally:
            _assumed.set(before)

    def __getstate__(self) -> int:
        return self.value

    def __setstate__(self, value: int) -> None:
        self.value = value


_assumed: ContextVar[tuple[Count | None, int]] = ContextVar("assumed", default=(None, 0))
