"""Everything that `fit`, `evaluate` and `predict` accept, as rows that the engine reads where they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._arrays import (
    SparseRows,
    batch_array,
    index_array,
    is_sparse,
    native_array,
    real_array,
    sparse_array,
    weight_array,
)  # fmt: skip
from lamina._checks import integer, number

__all__ = ["Data", "class_weights", "engine_input", "input_rows", "same_length", "split_point", "weights"]

Array = npt.NDArray[Any]


class Data(NamedTuple):
    """All rows of a call: inputs and targets as the user gave them, weights in the model's dtype."""

    x: Array | SparseRows
    y: Array | None
    sample_weight: Array | None

    def __len__(self) -> int:
        return len(self.x)

    def engine_input(self) -> Any:
        """Return the input as the engine takes it."""
        return engine_input(self.x)

    def take(self, rows: Any) -> Data:
        """Return some of the rows."""
        return Data(
            self.x[rows],
            None if self.y is None else self.y[rows],
            None if self.sample_weight is None else self.sample_weight[rows],
        )


def input_rows(
    who: str, x: Any, row_shape: tuple[int, ...] | None, vocabulary: int | None = None
) -> Array | SparseRows:
    """Return the input as rows, its dtype and memory unchanged where that is possible.

    Parameters
    ----------
    vocabulary : int or None
        Where given the input is numbers of rows of a table of so many.
    """
    if vocabulary is not None:
        return index_array(who, "x", x, row_shape, vocabulary)
    if is_sparse(x):
        return sparse_array(who, "x", x, row_shape)
    return native_array(batch_array(who, "x", x, row_shape))


def engine_input(x: Array | SparseRows) -> Any:
    """Return rows as the engine takes them."""
    return x.arrays if isinstance(x, SparseRows) else x


def weights(who: str, sample_weight: Any, rows: int, dtype: str) -> Array | None:
    """Return sample weights, or None."""
    return None if sample_weight is None else weight_array(who, "sample_weight", sample_weight, rows, dtype)


def same_length(who: str, x: Array | SparseRows, y: Array) -> None:
    """Raise unless inputs and targets have as many rows."""
    if len(x) != len(y):
        raise ValueError(f"{who}: y must have as many rows as x; got {len(y)} for {len(x)}.")


def class_weights(who: str, class_weight: Any, y: Any) -> Array:
    """Return the weight of each row, given that of its class: classes are numbers, or places in one-hot rows.

    Parameters
    ----------
    class_weight : dict of int to float, or "balanced"
    """
    targets = real_array(who, "y", y)
    if targets.ndim == 2 and targets.shape[1] > 1:
        classes = targets.argmax(axis=1)
    elif targets.ndim <= 2:
        classes = np.rint(targets.reshape(-1)).astype(np.int64)
    else:
        raise ValueError(f"{who}: class_weight needs y of shape (n,) or (n, c); got {targets.shape}.")
    if isinstance(class_weight, str) and class_weight == "balanced":
        found, counts = np.unique(classes, return_counts=True)
        balanced: Array = len(classes) / (len(found) * counts)
        return np.asarray(balanced[np.searchsorted(found, classes)])
    if not isinstance(class_weight, dict):
        raise TypeError(f"{who}: class_weight must be a dict or 'balanced'; got {class_weight!r}.")
    weights = np.ones(len(classes))
    for name, weight in class_weight.items():
        weights[classes == integer(who, "a class", name, -(2**63))] = number(who, "class_weight", weight, least=0)
    return weights


def split_point(who: str, rows: int, fraction: float) -> int:
    """Return how many of the first rows remain where the last `fraction` is held back, as Keras splits."""
    at = int(rows * (1 - fraction))
    if at == 0 or at == rows:
        raise ValueError(f"{who}: validation_split={fraction} of {rows} rows leaves one part empty.")
    return at
