"""Batches that users supply: generators, loaders, sequences of batches."""

from __future__ import annotations

import array
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from lamina._common.checks import integer, is_sparse
from lamina._common.warn import warn
from lamina._data.compact import CompactRows

__all__ = ["Batch", "Stream", "is_stream"]


class Batch(NamedTuple):
    """One batch: input, targets and weights, None where there are none."""

    x: Any
    y: Any = None
    sample_weight: Any = None


def is_stream(x: Any) -> bool:
    """Return whether `x` yields batches, instead of holding rows."""
    if (
        isinstance(x, (np.ndarray, CompactRows, list, tuple, dict, range, set, str, bytes, memoryview, array.array))
        or hasattr(x, "__array__")
        or hasattr(x, "__array_interface__")
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
        Batches per epoch. If omitted, an epoch ends with the source, which must not be endless.
    order : callable, optional
        Order of a sequence of batches (an object that has ``__len__`` and ``__getitem__``): called at the beginning of
        each pass with the number of batches, returns their indices in the order wanted.

    Attributes
    ----------
    exhausted : bool
        Whether a source that can be read only once had no batches left when an epoch began.
    """

    def __init__(
        self,
        who: str,
        source: Any,
        steps: int | None,
        order: Callable[[int], Sequence[int]] | None = None,
    ) -> None:
        self._who, self._source, self.steps = who, source, steps
        self._order = order
        self._iterator: Iterator[Any] | None = None
        self._once = hasattr(source, "__next__")
        self._served = False
        self.exhausted = False

    def __len__(self) -> int:
        """Return how many batches an epoch has, 0 if that is not known."""
        return self.steps if self.steps is not None else self._size() or 0

    def _size(self) -> int | None:
        """Return how many batches the source has, None where that is not known."""
        if hasattr(self._source, "num_batches"):
            count = self._source.num_batches
            return None if count is None else integer(self._who, "num_batches", count, 0)
        try:
            return len(self._source)
        except (TypeError, NotImplementedError):  # generators, and PyTorch's loaders of datasets without a length
            return None

    def epoch(self, from_start: bool = False) -> Iterator[Batch]:
        """Yield the batches of an epoch. If it ends before the source does, the next epoch continues from there.

        Parameters
        ----------
        from_start : bool
            Begin at the start of the source instead, if the source can be restarted.
        """
        taken = 0
        if from_start and not self._once:
            self._iterator = None
        if hasattr(self._source, "on_epoch_begin"):
            self._source.on_epoch_begin()
        while self.steps is None or taken < self.steps:
            if self._iterator is None:
                self._iterator = self._begin()
            try:
                item = next(self._iterator)
            except StopIteration:
                self._iterator = None
                if self.steps is not None and (taken or not self._served or not self._once):
                    warn(f"{self._who}: the batches ran out after {taken} of {self.steps} of this epoch.")
                break
            taken += 1
            yield self._batch(item)
        if taken == 0 and self._served and self._once:
            self.exhausted = True
            return
        if taken == 0:
            raise ValueError(
                f"{self._who}: x must yield batches; there are no batches (left). A generator serves one pass."
            )
        self._served = True
        if self._iterator is not None and taken == self._size() == self.steps:
            self._iterator = None  # the source ended with the epoch
        if hasattr(self._source, "on_epoch_end"):
            self._source.on_epoch_end()

    def _begin(self) -> Iterator[Any]:
        count, source = self._size(), self._source
        by_number = hasattr(source, "__getitem__") and count is not None and not self._once
        if by_number and (self._order is not None or hasattr(source, "num_batches") or not hasattr(source, "__iter__")):
            numbers = range(count or 0) if self._order is None else self._order(count or 0)
            return (source[i] for i in numbers)
        if by_number or hasattr(source, "__iter__"):
            return iter(source)
        return (source[i] for i in itertools.count())  # an IndexError ends it

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, (tuple, list)):
            return Batch(item)
        if not 1 <= len(item) <= 3:
            raise ValueError(f"{self._who}: a batch must be x, (x, y) or (x, y, sample_weight); got {len(item)} parts.")
        return Batch(*item)
