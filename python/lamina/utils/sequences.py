"""Sequences as rows of equal length."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError, choice, integer, listed, number, short
from lamina._data.arrays import any_array

__all__ = ["pad_sequences"]


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: float = 0.0,
) -> npt.NDArray[Any]:
    """Return sequences as rows of equal length, padded or cut.

    Parameters
    ----------
    sequences : sequence of sequences of numbers
    maxlen : int, optional
        The length of the longest sequence if omitted.
    dtype : dtype
    padding, truncating : {"pre", "post"}
        The ends at which short sequences are filled with `value`, and at which long ones are cut.
    value : float

    Examples
    --------
    >>> pad_sequences([[1], [2, 3, 4]], maxlen=2)
    array([[0, 1],
           [3, 4]], dtype=int32)
    """
    dtype = _array_dtype("pad_sequences", dtype)
    choice("pad_sequences", "padding", padding, ("pre", "post"))
    choice("pad_sequences", "truncating", truncating, ("pre", "post"))
    rows = [_of_type("pad_sequences", one, dtype) for one in listed("pad_sequences", "sequences", sequences)]
    if any(row.ndim == 0 for row in rows):
        raise KindError("pad_sequences: sequences must hold sequences; one of them is a single value.")
    if dtype.kind in "biuf":
        filling: Any = number("pad_sequences", "value", float(value) if isinstance(value, bool) else value)
        _of_type("pad_sequences", filling, dtype)
    else:
        filling = value
    length = (
        max((len(row) for row in rows), default=0) if maxlen is None else integer("pad_sequences", "maxlen", maxlen, 0)
    )
    inner = next((row.shape[1:] for row in rows if len(row)), ())
    found = np.full((len(rows), length, *inner), filling, dtype)
    for to, row in zip(found, rows, strict=True):
        kept = row[: length or 0] if truncating == "post" else row[max(0, len(row) - length) :]
        if len(kept):
            to[slice(0, len(kept)) if padding == "post" else slice(length - len(kept), length)] = kept
    return found


def _array_dtype(who: str, value: Any) -> np.dtype[Any]:
    """Return a NumPy dtype, or raise."""
    try:
        found: np.dtype[Any] = np.dtype(value)
    except (TypeError, ValueError):
        raise KindError(f"{who}: dtype must be one of NumPy's; got {short(value)}.") from None
    return found


def _of_type(who: str, values: Any, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Return an array whose numbers fit into a dtype, or raise; NumPy converts values that are not numbers."""
    array = any_array(who, "a sequence", values)
    if dtype.kind in "iu" and array.dtype.kind in "iuf" and array.size:
        least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
        if not (array.min() >= least and array.max() <= most):
            raise ValueError(
                f"{who}: the numbers must be in [{least}, {most}] for dtype {dtype}; got {array.min()} to "
                f"{array.max()}."
            )
    if dtype.kind in "biuf" and array.dtype.kind not in "biuf":
        try:  # NumPy may parse strings as numbers
            return array.astype(dtype)
        except (TypeError, ValueError, OverflowError):
            raise KindError(f"{who}: a sequence must be numbers for dtype {dtype}; got {short(values)}.") from None
    return array
