"""Layers for functions and operators of symbolic tensors, as ``inputs / 255`` and ``ops.relu(hidden)``."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from lamina import activations
from lamina._common.names import snake_case, unique_name
from lamina.layers.activation import ELU, Activation, LeakyReLU, ReLU, Softmax
from lamina.layers.applied import Applied
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
    symbol: KerasTensor,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    named: Mapping[str, Any],
    name: str | None = None,
) -> KerasTensor:
    """Return the output of a layer that computes a function of one symbolic tensor and of constants.

    Activations, most of them also with arguments, and a number that is added or multiplied, are computed in the engine,
    all else as in a `Lambda`.
    """
    if function is activations.linear:
        return symbol
    made_of = Applied(symbol, function, arguments, named)
    function, arguments, named = made_of.called_with(symbol)
    settings: dict[str, Any] = {
        "name": unique_name(snake_case(made_of.title)) if name is None else name,
        "dtype": symbol.dtype if symbol.dtype in ("float32", "float64") else None,
    }
    if len(arguments) + len(named) == 1 and activations.is_known(function):
        layer: Layer = Activation(function, **settings)
    elif activations.is_known(function) and (kind := _kind_with_arguments(symbol, function, arguments, named)):
        layer = kind(**settings)
    elif (scaling := _scaling(symbol, function, arguments)) is not None:
        layer = Rescaling(*scaling, **settings)
    else:
        layer = Lambda(made_of, **settings)
    layer.made_of = made_of
    found: KerasTensor = layer(symbol)
    return found


def _kind_with_arguments(
    symbol: KerasTensor, function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]
) -> Callable[..., Layer] | None:
    """Return what makes the layer of an activation with arguments, None if there is none."""
    kind = _WITH_ARGUMENTS.get(function.__name__)
    _, *given = inspect.signature(function).bind(*arguments, **named).arguments.items()
    settings = dict(given)
    if kind is None or (kind is Softmax and settings["axis"] not in (-1, symbol.ndim - 1)):
        return None
    return partial(kind, **settings)


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


KerasTensor.layer_of = layer_of
