"""Making, reading and arranging arrays, and their products."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lamina import config
from lamina._data.autodiff import array_module, constant, given, is_traced, of_one_kind, returned
from lamina._data.symbols import Symbol


def convert_to_tensor(x: Any, dtype: Any = None, sparse: Any = None, ragged: Any = None) -> Any:
    """Return values as an array; numbers without a dtype get `lamina.config.floatx`, integers int32.

    Parameters
    ----------
    x : array_like
    dtype : optional
    sparse, ragged
        Accepted as in Keras.
    """
    value = given(x)
    if dtype is not None:
        return cast(value, dtype)
    if isinstance(value, bool):
        return returned(value)
    if isinstance(x, (int, float, list, tuple)) and not is_traced(value):
        found = np.asarray(value)
        kind = {"f": config.floatx(), "i": "int32"}.get(found.dtype.kind)
        return returned(found if kind is None else found.astype(kind))
    return returned(value)


def convert_to_numpy(x: Any) -> Any:
    """Return values as a plain NumPy array."""
    return np.array(constant(x))


def copy(x: Any) -> Any:
    """Return a copy of an array."""
    value = given(x)
    return returned(value * 1 if is_traced(value) else np.array(value))


def identity(n: int, dtype: Any = None) -> Any:
    """Return the matrix with 1 on its diagonal, of `lamina.config.floatx` by default."""
    return eye(n, dtype=dtype)


def is_tensor(x: Any) -> bool:
    """Return whether a value is an array."""
    return isinstance(x, (np.ndarray, Symbol)) or is_traced(x)


def cast(x: Any, dtype: Any) -> Any:
    """Return values in another dtype."""
    value = given(x)
    return returned(np.asarray(value).astype(dtype) if isinstance(value, (bool, int, float)) else value.astype(dtype))


def stop_gradient(variable: Any) -> Any:
    """Return values that count as constants: their derivative is 0."""
    return returned(constant(variable))


def shape(x: Any) -> tuple[int, ...]:
    """Return the sizes of the axes; of a symbolic tensor None for that of the rows."""
    return x.shape if isinstance(x, Symbol) else tuple(np.shape(constant(x)))


def ndim(x: Any) -> int:
    """Return the number of axes."""
    return len(shape(x))


def size(x: Any) -> int:
    """Return the number of elements."""
    return int(np.size(constant(x)))


def array(x: Any, dtype: Any = None) -> Any:
    """Return values as an array of a dtype."""
    return convert_to_tensor(x, dtype)


def zeros(shape: Any, dtype: Any = None) -> Any:
    """Return an array of zeros; the dtype is `lamina.config.floatx` if omitted."""
    return returned(np.zeros(shape, dtype or config.floatx()))


def ones(shape: Any, dtype: Any = None) -> Any:
    """Return an array of ones; the dtype is `lamina.config.floatx` if omitted."""
    return returned(np.ones(shape, dtype or config.floatx()))


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array of one value; the dtype is `lamina.config.floatx` if omitted."""
    return returned(np.full(shape, constant(fill_value), dtype or config.floatx()))


def zeros_like(x: Any, dtype: Any = None) -> Any:
    """Return an array of zeros in the shape of another one."""
    return returned(np.zeros_like(constant(x), dtype))


def ones_like(x: Any, dtype: Any = None) -> Any:
    """Return an array of ones in the shape of another one."""
    return returned(np.ones_like(constant(x), dtype))


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """Return an array of one value in the shape of another one."""
    return returned(np.full_like(constant(x), constant(fill_value), dtype))


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None) -> Any:
    """Return an array of zeros with ones on a diagonal."""
    return returned(np.eye(N, M, k, dtype or config.floatx()))


def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """Return evenly spaced numbers from `start` to before `stop`; int32 for integers."""
    first, last = (0, start) if stop is None else (start, stop)
    found = np.arange(first, last, 1 if step is None else step)
    kind = "int32" if found.dtype.kind == "i" else config.floatx()
    return returned(found.astype(dtype or kind))


def linspace(
    start: Any, stop: Any, num: int = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """Return `num` evenly spaced numbers from `start` to `stop`, with `retstep` also the distance between them."""
    found, step = np.linspace(constant(start), constant(stop), num, endpoint, retstep=True, axis=axis)
    numbers = returned(found.astype(dtype or config.floatx()))
    return (numbers, step) if retstep else numbers


def reshape(x: Any, newshape: Any) -> Any:
    """Return an array in another shape; one size may be -1, or None, as `shape` gives that of the rows."""
    sizes = [-1 if size is None else size for size in newshape] if isinstance(newshape, (list, tuple)) else newshape
    return returned(array_module().reshape(given(x), sizes))


def axes_of(axis: Any) -> Any:
    """Return axes as NumPy takes them: those in a list as a tuple."""
    return tuple(axis) if isinstance(axis, list) else axis


def ravel(x: Any) -> Any:
    """Return a flat array."""
    return returned(array_module().ravel(given(x)))


def transpose(x: Any, axes: Any = None) -> Any:
    """Return an array with its axes in another order, reversed if `axes` is None."""
    return returned(array_module().transpose(given(x), axes))


def expand_dims(x: Any, axis: int) -> Any:
    """Return an array with a new axis of size 1."""
    return returned(array_module().expand_dims(given(x), axis))


def squeeze(x: Any, axis: Any = None) -> Any:
    """Return an array without axes of size 1."""
    value = given(x)
    before = shape(value)
    axes = range(len(before)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    gone = {one % len(before) for one in axes if axis is not None or before[one] == 1}
    if any(before[one] != 1 for one in gone):
        raise ValueError(f"squeeze: axis must name axes of size 1; the shape is {before}.")
    return reshape(value, tuple(n for i, n in enumerate(before) if i not in gone))


def concatenate(xs: Sequence[Any], axis: int = 0) -> Any:
    """Return arrays joined along an axis."""
    return returned(array_module().concatenate([given(x) for x in of_one_kind(*xs)], axis=axis))


def stack(x: Sequence[Any], axis: int = 0) -> Any:
    """Return arrays joined along a new axis."""
    return returned(array_module().stack([given(one) for one in of_one_kind(*x)], axis=axis))


def split(x: Any, indices_or_sections: Any, axis: int = 0) -> list[Any]:
    """Return the parts of an array: so many equal ones, or those between indices."""
    value = given(x)
    length = shape(value)[axis]
    if isinstance(indices_or_sections, int):
        if indices_or_sections < 1 or length % indices_or_sections:
            raise ValueError(f"split: {length} elements must make {indices_or_sections} equal parts.")
        ends = [length // indices_or_sections * i for i in range(1, indices_or_sections)]
    else:
        ends = [int(end) for end in indices_or_sections]
    before = (slice(None),) * (axis % ndim(value))
    return [
        returned(value[(*before, slice(first, last))]) for first, last in zip([0, *ends], [*ends, length], strict=True)
    ]


def tile(x: Any, repeats: Any) -> Any:
    """Return an array repeated along its axes."""
    return returned(array_module().tile(given(x), repeats))


def repeat(x: Any, repeats: int, axis: int | None = None) -> Any:
    """Return an array with each element repeated along an axis."""
    return returned(array_module().repeat(given(x), repeats, axis=axis))


def flip(x: Any, axis: Any = None) -> Any:
    """Return an array with the order along axes reversed."""
    value = given(x)
    axes = range(ndim(value)) if axis is None else (axis,) if isinstance(axis, int) else axis
    turned = {one % ndim(value) for one in axes}
    return returned(value[tuple(slice(None, None, -1 if i in turned else None) for i in range(ndim(value)))])


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Return an array with its elements moved along an axis; those that leave come in at the other end."""
    return returned(array_module().roll(given(x), shift, axis))


def swapaxes(x: Any, axis1: int, axis2: int) -> Any:
    """Return an array with two axes exchanged."""
    return returned(array_module().swapaxes(given(x), axis1, axis2))


def moveaxis(x: Any, source: Any, destination: Any) -> Any:
    """Return an array with axes moved to other places."""
    return returned(array_module().moveaxis(given(x), source, destination))


def broadcast_to(x: Any, shape: Any) -> Any:
    """Return an array repeated along axes of size 1, and new ones in front, to a shape."""
    value = given(x)
    if not is_traced(value):
        return returned(np.broadcast_to(value, tuple(shape)))
    return returned(value * np.ones(tuple(shape), value.dtype))


def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Return the elements with some indices along an axis, of the flat array if it is None."""
    value, chosen = given(x), constant(indices)
    if axis is None:
        return returned(ravel(value)[chosen])
    return returned(value[(slice(None),) * (axis % ndim(value)) + (chosen,)])


def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """Return elements by indices along an axis, of the flat array if it is None: for each place those it has there."""
    value, chosen = given(x), constant(indices)
    if axis is None:
        return returned(ravel(value)[np.ravel(chosen)])
    places = list(np.ogrid[tuple(slice(n) for n in chosen.shape)])
    places[axis] = chosen
    return returned(value[tuple(places)])


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    """Return an array with more elements at the ends of its axes."""
    filling = {} if constant_values is None else {"constant_values": constant_values}
    return returned(array_module().pad(given(x), pad_width, mode, **filling))


def sort(x: Any, axis: int = -1) -> Any:
    """Return the elements in ascending order along an axis."""
    return take_along_axis(x, np.argsort(constant(x), axis=axis, kind="stable"), axis)


def argsort(x: Any, axis: int = -1) -> Any:
    """Return the indices that put elements in ascending order along an axis, int32."""
    return returned(np.argsort(constant(x), axis=axis, kind="stable").astype("int32"))


def top_k(x: Any, k: int, sorted: bool = True) -> tuple[Any, Any]:
    """Return the `k` largest elements along the last axis, the largest first, and their indices."""
    order = np.argsort(-constant(x), axis=-1, kind="stable")[..., :k]
    return take_along_axis(x, order, -1), returned(order.astype("int32"))


def matmul(x1: Any, x2: Any) -> Any:
    """Return the matrix product."""
    return returned(array_module().matmul(*map(given, of_one_kind(x1, x2))))


def dot(x1: Any, x2: Any) -> Any:
    """Return the sums of products along the last axis of `x1` and the last but one of `x2`."""
    return returned(array_module().dot(*map(given, of_one_kind(x1, x2))))


def tensordot(x1: Any, x2: Any, axes: Any = 2) -> Any:
    """Return the sums of products along axes."""
    return returned(array_module().tensordot(*map(given, of_one_kind(x1, x2)), axes))


def outer(x1: Any, x2: Any) -> Any:
    """Return all products of two flat arrays, as a matrix."""
    return matmul(reshape(x1, (-1, 1)), reshape(x2, (1, -1)))


def einsum(subscripts: str, *operands: Any) -> Any:
    """Return sums of products in Einstein's notation."""
    return returned(array_module().einsum(subscripts, *map(given, of_one_kind(*operands))))
