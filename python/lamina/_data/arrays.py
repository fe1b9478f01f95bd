"""The one place that converts user data to arrays that kernels accept.

A C-ordered array of the right dtype is used as it is; everything else is converted once, straight to the wanted dtype.
Anything but real numbers raises.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config
from lamina._common.checks import KindError, short

Array = npt.NDArray[Any]


_MOST_AXES = 64  # a NumPy array has no more


def broadcast(who: str, name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """Return an array broadcast to a shape, or raise."""
    try:
        return np.broadcast_to(array, shape)
    except ValueError:
        raise ValueError(f"{who}: {name} must be broadcast to shape {shape}; got {array.shape}.") from None


def converted(array: Array, dtype: Any, requirements: Any = ("C_CONTIGUOUS", "ALIGNED")) -> Array:
    """Return an array of a dtype, C-ordered; copies only if needed, and rounds to nearest in any rounding mode."""
    if array.dtype == dtype:
        return np.require(array, None, requirements)
    with _core.DefaultMode():
        return np.require(array, np.dtype(dtype), requirements)


def any_array(who: str, name: str, value: Any) -> Array:
    """Return `value` as an array of any dtype, or raise if its rows differ in length."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{who}: {name} must be rectangular, every row of one length.") from None


def real_array(who: str, name: str, value: Any) -> Array:
    """Return `value` as an array of real numbers, its dtype unchanged."""
    if value is None:
        raise KindError(f"{who}: {name} must be an array; got None.")
    if _holds_masks(value):
        raise KindError(
            f"{who}: {name} must be a plain array; got a masked one, whose mask would be lost. Fill it first."
        )
    _refuse_missing(who, name, value)
    if isinstance(value, np.ndarray) and value.base is not None:
        _refuse_cut_files(who, name, value)
    try:
        array = np.asarray(value) if isinstance(value, np.ndarray) else _array_of(value)
    except (TypeError, ValueError, RuntimeError, BufferError) as error:  # the last two are PyTorch's, and DLPack's
        if isinstance(value, (list, tuple)) and type(error) is ValueError:
            raise ValueError(f"{who}: {name} must be rectangular, every row of one length.") from None
        raise KindError(
            f"{who}: {name} must be an array; {type(value).__name__} is none: {str(error).rstrip('.')}."
        ) from None
    if array.dtype.kind == "V" and array.dtype.name == "bfloat16":  # of the package ml_dtypes
        array = array.astype(np.float32)
    if array.dtype.kind == "O":
        array = _from_objects(who, name, array)
    if array.dtype.kind not in "biuf":
        kind = {"c": "complex numbers", "U": "strings", "S": "bytes", "M": "dates"}.get(array.dtype.kind)
        raise KindError(
            f"{who}: {name} must be real numbers; got {kind or 'dtype ' + str(array.dtype)}."
            + (" Take the real part or the magnitude first." if array.dtype.kind == "c" else "")
        )
    return array


def _array_of(value: Any) -> Array:
    """Return an array of what holds numbers, in its memory if that can be: by any of NumPy's protocols, or DLPack."""
    if str(getattr(value, "dtype", None)) == "torch.bfloat16":  # which NumPy lacks
        value = value.float()
    if hasattr(value, "to_numpy_ndarray"):  # Arrow's tensors, which are arrays of lists to NumPy
        return np.asarray(value.to_numpy_ndarray())
    by_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
    return np.from_dlpack(value) if by_dlpack and not hasattr(value, "__array_interface__") else np.asarray(value)


def _refuse_cut_files(who: str, name: str, array: Array) -> None:
    """Raise if an array lies in a file that was cut short after it was mapped: a read would end the process."""
    memory: Any = array
    offset = 0
    while isinstance(memory, (np.ndarray, memoryview)):
        offset = memory.offset if isinstance(memory, np.memmap) else offset
        memory = memory.obj if isinstance(memory, memoryview) else memory.base
    if not isinstance(memory, mmap.mmap):
        return
    try:
        size = memory.size()
    except (OSError, ValueError):  # memory without a file, or a closed map, whose arrays NumPy keeps alive
        return
    if size < offset - offset % mmap.ALLOCATIONGRANULARITY + len(memory):
        raise ValueError(f"{who}: {name} must lie in a whole file; the one that is mapped has {size} bytes now.")


def _holds_masks(value: Any, depth: int = 0) -> bool:
    """Return whether a value, or an item of nested lists, is a masked array."""
    if isinstance(value, (list, tuple)):
        if depth > _MOST_AXES:  # which NumPy refuses
            return False
        return any(_holds_masks(item, depth + 1) for item in value if not isinstance(item, (int, float)))
    return isinstance(value, np.ma.MaskedArray)


def _refuse_missing(who: str, name: str, value: Any) -> None:
    """Raise if an object of pandas, polars or Arrow has a missing value that NumPy would turn into a NaN."""
    if isinstance(value, np.ndarray):
        return
    if isinstance(value, (list, tuple)):
        for item in value if value and hasattr(value[0], "null_count") else ():
            _refuse_nulls(who, name, item)
    elif hasattr(value, "null_count") or hasattr(value, "num_columns"):
        _refuse_nulls(who, name, value)
    if not hasattr(value, "isna"):
        return
    dtypes = getattr(value, "dtypes", None) if hasattr(value, "columns") else [getattr(value, "dtype", None)]
    if dtypes is None or all(isinstance(dtype, np.dtype) and dtype.kind != "O" for dtype in dtypes):
        return  # plain NumPy dtypes: a NaN there is the user's own
    missing = np.argwhere(np.asarray(value.isna(), dtype=bool))
    if len(missing):
        raise ValueError(
            f"{who}: {name} must have no missing values; one is at {tuple(int(i) for i in missing[0])}. Fill it first."
        )


def _refuse_nulls(who: str, name: str, value: Any) -> None:
    """Raise if a column, or one of a table, of polars or Arrow has a missing value."""
    columns = value.get_columns() if hasattr(value, "get_columns") else getattr(value, "columns", [value])
    for number, column in enumerate(columns):
        if count := _nulls(column):
            where = f" in column {number}" if len(columns) > 1 else ""
            raise ValueError(f"{who}: {name} must have no missing values; there are {count}{where}. Fill them first.")


def _nulls(column: Any) -> int:
    """Return how many values are missing in a column of polars or Arrow, inside of lists and arrays, too."""
    found = getattr(column, "null_count", 0)
    count = int(found() if callable(found) else found)
    inner = getattr(column, "storage", column)  # of Arrow's tensors
    if not count and hasattr(inner, "flatten") and hasattr(getattr(inner, "type", None), "value_type"):
        return _nulls(inner.flatten())
    nested = getattr(getattr(column, "dtype", None), "is_nested", None)
    return _nulls(column.explode()) if not count and nested is not None and nested() else count


def _from_objects(who: str, name: str, array: Array) -> Array:
    """Return an object array of numbers (a data frame's mixed columns) as float64; raise for other objects."""
    for item in array.flat:
        if not isinstance(item, (bool, int, float, np.bool_, np.integer, np.floating)):
            raise KindError(f"{who}: {name} must be real numbers; got an array that holds {short(item)}.")
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{who}: {name} must be numbers that float64 can hold; one is too large.") from None


def float_array(who: str, name: str, value: Any, dtype: str | None = None) -> Array:
    """Return `value` C-ordered in a float dtype: the one given, else its own if kernels take it, else floatx."""
    array = real_array(who, name, value)
    if dtype is None:
        dtype = str(array.dtype) if array.dtype in (np.float32, np.float64) else config.floatx()
    return converted(array, dtype)


def native_array(array: Array) -> Array:
    """Return an array that the engine can read: native byte order, at most 64 bits; copies only if needed."""
    if array.dtype.itemsize > 8:
        return array.astype(np.float64)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def fits(shape: tuple[int | None, ...], row_shape: tuple[int | None, ...]) -> bool:
    """Return whether a shape is that of a row, in which None is any size but 0.

    A size of None in `shape` is one that is not known; it must not be known there either.
    """
    return len(shape) == len(row_shape) and all(
        size == wanted or (wanted is None and size != 0) for size, wanted in zip(shape, row_shape, strict=True)
    )


def batch_array(who: str, name: str, value: Any, row_shape: tuple[int | None, ...] | None) -> Array:
    """Return `value` as a batch of rows, its dtype unchanged, or raise if its shape does not fit.

    Parameters
    ----------
    row_shape : tuple of int or None
        Shape of one row, items of None are any size; None if it is not known yet.
    """
    array = real_array(who, name, value)
    wanted = "(n, " + ", ".join(map(str, row_shape)) + ")" if row_shape is not None else "(n, features)"
    if array.ndim < 2:
        hint = (
            f" A single row is {name}[numpy.newaxis], a single feature {name}[:, numpy.newaxis]."
            if array.ndim == 1
            else ""
        )
        raise ValueError(f"{who}: {name} must have shape {wanted}; got {array.shape}.{hint}")
    if row_shape is not None and not fits(array.shape[1:], row_shape):
        raise ValueError(f"{who}: {name} must have shape {wanted}; got {array.shape}.")
    return array


def whole_numbers(who: str, name: str, array: Array, wanted: str) -> Array:
    """Return whole numbers as an array of an integer dtype; raise for fractions and NaN. Integers are not copied."""
    if array.dtype.kind == "b":
        return array.astype(np.uint8)
    if array.dtype.kind != "f":
        return array
    whole = array.astype(np.int64) if np.isfinite(array).all() else None
    if whole is None or not np.array_equal(whole, array):
        raise ValueError(f"{who}: {name} must be {wanted}; got fractions or NaN.")
    return whole


def float_dtype_of(value: npt.ArrayLike) -> str:
    """Return the dtype of an array if it is float32 or float64, else the default dtype."""
    dtype = np.asarray(value).dtype
    return str(dtype) if dtype in (np.float32, np.float64) else config.floatx()


def index_array(who: str, name: str, value: Any, row_shape: tuple[int | None, ...] | None, count: int) -> Array:
    """Return row indices of an embedding table as the engine reads them; raise if one is not in ``[0, count)``."""
    array = batch_array(who, name, value, row_shape)
    flat = whole_numbers(who, name, array.reshape(-1), "whole numbers, which an Embedding looks up")
    flat = np.require(flat, flat.dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED"])
    bad = _core.first_label_outside(flat, count)
    if bad >= 0:
        raise ValueError(
            f"{who}: {name} must be in [0, {count}), the input_dim of the Embedding; got {flat[bad]} in row "
            f"{bad // max(1, flat.size // len(array))}."
        )
    return flat.reshape(array.shape)


def label_array(who: str, name: str, value: Any, classes: int, ignored: int | None = None) -> npt.NDArray[Any]:
    """Return class labels as integers of shape (n,).

    Shape ``(n, 1)`` and floats that are whole numbers are accepted, too. A label outside ``[0, classes)`` raises unless
    it is `ignored`; the message names its row.
    """
    array = real_array(who, name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise ValueError(
            f"{who}: {name} must be class numbers of shape (n,); got {array.shape}. "
            "One-hot rows belong to the loss 'categorical_crossentropy'."
        )
    array = whole_numbers(who, name, array, "whole class numbers")
    if not (array.flags.c_contiguous and array.flags.aligned and array.dtype.isnative):
        array = np.require(array, array.dtype.newbyteorder("="), ["C_CONTIGUOUS", "ALIGNED"])
    checked = array if ignored is None else array[array != ignored]
    row = _core.first_label_outside(checked, classes)
    if row >= 0:
        row = row if ignored is None else int(np.flatnonzero(array != ignored)[row])
        raise ValueError(
            f"{who}: {name} must be in [0, {classes}), one for each unit of the last layer; "
            f"got {array[row]} at row {row}."
        )
    return array


def target_array(who: str, name: str, value: Any, columns: int, dtype: str | None) -> Array:
    """Return targets of shape (n, columns); for one column (n,) is accepted, too. Nothing else is broadcast.

    Parameters
    ----------
    dtype : str or None
        None: the targets keep their dtype, and are not copied if the engine can read them.
    """
    array = real_array(who, name, value)
    if array.ndim == 1 and columns == 1:
        array = array[:, np.newaxis]
    if array.ndim != 2 or array.shape[1] != columns:
        raise ValueError(
            f"{who}: {name} must have shape (n, {columns}), one column for each unit of the last layer; "
            f"got {array.shape}."
        )
    if dtype is None:
        return native_array(array)
    return converted(array, dtype)


def _holds_integers(who: str, value: Any) -> bool:
    """Return whether the dtype is an integer type: class numbers or ids, which float32 might round."""
    dtype = value.dtype if hasattr(value, "dtype") else real_array(who, "y_pred", value).dtype
    return getattr(dtype, "kind", "") in "iu"


def scored_batch(
    who: str,
    y_true: Any,
    y_pred: Any,
    sample_weight: Any,
    targets: Callable[[str, Any, int, str | None], Array],
    elements: bool = False,
) -> tuple[Array, Array, Array | None, tuple[int, ...]]:
    """Return targets, predictions and weights as kernels read them, and the shape of y_pred without its last axis.

    Parameters
    ----------
    y_true, y_pred : array_like
        Predictions ``(..., c)``; targets of the same shape, or without the last axis.
    sample_weight : array_like or None
        Of the rows' shape, or broadcast to it.
    targets : callable
        Converts targets; called with the beginning of messages, the targets, the number of columns and the dtype.
    elements : bool
        Return a weight for each prediction, shape (n, c), instead of each row; `sample_weight` may have it, too.
    """
    predictions = float_array(who, "y_pred", y_pred, "float64" if _holds_integers(who, y_pred) else None)
    if predictions.ndim == 0 or predictions.shape[-1] == 0:
        raise ValueError(f"{who}: y_pred must have shape (..., c), c >= 1; got {predictions.shape}.")
    shape, columns = predictions.shape[:-1], predictions.shape[-1]
    predictions = predictions.reshape(-1, columns)
    true = real_array(who, "y_true", y_true)
    if not shape and columns > 1 and true.shape == (columns, 1):  # of one rank, as in Keras
        true = true.reshape(columns)
    if len(shape) != 1:
        if true.shape == (*shape, columns):
            true = true.reshape(-1, columns)
        elif true.shape in (shape, (*shape, 1)):
            true = true.reshape(-1)
        else:
            raise ValueError(f"{who}: y_true must have the shape of y_pred, {(*shape, columns)}; got {true.shape}.")
    dtype = str(predictions.dtype)
    read = targets(who, true, columns, dtype)
    if len(read) != len(predictions):
        raise ValueError(f"{who}: y_true must have {len(predictions)} rows as y_pred has; got {len(read)}.")
    weights = None
    if sample_weight is not None:
        weights = (element_weights if elements else row_weights)(who, sample_weight, (*shape, columns), dtype)
    return read, predictions, weights, shape


def of_one_rank(y_true: Array, y_pred: Array) -> tuple[Array, Array]:
    """Return targets and predictions; a last axis of size 1 that only one has is added to or removed from the targets.

    For user code, in which ``(n,)`` and ``(n, 1)`` would be broadcast to ``(n, n)``.
    """
    if y_true.ndim == y_pred.ndim - 1 and y_pred.shape[-1] == 1 and y_true.shape == y_pred.shape[:-1]:
        return y_true[..., np.newaxis], y_pred
    if y_true.ndim == y_pred.ndim + 1 and y_true.shape[-1] == 1 and y_true.shape[:-1] == y_pred.shape:
        return y_true[..., 0], y_pred
    return y_true, y_pred


def element_weights(who: str, value: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """Return a weight for each prediction, shape (n, c); weights for rows (see `row_weights`) are repeated."""
    array = real_array(who, "sample_weight", value)
    if array.ndim == len(shape) and all(size in (1, wanted) for size, wanted in zip(array.shape, shape, strict=True)):
        return converted(np.broadcast_to(array, shape).reshape(-1, shape[-1]), dtype)
    return np.repeat(row_weights(who, array, shape, dtype), shape[-1]).reshape(-1, shape[-1])


def row_weights(who: str, value: Any, shape: tuple[int, ...], dtype: str) -> Array:
    """Return one weight for each row, given weights of the rows' shape, or of its first axes, or a single one.

    Parameters
    ----------
    shape : tuple of int
        Shape of the predictions; its last size is the number of columns.
    """
    shape = shape[:-1]
    array = real_array(who, "sample_weight", value)
    if array.ndim > len(shape) and array.shape[-1] == 1:
        array = array[..., 0]
    fits = all(size in (1, wanted) for size, wanted in zip(array.shape, shape, strict=False))
    if array.ndim > len(shape) or not fits:
        raise ValueError(f"{who}: sample_weight must have shape {shape}, one weight for each row; got {array.shape}.")
    array = converted(array.reshape(array.shape + (1,) * (len(shape) - array.ndim)), dtype)
    return np.require(np.broadcast_to(array, shape).reshape(-1), None, ["C_CONTIGUOUS", "ALIGNED"])


def weight_array(who: str, name: str, value: Any, rows: int, lines: tuple[int, ...], dtype: str) -> Array:
    """Return sample weights, one for each row, shape (rows,), or for each of its lines of output, (rows, lines)."""
    array = real_array(who, name, value)
    if array.ndim > 1 and array.shape[-1] == 1 and array.shape != (rows, *lines):
        array = array[..., 0]
    if array.shape not in ((rows,), (rows, *lines)):
        also = f" or {(rows, *lines)}" if lines else ""
        raise ValueError(f"{who}: {name} must have shape ({rows},){also}, one weight for each row; got {array.shape}.")
    array = array if array.ndim == 1 else array.reshape(rows, -1)
    with np.errstate(over="ignore"):
        found = converted(array, dtype)
    if not np.isfinite(found).all():
        raise ValueError(
            f"{who}: {name} must be finite in {dtype}; row {int(np.argwhere(~np.isfinite(found))[0][0])} is not."
        )
    return found


def output_lines(who: str, y: Any, lines: tuple[int, ...], columns: int) -> Any:
    """Return targets of an output (n, *lines, columns) with the axes n and lines merged into one; without lines, y."""
    array = real_array(who, "y", y)
    if not lines:
        return array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    if array.shape[1:] == lines:
        return array.reshape(-1)
    if array.ndim == len(lines) + 2 and array.shape[1:-1] == lines:
        return array.reshape(-1, array.shape[-1])
    wanted = ", ".join(map(str, lines))
    raise ValueError(
        f"{who}: y must have shape (n, {wanted}, {columns}) as the output has, or (n, {wanted}) for class numbers; "
        f"got {array.shape}. Put a Flatten before the last layer where rows have one line of targets."
    )
