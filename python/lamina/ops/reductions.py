"""Sums, means and other values of many elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina.ops.autodiff import array_module, constant, floats, given, returned


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the sum along axes, of all elements if `axis` is None; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().sum(given(x), axis=axis, keepdims=keepdims))


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the mean along axes, of all elements if `axis` is None; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().mean(floats(x), axis=axis, keepdims=keepdims))


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the product along axes, of all elements if `axis` is None; with `keepdims` these axes stay."""
    return returned(array_module().prod(given(x), axis=axis, keepdims=keepdims))


def max(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """Return the largest element along axes; `initial` is the least that can be returned.

    The derivative is divided equally among elements that are all the largest.
    """
    found = array_module().max(given(x), axis=axis, keepdims=keepdims)
    return returned(found if initial is None else array_module().maximum(found, initial))


def min(x: Any, axis: Any = None, keepdims: bool = False, initial: Any = None) -> Any:
    """Return the smallest element along axes; `initial` is the most that can be returned.

    The derivative is divided equally among elements that are all the smallest.
    """
    found = array_module().min(given(x), axis=axis, keepdims=keepdims)
    return returned(found if initial is None else array_module().minimum(found, initial))


amax, amin = max, min


def var(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the mean square deviation along axes; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().var(floats(x), axis=axis, keepdims=keepdims))


def std(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return the root of the mean square deviation along axes; with `keepdims` these axes stay, of size 1."""
    return returned(array_module().std(floats(x), axis=axis, keepdims=keepdims))


def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> tuple[Any, Any]:
    """Return mean and mean square deviation along axes; `synchronized` is accepted as in Keras."""
    return mean(x, axes, keepdims), var(x, axes, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether one element along axes is true."""
    return returned(np.any(constant(x), axis=axis, keepdims=keepdims))


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return whether all elements along axes are true."""
    return returned(np.all(constant(x), axis=axis, keepdims=keepdims))


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
    module, value = array_module(), floats(x)
    most = np.max(constant(value), axis=axis, keepdims=True)
    most = np.where(np.isfinite(most), most, 0)
    found = module.log(module.sum(module.exp(value - most), axis=axis, keepdims=True)) + most
    if keepdims:
        return returned(found)
    kept = np.squeeze(np.empty(found.shape), axis=axis).shape if axis is not None else ()
    return returned(module.reshape(found, kept))


def count_nonzero(x: Any, axis: Any = None) -> Any:
    """Return how many elements along axes are not 0, int32."""
    return returned(np.count_nonzero(constant(x), axis=axis)).astype("int32")
