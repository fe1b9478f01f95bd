"""Batches that users supply: generators, loaders, sequences of batches."""

from __future__ import annotations

import array
import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from lamina._common.checks import integer, is_sparse
from lamina._common.warn import warn
from lamina._data.compact import CompactRows

__all__ = ["Batch", "Orders", "Stream", "is_stream"]


class Batch(NamedTuple):
    """One batch: input, targets and weights, None where there are none."""

    x: Any
    y: Any = None
    sample_weight: Any = None


def is_stream(x: Any) -> bool:
    """Return whether `x` yields batches, instead of holding rows."""
    if (
        isinstance(x, (np.ndarray, CompactRows, list, tuple, dict, range, set, str, bytes, memoryview, array.array))
        or any(hasattr(x, name) for name in ("__array__", "__array_interface__", "__dlpack__"))
        or is_sparse(x)
    ):
        return False
    return hasattr(x, "__next__") or hasattr(x, "__iter__") or (hasattr(x, "__getitem__") and hasattr(x, "__len__"))


class Orders(Protocol):
    """Random orders of a sequence of batches."""

    def number(self) -> int:
        """Return the number of the order that is next."""

    def __call__(self, count: int, number: int) -> Sequence[int]:
        """Return the order with a number: the indices of the batches."""


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
    order : Orders, optional
        Orders of a sequence of batches (an object that has ``__len__`` and ``__getitem__``), another one for each pass.

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
        order: Orders | None = None,
    ) -> None:
        self._who, self._source, self.steps = who, source, steps
        self._order = order
        self._number = 0  # of the order of the present pass
        self._passed = 0  # batches of this pass
        self._drawn = 0  # of all passes
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

    def state(self) -> dict[str, int]:
        """Return where the source is, for `resume`."""
        passed = 0 if self._iterator is None else self._passed
        return {"drawn": self._drawn, "passed": passed, "number": self._number}

    def resume(self, state: dict[str, int]) -> Batch | None:
        """Go to where another stream over the same source was: batches are drawn again, and dropped.

        Returns
        -------
        Batch or None
            One of the batches, if the source has any.

        Raises
        ------
        ValueError
            The source has fewer batches.
        """
        self._iterator, self._number = None, state["number"]
        self._passed = state["drawn" if self._once else "passed"]
        self._drawn, self._served = state["drawn"], state["drawn"] > 0
        numbers = self._numbers(self._number)
        if numbers is not None:
            if self._passed:
                self._iterator = (self._source[i] for i in numbers[self._passed :])
            return self._batch(self._source[0]) if len(numbers) else None
        begun = self._from_start()
        dropped = deque(enumerate(itertools.islice(begun, self._passed), 1), 1)
        if self._passed:
            count, last = dropped[0] if dropped else (0, None)
            if count < self._passed:
                raise ValueError(
                    f"{self._who}: x must yield the batches that it did before, {self._passed} at least; it has "
                    f"{count}."
                )
            self._iterator = begun
            return self._batch(last)
        if self._once:
            return None
        for first in begun:  # what the next pass begins with
            self._iterator = itertools.chain([first], begun)
            return self._batch(first)
        return None

    def epoch(self, taken: int = 0, from_start: bool = False) -> Iterator[Batch]:
        """Yield the batches of an epoch. If it ends before the source does, the next epoch continues from there.

        Parameters
        ----------
        taken : int
            Batches of it that were yielded before a backup was made.
        from_start : bool
            Begin at the start of the source instead, if the source can be restarted.
        """
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
            self._passed += 1
            self._drawn += 1
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
        """Begin a pass over the source."""
        self._passed, source = 0, self._source
        if self._order is not None:
            self._number = self._order.number()
        numbers = self._numbers(self._number)
        return self._from_start() if numbers is None else (source[i] for i in numbers)

    def _numbers(self, number: int) -> Sequence[int] | None:
        """Return the numbers of the batches of a pass with an order; None if the source is not read by numbers."""
        count, source = self._size(), self._source
        if count is None or self._once or not hasattr(source, "__getitem__"):
            return None
        if self._order is None and hasattr(source, "__iter__") and not hasattr(source, "num_batches"):
            return None
        return range(count) if self._order is None else self._order(count, number)

    def _from_start(self) -> Iterator[Any]:
        source = self._source
        if hasattr(source, "__iter__") or hasattr(source, "__next__"):
            return iter(source)
        return (source[i] for i in itertools.count())  # an IndexError ends it

    def _batch(self, item: Any) -> Batch:
        if not isinstance(item, (tuple, list)):
            return Batch(item)
        if not 1 <= len(item) <= 3:
            raise ValueError(f"{self._who}: a batch must be x, (x, y) or (x, y, sample_weight); got {len(item)} parts.")
        return Batch(*item)
