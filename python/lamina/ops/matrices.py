"""Parts of matrices, and rows and columns put together or taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina._data.autodiff import array_module, constant, given, returned
from lamina.ops.arrays import concatenate, expand_dims, moveaxis, tensordot


def diag(x: Any, k: int = 0) -> Any:
    """Return the k-th diagonal of a matrix, or the matrix that has a vector there."""
    value = given(x)
    if np.ndim(constant(value)) == 2:
        return diagonal(value, k)
    size = len(constant(value)) + abs(k)
    rows = np.arange(len(constant(value))) - min(k, 0)
    places = np.zeros((len(rows), size, size), constant(value).dtype)
    places[np.arange(len(rows)), rows, rows + k] = 1
    return tensordot(value, places, axes=1)


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Return the diagonals of matrices along two axes, as the last axis."""
    value = moveaxis(x, (axis1, axis2), (-2, -1))
    rows = np.arange(*np.diagonal(np.empty(constant(value).shape[-2:]), offset).shape) - min(offset, 0)
    return returned(given(value)[..., rows, rows + offset])


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """Return the sums of the diagonals of matrices along two axes."""
    return returned(array_module().sum(given(diagonal(x, offset, axis1, axis2)), axis=-1))


def tril(x: Any, k: int = 0) -> Any:
    """Return matrices with 0 above the k-th diagonal."""
    return returned(given(x) * _ones_below(x, k))


def triu(x: Any, k: int = 0) -> Any:
    """Return matrices with 0 below the k-th diagonal."""
    return returned(given(x) * (1 - _ones_below(x, k - 1)))


def _ones_below(x: Any, k: int) -> Any:
    """Return a matrix of the sizes of `x` that is 1 up to the k-th diagonal, and 0 above."""
    value = constant(x)
    rows, columns = value.shape[-2:]
    return np.tri(rows, columns, k, dtype=value.dtype)


def inner(x1: Any, x2: Any) -> Any:
    """Return the sums of products along the last axes of both."""
    if min(np.ndim(constant(x1)), np.ndim(constant(x2))) == 0:
        return returned(given(x1) * given(x2))
    return tensordot(x1, x2, axes=[[-1], [-1]])


def vstack(xs: Sequence[Any]) -> Any:
    """Return arrays put together along the first axis; a vector is one row."""
    return concatenate([expand_dims(x, 0) if np.ndim(constant(x)) < 2 else x for x in xs], axis=0)


def hstack(xs: Sequence[Any]) -> Any:
    """Return arrays put together along the second axis, vectors along the first."""
    return concatenate(xs, axis=min(1, np.ndim(constant(xs[0])) - 1))


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """Return the parts of an array along an axis, without that axis; `num` of them, if it is given."""
    value = given(moveaxis(x, axis, 0))
    count = constant(value).shape[0]
    if num is not None and num != count:
        raise ValueError(f"unstack: num must be {count}, the size of the axis; got {num}.")
    return [returned(value[i]) for i in range(count)]
