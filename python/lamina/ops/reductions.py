"""Sums, means and other values of many elements."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina._common.checks import choice
from lamina._data.autodiff import array_module, constant, floats, given, returned
from lamina.ops.arrays import axes_of, moveaxis, ravel, sort


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the sum along axes, of all elements if `axis` is None; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().sum(given(x), axis=axes_of(axis), keepdims=keepdims))


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the mean along axes, of all elements if `axis` is None; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().mean(floats(x), axis=axes_of(axis), keepdims=keepdims))


def prod(x: Any, axis: Any = None, keepdims: bool = False, dtype: Any = None) -> Any:
    """Return the product along axes, of all elements if `axis` is None; with `keepdims` these axes stay."""
    found = array_module().prod(given(x), axis=axes_of(axis), keepdims=keepdims)
    return returned(found if dtype is None else found.astype(dtype))


def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """Return the largest element along axes; `initial` is the least that can be returned.

    The derivative is divided equally among elements that are all the largest.
    """
    found = array_module().max(given(x), axis=axes_of(axis), keepdims=keepdims)
    return returned(found if initial is None else array_module().maximum(found, initial))


def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """Return the smallest element along axes; `initial` is the most that can be returned.

    The derivative is divided equally among elements that are all the smallest.
    """
    found = array_module().min(given(x), axis=axes_of(axis), keepdims=keepdims)
    return returned(found if initial is None else array_module().minimum(found, initial))


amax, amin = max, min


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the mean square deviation along axes; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().var(floats(x), axis=axes_of(axis), keepdims=keepdims))


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the root of the mean square deviation along axes; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().std(floats(x), axis=axes_of(axis), keepdims=keepdims))


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """Return mean and mean square deviation along axes; `synchronized` is accepted as in Keras."""
    return mean(x, axes, keepdims), var(x, axes, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether one element along axes is true."""
    return returned(np.any(constant(x), axis=axes_of(axis), keepdims=keepdims))


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether all elements along axes are true."""
    return returned(np.all(constant(x), axis=axes_of(axis), keepdims=keepdims))


def argmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the index of the first of the largest elements along an axis, int32."""
    return returned(np.argmax(constant(x), axis=axis, keepdims=keepdims)).astype("int32")


def argmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the index of the first of the smallest elements along an axis, int32."""
    return returned(np.argmin(constant(x), axis=axis, keepdims=keepdims)).astype("int32")


def cumsum(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Return the sums of the elements up to each along an axis, of the flat array if it is None."""
    found = array_module().cumsum(given(x), axis=axis)
    return returned(found if dtype is None else found.astype(dtype))


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return ``log(Σ e**x)`` along axes, computed without overflow."""
    module, value, axis = array_module(), floats(x), axes_of(axis)
    most = np.max(constant(value), axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)
    found = module.log(module.sum(module.exp(value - most), axis=axis, keepdims=True)) + most
    if keepdims:
        return returned(found)
    kept = np.squeeze(np.empty(found.shape), axis=axis).shape if axis is not None else ()
    return returned(module.reshape(found, kept))


def count_nonzero(x: Any, axis: Any = None) -> Any:
    """Return how many elements along axes are not 0, int32."""
    return returned(np.count_nonzero(constant(x), axis=axes_of(axis))).astype("int32")


def average(x: Any, axis: Any = None, weights: Any = None) -> Any:
    """Return the mean along axes, weighted if weights are given: of the shape of `x`, or of its one axis."""
    if weights is None:
        return mean(x, axis)
    value, weight = floats(x), floats(weights)
    if np.ndim(constant(weight)) == 1 and np.ndim(constant(value)) > 1:
        if not isinstance(axis, int):
            raise ValueError("average: axis must be an int where the weights are those of one axis.")
        sizes = [1] * np.ndim(constant(value))
        sizes[axis] = -1
        weight = array_module().reshape(weight, sizes)
    axis = axes_of(axis)
    every = weight * np.ones(constant(value).shape, constant(value).dtype)
    return returned(array_module().sum(value * weight, axis=axis) / array_module().sum(every, axis=axis))


# By method: the place of a quantile among the ordered elements, as it is used.
_PLACES: dict[str, Callable[[Any], Any]] = {
    "linear": np.asarray,
    "lower": np.floor,
    "higher": np.ceil,
    "midpoint": lambda place: (np.floor(place) + np.ceil(place)) / 2,
    "nearest": np.rint,
}


def quantile(x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False) -> Any:
    """Return quantiles along an axis, of all elements if it is None.

    Parameters
    ----------
    x : array_like
    q : float or sequence of float, in [0, 1]
        Several of them become the first axis.
    axis : int, optional
    method : {"linear", "lower", "higher", "midpoint", "nearest"}
        What to return where a quantile lies between two elements: a value between them in proportion, the lower, the
        higher, their mean, or the nearest (of two equally near ones that with the even index).
    keepdims : bool
        Keep the axis, with size 1.
    """
    choice("quantile", "method", method, list(_PLACES))
    value, wanted = floats(x), np.asarray(q if isinstance(q, (list, tuple)) else constant(q), np.float64)
    if wanted.ndim > 1 or not ((wanted >= 0) & (wanted <= 1)).all():
        raise ValueError("quantile: q must be one number, or a sequence of numbers, in [0, 1].")
    if axis is not None and not isinstance(axis, int):
        raise ValueError(f"quantile: axis must be an int or None; got {axis!r}.")
    rank = np.ndim(constant(value))
    ordered = given(sort(ravel(value) if axis is None else moveaxis(value, axis, -1)))
    if not constant(ordered).shape[-1]:
        raise ValueError("quantile: there must be an element along the axis.")
    places = np.asarray(_PLACES[method](wanted * (constant(ordered).shape[-1] - 1)))
    below = np.floor(places).astype(int)
    above = np.ceil(places).astype(int)
    share, module = (places - below).astype(constant(ordered).dtype), array_module()
    higher = module.where(share == 0, 0, ordered[..., above])  # an infinite element times 0 is no number
    found = ordered[..., below] * (1 - share) + higher * share
    unknown = np.isnan(constant(ordered)[..., -1:]) if places.ndim else np.isnan(constant(ordered)[..., -1])
    found = module.where(unknown, np.array(np.nan, constant(ordered).dtype), found)
    if places.ndim:
        found = module.moveaxis(found, -1, 0)
    if keepdims:
        kept = [1] * rank if axis is None else list(np.max(constant(value), axis=axis, keepdims=True).shape)
        found = module.reshape(found, [*places.shape, *kept])
    return returned(found)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the middle element along an axis, or the mean of the two; of all elements if `axis` is None."""
    return quantile(x, 0.5, axis, keepdims=keepdims)


def cumprod(x: Any, axis: int | None = None, dtype: Any = None) -> Any:
    """Return the products of the elements up to each along an axis, of the flat array if it is None."""
    value = given(ravel(x)) if axis is None else given(moveaxis(x, axis, 0))
    value = value if dtype is None else value.astype(dtype)
    found = [value[0]] if len(constant(value)) else []
    for i in range(1, len(constant(value))):
        found.append(found[-1] * value[i])
    return returned(array_module().moveaxis(array_module().stack(found), 0, axis or 0) if found else value)


def diff(a: Any, n: int = 1, axis: int = -1) -> Any:
    """Return the differences of each element and the one before along an axis, `n` times."""
    if n < 0:
        raise ValueError(f"diff: n must be >= 0; got {n}.")
    value = array_module().moveaxis(given(a), axis, 0)
    for _ in range(n):
        value = value[1:] - value[:-1]
    return returned(array_module().moveaxis(value, 0, axis))


def allclose(x1: Any, x2: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """Return whether all elements are equal to within ``atol + rtol |x2|``."""
    return returned(np.allclose(constant(x1), constant(x2), rtol, atol, equal_nan))


def bincount(x: Any, weights: Any = None, minlength: int = 0, sparse: bool = False) -> Any:
    """Return how often each number from 0 on is among whole numbers, or the sum of its weights; row by row.

    `sparse` must be False.
    """
    if sparse:
        raise ValueError("bincount: sparse must be False.")
    numbers, given_weights = np.asarray(constant(x)), None if weights is None else np.asarray(constant(weights))
    if numbers.ndim == 1:
        counts = np.bincount(numbers, given_weights, minlength)
    else:
        least = builtins.max(minlength, int(numbers.max(initial=-1)) + 1)
        rows = range(len(numbers))
        counts = np.array(
            [np.bincount(numbers[i], None if given_weights is None else given_weights[i], least) for i in rows]
        )
    return returned(counts if given_weights is not None else counts.astype("int32"))


def digitize(x: Any, bins: Any) -> Any:
    """Return the numbers of the bins in which elements are, given their limits in ascending order, int32."""
    return returned(np.digitize(constant(x), np.asarray(constant(bins)))).astype("int32")


def in_top_k(targets: Any, predictions: Any, k: int) -> Any:
    """Return whether the prediction of each row's target is among its `k` largest; False for a class there is not."""
    scores, classes = np.asarray(constant(predictions)), np.asarray(constant(targets))
    known = (classes >= 0) & (classes < scores.shape[1])
    own = np.take_along_axis(scores, np.where(known, classes, 0)[:, np.newaxis], 1)
    return returned(known & ((scores > own).sum(axis=1) < k))
