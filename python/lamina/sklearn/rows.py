"""Rows and their weights, with scikit-learn's checks."""

from __future__ import annotations

import math
import zlib
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from sklearn.utils import check_array

__all__ = ["Distinct", "chosen", "is_finite", "is_plain", "of_kind", "row_weights", "rows_of"]


# The squares of so many numbers are summed faster than the numbers, as that may warn.
_FEW = 1024


def rows_of(X: Any) -> int:
    """Return the number of rows of an array, a data frame or a list."""
    found: int = X.shape[0] if hasattr(X, "shape") else len(X)
    return found


def chosen(X: Any, rows: npt.NDArray[np.intp]) -> Any:
    """Return some rows of an array, a matrix, a data frame or a list."""
    if hasattr(X, "iloc"):
        return X.iloc[rows]
    if scipy.sparse.issparse(X):
        return X.tocsr()[rows]
    if isinstance(X, (list, tuple)):
        return [X[row] for row in rows]
    return X[rows]


def of_kind(X: Any, other: Any) -> Any:
    """Return rows as a sparse matrix if other ones are, else as an array."""
    if scipy.sparse.issparse(X) == scipy.sparse.issparse(other):
        return X
    return X.toarray() if scipy.sparse.issparse(X) else scipy.sparse.csr_array(X)


def is_finite(array: npt.NDArray[Any]) -> bool:
    """Return whether all numbers are finite; the sum of such numbers mostly is too, and that of their squares."""
    if array.size <= _FEW:
        return math.isfinite(np.vdot(array, array)) or bool(np.isfinite(array).all())
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(array.sum()) or bool(np.isfinite(array).all())


def is_plain(X: Any) -> bool:
    """Return whether rows are an array of finite floats, and there are some."""
    if type(X) is not np.ndarray or X.ndim != 2 or X.dtype.char not in "fd" or not X.dtype.isnative:
        return False
    return X.size > 0 and is_finite(X)


def row_weights(given: Any, X: Any) -> npt.NDArray[Any]:
    """Return the weights of rows: (n_samples,), of the dtype of the rows; one number stands for all of them."""
    if isinstance(given, Real):
        given = np.full(X.shape[0], given, X.dtype)
    weights: npt.NDArray[Any] = check_array(
        given, ensure_2d=False, dtype=X.dtype, order="C", copy=False, input_name="sample_weight"
    )
    if weights.ndim != 1:
        raise ValueError(f"Sample weights must be 1D array or scalar, got {weights.ndim}D array.")
    if weights.shape != X.shape[:1]:
        raise ValueError(f"sample_weight.shape == {weights.shape}, expected {X.shape[:1]}!")
    if weights.any() and not weights.sum():
        raise ValueError("Sample weights sum to zero, and can't be normalized.")
    if not weights.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return weights


class Distinct:
    """Arrays of which those with the same content are kept once; anything else is only the same as itself."""

    def __init__(self) -> None:
        self._known: dict[Any, list[npt.NDArray[Any]]] = {}
        self._kept: set[int] = set()  # the identities of all of them

    def of(self, array: Any) -> Any:
        """Return the first array with the content of this one."""
        if not isinstance(array, np.ndarray) or id(array) in self._kept:
            return array
        before = self._known.setdefault((array.shape, array.dtype.str, _checksum(array)), [])
        for one in before:
            if np.array_equal(one, array):
                return one
        before.append(array)
        self._kept.add(id(array))
        return array


def _checksum(array: npt.NDArray[Any]) -> int:
    if array.dtype.hasobject:
        return zlib.crc32(array.tobytes())  # of the objects' addresses
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
