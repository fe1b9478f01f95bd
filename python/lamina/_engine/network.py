"""Compiles built layers into a network of the engine."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from lamina import _core
from lamina._common.records import Record
from lamina._common.warn import warn
from lamina._engine.ops import (
    LINEAR,
    ActivationOp,
    DenseOp,
    EmbeddingOp,
    Kernel,
    Op,
    OpenShape,
    Owner,
    PoolOp,
    ReshapeOp,
    Shape,
)
from lamina._engine.variable import Variable

__all__ = ["CompiledLayer", "CompiledNetwork", "Constants", "compile_network", "head_activation", "ops_of", "run_alone"]


class CompiledLayer(Protocol):
    """A layer, as `compile_network` reads it."""

    @property
    def name(self) -> str:
        """Unique in a model."""

    @property
    def weights(self) -> list[Variable]:
        """All variables."""

    @property
    def input_row_shape(self) -> OpenShape | None:
        """The shape of rows of input that the layer was built for."""

    def takes_row(self, row_shape: OpenShape) -> bool:
        """Return whether the layer takes rows of a shape."""

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""

    def all_ops(self) -> list[Op]:
        """Return the ops that the layer compiles to."""

    def passes_mask(self, masked: bool) -> bool:
        """Return whether the output has a mask of steps, given whether the input has one."""


class Constants:
    """Values baked into compiled networks: `changes` is replaced by a new object whenever one of them changes."""

    changes = object()


class CompiledNetwork(Record):
    """A network of the engine, the layer that owns the parameters of each op (or None), and the shape of output."""

    network: _core.Network
    owners: list[Owner | None]
    output_shape: Shape


def ops_of(layers: Sequence[CompiledLayer]) -> Iterator[tuple[CompiledLayer, Op]]:
    """Yield the ops of all layers with their layer, those that pool as they do it if their input is masked."""
    masked = False
    for layer in layers:
        for op in layer.all_ops():
            pools = masked and isinstance(op, PoolOp) and op.pooling == "mean"
            yield layer, op.replaced(masked=True) if pools else op
        masked = layer.passes_mask(masked)


def _flattened(layers: Sequence[CompiledLayer]) -> list[Op]:
    """Return the ops of all layers; a dense op takes over the element-wise activation that follows it."""
    ops: list[Op] = []
    for _, op in ops_of(layers):
        before = ops[-1] if ops else None
        if isinstance(op, DenseOp) and op.activation.rowwise:
            ops += [op.replaced(activation=LINEAR), ActivationOp(op.activation)]
        elif isinstance(op, ActivationOp) and op.activation == LINEAR:
            continue
        elif (
            isinstance(op, ActivationOp)
            and not op.activation.rowwise
            and isinstance(before, DenseOp)
            and before.activation == LINEAR
        ):
            ops[-1] = before.replaced(activation=op.activation)
        else:
            ops.append(op)
    return ops or [ActivationOp(LINEAR)]


def _without_head(ops: list[Op]) -> list[Op]:
    """Return the ops without the final activation, which the loss will include."""
    last = ops[-1]
    if isinstance(last, DenseOp):
        return [*ops[:-1], last.replaced(activation=LINEAR)]
    return ops[:-1] or [ActivationOp(LINEAR)]


def head_activation(layers: Sequence[CompiledLayer]) -> Kernel | None:
    """Return the final activation of the output, None if the network ends with another op."""
    last = _flattened(layers)[-1]
    return last.activation if isinstance(last, (DenseOp, ActivationOp)) else None


def _check_shapes(layers: Sequence[CompiledLayer], row_shape: Shape) -> None:
    """Raise if a layer was built for another shape of rows than the layers before it return.

    This happens after a change of a nested model.
    """
    shape: tuple[int | None, ...] = (None, *row_shape)
    for layer in layers:
        if layer.weights and not layer.takes_row(shape[1:]):
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: the layer was built for rows of shape "
                f"{layer.input_row_shape}; those before it give {shape[1:]}."
            )
        shape = layer.compute_output_shape(shape)


def _warn_of_one_class(ops: Sequence[Op], row_shape: Shape) -> None:
    """Warn, as Keras does, about a softmax over one column: its output is always 1, so nothing is learnt."""
    for op in ops:
        if isinstance(op, ActivationOp) and op.activation.name == "softmax" and row_shape[-1] == 1:
            warn(
                "A softmax of one column is always 1, and nothing is learnt through it; for two classes in one column "
                "take a sigmoid."
            )
        row_shape = op.output_shape(row_shape)


def compile_network(
    layers: Sequence[CompiledLayer],
    row_shape: Shape,
    dtype: str,
    *,
    logits: bool = False,
    reads: str = "dense",
    input_gradient: bool = False,
) -> CompiledNetwork:
    """Compile built layers into a network.

    Parameters
    ----------
    layers : sequence of layers
    row_shape : tuple of int
        Shape of one row of input.
    dtype : {"float32", "float64"}
    logits : bool
        Leave out the final activation.
    reads : str
        The kind of rows of input: "dense", "sparse" (which only a `Dense` layer reads), or another that
        `lamina._core.Network` knows.
    input_gradient : bool
        Whether derivatives with respect to the input can be computed.
    """
    _check_shapes(layers, row_shape)
    ops = _flattened(layers)
    _warn_of_one_class(ops, row_shape)
    if logits:
        ops = _without_head(ops)
    first = ops[0]
    if reads == "sparse" and not isinstance(first, DenseOp):
        raise TypeError(
            f"x is sparse, which only a Dense layer can read; the model begins with {layers[0].name!r}. "
            "Make it dense first: x.toarray()."
        )
    for op in ops[1:]:
        if isinstance(op, EmbeddingOp):
            raise ValueError(
                f"Embedding {op.layer.name!r}: must be the first layer of a model: it reads the indices of rows."
            )
    kept: list[Op] = []
    shape = row_shape
    for op in ops:
        before, shape = shape, op.output_shape(shape)
        if not (isinstance(op, ReshapeOp) and before[-1] == shape[-1]):  # the engine's matrix is the same
            kept.append(op)
    return _made(kept or [ActivationOp(LINEAR)], row_shape, shape, dtype, reads, input_gradient)


def _made(
    ops: list[Op], row_shape: Shape, output_shape: Shape, dtype: str, reads: str, input_gradient: bool = False
) -> CompiledNetwork:
    first = ops[0]
    if isinstance(first, EmbeddingOp):
        reads, width, factor = "indices", first.rows, math.prod(row_shape)
        pool = ops[1] if len(ops) > 1 else None
        if isinstance(pool, PoolOp) and pool.pooling == "mean":  # the mean of the rows is a product with the table
            reads = "masked_bags" if pool.masked else "bags"
            ops = [first, *ops[2:]]
    else:
        width, factor = row_shape[-1], math.prod(row_shape[:-1])
    network = _core.Network(dtype, width, factor, ops, reads, input_gradient)
    return CompiledNetwork(network, [op.owner for op in ops], output_shape)


def run_alone(op: Op, x: Any) -> Any:
    """Return the output of an op without parameters for an array of any shape."""
    array = np.atleast_1d(x)
    rows = array.reshape(-1, array.shape[-1] if array.size else 1)
    compiled = _made([op], rows.shape[1:], rows.shape[1:], str(rows.dtype), "dense")
    return compiled.network.predict(rows, None).reshape(np.shape(x))
