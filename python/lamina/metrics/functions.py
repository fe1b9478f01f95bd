"""Metrics as functions: each row's value, unreduced."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._data.arrays import of_one_rank, real_array, scored_batch
from lamina.metrics import accuracy
from lamina.metrics.base import Metric

__all__ = [
    "binary_accuracy",
    "categorical_accuracy",
    "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy",
    "top_k_categorical_accuracy",
]


def _rows(metric: Metric, y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    targets, predictions, _, shape = scored_batch(type(metric).__name__, y_true, y_pred, None, metric.targets)
    return metric.row_values(targets, predictions).reshape(shape)


def binary_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, threshold: float = 0.5) -> Any:
    """Return the value of each element; see `BinaryAccuracy`."""
    true, predictions = of_one_rank(
        *(real_array("binary_accuracy", *one) for one in (("y_true", y_true), ("y_pred", y_pred)))
    )
    found = _rows(accuracy.BinaryAccuracy("", threshold=threshold), true.reshape(-1, 1), predictions.reshape(-1, 1))
    return found.reshape(predictions.shape)


def categorical_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' values; see `CategoricalAccuracy`."""
    return _rows(accuracy.CategoricalAccuracy(""), y_true, y_pred)


def sparse_categorical_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' values; see `SparseCategoricalAccuracy`."""
    return _rows(accuracy.SparseCategoricalAccuracy(""), y_true, y_pred)


def top_k_categorical_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, k: int = 5) -> Any:
    """Return the rows' values; see `TopKCategoricalAccuracy`."""
    return _rows(accuracy.TopKCategoricalAccuracy(k, ""), y_true, y_pred)


def sparse_top_k_categorical_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, k: int = 5) -> Any:
    """Return the rows' values; see `SparseTopKCategoricalAccuracy`."""
    return _rows(accuracy.SparseTopKCategoricalAccuracy(k, ""), y_true, y_pred)
