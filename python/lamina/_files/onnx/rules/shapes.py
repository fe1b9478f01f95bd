"""Rules for what keeps numbers and changes the shape of rows, and for pooling."""

from __future__ import annotations

import math

import numpy as np

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.network import Step
from lamina._files.onnx.graph import Graph, Node, axes_of
from lamina._files.onnx.rules.parts import Maker, Read, Rule, Shape, axes_along, only_flow, required

__all__ = ["RULES"]


def _skipped(graph: Graph, node: Node) -> Read:
    return lambda shape: [], only_flow(graph, node)


def _flatten(graph: Graph, node: Node) -> Read:
    if int(node.attributes.get("axis", 1)) != 1:
        raise ConfigurationError(f"{node} joins the rows of a batch")
    return lambda shape: _reshaped(shape, (math.prod(shape),)), only_flow(graph, node)


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
        given = [required(graph, maker, index).reshape(-1).tolist() for index in range(1, len(maker.inputs))]
        if given[0] == [0] and (maker.operator == "Gather" or given[1] == [1]):
            return [0]
    if maker.operator == "Shape" and maker.attributes.get("start", 0) == 0 and maker.attributes.get("end") == 1:
        return [0]
    raise ConfigurationError(f"{node} computes its shape, by {maker}, from more than the number of rows")


def _squeezed(graph: Graph, node: Node) -> Read:
    values = () if len(node.inputs) < 2 else (required(graph, node, 1),)
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

    return make, only_flow(graph, node)


def _pool(node: Node, pooling: str, keepdims: bool, masked: bool = False) -> Maker:
    def make(shape: Shape) -> list[Step]:
        if len(shape) != 2:
            raise ConfigurationError(f"{node} pools rows of shape {shape}; those of two axes are read")
        return [steps.Pool("pooling", (1, shape[1]) if keepdims else shape[1:], pooling, masked)]

    return make


def _reduced(pooling: str) -> Rule:
    def rule(graph: Graph, node: Node) -> Read:
        if axes_along(graph, node) not in ([1], [-2]):
            raise ConfigurationError(f"{node} is not along the steps, the axis 1")
        return _pool(node, pooling, bool(node.attributes.get("keepdims", 1))), node.inputs[0]

    return rule


def _masked_mean(graph: Graph, node: Node) -> Read:
    """Read the mean over the steps whose index is not 0, as it is written here."""
    sums = [graph.made_by(name, "ReduceSum") for name in node.inputs]
    total, count = sums
    if total is None or count is None:
        return None
    mask = graph.through(count.inputs[0])
    product, chosen = graph.made_by(total.inputs[0], "Mul"), graph.made_by(total.inputs[0], "Where")
    if chosen is not None and not required(graph, chosen, 2).any():
        by, x = chosen.inputs[:2]
    elif product is not None:
        x, by = product.inputs
    else:
        return None
    if graph.through(by) != mask or not _is_mask(graph, mask):
        return None
    if any(axes_along(graph, one) != [1] for one in (total, count)):
        return None
    return _pool(node, "mean", bool(total.attributes.get("keepdims", 1)), True), x


def _is_mask(graph: Graph, tensor: str) -> bool:
    """Return whether a tensor is 1 where the network's input is not 0, with an axis for the columns."""
    wide = graph.made_by(tensor, "Unsqueeze")
    unequal = None if wide is None else graph.made_by(wide.inputs[0], "Not")
    equal = None if unequal is None else graph.made_by(unequal.inputs[0], "Equal")
    return equal is not None and graph.through(equal.inputs[0]) == graph.input and not required(graph, equal, 1).any()


RULES: dict[str, Rule] = {
    "Cast": _skipped,
    "Div": _masked_mean,
    "Dropout": _skipped,
    "Flatten": _flatten,
    "Identity": _skipped,
    "ReduceMax": _reduced("maximum"),
    "ReduceMean": _reduced("mean"),
    "Reshape": _reshape,
    "Squeeze": _squeezed,
    "Unsqueeze": _squeezed,
}
