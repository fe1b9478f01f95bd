"""Layers for functions and operators of symbolic tensors, as ``inputs / 255`` and ``ops.relu(hidden)``."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lamina import activations
from lamina._common.names import unique_name
from lamina.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from lamina.layers.base import Layer
from lamina.layers.function import Lambda
from lamina.layers.scaling import Rescaling
from lamina.layers.symbols import KerasTensor

__all__ = ["layer_of"]


# The layers of activations that have arguments.
_WITH_ARGUMENTS: dict[str, Callable[..., Layer]] = {
    "elu": ELU,
    "leaky_relu": LeakyReLU,
    "relu": ReLU,
    "softmax": Softmax,
}


def layer_of(
    symbol: KerasTensor, function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> KerasTensor:
    """Return the output of a layer that computes a function of one symbolic tensor and of constants.

    Activations, most of them also with arguments, and a number that is added or multiplied, are computed in the engine,
    all else as in a `Lambda`.
    """
    alone, made_of = len(arguments) + len(named) == 1, Applied(symbol, function, arguments, named)
    name = unique_name(function.__name__)
    if alone and activations.is_known(known := activations.get(function)):
        layer: Layer = Activation(known, name=name)
    elif (kind := _WITH_ARGUMENTS.get(function.__name__)) is not None and activations.is_known(function):
        _, *given = inspect.signature(function).bind(*arguments, **named).arguments.items()
        layer = kind(**dict(given), name=name)
    elif (scaling := _scaling(symbol, function, arguments)) is not None:
        layer = Rescaling(*scaling, name=name)
    else:
        layer = Lambda(made_of, name=name)
    layer.made_of = made_of
    found: KerasTensor = layer(symbol)
    return found


class _Hole:
    """Stands in the arguments of a function for the array."""


class Applied:
    """A function of an array and of constants.

    Parameters
    ----------
    symbol : KerasTensor
        Stands in the arguments for the array.
    function : callable
    arguments, named
        Of the function.
    """

    def __init__(
        self, symbol: KerasTensor, function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]
    ) -> None:
        known = activations.is_known(function)
        self._function = function if known else getattr(function, "__wrapped__", function)  # the one that has its name
        self._arguments, self._named = _with(arguments, symbol, _Hole), _with(named, symbol, _Hole)

    def __call__(self, x: Any) -> Any:
        return self._function(*_with(self._arguments, _Hole, x), **_with(self._named, _Hole, x))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Applied):
            return NotImplemented
        mine, others = (
            (one._arguments, *(value for pair in sorted(one._named.items()) for value in pair)) for one in (self, other)
        )
        return self._function is other._function and _same(mine, others)

    __hash__ = None  # type: ignore[assignment]  # it is compared by value


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return one is other or bool(np.all(one == other))


def _scaling(
    symbol: KerasTensor, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[float, float] | None:
    """Return factor and offset if a function is one of these operators with a number, else None."""
    number = next((one for one in arguments if one is not symbol), None)
    if not isinstance(number, (int, float)) or isinstance(number, bool):
        return None
    value, first = float(number), arguments[0] is symbol
    if function is operator.add:
        return 1.0, value
    if function is operator.sub:
        return (1.0, -value) if first else (-1.0, value)
    if function is operator.mul:
        return value, 0.0
    return (1.0 / value, 0.0) if function is operator.truediv and first and value else None


def _with(values: Any, symbol: Any, x: Any) -> Any:
    """Return values with an array in place of a symbolic tensor."""
    if values is symbol:
        return x
    if isinstance(values, Mapping):
        return {name: _with(value, symbol, x) for name, value in values.items()}
    return type(values)(_with(one, symbol, x) for one in values) if type(values) in (list, tuple) else values


KerasTensor.layer_of = layer_of
