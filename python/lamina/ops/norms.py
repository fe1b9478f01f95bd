"""Norms of vectors and matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina import config
from lamina._common.checks import number
from lamina._data.autodiff import array_module, floats, given, returned
from lamina.ops.arrays import axes_of, moveaxis


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Return norms of vectors or matrices.

    Parameters
    ----------
    x : array_like
    ord : int, float or str, optional
        For vectors a number p: ``(Σ |x|ᵖ)^(1/p)``, the largest and smallest magnitude for inf and -inf, the number of
        elements that are not 0 for 0. For matrices ``"fro"``: the root of the sum of squares; ``"nuc"``: the sum of the
        singular values; 2 and -2: the largest and smallest of these; 1 and -1: the largest and smallest sum of
        magnitudes in a column; inf and -inf: in a row. Default: the root of the sum of squares.
    axis : int, or tuple of two ints, optional
        One axis for vectors, two for matrices. Default: all axes; with `ord` there must be one or two.
    keepdims : bool

    Raises
    ------
    ValueError
        There is no such norm.
    """
    value = floats(x)
    rank = np.ndim(value)
    axes = axes_of(axis)
    axes = tuple(range(rank)) if axes is None else axes if isinstance(axes, tuple) else (axes,)
    if ord in (None, "euclidean") or (ord == "fro" and len(axes) == 2):
        return returned(_root_of_squares(value, axes, keepdims))
    if len(axes) == 1:
        return returned(_of_vectors(value, ord, axes, keepdims))
    if len(axes) != 2:
        raise ValueError(f"norm: axis must be one axis, for vectors, or two, for matrices; got {axes}.")
    found = _of_matrices(given(moveaxis(value, axes, (-2, -1))), ord)
    return returned(array_module().expand_dims(found, axes) if keepdims else found)


def _root_of_squares(value: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    module = array_module()
    return module.sqrt(module.sum(value * value, axis=axes, keepdims=keepdims))


def _of_vectors(value: Any, order: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    module = array_module()
    if not isinstance(order, (int, float, np.integer, np.floating)):
        raise ValueError(f"norm: ord must be a number for vectors; got {order!r}.")
    if order == 2:
        return _root_of_squares(value, axes, keepdims)
    sizes = module.abs(value)
    if math.isinf(order):
        return (module.max if order > 0 else module.min)(sizes, axis=axes, keepdims=keepdims)
    if order == 0:
        return np.asarray(module.sum(sizes != 0, axis=axes, keepdims=keepdims), value.dtype)
    if order == 1:
        return module.sum(sizes, axis=axes, keepdims=keepdims)
    return module.sum(sizes**order, axis=axes, keepdims=keepdims) ** (1 / order)


def _of_matrices(value: Any, order: Any) -> Any:
    """Return the norms of matrices along the last two axes."""
    module = array_module()
    if order in (1, -1, math.inf, -math.inf):
        sums = module.sum(module.abs(value), axis=-2 if abs(order) == 1 else -1)
        return (module.max if order > 0 else module.min)(sums, axis=-1)
    if order not in (2, -2, "nuc"):
        raise ValueError(
            f"norm: ord must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf for matrices; got {order!r}."
        )
    singular = module.linalg.svd(value, compute_uv=False)
    if order == "nuc":
        return module.sum(singular, axis=-1)
    return singular[..., 0 if order > 0 else -1]


def normalize(x: Any, axis: int = -1, order: float = 2, epsilon: float | None = None) -> Any:
    """Return vectors along an axis divided by their norms (`norm`), which count as `epsilon` where they are less."""
    order = number("normalize", "order", order, 1, math.inf) if order != math.inf else order
    module, value = array_module(), floats(x)
    least = config.epsilon() if epsilon is None else epsilon
    if order == 2:  # the root of what counts, whose gradient is finite also for zeros
        square = module.sum(value * value, axis=axis, keepdims=True)
        return returned(value / module.sqrt(module.where(square > least**2, square, least**2)))
    found = given(norm(value, order, axis, keepdims=True))
    return returned(value / module.where(found > least, found, least))
