"""Parts of matrices, and rows and columns put together or taken apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina._data.autodiff import array_module, constant, given, returned
from lamina.ops.arrays import concatenate, moveaxis, reshape, tensordot


def diag(x: Any, k: int = 0) -> Any:
    """Return the k-th diagonal of a matrix, or the matrix that has a vector there."""
    value = given(x)
    rank = np.ndim(constant(value))
    if rank == 2:
        return diagonal(value, k)
    if rank != 1:
        raise ValueError(f"diag: x must be a vector or a matrix; got {rank} axes.")
    count = len(constant(value))
    there = np.eye(count + abs(k), k=k, dtype=bool)
    places = np.clip(np.arange(count + abs(k)) + min(k, 0), 0, max(count - 1, 0))
    rows = value[np.broadcast_to(places[:, np.newaxis], there.shape)] if count else np.zeros(there.shape)
    return returned(array_module().where(there, rows, np.zeros(1, constant(value).dtype)))


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
    return _where_below("tril", x, k, True)


def triu(x: Any, k: int = 0) -> Any:
    """Return matrices with 0 below the k-th diagonal."""
    return _where_below("triu", x, k - 1, False)


def _where_below(name: str, x: Any, k: int, kept: bool) -> Any:
    """Return matrices of which the part up to the k-th diagonal is kept, or the other part; the rest is 0."""
    value = given(x)
    shape = constant(value).shape
    if len(shape) < 2:
        raise ValueError(f"{name}: x must have two axes or more; got {len(shape)}.")
    below = np.tri(shape[-2], shape[-1], k, dtype=bool)
    return returned(array_module().where(below == kept, value, np.zeros(1, constant(value).dtype)))


def inner(x1: Any, x2: Any) -> Any:
    """Return the sums of products along the last axes of both."""
    if min(np.ndim(constant(x1)), np.ndim(constant(x2))) == 0:
        return returned(given(x1) * given(x2))
    return tensordot(x1, x2, axes=[[-1], [-1]])


def vstack(xs: Sequence[Any]) -> Any:
    """Return arrays put together along the first axis; a vector is one row."""
    return concatenate([reshape(x, (1, -1)) if np.ndim(constant(x)) < 2 else x for x in xs], axis=0)


def hstack(xs: Sequence[Any]) -> Any:
    """Return arrays put together along the second axis, vectors along the first."""
    parts = [reshape(x, (1,)) if np.ndim(constant(x)) == 0 else x for x in xs]
    return concatenate(parts, axis=min(1, np.ndim(constant(parts[0])) - 1))


def unstack(x: Any, num: int | None = None, axis: int = 0) -> list[Any]:
    """Return the parts of an array along an axis, without that axis; `num` of them, if it is given."""
    value = given(moveaxis(x, axis, 0))
    count = constant(value).shape[0]
    if num is not None and num != count:
        raise ValueError(f"unstack: num must be {count}, the size of the axis; got {num}.")
    return [returned(value[i]) for i in range(count)]
