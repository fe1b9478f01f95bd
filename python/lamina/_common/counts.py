"""Counters that the engine drives while other threads read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
import numpy.typing as npt

__all__ = ["Count"]


class Count:
    """How often something has happened, up to date while a run of the engine makes it happen.

    Attributes
    ----------
    value : int
        Read between two steps of training (`lamina._engine.variable.one_moment`) it belongs to the parameters of that moment.
    """

    def __init__(self, value: int = 0) -> None:
        # The count before the run, and the array in which the engine counts during it: one value, replaced at once.
        self._state: tuple[int, npt.NDArray[np.int64] | None] = (value, None)

    @property
    def value(self) -> int:
        """The count."""
        count, assumed = _assumed.get()
        if count is self:
            return assumed
        before, run = self._state
        return before if run is None else before + int(run[0])

    @value.setter
    def value(self, value: int) -> None:
        self._state = (value, None)

    @contextmanager
    def during(self, run: npt.NDArray[np.int64]) -> Iterator[None]:
        """Count on with what the engine writes into ``run[0]``."""
        before = self.value
        self._state = (before, run)
        try:
            yield
        finally:
            self.value = before + int(run[0])

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
