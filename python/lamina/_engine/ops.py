"""Ops: what a compiled network consists of. A layer compiles to one op, several, or none.

`lamina._core.Network` reads an op by its attributes: `kind` names the class of the engine that runs it, the other
attributes are the arguments of that class.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple, Protocol

from lamina import _core
from lamina._common.records import Record
from lamina._engine.variable import Variable

__all__ = [
    "LINEAR", "ActivationOp", "ActivityOp", "BatchNormOp", "ClippedReluOp", "DenseOp", "EmbeddingOp", "HostOp",
    "Kernel", "NoiseOp", "Op", "OpenShape", "Owner", "PoolOp", "PreluOp", "ReshapeOp", "RowNormOp", "ScaleOp", "Shape",
    "relu_op", "row_of",
]  # fmt: skip

Shape = tuple[int, ...]
# The shape of rows that may differ in some sizes: None.
OpenShape = tuple[int | None, ...]

_TABLE = _core.activation_table()


def row_of(batch_shape: tuple[int | None, ...]) -> Shape:
    """Return the shape of a row, given the shape of a batch, whose first size is that of the rows.

    Raises
    ------
    ValueError
        Some size is open: None.
    """
    found = tuple(size for size in batch_shape[1:] if size is not None)
    if len(found) != len(batch_shape) - 1:
        raise ValueError(f"rows must have one shape here; got {batch_shape[1:]}, where None is any size.")
    return found


class Kernel(NamedTuple):
    """A compiled activation: its name, and its ``alpha`` where it has one."""

    name: str
    alpha: float | None = None

    @property
    def rowwise(self) -> bool:
        """Whether an output depends on all elements along the last axis, as with softmax."""
        return bool(_TABLE[self.name]["rowwise"])


LINEAR = Kernel("linear")


class Owner(Protocol):
    """The layer that owns the parameters of an op."""

    @property
    def name(self) -> str:
        """Unique in a model."""

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters."""

    @property
    def engine_weights(self) -> list[Variable]:
        """Its variables of floats, without those of layers in it, in the order of the block's tensors."""

    def block(self) -> _core.Parameters:
        """Return the engine's memory for the parameters."""


class Op(Record):
    """Base class of the ops. By default an op has no parameters and keeps the shape of the rows."""

    kind: ClassVar[str]

    @property
    def owner(self) -> Owner | None:
        """The layer that owns the op's parameters, None if it has none."""
        return None

    @property
    def parameters(self) -> _core.Parameters | None:
        """The engine's memory for the parameters."""
        return None if self.owner is None else self.owner.block()

    @property
    def trains(self) -> bool:
        """Whether training changes some of the parameters."""
        owner = self.owner
        return owner is not None and owner.trainable and any(variable.trainable for variable in owner.engine_weights)

    def output_shape(self, row_shape: Shape) -> Shape:
        """Return the shape of an output row for input rows of shape `row_shape`."""
        return row_shape


class _OwnedOp(Op):
    """Base class of the ops that have parameters."""

    layer: Owner

    @property
    def owner(self) -> Owner | None:
        """The layer, None if it has no variables."""
        return self.layer if self.layer.engine_weights else None


class DenseOp(_OwnedOp):
    """``activation(x @ kernel + bias)`` along the last axis."""

    kind = "dense"
    units: int
    activation: Kernel

    def output_shape(self, row_shape: Shape) -> Shape:
        """Return the shape with `units` as its last size."""
        return (*row_shape[:-1], self.units)


class EmbeddingOp(_OwnedOp):
    """Rows of an embedding table, looked up by their indices. Only a network's first op can be one."""

    kind = "dense"
    rows: int
    units: int
    activation = LINEAR

    def output_shape(self, row_shape: Shape) -> Shape:
        """Return the shape with one more axis."""
        return (*row_shape, self.units)


class ActivationOp(Op):
    """An activation, of each element or along the last axis."""

    kind = "activation"
    activation: Kernel


class ReshapeOp(Op):
    """The same numbers in rows of another shape."""

    kind = "reshape"
    row_shape: Shape

    @property
    def width(self) -> int:
        """Columns of the engine's matrix of output."""
        return self.row_shape[-1]

    def output_shape(self, row_shape: Shape) -> Shape:
        """Return the new shape."""
        return self.row_shape


class NoiseOp(Op):
    """Noise while training, or always; `noise` is "dropout", "alpha_dropout", "gaussian" or "gaussian_dropout".

    With `lines_alike`, all steps of a row get the same noise.
    """

    kind = "noise"
    noise: str
    rate: float
    key: int
    always: bool = False
    lines_alike: bool = False


class PoolOp(Op):
    """Pools the steps of a row to one row of `row_shape`, column by column; `pooling` is "mean" or "maximum".

    With `masked`, steps whose index in the network's input is 0 are left out of the mean.
    """

    kind = "pool"
    pooling: str
    row_shape: Shape
    masked: bool = False

    def output_shape(self, row_shape: Shape) -> Shape:
        """Return the shape without steps, or with one."""
        return self.row_shape


class ScaleOp(Op):
    """``(x - center) * scale + shift``, with a constant for each column."""

    kind = "scale"
    scale: list[float]
    shift: list[float]
    center: list[float]


class ClippedReluOp(Op):
    """``x`` above the threshold, at most `most`; ``slope * (x - threshold)`` below."""

    kind = "clipped_relu"
    slope: float
    most: float
    threshold: float


class PreluOp(_OwnedOp):
    """ReLU with a trained slope for each column."""

    kind = "prelu"


class BatchNormOp(_OwnedOp):
    """Columns minus their mean, divided by ``max(sqrt(variance + epsilon), least)``.

    `tensors` are the indices of gamma, beta, mean and variance among the layer's weights, -1 for one that is not there.
    With `always_frozen` the running moments are used in training too.
    """

    kind = "batch_norm"
    tensors: list[int]
    momentum: float
    epsilon: float
    always_frozen: bool = False
    least: float = 0.0

    @property
    def frozen(self) -> bool:
        """Whether the running moments are used in training, too."""
        return self.always_frozen or not self.layer.trainable


class RowNormOp(_OwnedOp):
    """Normalization of each row; `gamma` and `beta` are indices among the layer's weights, -1 for none."""

    kind = "row_norm"
    gamma: int
    beta: int
    centered: bool
    epsilon: float


def relu_op(slope: float, most: float | None, threshold: float) -> Op:
    """Return the cheapest op for a ReLU with a slope below the threshold and an upper limit, None for no limit."""
    if threshold == 0 and most is None:
        return ActivationOp(Kernel("leaky_relu", slope) if slope else Kernel("relu"))
    if threshold == 0 and most == 6 and not slope:
        return ActivationOp(Kernel("relu6"))
    return ClippedReluOp(slope, math.inf if most is None else most, threshold)


class ActivityOp(Op):
    """A penalty ``l1 Σ|y| + l2 Σ y²`` on the values that pass, divided by the rows of the batch."""

    kind = "activity"
    l1: float
    l2: float


class HostOp(_OwnedOp):
    """A layer in Python: `functions` has ``forward(x, random, training)`` and ``backward(dy, need_dx)``."""

    kind = "host"
    row_shape: Shape
    functions: Any

    @property
    def width(self) -> int:
        """Columns of the engine's matrix of output."""
        return self.row_shape[-1]

    @property
    def factor(self) -> int:
        """Lines of that matrix for each row of the batch."""
        return math.prod(self.row_shape[:-1])

    def output_shape(self, row_shape: Shape) -> Shape:
        """Return the shape of a row that `forward` returns."""
        return self.row_shape
