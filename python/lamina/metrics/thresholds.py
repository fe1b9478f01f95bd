"""Counts of the confusion matrix at thresholds, from which metrics are computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import numbers
from lamina._data.arrays import scored_batch
from lamina._data.tensors import tensor
from lamina.metrics.base import Metric, scalar_or_array

__all__ = ["MOST_THRESHOLDS", "AtThresholds", "ThresholdCounts", "evenly"]

Array = npt.NDArray[Any]

# Largest number of thresholds: a larger table of counts than any data can fill.
MOST_THRESHOLDS = 2**24


def evenly(count: int) -> list[float]:
    """Return the inner ones of `count` evenly spaced thresholds from 0 to 1."""
    return [(i + 1) / (count - 1) for i in range(count - 2)]


class ThresholdCounts(Metric):
    """True and false positives and negatives at ascending thresholds: an output is positive above the threshold."""

    summed_attributes = ("total", "count", "_counts")

    def __init__(self, thresholds: Sequence[float], name: str | None, dtype: Any) -> None:
        super().__init__(name, dtype)
        self._ascending = np.asarray(thresholds, np.float64)
        # Shape (2, columns, thresholds + 1): counts of negative and of positive targets.
        self._counts: Array | None = None
        self.class_id: int | None = None
        self.top_k: int | None = None

    def _take(self, y_true: Array, y_pred: Array, weights: Array | None, each: bool = False) -> None:
        """Add a batch of arrays of shape (n, c); with `each` the columns are counted separately."""
        if self.top_k is not None:
            y_pred = _only_largest(y_pred, self.top_k)
        if self.class_id is not None:
            if self.class_id >= y_pred.shape[1]:
                raise ValueError(
                    f"{type(self).__name__}: class_id must be below {y_pred.shape[1]}, the number of columns; "
                    f"got {self.class_id}."
                )
            column = slice(self.class_id, self.class_id + 1)
            y_true, y_pred = y_true[:, column], y_pred[:, column]
            weights = None if weights is None else weights[:, column]
        columns = y_pred.shape[1] if each else 1
        shape = (2, columns, len(self._ascending) + 1)
        if self._counts is None:
            self._counts = np.zeros(shape)
        if self._counts.shape != shape and not self._counts.any():
            self._counts = np.zeros(shape)
        if self._counts.shape != shape:
            raise ValueError(f"{type(self).__name__}: batches must have the same columns.")
        # Scores are compared in their own precision, as Keras does.
        thresholds = self._ascending.astype(y_pred.dtype).astype(np.float64)
        arrays = [None if a is None else a.reshape(-1, columns) for a in (y_true, y_pred, weights)]
        for j in range(columns):
            counts = np.ascontiguousarray(self._counts[:, j : j + 1])
            true, scores, own = (None if a is None else np.ascontiguousarray(a[:, j : j + 1]) for a in arrays)
            _core.count_by_threshold(true, scores, None if own is None else own.reshape(-1), thresholds, counts)
            self._counts[:, j : j + 1] = counts

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch: y_true and y_pred of shape (..., c)."""
        targets, predictions, weights, _ = scored_batch(
            type(self).__name__, y_true, y_pred, sample_weight, self.targets, elements=True
        )
        if self.class_id is not None and np.ndim(y_pred) < 2:
            raise ValueError(
                f"{type(self).__name__}: with class_id y_pred must have shape (n, c); got {np.shape(y_pred)}."
            )
        self._take(targets, predictions, weights)

    def reset_state(self) -> None:
        """Reset all counts."""
        super().reset_state()
        if self._counts is not None:
            self._counts = np.zeros_like(self._counts)

    # The counts that the metric uses.
    _parts: tuple[str, ...] = ("true_positives", "true_negatives", "false_positives", "false_negatives")

    def state(self) -> dict[str, Array]:
        """Return the counts."""
        return {name: getattr(self, name) for name in self._parts}

    def _above(self, kind: int) -> Array:
        """Return the weight of targets of a kind (1: positive) above each threshold, shape (columns, thresholds)."""
        if self._counts is None:
            return np.zeros((1, len(self._ascending)))
        found: Array = np.cumsum(self._counts[kind][:, ::-1], axis=1)[:, ::-1]
        return found[:, 1:]

    def _below(self, kind: int) -> Array:
        if self._counts is None:
            return np.zeros((1, len(self._ascending)))
        found: Array = np.cumsum(self._counts[kind], axis=1)
        return found[:, :-1]

    @property
    def true_positives(self) -> Array:
        """Weight of positive targets above each threshold."""
        return _of_columns(self._above(1))

    @property
    def false_positives(self) -> Array:
        """Weight of negative targets above each threshold."""
        return _of_columns(self._above(0))

    @property
    def true_negatives(self) -> Array:
        """Weight of negative targets not above each threshold."""
        return _of_columns(self._below(0))

    @property
    def false_negatives(self) -> Array:
        """Weight of positive targets not above each threshold."""
        return _of_columns(self._below(1))


class AtThresholds(ThresholdCounts):
    """A metric with one value per threshold, in the order of the argument."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        who = type(self).__name__
        self._thresholds = _threshold_list(who, thresholds)
        single = thresholds is None or np.ndim(thresholds) == 0
        self._given: Any = None if thresholds is None else self._thresholds[0] if single else list(self._thresholds)
        order = np.argsort(self._thresholds, kind="stable")
        super().__init__([self._thresholds[i] for i in order], name, dtype)
        self._place = np.argsort(order, kind="stable")

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, in the order of the argument; fixed, as the counts belong to them."""
        return list(self._thresholds)

    def _values(self) -> Array:
        """Return the metric at each threshold, from the counts."""
        raise NotImplementedError(f"{type(self).__name__}: a metric at thresholds defines _values.")

    def result(self) -> Any:
        """Return the value, or one for each threshold."""
        return tensor(scalar_or_array(self._values()[self._place]))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        given = self._given
        return super().get_config() | {"thresholds": list(given) if isinstance(given, (list, tuple)) else given}


def _of_columns(found: Array) -> Array:
    """Return counts of shape (thresholds,), or (thresholds, columns) if columns are counted separately."""
    own: Array = found[0] if len(found) == 1 else found.T
    return own


def _threshold_list(who: str, thresholds: Any) -> list[float]:
    if thresholds is None:
        return [0.5]
    if isinstance(thresholds, float) and thresholds == -math.inf:
        return [-math.inf]
    found = numbers(who, "thresholds", thresholds, 0, 1)
    if not found:
        raise ValueError(f"{who}: thresholds must hold at least one number; got {thresholds!r}.")
    return found


def _only_largest(scores: Array, k: int) -> Array:
    """Return scores with all but the `k` largest of each row set to -inf; of equal scores the first are kept."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    kept = np.full_like(scores, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(scores, order, axis=1), axis=1)
    return kept
