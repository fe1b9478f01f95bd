"""Rules for normalizations, in one operator or spelled by several."""

from __future__ import annotations

import math

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.network import Step
from lamina._files.onnx.graph import Graph, Node
from lamina._files.onnx.rules.parts import (
    Array,
    Maker,
    Read,
    Rule,
    Shape,
    axes_along,
    constant,
    only_flow,
    per_column,
    required,
)

__all__ = ["RULES"]


def _batch_norm(graph: Graph, node: Node) -> Read:
    if node.attributes.get("training_mode", 0):
        raise ConfigurationError(f"{node} is one that trains")
    gamma, beta, mean, variance = (required(graph, node, index) for index in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", 1e-5))

    def make(shape: Shape) -> list[Step]:
        if len(shape) != 1:
            raise ConfigurationError(f"{node} normalizes rows of shape {shape}; those of one axis are read")
        wide = [per_column(one, shape) for one in (mean, variance, gamma, beta)]
        return [steps.BatchNorm("batch_normalization", shape, wide[0], wide[1], wide[2], wide[3], epsilon, 0.0)]

    return make, only_flow(graph, node)


def _layer_norm(graph: Graph, node: Node) -> Read:
    beta = constant(graph, node, 2) if node.operator == "LayerNormalization" else None
    axis, epsilon = int(node.attributes.get("axis", -1)), float(node.attributes.get("epsilon", 1e-5))
    maker = _row_norm(node, required(graph, node, 1), beta, node.operator == "LayerNormalization", epsilon, axis)
    return maker, only_flow(graph, node)


def _row_norm(
    node: Node, gamma: Array | None, beta: Array | None, centered: bool, epsilon: float, axis: int = -1
) -> Maker:
    """Return what makes the normalization of rows, along the axes from one on."""

    def make(shape: Shape) -> list[Step]:
        begin = (axis if axis >= 0 else len(shape) + 1 + axis) - 1
        if not 0 <= begin < len(shape):
            raise ConfigurationError(f"{node} normalizes rows of shape {shape} from axis {axis} on")
        flat = (*shape[:begin], math.prod(shape[begin:]))
        wide = [None if one is None else per_column(one, flat) for one in (gamma, beta)]
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
    axes = axes_along(graph, squares)
    epsilon = float(required(graph, total, 1 - list(total.inputs).index(flows[0])))
    centered = graph.made_by(x, "Sub")
    mean = None if centered is None else graph.made_by(centered.inputs[1], "ReduceMean")
    if centered is not None and mean is not None and graph.through(mean.inputs[0]) == graph.through(centered.inputs[0]):
        if axes_along(graph, mean) != axes:
            raise ConfigurationError(f"{node} divides by moments along other axes than {axes}")
        return _along(axes, _row_norm(node, None, None, True, epsilon)), centered.inputs[0]
    return _along(axes, _row_norm(node, None, None, False, epsilon)), x


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
        return graph.through(power.inputs[0]) == x and bool(required(graph, power, 1) == 2)
    return product is not None and [graph.through(one) for one in product.inputs] == [x, x]


def _divided(graph: Graph, node: Node) -> Read:
    return _spelled_norm(graph, node, node.inputs[1])


def _multiplied(graph: Graph, node: Node) -> Read:
    inverse = graph.made_by(node.inputs[1], "Reciprocal")
    return None if inverse is None else _spelled_norm(graph, node, inverse.inputs[0])


RULES: dict[str, Rule] = {
    "BatchNormalization": _batch_norm,
    "Div": _divided,
    "LayerNormalization": _layer_norm,
    "Mul": _multiplied,
    "RMSNormalization": _layer_norm,
}
