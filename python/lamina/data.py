"""Everything that `fit`, `evaluate` and `predict` accept, as rows that the engine reads where they are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from lamina._arrays import SparseRows, batch_array, index_array, is_sparse, native_array, sparse_array, weight_array

__all__ = ["Data", "engine_input", "input_rows", "same_length", "split_point", "weights"]

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


def split_point(who: str, rows: int, fraction: float) -> int:
    """Return how many of the first rows remain where the last `fraction` is held back, as Keras splits."""
    at = int(rows * (1 - fraction))
    if at == 0 or at == rows:
        raise ValueError(f"{who}: validation_split={fraction} of {rows} rows leaves one part empty.")
    return at
