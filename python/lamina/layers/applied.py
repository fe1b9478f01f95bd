"""Functions and operators of symbolic tensors, and the form in which Keras's files keep them."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lamina import activations
from lamina._common.checks import listed, mapping
from lamina._common.imports import late
from lamina._common.names import unknown_name
from lamina._common.objects import restored, serialize_keras_object
from lamina._common.records import Record

__all__ = ["HOLE", "Applied", "KerasOperation", "called_in", "is_operation", "with_values"]

# Keras's names of operators.
_OPERATORS: dict[str, Callable[..., Any]] = {
    "Absolute": operator.abs,
    "Add": operator.add,
    "FloorDivide": operator.floordiv,
    "GetItem": operator.getitem,
    "Matmul": operator.matmul,
    "Mod": operator.mod,
    "Multiply": operator.mul,
    "Negative": operator.neg,
    "Power": operator.pow,
    "Subtract": operator.sub,
    "TrueDivide": operator.truediv,
}
# Where Keras has the classes of its functions; those that are not named are in the first.
_ROOM = "keras.src.ops."
_ROOMS: dict[str, frozenset[str]] = {
    "numpy": frozenset(),
    "core": frozenset(("Cast", "ConvertToTensor", "StopGradient", "Unstack")),
    "linalg": frozenset(("Norm",)),
    "math": frozenset(("Erf", "InTopK", "Logsumexp", "Rsqrt", "TopK")),
    "nn": frozenset(
        (
            "BinaryCrossentropy", "CategoricalCrossentropy", "Celu", "Elu", "Gelu", "HardShrink", "HardSigmoid",
            "HardTanh", "LeakyRelu", "LogSigmoid", "LogSoftmax", "Moments", "Normalize", "OneHot", "Relu", "Relu6",
            "Selu", "Sigmoid", "Silu", "SoftShrink", "Softmax", "Softplus", "Softsign", "SparseCategoricalCrossentropy",
            "SparsePlus", "SparseSigmoid", "Squareplus", "TanhShrink",
        )
    ),
}  # fmt: skip
_RELU_ROOM = "keras.src.activations.activations"  # where there is one more, for relu with arguments
# The arguments that Keras's objects are called with; they are made with the others.
_CALLED_WITH = frozenset(
    (
        "a", "bins", "condition", "constant_values", "fill_value", "indices", "operands", "output", "predictions", "q",
        "target", "targets", "variable", "x", "x1", "x2", "xs",
    )
)  # fmt: skip
_CALLED_ALSO_WITH = {"Average": frozenset(("weights",)), "Isclose": frozenset(("atol", "rtol"))}
_OTHER_NAMES = {"allclose": "AllClose", "exponential": "Exp", "swish": "Silu"}
_NOT_IN_KERAS = frozenset(("gelu_tanh", "hard_silu", "linear", "mish"))  # there they take no symbolic tensors
_OPS = "lamina.ops."


def _class_name(function: str) -> str:
    """Return the name of Keras's class for a function."""
    return _OTHER_NAMES.get(function) or "".join(word[:1].upper() + word[1:] for word in function.split("_"))


# Those of which Keras has classes, by these.
_ACTIVATIONS_OF: dict[str, Callable[..., Any]] = {
    _class_name(name): getattr(activations, name)
    for name in activations.__all__
    if activations.is_name(name) and name not in _NOT_IN_KERAS
}


class _Hole:
    """Stands in the arguments of a function for the array."""


HOLE = _Hole


class KerasOperation(Record):
    """A function and its constant arguments as Keras's files keep them.

    Attributes
    ----------
    module, class_name : str
    config : dict
        Arguments of the constructor, but for the name.
    called_with : list
        Arguments of the call, with `HOLE` for the array.
    """

    module: str
    class_name: str
    config: dict[str, Any]
    called_with: list[Any]


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
        self, symbol: Any, function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]
    ) -> None:
        known = activations.is_known(function)
        self.function = function if known else getattr(function, "__wrapped__", function)  # the one that has its name
        self.arguments: tuple[Any, ...] = with_values(arguments, symbol, HOLE)
        self.named: dict[str, Any] = with_values(named, symbol, HOLE)
        if self.function.__module__.startswith(_OPS):
            self._take_activation()

    def _take_activation(self) -> None:
        """Take the function of `lamina.activations`, most of which are compiled, in place of the same one of ops."""
        activation = _ACTIVATIONS_OF.get(_class_name(self.function.__name__))
        if activation is None:
            return
        bound = inspect.signature(self.function).bind(*self.arguments, **self.named)
        bound.apply_defaults()
        defaults = {name: one.default for name, one in inspect.signature(activation).parameters.items()}
        self.function, self.arguments = activation, ()
        self.named = {name: value for name, value in bound.arguments.items() if not _same(value, defaults[name])}

    def __call__(self, x: Any) -> Any:
        """Return the function's value for an array."""
        function, arguments, named = self.called_with(x)
        return function(*arguments, **named)

    def called_with(self, x: Any) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """Return the function and its arguments for an array or a symbolic tensor."""
        return self.function, with_values(self.arguments, HOLE, x), with_values(self.named, HOLE, x)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Applied):
            return NotImplemented
        mine, others = (
            (one.arguments, *(value for pair in sorted(one.named.items()) for value in pair)) for one in (self, other)
        )
        return self.function is other.function and _same(mine, others)

    __hash__ = None  # type: ignore[assignment]  # it is compared by value

    @property
    def title(self) -> str:
        """The name of Keras's class, or the function's, for tables."""
        known = self.in_keras()
        return self.function.__name__ if known is None else known.class_name

    def in_keras(self) -> KerasOperation | None:
        """Return the form in which Keras keeps it; None if Keras has no such function of symbolic tensors."""
        for name, known in _OPERATORS.items():
            if known is self.function:
                return KerasOperation(_ROOM + "numpy", name, {}, list(self.arguments))
        name = self.function.__name__
        if name in _NOT_IN_KERAS or not (
            activations.is_known(self.function) or self.function.__module__.startswith(_OPS)
        ):
            return None
        bound = inspect.signature(self.function).bind(*self.arguments, **self.named)
        kind = _class_name(name)
        if kind == "Relu" and len(bound.arguments) > 1:
            kind, module = "ReLU", _RELU_ROOM
        else:
            module = _ROOM + next((room for room, kinds in _ROOMS.items() if kind in kinds), "numpy")
        if kind != "Relu":
            bound.apply_defaults()
        settings, called = _divided(kind, bound.arguments)
        if "operands" in called:
            return KerasOperation(module, kind, settings, list(called["operands"]))
        return KerasOperation(module, kind, settings, list(called.values()))

    def keras_config(self, name: str, symbol: dict[str, Any]) -> dict[str, Any] | None:
        """Return the entry of a graph's configuration, None if Keras has no such function of symbolic tensors.

        Parameters
        ----------
        name : str
            Of the entry.
        symbol : dict
            The configuration of the tensor that the function is called with.
        """
        known = self.in_keras()
        if known is None:
            return None
        return {
            "module": known.module,
            "class_name": known.class_name,
            "config": {"name": name, **serialize_keras_object(known.config)},
            "registered_name": known.class_name,
            "name": name,
            "inbound_nodes": [{"args": _entries(known.called_with, symbol), "kwargs": {}}],
        }


def _entries(values: list[Any], symbol: dict[str, Any]) -> list[Any]:
    """Return arguments as plain values, with the configuration of a tensor in place of the array."""
    return [
        symbol if value is HOLE
        else _entries(list(value), symbol) if isinstance(value, (list, tuple))
        else serialize_keras_object(value)
        for value in values
    ]  # fmt: skip


def _divided(kind: str, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments with which Keras makes an object, but for None, and those with which it is called."""
    called_with = _CALLED_WITH | _CALLED_ALSO_WITH.get(kind, frozenset())
    settings = {name: value for name, value in values.items() if name not in called_with and value is not None}
    return settings, {name: value for name, value in values.items() if name in called_with}


def is_operation(entry: Mapping[str, Any]) -> bool:
    """Return whether an entry of a graph's configuration is a function of Keras's, not a layer."""
    module = str(entry.get("module"))
    return module == _RELU_ROOM or module.startswith(_ROOM)


def called_in(
    who: str, entry: Mapping[str, Any], symbol: Any
) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return the function of an entry for which `is_operation` holds, and its arguments, with a symbolic tensor.

    Only functions of `lamina.ops` and of `lamina.activations` are known; nothing else is ever called.
    """
    kind, config = str(entry.get("class_name")), mapping(who, "the config of a function", entry.get("config", {}))
    (node,) = listed(who, "inbound_nodes", entry["inbound_nodes"])
    values = _filled(listed(who, "args", mapping(who, "a node", node).get("args", [])), symbol)
    settings = {name: restored(value) for name, value in config.items() if name not in ("name", "dtype_policy")}
    settings |= _filled(dict(mapping(who, "kwargs", node.get("kwargs") or {})), symbol)
    if kind in _OPERATORS:
        if kind == "GetItem" and len(values) > 1 and isinstance(values[1], list):
            values[1] = tuple(values[1])
        if settings:
            raise ValueError(f"{who}: {kind} must have no arguments by name; got {', '.join(settings)}.")
        return _OPERATORS[kind], tuple(values), {}
    function = _function_named(who, kind)
    if kind == "Einsum":
        return function, (settings.pop("subscripts"), *values), settings
    _, called = _divided(kind, inspect.signature(function).parameters)
    if len(values) > len(called):
        raise ValueError(f"{who}: {kind} must be called with at most {len(called)} arguments; got {len(values)}.")
    return function, (), dict(zip(called, values, strict=False)) | settings


def _function_named(who: str, kind: str) -> Callable[..., Any]:
    """Return the function for which Keras has a class."""
    ops = late("lamina.ops")
    functions: dict[str, Callable[..., Any]] = {_class_name(name): getattr(ops, name) for name in ops.__all__}
    functions |= _ACTIVATIONS_OF | {"ReLU": activations.relu}
    if kind not in functions:
        raise unknown_name(who, "function", kind, functions)
    return functions[kind]


def _filled(value: Any, symbol: Any) -> Any:
    """Return arguments of a node with a symbolic tensor in the place of its configuration."""
    if isinstance(value, dict):
        if value.get("class_name") == "__keras_tensor__":
            return symbol
        return restored(value) if "class_name" in value else {name: _filled(one, symbol) for name, one in value.items()}
    return [_filled(one, symbol) for one in value] if isinstance(value, (list, tuple)) else value


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    return one is other or bool(np.all(one == other))


def with_values(values: Any, symbol: Any, x: Any) -> Any:
    """Return values with an array in place of a symbolic tensor, also in lists, tuples and mappings."""
    if values is symbol:
        return x
    if isinstance(values, Mapping):
        return {name: with_values(value, symbol, x) for name, value in values.items()}
    if type(values) in (list, tuple):
        return type(values)(with_values(one, symbol, x) for one in values)
    return values
