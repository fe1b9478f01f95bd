"""Converts the data that `fit`, `evaluate` and `predict` accept to rows that the engine reads in place."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError, integer, is_sparse, number, short
from lamina._data.arrays import batch_array, fits, index_array, native_array, real_array, weight_array
from lamina._data.compact import CompactRows, Rows
from lamina._data.sparse import sparse_array

__all__ = [
    "Data",
    "check_class_weight",
    "class_weights",
    "engine_input",
    "input_rows",
    "only_input",
    "only_target",
    "row_shape_of",
    "same_length",
    "split_point",
    "weights",
]

Array = npt.NDArray[Any]


class Data(NamedTuple):
    """All rows of a call: inputs and targets as the engine reads them, weights in the model's dtype."""

    x: Rows
    y: Array | None
    sample_weight: Array | None

    def __len__(self) -> int:
        return len(self.x)

    def engine_input(self) -> Any:
        """Return the input as the engine reads it."""
        return engine_input(self.x)

    def take(self, rows: Any) -> Data:
        """Return some of the rows."""
        return Data(
            self.x[rows],
            None if self.y is None else self.y[rows],
            None if self.sample_weight is None else self.sample_weight[rows],
        )


def input_rows(who: str, x: Any, row_shape: tuple[int | None, ...] | None, vocabulary: int | None = None) -> Rows:
    """Return the input as rows; its dtype is kept and its memory is not copied if possible.

    Parameters
    ----------
    vocabulary : int or None
        Number of rows of the embedding table whose row indices are the input; None for other input.
    """
    x = only_input(x, row_shape)
    if isinstance(x, CompactRows):
        return _fitting(who, x, row_shape, vocabulary)
    if row_shape is not None and not is_sparse(x):
        x = _of_rank(who, x, row_shape)
    if vocabulary is not None:
        return index_array(who, "x", x, row_shape, vocabulary)
    if is_sparse(x):
        return sparse_array(who, "x", x, row_shape)
    return native_array(batch_array(who, "x", x, row_shape))


def row_shape_of(x: Any) -> tuple[int, ...]:
    """Return the shape of a row of input that is given as `input_rows` takes it."""
    x = only_input(x, None)
    return tuple(getattr(x, "shape", None) or np.shape(x))[1:]


def only_input(x: Any, row_shape: tuple[int | None, ...] | None) -> Any:
    """Return the array in a list or dict of one, as Keras takes a model's inputs; anything else as it is.

    A list of one row is left: its item lacks the axis of the rows.
    """
    if not isinstance(x, (list, tuple, dict)) or len(x) != 1:
        return x
    inside = next(iter(x.values())) if isinstance(x, dict) else x[0]
    if isinstance(x, dict) or is_sparse(inside) or isinstance(inside, CompactRows):
        return inside
    rank = len(getattr(inside, "shape", ()))
    if row_shape is not None and rank and rank == len(row_shape) and row_shape[-1] == 1:  # rows of one number
        return inside
    return inside if rank >= (2 if row_shape is None else len(row_shape) + 1) else x


def only_target(y: Any, rows: int) -> Any:
    """Return the array in a list or dict of one, as Keras takes targets; anything else as it is."""
    if not isinstance(y, (list, tuple, dict)) or len(y) != 1:
        return y
    inside = next(iter(y.values())) if isinstance(y, dict) else y[0]
    if isinstance(y, dict):
        return inside
    shape: tuple[int, ...] = getattr(inside, "shape", ())
    return inside if len(shape) >= 1 and shape[0] == rows and (rows != 1 or len(shape) > 1) else y


def _fitting(
    who: str, rows: CompactRows, row_shape: tuple[int | None, ...] | None, vocabulary: int | None
) -> CompactRows:
    """Return compact rows unchanged, or raise if the model cannot read them."""
    if vocabulary is not None:
        raise KindError(f"{who}: x must be indices for an Embedding; got {type(rows).__name__}.")
    if row_shape is not None and not fits(rows.shape[1:], row_shape):
        wanted = ", ".join(map(str, row_shape))
        raise ValueError(f"{who}: x must have shape (n, {wanted}); got {rows.shape}.")
    return rows


def _of_rank(who: str, x: Any, row_shape: tuple[int | None, ...]) -> Any:
    """Return the input; a last axis of size 1 is added or removed if that gives the right rank, as in Keras."""
    array = real_array(who, "x", x)
    if array.ndim == len(row_shape) and row_shape[-1] == 1:
        return array[..., np.newaxis]
    if array.ndim == len(row_shape) + 2 and array.shape[-1] == 1:
        return array[..., 0]
    return array


def engine_input(x: Rows) -> Any:
    """Return rows as the engine reads them."""
    return x.engine_input() if isinstance(x, CompactRows) else x


def weights(who: str, sample_weight: Any, rows: int, lines: tuple[int, ...], dtype: str) -> Array | None:
    """Return sample weights, or None: one for each row, or one for each of its lines of output."""
    return None if sample_weight is None else weight_array(who, "sample_weight", sample_weight, rows, lines, dtype)


def same_length(who: str, x: Rows, y: Array, lines: int) -> None:
    """Raise unless inputs and targets have as many rows, each with so many lines of output."""
    if len(x) * lines != len(y):
        raise ValueError(f"{who}: y must have as many rows as x; got {len(y) // lines} for {len(x)}.")


def check_class_weight(who: str, class_weight: Any) -> None:
    """Raise unless `class_weight` is a dict or "balanced"."""
    balanced = isinstance(class_weight, str) and class_weight == "balanced"
    if not balanced and (isinstance(class_weight, str) or not hasattr(class_weight, "items")):
        raise KindError(f"{who}: class_weight must be a dict or 'balanced'; got {short(class_weight)}.")


def class_weights(who: str, class_weight: Any, y: Any, columns: int) -> Array:
    """Return the weight of each row, which is that of its class; `y` holds class numbers or one-hot rows.

    Parameters
    ----------
    class_weight : dict of int to float, or "balanced"
    columns : int
        Columns of the model's output: the number of classes; one column means two classes.
    """
    check_class_weight(who, class_weight)
    targets = real_array(who, "y", y)
    if targets.ndim == 2 and targets.shape[1] > 1:
        classes = targets.argmax(axis=1)
    elif targets.ndim <= 2:
        if not np.isfinite(targets).all():
            raise ValueError(f"{who}: y must be finite where class_weight is given; it has NaN or infinite values.")
        classes = np.rint(targets.reshape(-1)).astype(np.int64)
    else:
        raise ValueError(f"{who}: class_weight needs y of shape (n,) or (n, c); got {targets.shape}.")
    if isinstance(class_weight, str) and class_weight == "balanced":
        found, counts = np.unique(classes, return_counts=True)
        balanced: Array = len(classes) / (len(found) * counts)
        return np.asarray(balanced[np.searchsorted(found, classes)])
    weights = np.ones(len(classes))
    for name, weight in class_weight.items():
        name = int(name) if isinstance(name, (bool, np.bool_)) else name
        own = classes == integer(who, "a class in class_weight", name, -(2**63))
        if not own.any() and not 0 <= name < max(2, columns):
            raise ValueError(
                f"{who}: class_weight must name classes, in [0, {max(2, columns)}); got {name}, of which y has no row."
            )
        weights[own] = number(who, "class_weight", weight, least=0)
    return weights


def split_point(who: str, rows: int, fraction: float) -> int:
    """Return how many rows are left for training if the last `fraction` is held back, as Keras splits."""
    at = int(rows * (1 - fraction))
    if at == 0 or at == rows:
        raise ValueError(f"{who}: validation_split={fraction} of {rows} rows leaves one part empty.")
    return at
