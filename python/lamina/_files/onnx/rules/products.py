"""Rules for products with matrices, and rows of matrices by their indices."""

from __future__ import annotations

import numpy as np

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
    columns,
    constant,
    only_flow,
    per_column,
    required,
)

__all__ = ["RULES"]


def _gemm(graph: Graph, node: Node) -> Read:
    if node.attributes.get("transA", 0):
        raise ConfigurationError(f"{node} transposes its input")
    kernel = _matrix(node, required(graph, node, 1))
    kernel = (kernel.T if node.attributes.get("transB", 0) else kernel) * kernel.dtype.type(
        node.attributes.get("alpha", 1.0)
    )
    bias = constant(graph, node, 2)
    if bias is not None:
        bias = columns(node, bias) * bias.dtype.type(node.attributes.get("beta", 1.0))
    return _dense(node, kernel, bias), only_flow(graph, node)


def _matrix(node: Node, value: Array) -> Array:
    if value.ndim != 2:
        raise ConfigurationError(f"{node} multiplies with constants of shape {value.shape}; matrices are read")
    return value


def _dense(node: Node, kernel: Array, bias: Array | None) -> Maker:
    def make(shape: Shape) -> list[Step]:
        if shape[-1] != kernel.shape[0]:
            raise ConfigurationError(f"{node} multiplies rows of shape {shape} with a matrix of shape {kernel.shape}")
        row = (*shape[:-1], kernel.shape[1])
        wide = None if bias is None else per_column(bias, row)
        return [steps.Dense("dense", row, np.ascontiguousarray(kernel), wide)]

    return make


def _matmul(graph: Graph, node: Node) -> Read:
    return _dense(node, _matrix(node, required(graph, node, 1)), None), only_flow(graph, node)


def _bias(graph: Graph, node: Node) -> Read:
    """Read a product and the sum after it as one layer."""
    flows = graph.flows(node)
    before = graph.made_by(flows[0], "MatMul") if len(flows) == 1 and len(node.inputs) == 2 else None
    if before is None:
        return None
    added = required(graph, node, 1 - list(node.inputs).index(flows[0]))
    kernel = _matrix(before, required(graph, before, 1))
    if added.ndim and added.size != added.shape[-1]:
        return None
    return _dense(before, kernel, columns(node, added)), only_flow(graph, before)


def _gather(graph: Graph, node: Node) -> Read:
    table, flows = graph.constant(node.inputs[0]), graph.flows(node)
    if table is None or table.ndim != 2 or int(node.attributes.get("axis", 0)) != 0 or len(flows) != 1:
        raise ConfigurationError(f"{node} must look up rows of a constant matrix by their indices")
    return lambda shape: [steps.Lookup("embedding", (*shape, table.shape[1]), table)], flows[0]


def _wrapped_indices(graph: Graph, node: Node) -> Read:
    """Read what lets negative indices count from the end; there are none here."""
    negative, x = graph.made_by(node.inputs[0], "Less"), graph.through(node.inputs[2])
    other = graph.made_by(node.inputs[1], "Add")
    if negative is None or other is None or not graph.indices:
        return None
    if graph.through(negative.inputs[0]) != x or graph.through(other.inputs[0]) != x:
        return None
    return None if required(graph, negative, 1).any() else (lambda shape: [], node.inputs[2])


def _two_classes(graph: Graph, node: Node) -> Read:
    """Read the probabilities ``[1 - p, p]``, ``p`` a sigmoid: the softmax of ``[0, z]``."""
    if len(node.inputs) != 2 or int(node.attributes["axis"]) not in (-1, 1):
        return None
    other, p = node.inputs
    rest, sigmoid = graph.made_by(other, "Sub"), graph.made_by(p, "Sigmoid")
    if rest is None or sigmoid is None or rest.inputs[1] != p or not np.all(required(graph, rest, 0) == 1):
        return None

    def make(shape: Shape) -> list[Step]:
        if shape != (1,):
            raise ConfigurationError(
                f"{node} joins probabilities of rows of shape {shape}; those of one column are read"
            )
        kernel = np.array([[0, 1]], "float32")
        return [steps.Dense("classes", (2,), kernel, None), steps.activation("softmax", (2,))]

    return make, only_flow(graph, sigmoid)


RULES: dict[str, Rule] = {
    "Add": _bias,
    "Concat": _two_classes,
    "Gather": _gather,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Where": _wrapped_indices,
}
