"""What rules are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.network import Step
from lamina._files.onnx.graph import Graph, Node, axes_of

__all__ = [
    "axes_along", "columns", "constant", "function", "named", "only_flow", "per_column", "required",
]  # fmt: skip

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# Given the shape of a row of input, the steps.
Maker = Callable[[Shape], list[Step]]
# What gives a tensor, and the tensor that it works on; None where the rule does not know it.
Read = tuple[Maker, str] | None
# Reads an operator, with those before it that belong to the same layer.
Rule = Callable[[Graph, Node], Read]


def only_flow(graph: Graph, node: Node) -> str:
    """Return the one input that is no constant; it must come first."""
    flows = graph.flows(node)
    if len(flows) != 1 or node.inputs[0] != flows[0]:
        raise ConfigurationError(f"{node} must work on one tensor and constants; it works on {', '.join(node.inputs)}")
    return flows[0]


def constant(graph: Graph, node: Node, index: int) -> Array | None:
    """Return an input of an operator, which must be a constant; None if it is left out."""
    if index >= len(node.inputs) or not node.inputs[index]:
        return None
    value = graph.constant(node.inputs[index])
    if value is None:
        raise ConfigurationError(f"{node}: {node.inputs[index]!r} must be a constant")
    return value


def required(graph: Graph, node: Node, index: int) -> Array:
    """Return an input of an operator, which must be there and a constant."""
    value = constant(graph, node, index)
    if value is None:
        raise ConfigurationError(f"{node} must have more than {index} inputs")
    return value


def columns(node: Node, value: Array) -> Array:
    """Return constants for each column, or one for all, with one axis."""
    if value.ndim and value.size != value.shape[-1]:
        raise ConfigurationError(f"{node} has constants of shape {value.shape}; those along the last axis are read")
    return value.reshape(-1)


def per_column(values: Array, shape: Shape) -> Array:
    """Return constants as one number for each column of rows of a shape."""
    return np.broadcast_to(values.reshape(-1), shape[-1:]).copy()


def function(name: str, alpha: float | None = None) -> Maker:
    """Return what makes an activation, with its usual parameter if none is given."""
    return lambda shape: [steps.activation(name, shape, alpha)]


def axes_along(graph: Graph, node: Node) -> list[int] | None:
    """Return the axes along which an operator takes a mean, a sum or a maximum."""
    values = () if len(node.inputs) < 2 else (required(graph, node, 1),)
    return axes_of(node, *values)


def named(name: str) -> Rule:
    """Return the rule for an operator that is an activation."""
    return lambda graph, node: (function(name), only_flow(graph, node))
