"""Batches that somebody else makes: generators, loaders, sequences of batches."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lamina._arrays import is_sparse

__all__ = ["Batch", "Stream", "is_stream"]


class Batch(NamedTuple):
    """One batch: input, targets and weights, None where there are none."""

    x: Any
    y: Any = None
    sample_weight: Any = None


def is_stream(x: Any) -> bool:
    """Return whether `x` yields batches, instead of holding rows."""
    if (
        isinstance(x, (np.ndarray, list, tuple, dict, range, set, str, bytes))
        or hasattr(x, "__array__")
        or is_sparse(x)
    ):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


class Stream:
    """Batches, an epoch at a time.

    Parameters
    ----------
    who : str
        For messages.
    source : iterator, iterable, or sequence of batches
        A batch is ``x``, ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)``.
    steps : int, optional
        Batches of an epoch. Without them an epoch ends with the source, which must not be endless.
    """

    def __init__(self, who: str, source: Any, steps: int | None) -> None:
        self._who, self._source, self.steps = who, source, steps
        self._iterator: Iterator[Any] | None = None
        self._once = hasattr(source, "__next__")

    def __len__(self) -> int:
        """Return how many batches an epoch has, 0 where that is not known."""
        if self.steps is not None:
            return self.steps
        try:
            return len(self._source)
        except TypeError:
            return 0

    def epoch(self, from_start: bool = False) -> Iterator[Batch]:
        """Yield the batches of an epoch; where it ended before the source did, the next one goes on there.

        Parameters
        ----------
        from_start : bool
            Begin at the source's start instead, where it has one.
        """
        taken = 0
        if from_start and not self._once:
            self._iterator = None
        while self.steps is None or taken < self.steps:
            if self._iterator is None:
                self._iterator = self._begin()
                began = True
            else:
                began = False
            try:
                item = next(self._iterator)
            except StopIteration:
                self._iterator = None
                if self.steps is None:
                    break
                if self._once or began:
                    warnings.warn(
                        f"{self._who}: the batches ran out after {taken} of {self.steps} of this epoch.", stacklevel=2
                    )
                    break
                continue
            taken += 1
            yield self._batch(item)
        if taken == 0:
            raise ValueError(f"{self._who}: there are no batches (left); a generator serves one pass only.")
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def _begin(self) -> Iterator[Any]:
        if hasattr(self._source, "__iter__"):
            return iter(self._source)
        return (self._source[i] for i in range(len(self._source)))

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, (tuple, list)):
            return Batch(item)
        if not 1 <= len(item) <= 3:
            raise ValueError(f"{self._who}: a batch must be x, (x, y) or (x, y, sample_weight); got {len(item)} parts.")
        return Batch(*item)
