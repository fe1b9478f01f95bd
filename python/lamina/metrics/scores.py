"""Scores from sums over columns: the coefficient of determination, F-scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config
from lamina._common.arguments import Argument, one_of, optional
from lamina._common.checks import integer, number
from lamina._common.warn import warn
from lamina._data.arrays import real_array, scored_batch
from lamina._data.tensors import tensor
from lamina.metrics.base import Metric

__all__ = ["F1Score", "FBetaScore", "R2Score"]

Array = npt.NDArray[Any]


class R2Score(Metric):
    """Coefficient of determination: ``1 - Σ w (y_true - y_pred)² / Σ w (y_true - mean)²`` of each column.

    For a column whose targets are all equal it is 1 if the predictions are exact, else 0, as in scikit-learn.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        Mean over columns, mean weighted by the columns' variance, or an array with the score of each column.
    num_regressors : int, >= 0
        If above 0, the score is adjusted for this number of regressors.
    name : str, optional
    dtype : None

    Examples
    --------
    >>> R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [4.0]])
    Tensor(0.5)
    """

    direction = "up"

    class_aggregation = Argument(one_of(None, "uniform_average", "variance_weighted_average"))
    num_regressors = Argument(integer, 0)

    summed_attributes = ("total", "count", "_sums", "_samples")

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str | None = "r2_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        self.class_aggregation, self.num_regressors = class_aggregation, num_regressors
        # For each column: the sum of weights, the mean of y, the sums of w (y - mean)² and w (y - p)².
        self._sums: Array | None = None
        self._samples = 0

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch: y_true and y_pred of shape (n, c)."""
        y_pred = real_array("R2Score", "y_pred", y_pred)
        if y_pred.ndim != 2:
            raise ValueError(f"R2Score: y_pred must have shape (n, c); got {y_pred.shape}.")
        y, p, weights, _ = scored_batch("R2Score", y_true, y_pred, sample_weight, self.targets)
        _same_columns("R2Score", self._sums, y)
        ones, difference = np.ones_like(y), y - p
        weight, residual = (_core.column_products(a, a, weights) for a in (ones, difference))
        self._samples += y.size
        if not weight.any():  # all weights are 0
            return
        # Subtract the first row: equal targets become exactly 0.
        first = y[0].astype(np.float64)
        apart, ones = y - first, np.ones(y.shape)
        weights = None if weights is None else weights.astype(np.float64)
        mean = _core.column_products(apart, ones, weights) / weight
        spread = _core.column_products(apart, apart, weights, mean.tolist())
        found = np.array([weight, first + mean, spread, residual])
        self._sums = found if self._sums is None else _merged(self._sums, found)

    def reset_state(self) -> None:
        """Reset all sums."""
        super().reset_state()
        self._sums, self._samples = None, 0

    def state(self) -> dict[str, Array]:
        """Return the sums of each column, and the number of samples."""
        weight, mean, spread, residual = np.zeros((4, 1)) if self._sums is None else self._sums
        sums = {"count": weight, "sum": weight * mean, "squared_sum": spread + weight * mean**2, "total_mse": residual}
        return sums | {"num_samples": np.array(self._samples)}

    def result(self) -> Any:
        """Return the score so far."""
        if self._sums is None:
            return tensor(0.0)
        _, _, spread, residual = self._sums
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = 1 - residual / spread
        scores = np.where(spread == 0, np.where(residual == 0, 1.0, 0.0), scores)
        if self.class_aggregation == "uniform_average" or (self.class_aggregation and not spread.any()):
            scores = scores.mean()
        elif self.class_aggregation == "variance_weighted_average":
            scores = (spread * scores).sum() / spread.sum()
        left = self._samples - self.num_regressors - 1
        if self.num_regressors and left > 0:
            scores = 1 - (1 - scores) * (self._samples - 1) / left
        elif self.num_regressors:
            warn("R2Score: too few rows for so many regressors; the score is not adjusted.")
        return tensor(scores)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }


def _same_columns(who: str, sums: Array | None, y: Array) -> None:
    """Raise if a batch has another number of columns than the batches before it."""
    if sums is not None and sums.shape[1] != y.shape[1]:
        raise ValueError(f"{who}: batches must have the same columns; got {y.shape[1]} after {sums.shape[1]}.")


def _merged(one: Array, other: Array) -> Array:
    """Return the sums of all rows, given those of two parts (Chan et al. 1979)."""
    weight = one[0] + other[0]
    apart = other[1] - one[1]
    mean = one[1] + apart * (other[0] / weight)
    spread = one[2] + other[2] + apart**2 * (one[0] * other[0] / weight)
    return np.array([weight, mean, spread, one[3] + other[3]])


class FBetaScore(Metric):
    """``(1 + beta²) precision recall / (beta² precision + recall)`` of each class.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        The result: an array of the classes' scores, the score of all classes together, the mean of the classes' scores,
        or their mean weighted by how often a class occurs.
    beta : float, > 0
    threshold : float in (0, 1], optional
        Outputs above it are positive; if omitted, the largest output of each row is.
    name : str, optional
    dtype : None

    Examples
    --------
    >>> FBetaScore("micro", beta=2.0)([[0, 1], [1, 0]], [[0.1, 0.9], [0.8, 0.2]]).__round__(5)
    1.0
    """

    direction = "up"

    average = Argument(one_of(None, "micro", "macro", "weighted"))
    beta = Argument(number, above=0)
    threshold = Argument(optional(number), above=0, most=1)

    summed_attributes = ("total", "count", "_sums")

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str | None = "fbeta_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(name, dtype)
        self.average, self.beta, self.threshold = average, beta, threshold
        self._sums: Array | None = None  # rows: true, predicted and actual positives

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch: y_true (one-hot, or 0 and 1) and y_pred of shape (n, c)."""
        who = type(self).__name__
        y_pred = real_array(who, "y_pred", y_pred)
        if y_pred.ndim != 2:
            raise ValueError(f"{who}: y_pred must have shape (n, c); got {y_pred.shape}.")
        y, p, weights, _ = scored_batch(who, y_true, y_pred, sample_weight, self.targets)
        _same_columns(who, self._sums, y)
        if self.threshold is None:
            chosen = (p >= p.max(axis=1, keepdims=True)) & (np.abs(p) > 1e-9)
        else:
            chosen = p > self.threshold
        positive, ones = chosen.astype(p.dtype), np.ones_like(p)
        found = np.array(
            [_core.column_products(a, b, weights) for a, b in ((positive, y), (positive, ones), (y, ones))]
        )
        self._sums = found if self._sums is None else self._sums + found

    def reset_state(self) -> None:
        """Reset all sums."""
        super().reset_state()
        self._sums = None

    def state(self) -> dict[str, Array]:
        """Return the sums of each class from which the score is computed."""
        sums = np.zeros((3, 1)) if self._sums is None else self._sums
        return dict(zip(("true_positives", "predicted", "actual"), sums, strict=True))

    def result(self) -> Any:
        """Return the score so far."""
        if self._sums is None:
            return tensor(0.0)
        both, predicted, actual = self._sums.sum(axis=1) if self.average == "micro" else self._sums
        small = config.epsilon()
        precision, recall = both / (predicted + small), both / (actual + small)
        square = self.beta**2
        scores = (1 + square) * precision * recall / (square * precision + recall + small)
        if self.average == "weighted":
            return tensor((scores * actual / (actual.sum() + small)).sum())
        return tensor(scores if self.average is None else np.mean(scores))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"average": self.average, "beta": self.beta, "threshold": self.threshold}


class F1Score(FBetaScore):
    """`FBetaScore` with ``beta = 1``: the harmonic mean of precision and recall.

    Parameters
    ----------
    average, threshold, name, dtype
        As in `FBetaScore`.
    """

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str | None = "f1_score",
        dtype: Any = None,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = super().get_config()
        del own["beta"]
        return own
