"""What a model computes, as a value: for formats that other programs run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.names import required
from lamina._engine import ops
from lamina._engine.network import ops_of
from lamina._engine.variable import Variable
from lamina._engine.variables import one_moment
from lamina._files import network as steps
from lamina._files.network import NetworkState, Step
from lamina.layers import Layer
from lamina.models.stack import Stack

__all__ = ["network_state", "parameters_of", "with_examples"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def network_state(who: str, stack: Stack) -> NetworkState:
    """Return what a model that is built computes, with its parameters of one moment.

    Raises
    ------
    ValueError
        It has code in Python, or noise that predictions have, too.
    """
    row_shape = ops.row_of((None, *required(who, "the shape of a row", stack.row_shape)))
    with one_moment(stack.weights):
        found = list(_steps(who, stack.layers, row_shape, np.dtype(stack.dtype)))
    indices = bool(found) and isinstance(found[0], steps.Lookup)
    return NetworkState(stack.name, stack.dtype, row_shape, indices, found)


def with_examples(state: NetworkState, predict: Callable[[Array], Array], count: int) -> NetworkState:
    """Return a network with what the model predicts for rows that are drawn, the same in every process.

    How much a number may differ follows from what one unit in the last place of the input changes.
    """
    draw, shape = np.random.default_rng(0), (count, *state.row_shape)
    first = state.steps[0] if state.steps else None
    if isinstance(first, steps.Lookup):
        x = draw.integers(0, len(first.table), shape)
    else:
        x = draw.standard_normal(shape).astype(state.dtype)
    y = predict(x)
    tolerance = 1e-5 if state.dtype == "float32" else 1e-11
    if not state.indices:
        with np.errstate(invalid="ignore"):
            changed = np.abs(predict(np.nextafter(x, np.inf)) - y) / (1 + np.abs(y))
        tolerance = max(tolerance, 16 * float(np.nanmax(changed, initial=0, where=np.isfinite(changed))))
    return state.replaced(examples=(x, y, tolerance))


def _steps(who: str, layers: list[Layer], shape: Shape, dtype: np.dtype[Any]) -> Iterator[Step]:
    """Yield the steps of layers for rows of a shape."""
    for layer, op in ops_of(layers):
        shape = op.output_shape(shape)
        yield from _STEPS[type(op)](f"{who}: {layer.name!r}", layer.name, shape, op, dtype)


def parameters_of(layers: list[Layer]) -> list[dict[str, Variable]]:
    """Return the variables of each step that has some, by the names that the step has for them."""
    return [found for _, op in ops_of(layers) if (found := _variables(op))]


def _variables(op: ops.Op) -> dict[str, Variable]:
    """Return the variables of an op by their names in its step."""
    if op.owner is None:
        return {}
    variables = op.owner.engine_weights
    return {name: variables[index] for name, index in _NAMES[type(op)](op).items() if 0 <= index < len(variables)}


# By the kind of op, at which indices its variables are.
_NAMES: dict[type[ops.Op], Callable[[Any], dict[str, int]]] = {
    ops.BatchNormOp: lambda op: dict(zip(("gamma", "beta", "mean", "variance"), op.tensors, strict=True)),
    ops.DenseOp: lambda op: {"kernel": 0, "bias": 1},
    ops.EmbeddingOp: lambda op: {"table": 0},
    ops.PreluOp: lambda op: {"slopes": 0},
    ops.RowNormOp: lambda op: {"gamma": op.gamma, "beta": op.beta},
}


def _values(op: ops.Op) -> dict[str, Array]:
    """Return the values of an op's variables, each with one axis, or with two for a matrix."""
    found = {name: variable.numpy() for name, variable in _variables(op).items()}
    return {name: value if name in ("kernel", "table") else value.reshape(-1) for name, value in found.items()}


def _dense(who: str, layer: str, shape: Shape, op: ops.DenseOp, dtype: Any) -> Iterator[Step]:
    values = _values(op)
    yield steps.Dense(layer, shape, values["kernel"], values.get("bias"))
    if op.activation != ops.LINEAR:
        yield steps.Activation(layer, shape, op.activation.name, op.activation.alpha)


def _lookup(who: str, layer: str, shape: Shape, op: ops.EmbeddingOp, dtype: Any) -> Iterator[Step]:
    yield steps.Lookup(layer, shape, _values(op)["table"])


def _activation(who: str, layer: str, shape: Shape, op: ops.ActivationOp, dtype: Any) -> Iterator[Step]:
    if op.activation != ops.LINEAR:
        yield steps.Activation(layer, shape, op.activation.name, op.activation.alpha)


def _reshape(who: str, layer: str, shape: Shape, op: ops.ReshapeOp, dtype: Any) -> Iterator[Step]:
    yield steps.Reshape(layer, shape)


def _noise(who: str, layer: str, shape: Shape, op: ops.NoiseOp, dtype: Any) -> Iterator[Step]:
    if op.always:
        raise ValueError(f"{who} must not be called with training=True: no file holds noise.")
    yield steps.Noise(layer, shape, op.noise, op.rate, op.lines_alike)


def _pool(who: str, layer: str, shape: Shape, op: ops.PoolOp, dtype: Any) -> Iterator[Step]:
    yield steps.Pool(layer, shape, op.pooling, op.masked)


def _scale(who: str, layer: str, shape: Shape, op: ops.ScaleOp, dtype: Any) -> Iterator[Step]:
    yield steps.Affine(layer, shape, *(np.array(numbers, dtype) for numbers in (op.center, op.scale, op.shift)))


def _clipped_relu(who: str, layer: str, shape: Shape, op: ops.ClippedReluOp, dtype: Any) -> Iterator[Step]:
    yield steps.ClippedRelu(layer, shape, op.slope, op.most, op.threshold)


def _prelu(who: str, layer: str, shape: Shape, op: ops.PreluOp, dtype: Any) -> Iterator[Step]:
    yield steps.Prelu(layer, shape, _values(op)["slopes"])


def _batch_norm(who: str, layer: str, shape: Shape, op: ops.BatchNormOp, dtype: Any) -> Iterator[Step]:
    found = _values(op)
    yield steps.BatchNorm(
        layer, shape, found["mean"], found["variance"], found.get("gamma"), found.get("beta"), op.epsilon, op.least,
        op.momentum,
    )  # fmt: skip


def _row_norm(who: str, layer: str, shape: Shape, op: ops.RowNormOp, dtype: Any) -> Iterator[Step]:
    found = _values(op)
    yield steps.RowNorm(layer, shape, found.get("gamma"), found.get("beta"), op.centered, op.epsilon)


def _activity(who: str, layer: str, shape: Shape, op: ops.ActivityOp, dtype: Any) -> Iterator[Step]:
    yield from ()


def _host(who: str, layer: str, shape: Shape, op: ops.HostOp, dtype: Any) -> Iterator[Step]:
    raise ValueError(f"{who} must be one of lamina's layers: it is code in Python, which no other program runs.")


_STEPS: dict[type[ops.Op], Callable[..., Iterator[Step]]] = {
    ops.ActivationOp: _activation,
    ops.ActivityOp: _activity,
    ops.BatchNormOp: _batch_norm,
    ops.ClippedReluOp: _clipped_relu,
    ops.DenseOp: _dense,
    ops.EmbeddingOp: _lookup,
    ops.HostOp: _host,
    ops.NoiseOp: _noise,
    ops.PoolOp: _pool,
    ops.PreluOp: _prelu,
    ops.ReshapeOp: _reshape,
    ops.RowNormOp: _row_norm,
    ops.ScaleOp: _scale,
}
