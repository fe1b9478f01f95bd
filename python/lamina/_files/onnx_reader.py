"""Reads ONNX files whose graph is a chain of layers, as PyTorch, Keras, TensorFlow and scikit-learn write them.

The graph is followed from its output back to its input; each rule below knows what one layer looks like. What no rule
knows is refused by its name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.errors import damaged_where_wrong
from lamina._files.network import NetworkState, Step
from lamina._files.onnx_functions import Function, function_of
from lamina._files.onnx_graph import Graph, Node, axes_of, read_graph
from lamina._files.onnx_writer import require_onnx
from lamina._files.paths import require_file

__all__ = ["read_network"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# Given the shape of a row of input, the steps.
Maker = Callable[[Shape], list[Step]]
# What gives a tensor, and the tensor that it works on; None where the rule does not know it.
Read = tuple[Maker, str] | None
Rule = Callable[[Graph, Node], Read]

# Layers of one network that is read; a chain that is longer does not end.
_MOST = 100_000


def read_network(who: str, path: Path) -> NetworkState:
    """Read a network."""
    module = require_onnx(who)
    require_file(who, path)
    with damaged_where_wrong(who, path), np.errstate(all="ignore"):  # numbers of damaged files may be anything
        return network_of(read_graph(module, path))


def network_of(graph: Graph) -> NetworkState:
    """Return the network of a graph."""
    makers: list[Maker] = []
    at = graph.output
    while at != graph.input:
        maker, at = _read(graph, at)
        makers.append(maker)
        if len(makers) > _MOST:
            raise ConfigurationError("its operators go in a circle")
    found: list[Step] = []
    shape = graph.row_shape
    for maker in reversed(makers):
        for step in maker(shape):
            found = joined(found, step)
            shape = step.row_shape
    dtype = _dtype_of(graph, found)
    return NetworkState(
        graph.name or "model", dtype, graph.row_shape, graph.indices, [_as(step, dtype) for step in found]
    )


def _read(graph: Graph, tensor: str) -> tuple[Maker, str]:
    """Return what makes the steps that give a tensor, and the tensor that they work on."""
    node = graph.maker(tensor)
    if rule := _RULES.get(node.operator):
        found = rule(graph, node)
        if found is not None:
            return found
    known = function_of(graph, tensor)
    if known is not None:
        return _scaled_function(known), known.tensor
    if rule := _RULES_OF_ONE.get(node.operator):
        found = rule(graph, node)
        if found is not None:
            return found
    raise ConfigurationError(f"{node} is not read, or not in this place: from {', '.join(node.inputs)} to {tensor}")


def _dtype_of(graph: Graph, found: list[Step]) -> str:
    """Return the dtype of the steps' numbers; that of the input if they have none."""
    dtypes = {value.dtype for step in found for value in vars(step).values() if isinstance(value, np.ndarray)}
    if wrong := [str(dtype) for dtype in dtypes if dtype not in (np.float32, np.float64)]:
        raise ConfigurationError(f"its numbers are {wrong[0]}; float32 and float64 are read")
    if not dtypes and graph.kind == "float64":
        return "float64"
    return "float64" if np.dtype(np.float64) in dtypes else "float32"


def _as(step: Step, dtype: str) -> Step:
    arrays = {name: value.astype(dtype) for name, value in vars(step).items() if isinstance(value, np.ndarray)}
    return step.replaced(**arrays)


def joined(before: list[Step], step: Step) -> list[Step]:
    """Return steps with one more, which the last of them may take over: scales and shifts are often spelled alone."""
    last = before[-1] if before else None
    if isinstance(step, steps.Affine) and isinstance(last, steps.Affine):
        scale, shift = last.scale * step.scale, (last.shift - step.center) * step.scale + step.shift
        return [*before[:-1], last.replaced(scale=scale, shift=shift)]
    if isinstance(step, steps.Affine) and isinstance(last, steps.RowNorm) and not step.center.any():
        gamma = step.scale if last.gamma is None else last.gamma * step.scale
        beta = step.shift if last.beta is None else last.beta * step.scale + step.shift
        if last.centered or not beta.any():
            return [*before[:-1], last.replaced(gamma=gamma, beta=beta if last.centered else None)]
    return [*before, step]


# What rules need.


def _only_flow(graph: Graph, node: Node) -> str:
    """Return the one input that is no constant; it must come first."""
    flows = graph.flows(node)
    if len(flows) != 1 or node.inputs[0] != flows[0]:
        raise ConfigurationError(f"{node} must work on one tensor and constants; it works on {', '.join(node.inputs)}")
    return flows[0]


def _constant(graph: Graph, node: Node, index: int) -> Array | None:
    """Return an input of an operator, which must be a constant; None if it is left out."""
    if index >= len(node.inputs) or not node.inputs[index]:
        return None
    value = graph.constant(node.inputs[index])
    if value is None:
        raise ConfigurationError(f"{node}: {node.inputs[index]!r} must be a constant")
    return value


def _required(graph: Graph, node: Node, index: int) -> Array:
    value = _constant(graph, node, index)
    if value is None:
        raise ConfigurationError(f"{node} must have more than {index} inputs")
    return value


def _columns(node: Node, value: Array) -> Array:
    """Return constants for each column, or one for all, with one axis."""
    if value.ndim and value.size != value.shape[-1]:
        raise ConfigurationError(f"{node} has constants of shape {value.shape}; those along the last axis are read")
    return value.reshape(-1)


def _wide(values: Array, shape: Shape) -> Array:
    return np.broadcast_to(values.reshape(-1), shape[-1:]).copy()


def _one(step: Step) -> list[Step]:
    return [step]


def _function(name: str, alpha: float | None = None) -> Maker:
    """Return what makes an activation, with its usual parameter if none is given."""
    return lambda shape: [steps.activation(name, shape, alpha)]


def _scaled_function(known: Function) -> Maker:
    """Return what makes a function that was found."""
    if known.clipped is not None:
        slope, most, threshold = known.clipped
        return lambda shape: [steps.ClippedRelu("relu", shape, slope, most, threshold)]
    if known.factor == 1:
        return _function(known.name, known.alpha)
    return lambda shape: [
        _affine(shape, known.factor, 0), steps.activation(known.name, shape), _affine(shape, 1 / known.factor, 0),
    ]  # fmt: skip


# Rules for operators that are a layer, or a part of one that they say at once.


def _skipped(graph: Graph, node: Node) -> Read:
    return lambda shape: [], _only_flow(graph, node)


def _named(name: str) -> Rule:
    return lambda graph, node: (_function(name), _only_flow(graph, node))


def _with_alpha(name: str, default: float) -> Rule:
    return lambda graph, node: (
        _function(name, float(node.attributes.get("alpha", default))), _only_flow(graph, node),
    )  # fmt: skip


def _gelu(graph: Graph, node: Node) -> Read:
    exact = node.attributes.get("approximate", b"none") == b"none"
    return _function("gelu" if exact else "gelu_tanh"), _only_flow(graph, node)


def _selu(graph: Graph, node: Node) -> Read:
    given = node.attributes.get("alpha", 1.67326319), node.attributes.get("gamma", 1.05070102)
    if not np.allclose(given, (1.6732632423543772, 1.0507009873554805), rtol=1e-6, atol=0):
        raise ConfigurationError(f"{node} has the parameters {given}")
    return _function("selu"), _only_flow(graph, node)


def _shrink(graph: Graph, node: Node) -> Read:
    lambd, bias = float(node.attributes.get("lambd", 0.5)), float(node.attributes.get("bias", 0.0))
    if bias not in (0, lambd):
        raise ConfigurationError(f"{node} has a bias of {bias}; 0 and lambd, {lambd}, are read")
    return _function("soft_shrink" if bias else "hard_shrink", lambd), _only_flow(graph, node)


def _thresholded_relu(graph: Graph, node: Node) -> Read:
    threshold = float(node.attributes.get("alpha", 1.0))
    return lambda shape: [steps.ClippedRelu("relu", shape, 0.0, math.inf, threshold)], _only_flow(graph, node)


def _softmax(name: str) -> Rule:
    def rule(graph: Graph, node: Node) -> Read:
        axis = int(node.attributes.get("axis", -1 if graph.opset >= 13 else 1))

        def make(shape: Shape) -> list[Step]:
            if axis not in (-1, len(shape)) or (graph.opset < 13 and len(shape) != 1):
                raise ConfigurationError(f"{node} is along axis {axis}; along the last axis it is read")
            return [steps.activation(name, shape)]

        return make, _only_flow(graph, node)

    return rule


def _gemm(graph: Graph, node: Node) -> Read:
    if node.attributes.get("transA", 0):
        raise ConfigurationError(f"{node} transposes its input")
    kernel = _matrix(node, _required(graph, node, 1))
    kernel = (kernel.T if node.attributes.get("transB", 0) else kernel) * kernel.dtype.type(
        node.attributes.get("alpha", 1.0)
    )
    bias = _constant(graph, node, 2)
    if bias is not None:
        bias = _columns(node, bias) * bias.dtype.type(node.attributes.get("beta", 1.0))
    return _dense(node, kernel, bias), _only_flow(graph, node)


def _matrix(node: Node, value: Array) -> Array:
    if value.ndim != 2:
        raise ConfigurationError(f"{node} multiplies with constants of shape {value.shape}; matrices are read")
    return value


def _dense(node: Node, kernel: Array, bias: Array | None) -> Maker:
    def make(shape: Shape) -> list[Step]:
        if shape[-1] != kernel.shape[0]:
            raise ConfigurationError(f"{node} multiplies rows of shape {shape} with a matrix of shape {kernel.shape}")
        row = (*shape[:-1], kernel.shape[1])
        wide = None if bias is None else _wide(bias, row)
        return [steps.Dense("dense", row, np.ascontiguousarray(kernel), wide)]

    return make


def _matmul(graph: Graph, node: Node) -> Read:
    return _dense(node, _matrix(node, _required(graph, node, 1)), None), _only_flow(graph, node)


def _bias(graph: Graph, node: Node) -> Read:
    """Read a product and the sum after it as one layer."""
    flows = graph.flows(node)
    before = graph.made_by(flows[0], "MatMul") if len(flows) == 1 and len(node.inputs) == 2 else None
    if before is None:
        return None
    added = _required(graph, node, 1 - list(node.inputs).index(flows[0]))
    kernel = _matrix(before, _required(graph, before, 1))
    if added.ndim and added.size != added.shape[-1]:
        return None
    return _dense(before, kernel, _columns(node, added)), _only_flow(graph, before)


def _gather(graph: Graph, node: Node) -> Read:
    table, flows = graph.constant(node.inputs[0]), graph.flows(node)
    if table is None or table.ndim != 2 or int(node.attributes.get("axis", 0)) != 0 or len(flows) != 1:
        raise ConfigurationError(f"{node} must look up rows of a constant matrix by their indices")
    return lambda shape: [steps.Lookup("embedding", (*shape, table.shape[1]), table)], flows[0]


def _batch_norm(graph: Graph, node: Node) -> Read:
    if node.attributes.get("training_mode", 0):
        raise ConfigurationError(f"{node} is one that trains")
    gamma, beta, mean, variance = (_required(graph, node, index) for index in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", 1e-5))

    def make(shape: Shape) -> list[Step]:
        if len(shape) != 1:
            raise ConfigurationError(f"{node} normalizes rows of shape {shape}; those of one axis are read")
        wide = [_wide(one, shape) for one in (mean, variance, gamma, beta)]
        return [steps.BatchNorm("batch_normalization", shape, wide[0], wide[1], wide[2], wide[3], epsilon, 0.0)]

    return make, _only_flow(graph, node)


def _layer_norm(graph: Graph, node: Node) -> Read:
    beta = _constant(graph, node, 2) if node.operator == "LayerNormalization" else None
    axis, epsilon = int(node.attributes.get("axis", -1)), float(node.attributes.get("epsilon", 1e-5))
    maker = _row_norm(node, _required(graph, node, 1), beta, node.operator == "LayerNormalization", epsilon, axis)
    return maker, _only_flow(graph, node)


def _row_norm(
    node: Node, gamma: Array | None, beta: Array | None, centered: bool, epsilon: float, axis: int = -1
) -> Maker:
    """Return what makes the normalization of rows, along the axes from one on."""

    def make(shape: Shape) -> list[Step]:
        begin = (axis if axis >= 0 else len(shape) + 1 + axis) - 1
        if not 0 <= begin < len(shape):
            raise ConfigurationError(f"{node} normalizes rows of shape {shape} from axis {axis} on")
        flat = (*shape[:begin], math.prod(shape[begin:]))
        wide = [None if one is None else _wide(one, flat) for one in (gamma, beta)]
        norm = steps.RowNorm("normalization", flat, wide[0], wide[1], centered, epsilon)
        return [norm] if flat == shape else [steps.Reshape("flatten", flat), norm, steps.Reshape("reshape", shape)]

    return make


def _spelled_norm(graph: Graph, node: Node, divisor: str) -> Read:
    """Read ``x / sqrt(mean(x²) + epsilon)``, with or without ``x`` minus its mean."""
    x = graph.through(node.inputs[0])
    root = graph.made_by(divisor, "Sqrt")
    total = None if root is None else graph.made_by(root.inputs[0], "Add")
    if total is None:
        return None
    flows = graph.flows(total)
    squares = graph.made_by(flows[0], "ReduceMean") if len(flows) == 1 else None
    if squares is None or not _is_square(graph, squares.inputs[0], x):
        return None
    axes = _axes(graph, squares)
    epsilon = float(_required(graph, total, 1 - list(total.inputs).index(flows[0])))
    centered = graph.made_by(x, "Sub")
    mean = None if centered is None else graph.made_by(centered.inputs[1], "ReduceMean")
    if centered is not None and mean is not None and graph.through(mean.inputs[0]) == graph.through(centered.inputs[0]):
        if _axes(graph, mean) != axes:
            raise ConfigurationError(f"{node} divides by moments along other axes than {axes}")
        return _along(axes, _row_norm(node, None, None, True, epsilon)), centered.inputs[0]
    return _along(axes, _row_norm(node, None, None, False, epsilon)), x


def _axes(graph: Graph, node: Node) -> list[int] | None:
    """Return the axes along which an operator takes a mean, a sum or a maximum."""
    values = () if len(node.inputs) < 2 else (_required(graph, node, 1),)
    return axes_of(node, *values)


def _along(axes: list[int] | None, maker: Maker) -> Maker:
    """Return a maker that is for the last axis alone."""

    def make(shape: Shape) -> list[Step]:
        if axes not in ([-1], [len(shape)]):
            raise ConfigurationError(f"rows of shape {shape} are normalized along {axes}; along the last axis is read")
        return maker(shape)

    return make


def _is_square(graph: Graph, tensor: str, x: str) -> bool:
    product, power = graph.made_by(tensor, "Mul"), graph.made_by(tensor, "Pow")
    if power is not None:
        return graph.through(power.inputs[0]) == x and bool(_required(graph, power, 1) == 2)
    return product is not None and [graph.through(one) for one in product.inputs] == [x, x]


def _masked_mean(graph: Graph, node: Node) -> Read:
    """Read the mean over the steps whose index is not 0, as it is written here."""
    sums = [graph.made_by(name, "ReduceSum") for name in node.inputs]
    total, count = sums
    if total is None or count is None:
        return None
    mask = graph.through(count.inputs[0])
    product, chosen = graph.made_by(total.inputs[0], "Mul"), graph.made_by(total.inputs[0], "Where")
    if chosen is not None and not _required(graph, chosen, 2).any():
        by, x = chosen.inputs[:2]
    elif product is not None:
        x, by = product.inputs
    else:
        return None
    if graph.through(by) != mask or not _is_mask(graph, mask):
        return None
    if any(_axes(graph, one) != [1] for one in (total, count)):
        return None
    return _pool(node, "mean", bool(total.attributes.get("keepdims", 1)), True), x


def _is_mask(graph: Graph, tensor: str) -> bool:
    """Return whether a tensor is 1 where the network's input is not 0, with an axis for the columns."""
    wide = graph.made_by(tensor, "Unsqueeze")
    unequal = None if wide is None else graph.made_by(wide.inputs[0], "Not")
    equal = None if unequal is None else graph.made_by(unequal.inputs[0], "Equal")
    return equal is not None and graph.through(equal.inputs[0]) == graph.input and not _required(graph, equal, 1).any()


def _divided(graph: Graph, node: Node) -> Read:
    return _spelled_norm(graph, node, node.inputs[1]) or _masked_mean(graph, node)


def _multiplied(graph: Graph, node: Node) -> Read:
    inverse = graph.made_by(node.inputs[1], "Reciprocal")
    return None if inverse is None else _spelled_norm(graph, node, inverse.inputs[0])


def _pool(node: Node, pooling: str, keepdims: bool, masked: bool = False) -> Maker:
    def make(shape: Shape) -> list[Step]:
        if len(shape) != 2:
            raise ConfigurationError(f"{node} pools rows of shape {shape}; those of two axes are read")
        return [steps.Pool("pooling", (1, shape[1]) if keepdims else shape[1:], pooling, masked)]

    return make


def _reduced(pooling: str) -> Rule:
    def rule(graph: Graph, node: Node) -> Read:
        if _axes(graph, node) not in ([1], [-2]):
            raise ConfigurationError(f"{node} is not along the steps, the axis 1")
        return _pool(node, pooling, bool(node.attributes.get("keepdims", 1))), node.inputs[0]

    return rule


def _prelu(graph: Graph, node: Node) -> Read:
    slopes = _columns(node, _required(graph, node, 1))
    return lambda shape: [steps.Prelu("p_re_lu", shape, _wide(slopes, shape))], _only_flow(graph, node)


def _clip(graph: Graph, node: Node) -> Read:
    given = [_constant(graph, node, index) for index in (1, 2)]
    low, high = (None if one is None else float(one) for one in given)
    low = float(node.attributes.get("min", -math.inf)) if low is None else low
    high = float(node.attributes.get("max", math.inf)) if high is None else high
    if not math.isfinite(low):
        raise ConfigurationError(f"{node} has no least value")
    return _between(low, high), _only_flow(graph, node)


def _between(low: float, high: float) -> Maker:
    """Return what keeps numbers between two others."""
    known = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh"}.get((low, high))
    if known is not None:
        return _function(known)

    def make(shape: Shape) -> list[Step]:
        clipped = steps.ClippedRelu("relu", shape, 0.0, high - low, 0.0)
        return [clipped] if low == 0 else [_affine(shape, 1, -low), clipped, _affine(shape, 1, low)]

    return make


def _ramp(graph: Graph, node: Node) -> Read:
    slope, middle = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    for name, known in (("hard_sigmoid", 1 / 6), ("sparse_sigmoid", 0.5)):
        if middle == 0.5 and math.isclose(slope, known, rel_tol=1e-6):
            return _function(name), _only_flow(graph, node)
    return (
        lambda shape: [_affine(shape, slope, middle), steps.ClippedRelu("relu", shape, 0.0, 1.0, 0.0)],
        _only_flow(graph, node),
    )


def _affine(shape: Shape, scale: Any, shift: Any) -> Step:
    wide = [_wide(np.asarray(one, "float32"), shape) for one in (0, scale, shift)]
    return steps.Affine("rescaling", shape, *wide)


def _wrapped_indices(graph: Graph, node: Node) -> Read:
    """Read what lets negative indices count from the end; there are none here."""
    negative, x = graph.made_by(node.inputs[0], "Less"), graph.through(node.inputs[2])
    other = graph.made_by(node.inputs[1], "Add")
    if negative is None or other is None or not graph.indices:
        return None
    if graph.through(negative.inputs[0]) != x or graph.through(other.inputs[0]) != x:
        return None
    return None if _required(graph, negative, 1).any() else (lambda shape: [], node.inputs[2])


def _spelled_prelu(graph: Graph, node: Node) -> Read:
    """Read ``relu(x) + slopes * relu(-x)``, the slopes negative."""
    high, low = graph.made_by(node.inputs[0], "Relu"), graph.made_by(node.inputs[1], "Mul")
    flows = [] if low is None else graph.flows(low)
    relu = graph.made_by(flows[0], "Relu") if len(flows) == 1 else None
    negative = None if relu is None else graph.made_by(relu.inputs[0], "Neg")
    if high is None or low is None or negative is None:
        return None
    if graph.through(negative.inputs[0]) != graph.through(high.inputs[0]):
        return None
    slopes = _columns(node, _required(graph, low, 1 - list(low.inputs).index(flows[0])))
    slopes = -slopes if node.operator == "Add" else slopes
    return lambda shape: [steps.Prelu("p_re_lu", shape, _wide(slopes, shape))], high.inputs[0]


def _sum(graph: Graph, node: Node) -> Read:
    return _bias(graph, node) or _spelled_prelu(graph, node)


def _flatten(graph: Graph, node: Node) -> Read:
    if int(node.attributes.get("axis", 1)) != 1:
        raise ConfigurationError(f"{node} joins the rows of a batch")
    return lambda shape: _reshaped(shape, (math.prod(shape),)), _only_flow(graph, node)


def _reshaped(before: Shape, after: Shape) -> list[Step]:
    return [] if before == after else [steps.Reshape("reshape", after)]


def _reshape(graph: Graph, node: Node) -> Read:
    sizes = _sizes(graph, node, node.inputs[1])

    def make(shape: Shape) -> list[Step]:
        known = [shape[number - 1] if size == 0 and number else size for number, size in enumerate(sizes)][1:]
        if known.count(-1) == 1:
            known[known.index(-1)] = math.prod(shape) // max(1, -math.prod(known))
        if min(known, default=0) < 1 or math.prod(known) != math.prod(shape) or sizes[0] not in (-1, 0, graph.rows):
            raise ConfigurationError(f"{node} makes shape {sizes} of rows of shape {shape}; rows must stay rows")
        return _reshaped(shape, tuple(known))

    return make, node.inputs[0]


def _sizes(graph: Graph, node: Node, tensor: str) -> list[int]:
    """Return the sizes that a reshape is given; 0 for the number of rows, where that is computed."""
    value = graph.constant(tensor)
    if value is not None:
        return [int(size) for size in value.reshape(-1)]
    maker = graph.maker(tensor)
    if maker.operator == "Concat":
        return [size for one in maker.inputs for size in _sizes(graph, node, one)]
    if maker.operator in ("Unsqueeze", "Reshape", "Cast", "Squeeze", "Identity"):
        return _sizes(graph, node, maker.inputs[0])
    if maker.operator in ("Gather", "Slice") and graph.made_by(maker.inputs[0], "Shape") is not None:
        given = [_required(graph, maker, index).reshape(-1).tolist() for index in range(1, len(maker.inputs))]
        if given[0] == [0] and (maker.operator == "Gather" or given[1] == [1]):
            return [0]
    if maker.operator == "Shape" and maker.attributes.get("start", 0) == 0 and maker.attributes.get("end") == 1:
        return [0]
    raise ConfigurationError(f"{node} computes its shape, by {maker}, from more than the number of rows")


def _squeezed(graph: Graph, node: Node) -> Read:
    values = () if len(node.inputs) < 2 else (_required(graph, node, 1),)
    axes = axes_of(node, *values)

    def make(shape: Shape) -> list[Step]:
        rows = np.broadcast_to(np.zeros(1, bool), (2, *shape))  # two rows, so that their axis cannot go
        found = (
            np.expand_dims(rows, tuple(axes or ()))
            if node.operator == "Unsqueeze"
            else np.squeeze(rows, None if axes is None else tuple(axes))
        )
        if found.ndim < 2 or found.shape[0] != 2:
            raise ConfigurationError(f"{node} moves the axis of the rows")
        return _reshaped(shape, found.shape[1:])

    return make, _only_flow(graph, node)


def _two_classes(graph: Graph, node: Node) -> Read:
    """Read the probabilities ``[1 - p, p]``, ``p`` a sigmoid: the softmax of ``[0, z]``."""
    if len(node.inputs) != 2 or int(node.attributes["axis"]) not in (-1, 1):
        return None
    other, p = node.inputs
    rest, sigmoid = graph.made_by(other, "Sub"), graph.made_by(p, "Sigmoid")
    if rest is None or sigmoid is None or rest.inputs[1] != p or not np.all(_required(graph, rest, 0) == 1):
        return None

    def make(shape: Shape) -> list[Step]:
        if shape != (1,):
            raise ConfigurationError(
                f"{node} joins probabilities of rows of shape {shape}; those of one column are read"
            )
        kernel = np.array([[0, 1]], "float32")
        return [steps.Dense("classes", (2,), kernel, None), steps.activation("softmax", (2,))]

    return make, _only_flow(graph, sigmoid)


# Rules for single operators that no function of several was found for.


def _scaled(graph: Graph, node: Node) -> Read:
    flows = graph.flows(node)
    if len(flows) != 1 or len(node.inputs) != 2:
        return None
    first = node.inputs[0] == flows[0]
    value = _columns(node, _required(graph, node, int(first))).astype(np.float64)
    scale, shift = {
        "Mul": (value, 0), "Div": (1 / value, 0), "Add": (1, value), "Sub": (1, -value) if first else (-1, value),
    }[node.operator]  # fmt: skip
    if node.operator == "Div" and not first:
        return None
    dtype = "float64" if _required(graph, node, int(first)).dtype == np.float64 else "float32"

    def make(shape: Shape) -> list[Step]:
        wide = [_wide(np.asarray(one, dtype), shape) for one in (0, scale, shift)]
        return [steps.Affine("rescaling", shape, *wide)]

    return make, flows[0]


def _scaler(graph: Graph, node: Node) -> Read:
    """Read the standardization of scikit-learn's pipelines, of the operators for other learners."""
    offset, scale = (np.asarray(node.attributes[name], "float32") for name in ("offset", "scale"))
    return lambda shape: [
        steps.Affine("rescaling", shape, _wide(offset, shape), _wide(scale, shape), np.zeros(shape[-1], "float32"))
    ], _only_flow(graph, node)


def _negative(graph: Graph, node: Node) -> Read:
    return lambda shape: [_affine(shape, -1, 0)], _only_flow(graph, node)


_RULES: dict[str, Rule] = {
    "Add": _sum,
    "BatchNormalization": _batch_norm,
    "Cast": _skipped,
    "Celu": _with_alpha("celu", 1.0),
    "Clip": _clip,
    "Concat": _two_classes,
    "Div": _divided,
    "Dropout": _skipped,
    "Elu": _with_alpha("elu", 1.0),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "HardSigmoid": _ramp,
    "HardSwish": _named("hard_silu"),
    "Identity": _skipped,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _with_alpha("leaky_relu", 0.01),
    "LogSoftmax": _softmax("log_softmax"),
    "MatMul": _matmul,
    "Mish": _named("mish"),
    "Mul": _multiplied,
    "PRelu": _prelu,
    "RMSNormalization": _layer_norm,
    "ReduceMax": _reduced("maximum"),
    "ReduceMean": _reduced("mean"),
    "Reshape": _reshape,
    "Scaler": _scaler,
    "Selu": _selu,
    "Shrink": _shrink,
    "Softmax": _softmax("softmax"),
    "Squeeze": _squeezed,
    "Swish": _named("silu"),
    "ThresholdedRelu": _thresholded_relu,
    "Unsqueeze": _squeezed,
    "Sub": _spelled_prelu,
    "Where": _wrapped_indices,
}
_RULES_OF_ONE: dict[str, Rule] = {
    "Add": _scaled,
    "Div": _scaled,
    "Exp": _named("exponential"),
    "Mul": _scaled,
    "Neg": _negative,
    "Relu": _named("relu"),
    "Sigmoid": _named("sigmoid"),
    "Softplus": _named("softplus"),
    "Softsign": _named("softsign"),
    "Sub": _scaled,
    "Tanh": _named("tanh"),
}
