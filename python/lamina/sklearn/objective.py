"""Objective and Watched: what the solvers minimize, and the value of held-out rows that early stopping watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina._common.records import Record
from lamina.losses import Loss
from lamina.models import Sequential

__all__ = ["Objective", "Watched"]


class Watched(Record):
    """A score of held-out rows.

    Attributes
    ----------
    metric : str or None
        The metric that the engine computes; None if `compute` does.
    monitor : str
        The value's name in the logs.
    mode : {"min", "max"}
    score, value : callable
        From the value to the score, and back.
    scale : float
        A change of the score by 1 changes the value by so much.
    compute : callable or None
        Returns the value.
    """

    metric: str | None
    monitor: str
    mode: str
    score: Callable[[float], float]
    value: Callable[[float], float]
    scale: float
    compute: Callable[[], float] | None


class Objective(Record):
    """A loss: `factor` times the mean of a loss of the library over the rows, by their weights, plus `offset`.

    Attributes
    ----------
    loss : Loss
    factor, offset : float
    """

    loss: Loss
    factor: float
    offset: float

    def compile(self, model: Sequential, optimizer: Any, watched: Watched | None = None) -> None:
        """Compile a model with this loss."""
        metrics = [] if watched is None or watched.metric is None else [watched.metric]
        model.compile(optimizer, self.loss, loss_weights=self.factor, weighted_metrics=metrics)
