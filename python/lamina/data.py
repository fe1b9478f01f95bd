"""Everything that `fit`, `evaluate` and `predict` accept, as batches of arrays that kernels take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._arrays import batch_array, weight_array

__all__ = ["Batch", "Data", "batches", "split"]

Array = npt.NDArray[Any]


class Batch(NamedTuple):
    """Rows of one step, in the model's dtype."""

    x: Array
    y: Array | None
    sample_weight: Array | None


class Data(NamedTuple):
    """All rows of a call: `x` as the user gave it, targets and weights as kernels take them."""

    x: Array
    y: Array | None
    sample_weight: Array | None

    def __len__(self) -> int:
        return len(self.x)


def input_rows(who: str, x: Any, row_shape: tuple[int, ...] | None) -> Array:
    """Return the input as an array of rows, its dtype and memory unchanged where that is possible."""
    return batch_array(who, "x", x, row_shape)


def weights(who: str, sample_weight: Any, rows: int, dtype: str) -> Array | None:
    """Return sample weights, or None."""
    return None if sample_weight is None else weight_array(who, "sample_weight", sample_weight, rows, dtype)


def same_length(who: str, x: Array, y: Array) -> None:
    """Raise unless inputs and targets have as many rows."""
    if len(x) != len(y):
        raise ValueError(f"{who}: y must have as many rows as x; got {len(y)} for {len(x)}.")


def split(who: str, data: Data, fraction: float) -> tuple[Data, Data]:
    """Return the first rows and the last `fraction` of them, as Keras splits: before any shuffling."""
    at = int(len(data) * (1 - fraction))
    if at == 0 or at == len(data):
        raise ValueError(f"{who}: validation_split={fraction} of {len(data)} rows leaves one part empty.")
    y, sample_weight = data.y, data.sample_weight
    return (
        Data(data.x[:at], None if y is None else y[:at], None if sample_weight is None else sample_weight[:at]),
        Data(data.x[at:], None if y is None else y[at:], None if sample_weight is None else sample_weight[at:]),
    )


def batches(data: Data, batch_size: int, dtype: str, order: npt.NDArray[np.int64] | None = None) -> Iterator[Batch]:
    """Yield batches in the given order of rows, or as they stand.

    Rows that are already C-ordered in the model's dtype and taken in their own order are views; others are copied,
    batch by batch and never as a whole.
    """
    for begin in range(0, len(data), batch_size):
        rows = slice(begin, begin + batch_size) if order is None else order[begin : begin + batch_size]
        yield Batch(
            np.require(data.x[rows], np.dtype(dtype), ["C_CONTIGUOUS", "ALIGNED"]),
            None if data.y is None else data.y[rows],
            None if data.sample_weight is None else data.sample_weight[rows],
        )
