"""Reads ONNX files whose graph is a chain of layers, as PyTorch, Keras, TensorFlow and scikit-learn write them.

The graph is followed from its output back to its input; each rule knows what one layer looks like. What no rule knows
is refused by its name.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.errors import damaged_where_wrong
from lamina._files.network import NetworkState, Step
from lamina._files.onnx.functions import function_of
from lamina._files.onnx.graph import Graph, read_graph
from lamina._files.onnx.rules import elements, norms, products, shapes
from lamina._files.onnx.rules.parts import Maker, Rule
from lamina._files.onnx.writer import require_onnx
from lamina._files.paths import require_file

__all__ = ["read_network"]

# Layers of one network that is read; a chain that is longer does not end.
_MOST = 100_000
# In this order they are asked.
_RULES: tuple[dict[str, Rule], ...] = (products.RULES, norms.RULES, shapes.RULES, elements.RULES)


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
    for rules in _RULES:
        rule = rules.get(node.operator)
        found = rule(graph, node) if rule else None
        if found is not None:
            return found
    known = function_of(graph, tensor)
    if known is not None:
        return elements.scaled_function(known), known.tensor
    rule = elements.RULES_OF_ONE.get(node.operator)
    found = rule(graph, node) if rule else None
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
