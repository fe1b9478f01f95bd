"""Rules for what works on numbers one by one, or on the numbers of a row as softmax does."""

from __future__ import annotations

import math

import numpy as np

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.network import Step
from lamina._files.onnx.functions import Function
from lamina._files.onnx.graph import Graph, Node
from lamina._files.onnx.rules.parts import (
    Maker,
    Read,
    Rule,
    Shape,
    columns,
    constant,
    function,
    named,
    only_flow,
    per_column,
    required,
)

__all__ = ["RULES", "RULES_OF_ONE", "scaled_function"]


def scaled_function(known: Function) -> Maker:
    """Return what makes a function that was found."""
    if known.clipped is not None:
        slope, most, threshold = known.clipped
        return lambda shape: [steps.ClippedRelu("relu", shape, slope, most, threshold)]
    if known.factor == 1:
        return function(known.name, known.alpha)
    return lambda shape: steps.scaled_activation(known.name, known.factor, shape)


def _with_alpha(name: str, default: float) -> Rule:
    return lambda graph, node: (
        function(name, float(node.attributes.get("alpha", default))), only_flow(graph, node),
    )  # fmt: skip


def _gelu(graph: Graph, node: Node) -> Read:
    exact = node.attributes.get("approximate", b"none") == b"none"
    return function("gelu" if exact else "gelu_tanh"), only_flow(graph, node)


def _selu(graph: Graph, node: Node) -> Read:
    given = node.attributes.get("alpha", 1.67326319), node.attributes.get("gamma", 1.05070102)
    if not np.allclose(given, (1.6732632423543772, 1.0507009873554805), rtol=1e-6, atol=0):
        raise ConfigurationError(f"{node} has the parameters {given}")
    return function("selu"), only_flow(graph, node)


def _shrink(graph: Graph, node: Node) -> Read:
    lambd, bias = float(node.attributes.get("lambd", 0.5)), float(node.attributes.get("bias", 0.0))
    if bias not in (0, lambd):
        raise ConfigurationError(f"{node} has a bias of {bias}; 0 and lambd, {lambd}, are read")
    return function("soft_shrink" if bias else "hard_shrink", lambd), only_flow(graph, node)


def _thresholded_relu(graph: Graph, node: Node) -> Read:
    threshold = float(node.attributes.get("alpha", 1.0))
    return lambda shape: [steps.ClippedRelu("relu", shape, 0.0, math.inf, threshold)], only_flow(graph, node)


def _softmax(name: str) -> Rule:
    def rule(graph: Graph, node: Node) -> Read:
        axis = int(node.attributes.get("axis", -1 if graph.opset >= 13 else 1))

        def make(shape: Shape) -> list[Step]:
            if axis not in (-1, len(shape)) or (graph.opset < 13 and len(shape) != 1):
                raise ConfigurationError(f"{node} is along axis {axis}; along the last axis it is read")
            return [steps.activation(name, shape)]

        return make, only_flow(graph, node)

    return rule


def _prelu(graph: Graph, node: Node) -> Read:
    slopes = columns(node, required(graph, node, 1))
    return lambda shape: [steps.Prelu("p_re_lu", shape, per_column(slopes, shape))], only_flow(graph, node)


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
    slopes = columns(node, required(graph, low, 1 - list(low.inputs).index(flows[0])))
    slopes = -slopes if node.operator == "Add" else slopes
    return lambda shape: [steps.Prelu("p_re_lu", shape, per_column(slopes, shape))], high.inputs[0]


def _clip(graph: Graph, node: Node) -> Read:
    given = [constant(graph, node, index) for index in (1, 2)]
    low, high = (None if one is None else float(one) for one in given)
    low = float(node.attributes.get("min", -math.inf)) if low is None else low
    high = float(node.attributes.get("max", math.inf)) if high is None else high
    if not math.isfinite(low):
        raise ConfigurationError(f"{node} has no least value")
    return lambda shape: steps.between(low, high, shape), only_flow(graph, node)


def _ramp(graph: Graph, node: Node) -> Read:
    slope, middle = float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5))
    for name, known in (("hard_sigmoid", 1 / 6), ("sparse_sigmoid", 0.5)):
        if middle == 0.5 and math.isclose(slope, known, rel_tol=1e-6):
            return function(name), only_flow(graph, node)
    return (
        lambda shape: [steps.affine(shape, slope, middle), steps.ClippedRelu("relu", shape, 0.0, 1.0, 0.0)],
        only_flow(graph, node),
    )


def _scaled(graph: Graph, node: Node) -> Read:
    flows = graph.flows(node)
    if len(flows) != 1 or len(node.inputs) != 2:
        return None
    first = node.inputs[0] == flows[0]
    value = columns(node, required(graph, node, int(first))).astype(np.float64)
    scale, shift = {
        "Mul": (value, 0), "Div": (1 / value, 0), "Add": (1, value), "Sub": (1, -value) if first else (-1, value),
    }[node.operator]  # fmt: skip
    if node.operator == "Div" and not first:
        return None
    dtype = "float64" if required(graph, node, int(first)).dtype == np.float64 else "float32"

    def make(shape: Shape) -> list[Step]:
        wide = [per_column(np.asarray(one, dtype), shape) for one in (0, scale, shift)]
        return [steps.Affine("rescaling", shape, *wide)]

    return make, flows[0]


def _scaler(graph: Graph, node: Node) -> Read:
    """Read the standardization of scikit-learn's pipelines, of the operators for other learners."""
    offset, scale = (np.asarray(node.attributes[name], "float32") for name in ("offset", "scale"))
    return lambda shape: [
        steps.Affine(
            "rescaling", shape, per_column(offset, shape), per_column(scale, shape), np.zeros(shape[-1], "float32")
        )
    ], only_flow(graph, node)


def _negative(graph: Graph, node: Node) -> Read:
    return lambda shape: [steps.affine(shape, -1, 0)], only_flow(graph, node)


RULES: dict[str, Rule] = {
    "Add": _spelled_prelu,
    "Celu": _with_alpha("celu", 1.0),
    "Clip": _clip,
    "Elu": _with_alpha("elu", 1.0),
    "Gelu": _gelu,
    "HardSigmoid": _ramp,
    "HardSwish": named("hard_silu"),
    "LeakyRelu": _with_alpha("leaky_relu", 0.01),
    "LogSoftmax": _softmax("log_softmax"),
    "Mish": named("mish"),
    "PRelu": _prelu,
    "Scaler": _scaler,
    "Selu": _selu,
    "Shrink": _shrink,
    "Softmax": _softmax("softmax"),
    "Sub": _spelled_prelu,
    "Swish": named("silu"),
    "ThresholdedRelu": _thresholded_relu,
}
# For operators that several are spelled with: they hold where no function of several is found.
RULES_OF_ONE: dict[str, Rule] = {
    "Add": _scaled,
    "Div": _scaled,
    "Exp": named("exponential"),
    "Mul": _scaled,
    "Neg": _negative,
    "Relu": named("relu"),
    "Sigmoid": named("sigmoid"),
    "Softplus": named("softplus"),
    "Softsign": named("softsign"),
    "Sub": _scaled,
    "Tanh": named("tanh"),
}
