"""Writes ONNX files: a graph of standard operators, a constant for each parameter, any number of rows.

Only operators of version 17 of the standard (2022) are written. What it lacks is composed of others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._files import network as steps
from lamina._files.network import NetworkState, Step
from lamina._files.writing import replace_file

__all__ = ["OPSET", "graph_of", "require_onnx", "write_network"]

Array = npt.NDArray[Any]


OPSET, _IR_VERSION = 17, 8

# Keras's and PyTorch's (Klambauer et al. 2017).
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def require_onnx(who: str) -> Any:
    """Return the module onnx, or raise ImportError that says how to get it."""
    try:
        import onnx
    except ImportError:
        raise ImportError(f"{who}: ONNX files need onnx: pip install 'lamina[onnx]'.") from None
    return onnx


def write_network(who: str, path: Path, state: NetworkState) -> None:
    """Write a network."""
    content = model_of(who, state).SerializeToString()
    with replace_file(who, path) as file:
        file.write(content)


def model_of(who: str, state: NetworkState) -> Any:
    """Return a network as a model of the package onnx, checked by it."""
    module = require_onnx(who)
    opsets = [module.helper.make_opsetid("", OPSET)]
    model = module.helper.make_model(
        graph_of(who, state), opset_imports=opsets, ir_version=_IR_VERSION, producer_name="lamina",
        producer_version=_core.__version__,
    )  # fmt: skip
    module.checker.check_model(model, full_check=True)
    return model


def graph_of(who: str, state: NetworkState, input_name: str = "input", output_name: str = "output") -> Any:
    """Return a network as a graph of the package onnx."""
    graph = Graph(require_onnx(who), np.dtype(state.dtype), input_name)
    shape = state.row_shape
    for number, step in enumerate(state.steps):
        graph.begin(f"{number}_{step.layer}")
        _WRITERS[type(step)](graph, step, shape)
        shape = step.row_shape
    return graph.finished(state, shape, output_name)


class Graph:
    """A graph that grows by one operator after the other; `at` is the name of what the last one returned."""

    def __init__(self, module: Any, dtype: np.dtype[Any], input_name: str) -> None:
        self._onnx, self.dtype = module, dtype
        self.input = self.at = input_name
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._prefix, self._count = "", 0

    def begin(self, prefix: str) -> None:
        """Begin a step: names of what follows begin with its own."""
        self._prefix, self._count = prefix, 0

    def constant(self, values: Any, name: str = "constant", dtype: Any = None) -> str:
        """Add a constant and return its name."""
        array = np.ascontiguousarray(values, self.dtype if dtype is None else dtype)
        full = self._name(name)
        self._constants.append(self._onnx.numpy_helper.from_array(array.reshape(np.shape(values)), full))
        return full

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator, of what the last one returned if no inputs are given, and return the name of its output."""
        self.at = self._name(operator)
        self._nodes.append(self._onnx.helper.make_node(operator, inputs, [self.at], name=self.at, **attributes))
        return self.at

    def apply(self, operator: str, *others: str, **attributes: Any) -> str:
        """Add an operator whose first input is what the last one returned."""
        return self.add(operator, self.at, *others, **attributes)

    def element_type(self, dtype: Any) -> int:
        """Return ONNX's number of a dtype."""
        return int(self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{self._prefix}/{what}_{self._count}"

    def finished(self, state: NetworkState, shape: steps.Shape, output_name: str) -> Any:
        """Return the graph of the package onnx, from rows of the state's shape to rows of `shape`."""
        helper = self._onnx.helper
        self._nodes.append(helper.make_node("Identity", [self.at], [output_name], name=output_name))
        read = "int64" if state.indices else self.dtype
        begin = helper.make_tensor_value_info(self.input, self.element_type(read), ["batch", *state.row_shape])
        end = helper.make_tensor_value_info(output_name, self.element_type(self.dtype), ["batch", *shape])
        return helper.make_graph(self._nodes, state.name, [begin], [end], self._constants)


def _dense(graph: Graph, step: steps.Dense, shape: steps.Shape) -> None:
    kernel = graph.constant(step.kernel, "kernel")
    bias = None if step.bias is None else graph.constant(step.bias, "bias")
    if len(shape) == 1:
        graph.apply("Gemm", kernel, *([] if bias is None else [bias]))
        return
    graph.apply("MatMul", kernel)
    if bias is not None:
        graph.apply("Add", bias)


def _lookup(graph: Graph, step: steps.Lookup, shape: steps.Shape) -> None:
    graph.add("Gather", graph.constant(step.table, "table"), graph.at)


def _reshape(graph: Graph, step: steps.Reshape, shape: steps.Shape) -> None:
    graph.apply("Reshape", graph.constant([0, *step.row_shape], "shape", "int64"))  # 0: as many rows as there are


def _affine(graph: Graph, step: steps.Affine, shape: steps.Shape) -> None:
    if step.center.any():
        graph.apply("Sub", graph.constant(step.center, "center"))
    graph.apply("Mul", graph.constant(step.scale, "scale"))
    if step.shift.any():
        graph.apply("Add", graph.constant(step.shift, "shift"))


def _clipped_relu(graph: Graph, step: steps.ClippedRelu, shape: steps.Shape) -> None:
    x, threshold = graph.at, graph.constant(step.threshold)
    below = graph.add("Mul", graph.add("Sub", x, threshold), graph.constant(step.slope))
    above = x if math.isinf(step.most) else graph.add("Min", x, graph.constant(step.most))
    graph.add("Where", graph.add("Greater", x, threshold), above, below)


def _prelu(graph: Graph, step: steps.Prelu, shape: steps.Shape) -> None:
    graph.apply("PRelu", graph.constant(step.slopes, "slopes"))


def _batch_norm(graph: Graph, step: steps.BatchNorm, shape: steps.Shape) -> None:
    if len(shape) == 1 and step.least == 0:  # this operator's columns are those of axis 1
        gamma = np.ones_like(step.mean) if step.gamma is None else step.gamma
        beta = np.zeros_like(step.mean) if step.beta is None else step.beta
        names = ("gamma", "beta", "mean", "variance")
        constants = zip((gamma, beta, step.mean, step.variance), names, strict=True)
        graph.apply("BatchNormalization", *(graph.constant(*one) for one in constants), epsilon=step.epsilon)
        return
    deviation = np.maximum(np.sqrt(step.variance.astype(np.float64) + step.epsilon), step.least)
    graph.apply("Sub", graph.constant(step.mean, "mean"))
    graph.apply("Mul", graph.constant((1 if step.gamma is None else step.gamma) / deviation, "scale"))
    if step.beta is not None:
        graph.apply("Add", graph.constant(step.beta, "beta"))


def _row_norm(graph: Graph, step: steps.RowNorm, shape: steps.Shape) -> None:
    if step.centered:
        gamma = graph.constant(np.ones(shape[-1]) if step.gamma is None else step.gamma, "gamma")
        beta = [] if step.beta is None else [graph.constant(step.beta, "beta")]
        graph.apply("LayerNormalization", gamma, *beta, axis=-1, epsilon=step.epsilon)
        return
    x = graph.at
    graph.add("ReduceMean", graph.add("Mul", x, x), axes=[-1], keepdims=1)
    graph.apply("Sqrt") if step.epsilon == 0 else graph.add("Sqrt", graph.apply("Add", graph.constant(step.epsilon)))
    graph.add("Div", x, graph.at)
    if step.gamma is not None:
        graph.apply("Mul", graph.constant(step.gamma, "gamma"))


def _pool(graph: Graph, step: steps.Pool, shape: steps.Shape) -> None:
    keep = int(len(step.row_shape) == len(shape))
    if step.pooling == "maximum":
        graph.apply("ReduceMax", axes=[1], keepdims=keep)
        return
    if not step.masked:
        graph.apply("ReduceMean", axes=[1], keepdims=keep)
        return
    axis, x = graph.constant([1], "axis", "int64"), graph.at
    padding = graph.add("Equal", graph.input, graph.constant(0, "padding", "int64"))
    mask = graph.add("Cast", graph.add("Not", padding), to=graph.element_type(graph.dtype))
    counted = graph.add("Unsqueeze", mask, graph.constant([2], "columns", "int64"))
    total = graph.add("ReduceSum", graph.add("Mul", x, counted), axis, keepdims=keep)
    graph.add("Div", total, graph.add("ReduceSum", counted, axis, keepdims=keep))


def _nothing(graph: Graph, step: steps.Noise, shape: steps.Shape) -> None:
    """Write nothing: predictions have no noise."""


def _activation(graph: Graph, step: steps.Activation, shape: steps.Shape) -> None:
    _ACTIVATIONS[step.name](graph, step.alpha)


def _operator(name: str, **attributes: Any) -> Callable[[Graph, float | None], object]:
    """Return what writes an activation that is an operator of the standard."""
    return lambda graph, alpha: graph.apply(name, **attributes)


def _with_alpha(name: str, attribute: str = "alpha", **attributes: Any) -> Callable[[Graph, float | None], object]:
    return lambda graph, alpha: graph.apply(name, **{attribute: alpha}, **attributes)


def _clip(low: float, high: float) -> Callable[[Graph, float | None], object]:
    return lambda graph, alpha: graph.apply("Clip", graph.constant(low), graph.constant(high))


# ONNX Runtime has some operators for float32 alone; for float64 they are composed of others.


def _elu(graph: Graph, alpha: float | None) -> None:
    if graph.dtype == np.float32:
        graph.apply("Elu", alpha=alpha)
    else:
        _scaled_elu(graph, required_alpha(alpha), 1)


def _selu(graph: Graph, alpha: float | None) -> None:
    if graph.dtype == np.float32:
        graph.apply("Selu", alpha=_SELU_ALPHA, gamma=_SELU_SCALE)
    else:
        _scaled_elu(graph, _SELU_ALPHA, _SELU_SCALE)


def _celu(graph: Graph, alpha: float | None) -> None:
    _scaled_elu(graph, required_alpha(alpha), 1, required_alpha(alpha))


def _scaled_elu(graph: Graph, alpha: float, scale: float, width: float = 1) -> None:
    """``scale * x`` above 0, ``scale * alpha * (exp(x / width) - 1)`` below."""
    x, one = graph.at, graph.constant(1)
    low = graph.add("Min", x, graph.constant(0))
    if width != 1:
        low = graph.add("Div", low, graph.constant(width))
    grown = graph.add("Mul", graph.add("Sub", graph.add("Exp", low), one), graph.constant(scale * alpha))
    high = graph.add("Relu", x)
    if scale != 1:
        high = graph.add("Mul", high, graph.constant(scale))
    graph.add("Add", high, grown)


def required_alpha(alpha: float | None) -> float:
    """Return the parameter of an activation that has one."""
    assert alpha is not None
    return alpha


def _softplus(graph: Graph, alpha: float | None) -> None:
    if graph.dtype == np.float32:
        graph.apply("Softplus")
        return
    x = graph.at
    graph.add("Exp", graph.add("Neg", graph.add("Abs", x)))
    graph.add("Add", graph.add("Log", graph.apply("Add", graph.constant(1))), graph.add("Relu", x))


def _softsign(graph: Graph, alpha: float | None) -> None:
    if graph.dtype == np.float32:
        graph.apply("Softsign")
        return
    x = graph.at
    graph.add("Div", x, graph.add("Add", graph.add("Abs", x), graph.constant(1)))


def _ramp(slope: float) -> Callable[[Graph, float | None], object]:
    """Return what writes ``slope * x + 0.5``, from 0 to 1."""

    def write(graph: Graph, alpha: float | None) -> None:
        if graph.dtype == np.float32:
            graph.apply("HardSigmoid", alpha=slope, beta=0.5)
            return
        graph.apply("Mul", graph.constant(slope))
        graph.apply("Add", graph.constant(0.5))
        graph.apply("Clip", graph.constant(0), graph.constant(1))

    return write


def _hard_silu(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    _ramp(1 / 6)(graph, None)
    graph.add("Mul", x, graph.at)


def _gelu(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    graph.add("Mul", x, graph.constant(math.sqrt(0.5)))
    if graph.dtype == np.float32:
        graph.apply("Erf")
    else:  # in float32, to six digits
        graph.apply("Cast", to=graph.element_type(np.float32))
        graph.apply("Erf")
        graph.apply("Cast", to=graph.element_type(graph.dtype))
    graph.add("Mul", x, graph.apply("Add", graph.constant(1)))
    graph.apply("Mul", graph.constant(0.5))


def _gelu_tanh(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    square = graph.add("Mul", x, x)
    inner = graph.add("Add", graph.add("Mul", square, graph.constant(0.044715)), graph.constant(1))
    graph.add("Mul", graph.add("Mul", x, inner), graph.constant(math.sqrt(2 / math.pi)))
    graph.add("Mul", x, graph.add("Add", graph.apply("Tanh"), graph.constant(1)))
    graph.apply("Mul", graph.constant(0.5))


def _silu(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    graph.add("Mul", x, graph.apply("Sigmoid"))


def _mish(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    _softplus(graph, None)
    graph.add("Mul", x, graph.apply("Tanh"))


def _log_sigmoid(graph: Graph, alpha: float | None) -> None:
    graph.apply("Neg")
    _softplus(graph, None)
    graph.apply("Neg")


def _soft_shrink(graph: Graph, alpha: float | None) -> None:
    graph.apply("Shrink", lambd=alpha, bias=alpha)


def _tanh_shrink(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    graph.add("Sub", x, graph.apply("Tanh"))


def _squareplus(graph: Graph, alpha: float | None) -> None:
    x = graph.at
    graph.add("Sqrt", graph.add("Add", graph.add("Mul", x, x), graph.constant(alpha)))
    graph.add("Mul", graph.add("Add", x, graph.at), graph.constant(0.5))


def _sparse_plus(graph: Graph, alpha: float | None) -> None:
    x, one = graph.at, graph.constant(1)
    middle = graph.add("Add", graph.add("Clip", x, graph.constant(-1), one), one)
    square = graph.add("Mul", graph.add("Mul", middle, middle), graph.constant(0.25))
    graph.add("Add", square, graph.add("Relu", graph.add("Sub", x, one)))


_ACTIVATIONS: dict[str, Callable[[Graph, float | None], object]] = {
    "celu": _celu,
    "elu": _elu,
    "exponential": _operator("Exp"),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "hard_shrink": _with_alpha("Shrink", "lambd"),
    "hard_sigmoid": _ramp(1 / 6),
    "hard_silu": _hard_silu,
    "hard_tanh": _clip(-1, 1),
    "leaky_relu": _with_alpha("LeakyRelu"),
    "log_sigmoid": _log_sigmoid,
    "log_softmax": _operator("LogSoftmax", axis=-1),
    "mish": _mish,
    "relu": _operator("Relu"),
    "relu6": _clip(0, 6),
    "selu": _selu,
    "sigmoid": _operator("Sigmoid"),
    "silu": _silu,
    "soft_shrink": _soft_shrink,
    "softmax": _operator("Softmax", axis=-1),
    "softplus": _softplus,
    "softsign": _softsign,
    "sparse_plus": _sparse_plus,
    "sparse_sigmoid": _ramp(0.5),
    "squareplus": _squareplus,
    "tanh": _operator("Tanh"),
    "tanh_shrink": _tanh_shrink,
}
_WRITERS: dict[type[Step], Callable[[Graph, Any, steps.Shape], None]] = {
    steps.Activation: _activation,
    steps.Affine: _affine,
    steps.BatchNorm: _batch_norm,
    steps.ClippedRelu: _clipped_relu,
    steps.Dense: _dense,
    steps.Lookup: _lookup,
    steps.Noise: _nothing,
    steps.Pool: _pool,
    steps.Prelu: _prelu,
    steps.Reshape: _reshape,
    steps.RowNorm: _row_norm,
}
