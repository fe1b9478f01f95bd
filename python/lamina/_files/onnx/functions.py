"""Finds out which function of one number several operators compute together, however it is spelled.

The operators between two tensors are evaluated in float64 on numbers of all magnitudes, and compared with the functions
that a model can have.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.records import Record
from lamina._files.onnx.graph import Graph, Node

__all__ = ["Function", "function_of"]

Array = npt.NDArray[Any]

# Most operators that a function is spelled with.
_MOST = 40
_TOLERANCE = 2e-6  # of the largest of 1, the argument and the value: constants are often given to six digits

_CORE = 80.0  # a softplus by exp and log ends near 88 in float32, so what overflows beyond this does not count


class Function(Record):
    """An activation ``f(factor * x) / factor``.

    Attributes
    ----------
    name : str
    tensor : str
        What it is applied to.
    alpha : float or None
        Its parameter, None for the usual one.
    factor : float
    clipped : tuple of float, optional
        Slope, largest value and threshold, for a ReLU that has them.
    """

    name: str
    tensor: str
    alpha: float | None = None
    factor: float = 1.0
    clipped: tuple[float, float, float] | None = None


def function_of(graph: Graph, tensor: str) -> Function | None:
    """Return the activation that gives a tensor, None if none does.

    Of several, it is the one that spans the fewest operators.
    """
    for x, order in _spans(graph, tensor):
        with np.errstate(all="ignore"):
            values = _evaluated(graph, order, x, tensor)
        if values is None:
            continue
        finite = np.isfinite(values)
        if not finite[np.abs(_POINTS) <= _CORE].all():
            continue
        for name, expected in _table().items():
            if _alike(values, expected, finite):
                return Function(name, x)
        for name, at in _FAMILIES.items():
            alpha = -float(values[np.argmin(np.abs(_POINTS - at))])
            if alpha > 0 and _alike(values, _values(name, alpha), finite):
                return Function(name, x, alpha)
        if clipped := _clipped_relu(graph, order, values, finite):
            return Function("clipped_relu", x, clipped=clipped)
        for name, factor in _factors(values).items():
            if 0 < factor < math.inf and _alike(values, _values(name, None, factor) / factor, finite):
                return Function(name, x, factor=factor)
    return None


def _clipped_relu(graph: Graph, order: list[Node], values: Array, where: Array) -> tuple[float, float, float] | None:
    """Return slope, largest value and threshold of the ReLU that has these values; None if none has.

    The slope and the largest value are read off far from 0. The threshold is one of the constants.
    """
    given = [graph.constant(name) for node in order for name in node.inputs if name]
    numbers = {abs(float(one.reshape(-1)[0])) for one in given if one is not None and one.size == 1}
    slope = float(values[1] - values[0]) / float(_POINTS[1] - _POINTS[0])
    most = math.inf if values[-1] > _POINTS[-1] / 2 else float(values[-1])
    if not 0 <= slope < 1 or most <= 0:
        return None
    for threshold in sorted({0.0, *numbers}):
        expected = np.where(threshold < _POINTS, np.minimum(_POINTS, most), slope * (_POINTS - threshold))
        if _alike(values, expected, where):
            return slope, most, threshold
    return None


def _factors(values: Array) -> dict[str, float]:
    """Return the factors that give a scaled activation its value at 0 or 1: the beta of softplus and of swish."""
    at_0, at_1 = (float(values[np.argmin(np.abs(_POINTS - point))]) for point in (0, 1))
    return {
        "softplus": math.log(2) / at_0 if at_0 > 0 else 0.0,
        "silu": math.log(at_1 / (1 - at_1)) if 0 < at_1 < 1 else 0.0,
    }


def _alike(values: Array, expected: Array, where: Array) -> bool:
    scale = np.maximum(np.maximum(np.abs(_POINTS), np.abs(expected)), 1)
    return bool(np.all((np.abs(values - expected) <= _TOLERANCE * scale)[where]))


def _values(name: str, alpha: float | None, factor: float = 1) -> Array:
    """Return the values of an activation at the points times a factor."""
    return np.asarray(_core.activation_forward(name, factor * _POINTS, alpha, None))


def _spans(graph: Graph, tensor: str) -> list[tuple[str, list[Node]]]:
    """Return tensors from which a tensor follows by operators on single numbers, and these in order; nearest first."""
    inside: list[Node] = []
    frontier = [tensor]
    found = []
    while len(inside) < _MOST:
        # The operator to pass is one that no other one inside depends on any more.
        nodes = [(name, node) for name in frontier if (node := _elementwise(graph, name)) is not None]
        ready = [(name, node) for name, node in nodes if not _needed(graph, name, frontier)]
        if not ready:
            break
        name, node = ready[0]
        inside.append(node)
        frontier = list(dict.fromkeys([*(one for one in frontier if one != name), *graph.flows(node)]))
        if len(frontier) == 1 and len(inside) > 1:
            found.append((frontier[0], inside[::-1]))
    return found


def _needed(graph: Graph, tensor: str, frontier: list[str]) -> bool:
    """Return whether other tensors of a frontier follow from a tensor by a few operators."""
    seen: set[str] = set()
    open_ = [one for one in frontier if one != tensor]
    while open_ and len(seen) < 4 * _MOST:
        one = open_.pop()
        if one == tensor:
            return True
        node = None if one in seen else _elementwise(graph, one)
        seen.add(one)
        if node is not None:
            open_ += graph.flows(node)
    return False


def _elementwise(graph: Graph, tensor: str) -> Node | None:
    """Return the operator that returns a tensor, if it works on single numbers, and its constants are single ones."""
    if tensor == graph.input:
        return None
    node = graph.maker(tensor)
    constants = [value for name in node.inputs if name and (value := graph.constant(name)) is not None]
    return node if node.operator in _OPERATORS and all(value.size == 1 for value in constants) else None


def _evaluated(graph: Graph, order: list[Node], x: str, tensor: str) -> Array | None:
    """Return what operators give for the points."""
    values: dict[str, Any] = {x: _POINTS}
    for node in order:
        arguments: list[Any] = []
        for name in node.inputs:
            constant = graph.constant(name) if name else None
            if constant is not None:
                arguments.append(np.asarray(constant.reshape(()), np.float64))
            else:
                arguments.append(values[name] if name else None)
        found = _OPERATORS[node.operator](node.attributes, *arguments)
        if found is None:
            return None
        values[node.outputs[0]] = found
    return np.asarray(np.broadcast_to(values[tensor], _POINTS.shape), np.float64)


def _points() -> Array:
    sizes = np.concatenate([np.logspace(-8, 8, 97), np.linspace(0, 12, 481)[1:]])
    return np.concatenate([-sizes[::-1], [0.0], sizes])


_POINTS = _points()
# Activations with a parameter, and where its value is that, negative.
_FAMILIES = {"elu": -1e8, "celu": -1e8, "leaky_relu": -1.0}
_tables: list[dict[str, Array]] = []


def _table() -> dict[str, Array]:
    """Return the values of all activations of single numbers at the points."""
    if not _tables:
        _tables.append({
            name: _values(name, about["default_alpha"])
            for name, about in _core.activation_table().items()
            if not about["rowwise"] and name != "linear"
        })  # fmt: skip
    return _tables[0]


_erf = np.vectorize(math.erf, otypes=[np.float64])


def _clip(attributes: dict[str, Any], x: Array, low: Any = None, high: Any = None) -> Array:
    low, high = attributes.get("min", low), attributes.get("max", high)
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


def _selu(attributes: dict[str, Any], x: Array) -> Array:
    alpha, gamma = attributes.get("alpha", 1.6732632), attributes.get("gamma", 1.0507010)
    return np.asarray(gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))))


def _elu(attributes: dict[str, Any], x: Array) -> Array:
    return np.where(x > 0, x, attributes.get("alpha", 1.0) * np.expm1(np.minimum(x, 0)))


def _leaky_relu(attributes: dict[str, Any], x: Array) -> Array:
    return np.where(x >= 0, x, attributes.get("alpha", 0.01) * x)


def _hard_sigmoid(attributes: dict[str, Any], x: Array) -> Array:
    return np.asarray(np.clip(attributes.get("alpha", 0.2) * x + attributes.get("beta", 0.5), 0, 1))


def _sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda attributes, *values: function(*values)


_OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": _plain(np.abs),
    "Add": _plain(np.add),
    "And": _plain(np.logical_and),
    "Cast": _plain(lambda x: x.astype(np.float64)),
    "Clip": _clip,
    "Div": _plain(np.divide),
    "Elu": _elu,
    "Equal": _plain(np.equal),
    "Erf": _plain(_erf),
    "Exp": _plain(np.exp),
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    "Identity": _plain(lambda x: x),
    "LeakyRelu": _leaky_relu,
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Log": _plain(np.log),
    "Max": _plain(lambda *values: np.max(np.broadcast_arrays(*values), axis=0)),
    "Min": _plain(lambda *values: np.min(np.broadcast_arrays(*values), axis=0)),
    "Mul": _plain(np.multiply),
    "Neg": _plain(np.negative),
    "Not": _plain(np.logical_not),
    "Or": _plain(np.logical_or),
    "Pow": _plain(np.power),
    "Reciprocal": _plain(np.reciprocal),
    "Relu": _plain(lambda x: np.maximum(x, 0)),
    "Selu": _selu,
    "Sigmoid": _plain(_sigmoid),
    "Sign": _plain(np.sign),
    "Softplus": _plain(lambda x: np.logaddexp(0, x)),
    "Softsign": _plain(lambda x: x / (1 + np.abs(x))),
    "Sqrt": _plain(np.sqrt),
    "Sub": _plain(np.subtract),
    "Tanh": _plain(np.tanh),
    "Where": _plain(np.where),
}
