"""Counters that the engine drives while other threads read them."""

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
    """How often something has happened, up to date while a run of the engine makes it happen.

    Attributes
    ----------
    value : int
        Read between two steps of training (`lamina._engine.variable.one_moment`) it belongs to the parameters of that
        moment.
    """

    def __init__(self, value: int = 0) -> None:
        # The count before the run, and what counts during it: one value, replaced at once.
        self._state: tuple[int, Steps | None] = (value, None)

    @property
    def value(self) -> int:
        """The count."""
        count, assumed = _assumed.get()
        if count is self:
            return assumed
        before, run = self._state
        return before if run is None else before + run.steps

    @value.setter
    def value(self, value: int) -> None:
        self._state = (value, None)

    @contextmanager
    def during(self, run: Steps) -> Iterator[None]:
        """Count on with the steps of a run of the engine."""
        before = self.value
        self._state = (before, run)
        try:
            yield
        finally:
            self.value = before + run.steps

    @contextmanager
    def assumed(self, value: int) -> Iterator[None]:
        """Let the calling thread alone find another value."""
        before = _assumed.get()
        try:  # set within: Ctrl-C may come as soon as it is
            _assumed.set((self, value))
            yield
        finally:
            _assumed.set(before)

    def __getstate__(self) -> int:
        return self.value

    def __setstate__(self, value: int) -> None:
        self.value = value


_assumed: ContextVar[tuple[Count | None, int]] = ContextVar("assumed", default=(None, 0))
