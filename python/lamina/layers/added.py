"""Losses that a layer adds in its `call`, besides that of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lamina._common.checks import KindError
from lamina._data.arrays import real_array
from lamina._data.autodiff import is_traced

__all__ = ["LossSum", "adding", "note_added", "remember", "summing"]


class LossSum:
    """The added losses of some batches, each multiplied by its number of rows."""

    def __init__(self) -> None:
        self.total = 0.0

    def take(self) -> float:
        """Return the sum since the call before."""
        total, self.total = self.total, 0.0
        return total


# What the call that runs in this thread has added, and the sum for the batches that are trained or evaluated.
_added: ContextVar[list[Any] | None] = ContextVar("added", default=None)
_sum: ContextVar[LossSum | None] = ContextVar("sum", default=None)


@contextmanager
def adding() -> Iterator[list[Any]]:
    """Collect what the block, a `call`, adds."""
    before, added = _added.get(), []  # type: ignore[var-annotated]  # of numbers and boxes
    try:  # set inside `try`: Ctrl-C may come right after it
        _added.set(added)
        yield added
    finally:
        _added.set(before)


def remember(who: str, loss: Any) -> None:
    """Add a loss, or several, to those of the call that runs."""
    added = _added.get()
    if added is None:
        raise KindError(
            f"{who}: add_loss must be called inside of a call that computes a batch in functions of lamina.ops; what "
            "calls layers that it holds adds no losses, but these layers may."
        )
    for one in loss if isinstance(loss, (list, tuple)) else [loss]:
        if not is_traced(one):
            real_array(f"{who}: add_loss", "loss", one)  # raises if it holds no numbers
        added.append(one)


@contextmanager
def summing() -> Iterator[LossSum]:
    """Sum up the losses that layers add to the batches of the block."""
    before, total = _sum.get(), LossSum()
    try:  # set inside `try`: Ctrl-C may come right after it
        _sum.set(total)
        yield total
    finally:
        _sum.set(before)


def note_added(losses: list[float], rows: int) -> None:
    """Note what a layer has added for a batch of that many rows."""
    total = _sum.get()
    if total is not None:
        total.total += sum(losses) * rows
