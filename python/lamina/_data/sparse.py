"""Sparse matrices as input rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import KindError
from lamina._data.arrays import native_array
from lamina._data.compact import CompactRows

__all__ = ["SparseRows", "sparse_array"]

Array = npt.NDArray[Any]


class SparseRows(CompactRows):
    """Rows of a sparse matrix in SciPy's CSR format.

    Attributes
    ----------
    arrays : tuple of ndarray
        indptr (n + 1,), indices and data of the CSR matrix.
    shape : tuple of int
    """

    reads = "sparse"

    def __init__(self, starts: Array, columns: Array, values: Array, shape: tuple[int, int]) -> None:
        self.arrays = (starts, columns, values)
        self.shape = shape

    def engine_input(self) -> Any:
        """Return indptr, indices and data."""
        return self.arrays

    def __getitem__(self, rows: Any) -> SparseRows:
        """Return some of the rows; a slice of step 1 copies no entries."""
        starts, columns, values = self.arrays
        if isinstance(rows, slice) and rows.step in (None, 1):
            first, end, _ = rows.indices(len(self))
            return SparseRows(
                starts[first : max(first, end) + 1], columns, values, (max(0, end - first), self.shape[1])
            )
        numbers = np.arange(len(self))[rows]
        sizes = starts[numbers + 1] - starts[numbers]
        ends = np.concatenate([[0], np.cumsum(sizes)]).astype(starts.dtype)
        entries = np.arange(ends[-1]) + np.repeat(starts[numbers] - ends[:-1], sizes)
        return SparseRows(ends, columns[entries], values[entries], (len(numbers), self.shape[1]))

    def rows_not_finite(self) -> list[int]:
        """Return the numbers of the rows that contain NaN or infinity."""
        starts, _, values = self.arrays
        bad = starts[0] + np.flatnonzero(~np.isfinite(values[starts[0] : starts[-1]]))
        found: list[int] = np.unique(np.searchsorted(starts, bad, "right") - 1).tolist()
        return found


def _index_type(array: Array) -> type[np.signedinteger[Any]]:
    return np.int64 if array.dtype.itemsize == 8 else np.int32


def sparse_array(who: str, name: str, value: Any, row_shape: tuple[int | None, ...] | None) -> SparseRows:
    """Return a sparse matrix as rows; the entries of a CSR matrix are not copied if the engine can read them."""
    if value.ndim != 2 or (row_shape is not None and tuple(value.shape[1:]) != row_shape):
        wanted = "(n, features)" if row_shape is None else f"(n, {', '.join(map(str, row_shape))})"
        raise ValueError(f"{who}: {name} must have shape {wanted}; got {value.shape}.")
    matrix = value.tocsr()
    if matrix.dtype.kind not in "biuf":
        raise KindError(f"{who}: {name} must be real numbers; got dtype {matrix.dtype}.")
    # indptr is read twice, so it is copied: nobody can change it meanwhile. indices are checked when they are read.
    starts = np.array(matrix.indptr, _index_type(matrix.indptr))
    columns = np.require(matrix.indices, _index_type(matrix.indices), ["C", "A"])
    values = native_array(np.ascontiguousarray(matrix.data))
    columns, values = columns[: len(values)], values[: len(columns)]
    bad = _core.first_bad_sparse_row(starts, columns, matrix.shape[1])
    if bad >= 0:
        raise ValueError(f"{who}: {name} is a broken sparse matrix: row {bad} has entries out of bounds.")
    return SparseRows(starts, columns, values, (matrix.shape[0], matrix.shape[1]))
