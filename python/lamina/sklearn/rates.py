"""The learning-rate policy "invscaling"."""

from __future__ import annotations

from typing import Any

from lamina.optimizers.schedules import LearningRateSchedule

__all__ = ["InverseScaling"]


class InverseScaling(LearningRateSchedule):
    """``rate / (rows + 1) ** power`` after as many rows; constant within an epoch, and `rate` in the first one.

    Parameters
    ----------
    rate, power : float
    rows : int
        Rows of an epoch.
    batches : int
        Batches of an epoch.
    seen : int
        Rows that were seen before.
    fixed : float, optional
        The rate of all batches.
    """

    def __init__(
        self, rate: float, power: float, rows: int, batches: int, seen: int, fixed: float | None = None
    ) -> None:
        self.rate, self.power, self.rows, self.batches, self.seen = rate, power, rows, batches, seen
        self.fixed = fixed

    def after(self, rows: int) -> InverseScaling:
        """Return a schedule with the rate after so many rows for all batches."""
        return InverseScaling(
            self.rate, self.power, self.rows, self.batches, self.seen, self.rate / (rows + 1) ** self.power
        )

    def __call__(self, step: Any) -> Any:
        """Return the rate of a batch."""
        if self.fixed is not None:
            return self.fixed
        epoch = int(step) // self.batches
        return self.rate if epoch == 0 else self.rate / (self.seen + epoch * self.rows + 1) ** self.power

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {name: getattr(self, name) for name in ("rate", "power", "rows", "batches", "seen", "fixed")}
