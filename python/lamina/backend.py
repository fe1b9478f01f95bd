"""Functions of ``keras.backend`` that Keras code calls: names and precision, and what `lamina.ops` computes.

There is only one backend.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import ops
from lamina import random as streams
from lamina._common.checks import KindError
from lamina._common.names import clear_session, get_uid
from lamina._data.arrays import any_array
from lamina.config import backend, epsilon, floatx, image_data_format, set_epsilon, set_floatx

__all__ = [
    "abs", "all", "any", "arange", "argmax", "argmin", "backend", "batch_flatten", "binary_crossentropy", "cast",
    "cast_to_floatx", "categorical_crossentropy", "clear_session", "clip", "concatenate", "constant", "cos", "cumsum",
    "dot", "elu", "epsilon", "equal", "exp", "expand_dims", "eye", "flatten", "floatx", "get_uid", "get_value",
    "greater", "greater_equal", "hard_sigmoid", "image_data_format", "int_shape", "is_tensor", "l2_normalize", "less",
    "less_equal", "log", "logsumexp", "max", "maximum", "mean", "min", "minimum", "ndim", "not_equal", "one_hot",
    "ones", "ones_like", "permute_dimensions", "pow", "prod", "random_normal", "random_uniform", "relu",
    "repeat_elements", "reshape", "round", "set_epsilon", "set_floatx", "set_value", "shape", "sigmoid", "sign",
    "sin", "softmax", "softplus", "softsign", "sparse_categorical_crossentropy", "sqrt", "square", "squeeze", "stack",
    "std", "stop_gradient", "sum", "switch", "tanh", "tile", "transpose", "var", "zeros", "zeros_like",
]  # fmt: skip

from lamina.ops import (
    abs,
    all,
    any,
    arange,
    argmax,
    argmin,
    binary_crossentropy,
    cast,
    categorical_crossentropy,
    clip,
    cos,
    cumsum,
    dot,
    elu,
    equal,
    exp,
    expand_dims,
    eye,
    greater,
    greater_equal,
    hard_sigmoid,
    less,
    less_equal,
    log,
    logsumexp,
    max,
    maximum,
    mean,
    min,
    minimum,
    ndim,
    not_equal,
    one_hot,
    ones,
    ones_like,
    prod,
    relu,
    reshape,
    round,
    shape,
    sigmoid,
    sign,
    sin,
    softmax,
    softplus,
    softsign,
    sparse_categorical_crossentropy,
    sqrt,
    square,
    squeeze,
    stack,
    std,
    stop_gradient,
    sum,
    tanh,
    tile,
    transpose,
    var,
    zeros,
    zeros_like,
)  # fmt: skip


def concatenate(tensors: Any, axis: int = -1) -> Any:
    """Return arrays joined along an axis."""
    return ops.concatenate(tensors, axis)


def get_value(x: Any) -> Any:
    """Return the values of a variable or an array."""
    return x.numpy() if hasattr(x, "numpy") else any_array("get_value", "x", x)


def set_value(x: Any, value: Any) -> None:
    """Assign values to a variable, or to a number of an optimizer, as its `learning_rate`."""
    if not hasattr(x, "assign"):
        raise KindError(f"set_value: x must be a variable; got {type(x).__name__}.")
    x.assign(value)


def constant(value: Any, dtype: Any = None, shape: Any = None, name: str | None = None) -> Any:
    """Return an array of a dtype, by default `floatx`, filled with a value if `shape` is given."""
    kind = dtype or floatx()
    return ops.cast(value, kind) if shape is None else ops.full(shape, value, kind)


def cast_to_floatx(x: Any) -> Any:
    """Return values in the default dtype, as a plain NumPy array."""
    return np.asarray(x, floatx())


def int_shape(x: Any) -> tuple[int | None, ...]:
    """Return the sizes of the axes; None for the batch of a symbolic tensor."""
    found: tuple[int | None, ...] = tuple(x.shape)
    return found


def flatten(x: Any) -> Any:
    """Return a flat array."""
    return ops.reshape(x, (-1,))


def batch_flatten(x: Any) -> Any:
    """Return each row as a flat array."""
    return ops.reshape(x, (ops.shape(x)[0], -1))


def permute_dimensions(x: Any, pattern: Any) -> Any:
    """Return an array with its axes in another order."""
    return ops.transpose(x, pattern)


def pow(x: Any, a: Any) -> Any:
    """Return ``x**a`` of each element."""
    return ops.power(x, a)


def repeat_elements(x: Any, rep: int, axis: int) -> Any:
    """Return an array with each element repeated along an axis."""
    return ops.repeat(x, rep, axis)


def l2_normalize(x: Any, axis: Any = None) -> Any:
    """Return vectors along an axis divided by their norms; the whole array if it is None."""
    square = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return ops.multiply(x, ops.rsqrt(ops.maximum(square, 1e-12)))


def switch(condition: Any, then_expression: Any, else_expression: Any) -> Any:
    """Return one of two arrays, or results of functions, element by element if the condition is an array."""
    chosen = [made() if callable(made) else made for made in (then_expression, else_expression)]
    return ops.where(condition, *chosen)


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Return normally distributed numbers; see `lamina.random.normal`."""
    return streams.normal(shape, mean, stddev, dtype, seed)


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | None = None
) -> Any:
    """Return uniformly distributed numbers; see `lamina.random.uniform`."""
    return streams.uniform(shape, minval, maxval, dtype, seed)


def is_tensor(x: Any) -> bool:
    """Return whether a value is an array."""
    return ops.is_tensor(x)
