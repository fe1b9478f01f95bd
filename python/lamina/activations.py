"""Activation functions on arrays, and the lookup of names as in ``Dense(activation=...)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import KindError, flag, integer, integers, number
from lamina._common.custom import find as find_custom
from lamina._common.names import absences, unknown_name
from lamina._common.registry import register_functions
from lamina._data.arrays import float_array
from lamina._data.autodiff import array_module, differentiable, floats, is_traced
from lamina._data.symbols import of_symbols
from lamina._data.tensors import tensor
from lamina._engine.network import run_alone
from lamina._engine.ops import Kernel, relu_op

__all__ = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "gelu_tanh",
    "get",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "tanh",
    "tanh_shrink",
]

Array = npt.NDArray[Any]
Function = Callable[..., Any]


_TABLE = _core.activation_table()


def _forward(x: Array, name: str, alpha: float | None) -> Array:
    return np.asarray(_core.activation_forward(name, np.ascontiguousarray(x), alpha, None))


def _backward(dy: Array, y: Array, x: Array, name: str, alpha: float | None) -> Array:
    of = x if _TABLE[name]["derivative_of"] == "input" else y
    dy, of = np.ascontiguousarray(dy, y.dtype), np.ascontiguousarray(of)
    found = np.asarray(_core.activation_backward(name, of, dy, alpha, None))
    if not _TABLE[name]["rowwise"] and not np.isfinite(dy).all():  # 0 where the derivative is, also times infinity
        slope = np.asarray(_core.activation_backward(name, of, np.ones_like(dy), alpha, None))
        found = np.where(slope == 0, slope, found)
    return found


# The compiled activations, for functions that are differentiated; made on first use.
_traced: list[Any] = []


def _apply(name: str, x: npt.ArrayLike, alpha: float | None = None) -> Array:
    if is_traced(x):
        if not _traced:
            _traced.append(differentiable(_forward, _backward))
        result: Array = _traced[0](floats(x), name, alpha)
        return result
    array = float_array(f"activations.{name}", "x", x)
    return tensor(_core.activation_forward(name, array, alpha, None))


@of_symbols
def linear(x: npt.ArrayLike) -> Array:
    """Return ``x``."""
    return _apply("linear", x)


@of_symbols
def relu(
    x: npt.ArrayLike, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """Return ``max(x, 0)``, or the general form of `lamina.layers.ReLU`; the derivative at 0 is 0.

    Parameters
    ----------
    x : array_like, any shape
        float32 and float64 keep their dtype; integers become `lamina.config.floatx`.
    negative_slope, max_value, threshold
        As in `lamina.layers.ReLU`.

    Returns
    -------
    Tensor, shape of `x`

    Raises
    ------
    TypeError
        `x` does not hold real numbers.

    Examples
    --------
    >>> relu([-1.0, 2.0])
    Tensor([0., 2.])
    """
    who = "activations.relu"
    negative_slope = number(who, "negative_slope", negative_slope, least=0)
    threshold = number(who, "threshold", threshold, least=0)
    if not negative_slope and max_value is None and not threshold:
        return _apply("relu", x)
    most = None if max_value is None else number(who, "max_value", max_value, least=0)
    if is_traced(x):
        module, value = array_module(), floats(x)
        above = value if most is None else module.minimum(value, most)
        result: Array = module.where(value > threshold, above, negative_slope * (value - threshold))
        return result
    return tensor(run_alone(relu_op(negative_slope, most, threshold), float_array(who, "x", x)))


@of_symbols
def leaky_relu(x: npt.ArrayLike, negative_slope: float = 0.2) -> Array:
    """Return ``x`` where it is positive, ``negative_slope * x`` elsewhere; the slope is >= 0."""
    return _apply("leaky_relu", x, number("activations.leaky_relu", "negative_slope", negative_slope, least=0))


@of_symbols
def relu6(x: npt.ArrayLike) -> Array:
    """Return ``min(max(x, 0), 6)``."""
    return _apply("relu6", x)


@of_symbols
def elu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """Return ``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al. 2016)."""
    return _apply("elu", x, number("activations.elu", "alpha", alpha, least=0))


@of_symbols
def selu(x: npt.ArrayLike) -> Array:
    """Return ``1.0507 * elu(x, 1.67326)``, with the constants of Klambauer et al. 2017."""
    return _apply("selu", x)


@of_symbols
def gelu(x: npt.ArrayLike, approximate: bool = False) -> Array:
    """Return ``x * Phi(x)`` (Hendrycks & Gimpel 2016).

    Parameters
    ----------
    x : array_like, any shape
    approximate : bool
        Use ``x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))`` instead.

    Returns
    -------
    ndarray, shape of `x`

    Examples
    --------
    >>> gelu([-1.0, 1.0]).round(4)
    array([-0.1587,  0.8413])
    """
    return _apply("gelu_tanh" if flag("activations.gelu", "approximate", approximate) else "gelu", x)


@of_symbols
def gelu_tanh(x: npt.ArrayLike) -> Array:
    """Return ``gelu(x, approximate=True)``, by a name that layers take. Keras has no such name."""
    return _apply("gelu_tanh", x)


@of_symbols
def silu(x: npt.ArrayLike) -> Array:
    """Return ``x * sigmoid(x)``, also known as swish."""
    return _apply("silu", x)


@of_symbols
def sigmoid(x: npt.ArrayLike) -> Array:
    """Return ``1 / (1 + exp(-x))``."""
    return _apply("sigmoid", x)


@of_symbols
def hard_sigmoid(x: npt.ArrayLike) -> Array:
    """Return ``min(max(x + 3, 0), 6) / 6``."""
    return _apply("hard_sigmoid", x)


@of_symbols
def tanh(x: npt.ArrayLike) -> Array:
    """Return the hyperbolic tangent."""
    return _apply("tanh", x)


@of_symbols
def softplus(x: npt.ArrayLike) -> Array:
    """Return ``log(1 + exp(x))``."""
    return _apply("softplus", x)


@of_symbols
def softsign(x: npt.ArrayLike) -> Array:
    """Return ``x / (1 + |x|)``."""
    return _apply("softsign", x)


@of_symbols
def exponential(x: npt.ArrayLike) -> Array:
    """Return ``exp(x)``."""
    return _apply("exponential", x)


@of_symbols
def mish(x: npt.ArrayLike) -> Array:
    """Return ``x * tanh(softplus(x))`` (Misra 2019)."""
    return _apply("mish", x)


@of_symbols
def celu(x: npt.ArrayLike, alpha: float = 1.0) -> Array:
    """Return ``x`` where it is positive, ``alpha * (exp(x / alpha) - 1)`` elsewhere; alpha is > 0 (Barron 2017)."""
    return _apply("celu", x, number("activations.celu", "alpha", alpha, above=0))


@of_symbols
def hard_tanh(x: npt.ArrayLike) -> Array:
    """Return ``min(max(x, -1), 1)``."""
    return _apply("hard_tanh", x)


@of_symbols
def hard_silu(x: npt.ArrayLike) -> Array:
    """Return ``x * hard_sigmoid(x)``, also known as hard_swish (Howard et al. 2019)."""
    return _apply("hard_silu", x)


@of_symbols
def log_sigmoid(x: npt.ArrayLike) -> Array:
    """Return ``log(sigmoid(x))``."""
    return _apply("log_sigmoid", x)


@of_symbols
def soft_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """Return ``x`` moved towards 0 by the threshold; 0 if ``|x|`` is at most the threshold."""
    return _apply("soft_shrink", x, number("activations.soft_shrink", "threshold", threshold, least=0))


@of_symbols
def hard_shrink(x: npt.ArrayLike, threshold: float = 0.5) -> Array:
    """Return ``x`` where ``|x| > threshold``, else 0."""
    return _apply("hard_shrink", x, number("activations.hard_shrink", "threshold", threshold, least=0))


@of_symbols
def tanh_shrink(x: npt.ArrayLike) -> Array:
    """Return ``x - tanh(x)``."""
    return _apply("tanh_shrink", x)


@of_symbols
def squareplus(x: npt.ArrayLike, b: float = 4) -> Array:
    """Return ``(x + sqrt(x**2 + b)) / 2`` (Barron 2021)."""
    return _apply("squareplus", x, number("activations.squareplus", "b", b, least=0))


@of_symbols
def sparse_plus(x: npt.ArrayLike) -> Array:
    """Return 0 for ``x <= -1``, ``(x + 1)**2 / 4`` for ``-1 < x < 1``, ``x`` for ``x >= 1``."""
    return _apply("sparse_plus", x)


@of_symbols
def sparse_sigmoid(x: npt.ArrayLike) -> Array:
    """Return ``min(max((x + 1) / 2, 0), 1)``."""
    return _apply("sparse_sigmoid", x)


@of_symbols
def softmax(x: npt.ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """Return ``exp(x) / sum(exp(x))`` along an axis, shifted by the maximum.

    Parameters
    ----------
    x : array_like, at least one dimension
    axis : int or tuple of int
        One axis, or several that are treated as one; any other than the last costs a copy.

    Returns
    -------
    ndarray, shape of `x`

    Examples
    --------
    >>> softmax([2.0, -1.0, 5.0, 0.0]).round(8)
    array([0.04701312, 0.00234065, 0.9442837 , 0.00636253])
    """
    return _along_axis("softmax", x, axis)


@of_symbols
def log_softmax(x: npt.ArrayLike, axis: int | tuple[int, ...] = -1) -> Array:
    """Return ``x - log(sum(exp(x)))`` along an axis, shifted by the maximum."""
    return _along_axis("log_softmax", x, axis)


def _along_axis(name: str, x: Any, axis: int | tuple[int, ...]) -> Array:
    if is_traced(x):
        last = integer(f"activations.{name}", "axis", axis, -x.ndim, x.ndim - 1)
        module = array_module()
        result: Array = module.swapaxes(_apply(name, module.swapaxes(x, last, -1)), last, -1)
        return result
    array = float_array(f"activations.{name}", "x", x)
    axes = list(integers(f"activations.{name}", "axis", axis, -(2**31)))
    if not axes or any(not -array.ndim <= one < array.ndim for one in axes):
        raise ValueError(f"activations.{name}: axis must be in [{-array.ndim}, {array.ndim}); got {axis}.")
    axes = sorted({one % array.ndim for one in axes})
    if axes == [array.ndim - 1]:
        return _apply(name, array)
    ends = list(range(array.ndim - len(axes), array.ndim))
    moved = np.ascontiguousarray(np.moveaxis(array, axes, ends))
    found = _apply(name, moved.reshape(*moved.shape[: ends[0]], -1)).reshape(moved.shape)
    return np.moveaxis(found, ends, axes)


_FUNCTIONS: dict[str, Function] = {
    function.__name__: function
    for function in (
        linear, relu, leaky_relu, relu6, elu, selu, gelu, gelu_tanh, silu, sigmoid, hard_sigmoid, tanh, softplus,
        softsign, exponential, mish, celu, hard_tanh, hard_silu, log_sigmoid, soft_shrink, hard_shrink, tanh_shrink,
        squareplus, sparse_plus, sparse_sigmoid, softmax, log_softmax,
    )
}  # fmt: skip
swish, hard_swish = silu, hard_silu
_ALIASES = {"swish": silu, "hard_swish": hard_silu}
register_functions("activations", _FUNCTIONS)


# Functions that are the same in all frameworks; others have arguments whose defaults differ.
_COMMON = frozenset(
    {
        "elu", "log_sigmoid", "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus",
        "softsign", "swish", "tanh",
    }
)  # fmt: skip
_FRAMEWORKS = frozenset({"flax", "jax", "keras", "tensorflow", "tf_keras", "torch"})


def _counterpart(function: Any) -> Function | None:
    """Return the function of this module that is another framework's, or one of `lamina.ops`; None for others."""
    module, name = str(getattr(function, "__module__", None)), getattr(function, "__name__", "")
    known = module.split(".")[0] in _FRAMEWORKS or module.startswith("lamina.ops")
    if not known or not (name in _COMMON or ".activations" in module):
        return None
    return (_FUNCTIONS | _ALIASES).get(name)


def is_known(function: Function) -> bool:
    """Return whether a function is one of this module, which are compiled."""
    return any(known is function for known in _FUNCTIONS.values())


def is_name(name: object) -> bool:
    """Return whether `get` knows a name."""
    return isinstance(name, str) and name in _FUNCTIONS | _ALIASES


def get(identifier: object) -> Function:
    """Return an activation function from its name, or from the configuration of a function; None means `linear`.

    A function of another framework (``tf.nn.relu``, ``jax.nn.relu``, ``lamina.ops.relu``) stands for that of the same
    name if both are the same. Any other function is returned as it is.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.
    TypeError
        `identifier` is of another type.

    Examples
    --------
    >>> get("relu") is relu
    True
    """
    if isinstance(identifier, dict) and identifier.get("class_name") == "function":  # as Keras writes functions
        identifier = identifier.get("config")
        identifier = (isinstance(identifier, str) and find_custom(identifier)) or identifier
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        known: dict[str, Function] = _FUNCTIONS | _ALIASES
        if not is_name(identifier):
            raise unknown_name("activations.get", "activation", identifier, known)
        return known[identifier]
    if callable(identifier):
        return _counterpart(identifier) or identifier
    raise KindError(f"activations.get: activation must be a name or a function; got {type(identifier).__name__}.")


def serialize(function: Function) -> str:
    """Return the name of a function of this module.

    Raises
    ------
    ValueError
        The function is not of this module.
    """
    for name, known in _FUNCTIONS.items():
        if known is function:
            return name
    raise ValueError(f"activations.serialize: must be a function of lamina.activations; got {function!r}.")


def kernel_of(function: Function, who: str) -> Kernel:
    """Return the compiled activation that a layer runs for a function.

    Raises
    ------
    ValueError
        The function is user-defined.
    """
    for name, known in _FUNCTIONS.items():
        if known is function:
            return Kernel(name, _TABLE[name]["default_alpha"])
    raise ValueError(
        f"{who}: activation must be one of lamina.activations, whose derivatives are known; got {function!r}."
    )


def deserialize(config: object) -> Function:
    """Return an activation function from its name or configuration, as `get` does."""
    return get(config)


_ABSENT = {
    "glu": "it halves its input; compute it in a layer of your own",
    "sparsemax": "there is softmax",
    "threshold": "the layer ReLU has a threshold",
}


__getattr__ = absences(__name__, globals(), _ABSENT)
