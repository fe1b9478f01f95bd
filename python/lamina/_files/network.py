"""A model as what it computes: steps with their numbers, one after the other, without layers.

Formats that other programs run are written from this. Rows have the shape that the step before gives; what works on
columns works along the last axis.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.records import Record

__all__ = [
    "Activation", "Affine", "BatchNorm", "ClippedRelu", "Dense", "Lookup", "NetworkState", "Noise", "Pool", "Prelu",
    "Reshape", "RowNorm", "Step", "activation", "affine", "between", "scaled_activation",
    "with_usual_parameter",
]  # fmt: skip

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


class Step(Record):
    """Base class of the steps.

    Attributes
    ----------
    layer : str
        Name of the layer that it is of.
    row_shape : tuple of int
        Shape of a row of output.
    """

    layer: str
    row_shape: Shape


class Dense(Step):
    """``x @ kernel + bias``, kernel ``(in, out)``."""

    kernel: Array
    bias: Array | None


class Lookup(Step):
    """Rows of a table for the indices that the network reads; its first step."""

    table: Array


class Activation(Step):
    """One of `lamina.activations`, by its name in the engine, with its ``alpha`` where it has one."""

    name: str
    alpha: float | None


def activation(name: str, row_shape: Shape, alpha: float | None = None) -> Activation:
    """Return the step of an activation, with its usual parameter if none is given."""
    usual = _core.activation_table()[name]["default_alpha"]
    return Activation(name, row_shape, name, usual if alpha is None else alpha)


class Reshape(Step):
    """The same numbers in rows of another shape."""


class Affine(Step):
    """``(x - center) * scale + shift``, a number for each column."""

    center: Array
    scale: Array
    shift: Array


class ClippedRelu(Step):
    """``min(x, most)`` above the threshold, ``slope * (x - threshold)`` elsewhere."""

    slope: float
    most: float
    threshold: float


class Prelu(Step):
    """ReLU with a slope for each column."""

    slopes: Array


class BatchNorm(Step):
    """``gamma * (x - mean) / max(sqrt(variance + epsilon), least) + beta``, each a number for each column.

    Training would multiply the running moments by `momentum` in each step.
    """

    mean: Array
    variance: Array
    gamma: Array | None
    beta: Array | None
    epsilon: float
    least: float
    momentum: float = 0.99


class RowNorm(Step):
    """``gamma * (x - mean) / sqrt(variance + epsilon) + beta`` with a row's own moments along the last axis.

    Without `centered` ``gamma * x / sqrt(mean(x²) + epsilon)``.
    """

    gamma: Array | None
    beta: Array | None
    centered: bool
    epsilon: float


class Pool(Step):
    """The mean or the maximum over the steps of rows ``(steps, columns)``; `pooling` is "mean" or "maximum".

    With `masked`, steps for which the network read the index 0 are left out of the mean.
    """

    pooling: str
    masked: bool


class Noise(Step):
    """Noise while the network is trained, nothing in predictions: see `lamina._engine.ops.NoiseOp`."""

    noise: str
    rate: float
    lines_alike: bool = False


def between(low: float, high: float, row_shape: Shape, dtype: str = "float32") -> list[Step]:
    """Return the steps that keep numbers between two others; `high` may be infinite."""
    known = {(0.0, math.inf): "relu", (0.0, 6.0): "relu6", (-1.0, 1.0): "hard_tanh"}.get((low, high))
    if known is not None:
        return [activation(known, row_shape)]
    clipped = ClippedRelu("relu", row_shape, 0.0, high - low, 0.0)
    return [clipped] if low == 0 else [affine(row_shape, 1, -low, dtype), clipped, affine(row_shape, 1, low, dtype)]


def scaled_activation(name: str, factor: float, row_shape: Shape, dtype: str = "float32") -> list[Step]:
    """Return the steps of ``f(factor * x) / factor``."""
    found = activation(name, row_shape)
    if factor == 1:
        return [found]
    return [affine(row_shape, factor, 0, dtype), found, affine(row_shape, 1 / factor, 0, dtype)]


def with_usual_parameter(step: Activation, dtype: str) -> list[Step]:
    """Return steps for an activation that use it with its usual parameter alone: it scales with the parameter."""
    usual = _core.activation_table()[step.name]["default_alpha"]
    if step.alpha == 0 and step.name in ("hard_shrink", "soft_shrink"):
        return []
    if step.alpha is None or step.alpha == usual or step.name not in _SCALING:
        return [step]
    return scaled_activation(step.name, usual / step.alpha, step.row_shape, dtype)


# Activations ``f(x)`` that are ``g(k x) / k`` with the usual parameter, k the quotient of the parameters.
_SCALING = ("celu", "hard_shrink", "soft_shrink")


def affine(row_shape: Shape, scale: float, shift: float, dtype: str = "float32") -> Affine:
    """Return ``scale * x + shift``."""
    center, scales, shifts = (np.full(row_shape[-1:], value, dtype) for value in (0, scale, shift))
    return Affine("rescaling", row_shape, center, scales, shifts)


class NetworkState(Record):
    """What a model computes.

    Attributes
    ----------
    name : str
    dtype : {"float32", "float64"}
    row_shape : tuple of int
        Shape of a row of input.
    indices : bool
        Whether the input holds whole numbers, indices of a table's rows.
    steps : list of Step
    examples : tuple of two arrays and a float, optional
        Rows of input, what the model predicts for them, and by how much (relative to 1 + its size) a number may differ
        where it is computed in another order.
    """

    name: str
    dtype: str
    row_shape: Shape
    indices: bool
    steps: list[Step]
    examples: tuple[Array, Array, float] | None = None
