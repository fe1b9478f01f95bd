"""Objective, Watched and Rows: what the solvers minimize, on which rows, and what early stopping watches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._common.records import Record
from lamina.losses import Loss
from lamina.models import Sequential

__all__ = ["Objective", "Rows", "Watched", "computed"]

Array = npt.NDArray[Any]


class Rows(NamedTuple):
    """Rows with their targets, (n,) or (n, outputs), and weights, (n,), if they have any."""

    X: Any
    targets: Array
    weight: Array | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self.targets)

    def given(self) -> tuple[Any, ...]:
        """Return what `validation_data` takes."""
        return (self.X, self.targets) if self.weight is None else (self.X, self.targets, self.weight)


class Watched(Record):
    """A score of held-out rows, the larger the better.

    Attributes
    ----------
    metric : str or None
        The metric that the engine computes; None if `compute` does.
    error : bool
        Whether the score is ``1 - value / scale``; else it is the value.
    scale : float
        A change of the score by 1 changes the value by so much.
    compute : callable or None
        Returns the value.
    """

    metric: str | None = None
    error: bool = False
    scale: float = 1.0
    compute: Callable[[], float] | None = None

    @property
    def monitor(self) -> str:
        """The value's name in the logs."""
        return "val_score" if self.metric is None else f"val_{self.metric}"

    @property
    def mode(self) -> str:
        """Whether the value shall be small or large."""
        return "min" if self.error else "max"

    def score(self, value: float) -> float:
        """Return the score for a value."""
        return 1 - value / self.scale if self.error else value

    def value(self, score: float) -> float:
        """Return the value for a score."""
        return (1 - score) * self.scale if self.error else score


def computed(model: Sequential, rows: Rows, score: Callable[[Array, Array, Array | None], float]) -> Watched:
    """Return a score that is computed from targets, outputs and weights, NaN where an output is not finite."""

    def compute() -> float:
        outputs = np.asarray(model.predict_on_batch(rows.X))
        return float(score(rows.targets, outputs, rows.weight)) if np.isfinite(outputs).all() else np.nan

    return Watched(compute=compute)


class Objective(NamedTuple):
    """A loss: `factor` times the mean of a loss of the library over the rows, by their weights.

    Attributes
    ----------
    loss : Loss
    factor : float
    """

    loss: Loss
    factor: float = 1.0

    def compile(self, model: Sequential, optimizer: Any, watched: Watched | None = None) -> None:
        """Compile a model with this loss."""
        metrics = [] if watched is None or watched.metric is None else [watched.metric]
        model.compile(optimizer, self.loss, loss_weights=self.factor, weighted_metrics=metrics)
