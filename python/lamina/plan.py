"""A stack of layers as the engine sees it: a network of compiled steps over blocks of parameters."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from lamina import _core
from lamina.activations import Kernel

if TYPE_CHECKING:
    from lamina.layers.base import Layer, Shape

__all__ = [
    "ActivationStep", "ActivityStep", "BatchNormStep", "ClippedReluStep", "Constants", "DenseStep", "EmbeddingStep",
    "HostStep", "NoiseStep", "Plan", "PreluStep", "ReshapeStep", "RowNormStep", "ScaleStep", "Step", "make_plan",
]  # fmt: skip


class DenseStep(NamedTuple):
    """``activation(x @ kernel + bias)`` along the last axis."""

    layer: Layer
    units: int
    activation: Kernel


class EmbeddingStep(NamedTuple):
    """Rows of a table, looked up by their numbers; only where a network begins."""

    layer: Layer
    units: int


class ActivationStep(NamedTuple):
    """An activation of each element, or row."""

    activation: Kernel


class ReshapeStep(NamedTuple):
    """The same numbers in rows of another shape."""

    row_shape: Shape


class NoiseStep(NamedTuple):
    """Noise while training: "dropout", "gaussian" or "gaussian_dropout"."""

    noise: str
    rate: float
    key: int


class ScaleStep(NamedTuple):
    """``(x - centre) * scale + shift``, with a constant for each column."""

    scale: list[float]
    shift: list[float]
    centre: list[float]


class ClippedReluStep(NamedTuple):
    """``x`` above the threshold, kept within ``[0, most]`` where that is finite; ``slope (x - threshold)`` below."""

    slope: float
    most: float
    threshold: float


class PreluStep(NamedTuple):
    """ReLU with a trained slope for each column."""

    layer: Layer


class BatchNormStep(NamedTuple):
    """Columns less their mean, divided by ``max(sqrt(variance + epsilon), least)``.

    `tensors`: which weights are gamma, beta, mean and variance, -1 where there is none.
    """

    layer: Layer
    tensors: list[int]
    momentum: float
    epsilon: float
    frozen: bool = False  # the running means are used in training too, whatever the layer says
    least: float = 0.0


class RowNormStep(NamedTuple):
    """Normalization of rows; numbers of the layer's weights gamma and beta, -1 where there is none."""

    layer: Layer
    gamma: int
    beta: int
    centered: bool
    epsilon: float


class ActivityStep(NamedTuple):
    """A penalty ``l1 Σ|y| + l2 Σ y²`` on what comes by, divided by the rows of the batch."""

    l1: float
    l2: float


class HostStep(NamedTuple):
    """A layer that is computed in Python."""

    layer: Layer
    row_shape: Shape
    functions: Any  # has forward(x, training) and backward(dy, need_dx)


Step = (
    DenseStep
    | EmbeddingStep
    | ActivationStep
    | ReshapeStep
    | NoiseStep
    | ScaleStep
    | ClippedReluStep
    | PreluStep
    | BatchNormStep
    | RowNormStep
    | ActivityStep
    | HostStep
)


class Constants:
    """Whether anything that compiled networks hold as constants has changed: another object after each change."""

    changes = object()


class Plan(NamedTuple):
    """A network, and the layer whose parameters each of its steps holds, None where it holds none."""

    network: _core.Network
    owners: list[Layer | None]
    output_shape: Shape


LINEAR = Kernel("linear")


def _flattened(layers: Sequence[Layer]) -> list[Step]:
    """Return all layers' steps, with element activations taken up by the dense step before them."""
    steps: list[Step] = []
    for layer in layers:
        for step in layer.all_steps():
            if isinstance(step, DenseStep) and step.activation.rowwise:
                steps += [step._replace(activation=LINEAR), ActivationStep(step.activation)]
                continue
            before = steps[-1] if steps else None
            if isinstance(step, ActivationStep) and step.activation == LINEAR:
                continue
            if (
                isinstance(step, ActivationStep)
                and isinstance(before, DenseStep)
                and before.activation == LINEAR
                and not step.activation.rowwise
            ):
                steps[-1] = before._replace(activation=step.activation)
                continue
            steps.append(step)
    return steps or [ActivationStep(LINEAR)]


def _without_head(steps: list[Step]) -> list[Step]:
    """Return the steps without the final activation, which the loss will include."""
    last = steps[-1]
    if isinstance(last, DenseStep):
        return [*steps[:-1], last._replace(activation=LINEAR)]
    return steps[:-1] or [ActivationStep(LINEAR)]


def head_activation(layers: Sequence[Layer]) -> Kernel | None:
    """Return the activation that the output has gone through last, where it can be left out."""
    last = _flattened(layers)[-1]
    return last.activation if isinstance(last, (DenseStep, ActivationStep)) else None


def _check_shapes(layers: Sequence[Layer], row_shape: Shape) -> None:
    """Raise where a layer was built for other rows than the ones before it give: a model in the model was changed."""
    shape: tuple[int | None, ...] = (None, *row_shape)
    for layer in layers:
        if layer.weights and layer.input_row_shape != shape[1:]:
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: the layer was built for rows of shape "
                f"{layer.input_row_shape}; those before it give {shape[1:]}."
            )
        shape = layer.compute_output_shape(shape)


def _warn_of_one_class(steps: Sequence[Step], row_shape: Shape) -> None:
    """Warn where a softmax has one column, as Keras does: it is always 1, and nothing is learnt."""
    columns = row_shape[-1]
    for step in steps:
        if isinstance(step, ActivationStep) and step.activation.name == "softmax" and columns == 1:
            warnings.warn(
                "A softmax of one column is always 1, and nothing is learnt through it; for two classes in one column "
                "take a sigmoid.",
                stacklevel=6,
            )
        columns = (
            step.units if isinstance(step, (DenseStep, EmbeddingStep))
            else step.row_shape[-1] if isinstance(step, (ReshapeStep, HostStep)) else columns
        )  # fmt: skip


def make_plan(
    layers: Sequence[Layer], row_shape: Shape, dtype: str, *, logits: bool = False, sparse: bool = False
) -> Plan:
    """Compile built layers into a network.

    Parameters
    ----------
    layers : sequence of Layer
    row_shape : tuple of int
        Shape of one row of input.
    dtype : {"float32", "float64"}
    logits : bool
        Leave out the final activation.
    sparse : bool
        For sparse rows, which only a `Dense` layer reads.
    """
    _check_shapes(layers, row_shape)
    steps = _flattened(layers)
    _warn_of_one_class(steps, row_shape)
    if logits:
        steps = _without_head(steps)
    first = steps[0]
    if sparse and not isinstance(first, DenseStep):
        raise TypeError(
            f"x is sparse, which only a Dense layer can read; the model begins with {layers[0].name!r}. "
            "Make it dense first: x.toarray()."
        )
    reads = "sparse" if sparse else "indices" if isinstance(first, EmbeddingStep) else "dense"
    shape = row_shape
    specs: list[tuple[Any, ...]] = []
    owners: list[Layer | None] = []
    for step in steps:
        owner: Layer | None = None
        if isinstance(step, DenseStep):
            owner = step.layer
            specs.append(("dense", owner.block(), step.activation.name, step.activation.alpha))
            shape = (*shape[:-1], step.units)
        elif isinstance(step, EmbeddingStep):
            if step is not first:
                raise ValueError(
                    f"Embedding {step.layer.name!r}: must be the first layer of a model: it reads numbers of rows."
                )
            owner = step.layer
            specs.append(("dense", owner.block(), "linear", None))
            shape = (*shape, step.units)
        elif isinstance(step, ActivationStep):
            specs.append(("activation", step.activation.name, step.activation.alpha))
        elif isinstance(step, ReshapeStep):
            if step.row_shape[-1] == shape[-1]:
                shape = step.row_shape
                continue
            specs.append(("reshape", step.row_shape[-1]))
            shape = step.row_shape
        elif isinstance(step, NoiseStep):
            specs.append(("noise", step.noise, step.rate, step.key))
        elif isinstance(step, ScaleStep):
            specs.append(("scale", step.centre, step.scale, step.shift))
        elif isinstance(step, ClippedReluStep):
            specs.append(("clipped_relu", step.slope, step.most, step.threshold))
        elif isinstance(step, PreluStep):
            owner = step.layer
            specs.append(("prelu", owner.block()))
        elif isinstance(step, BatchNormStep):
            owner = step.layer
            frozen = step.frozen or not owner.trainable
            specs.append(("batch_norm", owner.block(), step.tensors, step.momentum, step.epsilon, step.least, frozen))
        elif isinstance(step, RowNormStep):
            owner = step.layer if step.layer.weights else None
            block = None if owner is None else owner.block()
            specs.append(("row_norm", block, step.gamma, step.beta, step.centered, step.epsilon))
        elif isinstance(step, ActivityStep):
            specs.append(("activity", step.l1, step.l2))
        else:
            owner = step.layer if step.layer.weights else None
            width, factor = step.row_shape[-1], math.prod(step.row_shape[:-1])
            specs.append(("host", owner.block() if owner is not None else None, width, factor, step.functions))
            shape = step.row_shape
        owners.append(owner)
    if not specs:
        specs, owners = [("activation", "linear", None)], [None]
    trained = [owner is not None and bool(owner.trainable_weights) for owner in owners]
    width, factor = row_shape[-1], math.prod(row_shape[:-1])
    if isinstance(first, EmbeddingStep):
        width, factor = first.layer.vocabulary or 0, math.prod(row_shape)
    network = _core.Network(dtype, width, factor, specs, trained, reads)
    return Plan(network, owners, shape)
