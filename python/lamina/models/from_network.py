"""Models made from what other programs' files compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import activations, layers
from lamina._engine.ops import Kernel
from lamina._files import network as steps
from lamina._files.network import NetworkState, Step
from lamina.layers import Layer
from lamina.models.sequential import Sequential

__all__ = ["model_from_network"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

# A layer, and the values of its weights in their order.
Made = tuple[Layer, list[Array]]


def model_from_network(state: NetworkState) -> Sequential:
    """Return a model that computes what a network computes, not compiled.

    Raises
    ------
    ValueError
        It computes something for which there is no layer.
    """
    model = Sequential()
    model.add(layers.Input(state.row_shape, dtype="int32" if state.indices else state.dtype))
    weights: list[npt.ArrayLike] = []
    shape = state.row_shape
    found = [one for step in state.steps for one in _with_layers(step, state.dtype)]
    for number, step in enumerate(found):
        layer, values = _LAYERS[type(step)](step, shape, {"dtype": state.dtype}, found[number + 1 :])
        model.add(layer)
        weights += values
        shape = step.row_shape
    if not state.steps:
        model.add(layers.Identity(dtype=state.dtype))
    model.set_weights(weights)
    return model


def _with_layers(step: Step, dtype: str) -> list[Step]:
    """Return steps for which there are layers, which take no parameters for some activations."""
    return steps.with_usual_parameter(step, dtype) if isinstance(step, steps.Activation) else [step]


def _given(*values: Array | None) -> list[Array]:
    return [value for value in values if value is not None]


def _dense(step: steps.Dense, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    layer = layers.Dense(step.kernel.shape[1], use_bias=step.bias is not None, **named)
    return layer, _given(step.kernel, step.bias)


def _lookup(step: steps.Lookup, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    masked = any(isinstance(later, steps.Pool) and later.masked for later in after)
    rows, columns = step.table.shape
    return layers.Embedding(rows, columns, mask_zero=masked, **named), [step.table]


def _activation(step: steps.Activation, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    if step.name == "leaky_relu" and step.alpha is not None:
        return layers.LeakyReLU(step.alpha, **named), []
    if step.name == "elu" and step.alpha is not None:
        return layers.ELU(step.alpha, **named), []
    kernel = activations.kernel_of(activations.get(step.name), "activation")
    if kernel != Kernel(step.name, step.alpha):
        raise ValueError(f"a {step.name} with the parameter {step.alpha} has no layer here; {kernel.alpha} has one")
    return layers.Activation(step.name, **named), []


def _reshape(step: steps.Reshape, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    return (layers.Flatten(**named) if len(step.row_shape) == 1 else layers.Reshape(step.row_shape, **named)), []


def _affine(step: steps.Affine, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    scale = step.scale.astype(np.float64)
    offset = step.shift - step.center * scale
    return layers.Rescaling(scale.tolist(), offset.tolist(), **named), []


def _clipped_relu(step: steps.ClippedRelu, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    most = None if np.isinf(step.most) else step.most
    return layers.ReLU(most, step.slope, step.threshold, **named), []


def _prelu(step: steps.Prelu, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    shared = list(range(1, len(shape)))
    return layers.PReLU(shared_axes=shared or None, **named), [step.slopes.reshape([1] * len(shared) + [-1])]


def _batch_norm(step: steps.BatchNorm, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    if step.least > 0:
        moments = layers.Normalization(mean=step.mean.tolist(), variance=step.variance.tolist(), **named)
        return moments, []
    layer = layers.BatchNormalization(
        momentum=step.momentum,
        epsilon=step.epsilon,
        center=step.beta is not None,
        scale=step.gamma is not None,
        **named,
    )
    return layer, _given(step.gamma, step.beta, step.mean, step.variance)


def _row_norm(step: steps.RowNorm, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    if step.centered:
        centered = layers.LayerNormalization(
            epsilon=step.epsilon, center=step.beta is not None, scale=step.gamma is not None, **named
        )
        return centered, _given(step.gamma, step.beta)
    gamma = np.ones(shape[-1], named["dtype"]) if step.gamma is None else step.gamma
    return layers.RMSNormalization(epsilon=step.epsilon, **named), [gamma]


def _pool(step: steps.Pool, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    kind = layers.GlobalAveragePooling1D if step.pooling == "mean" else layers.GlobalMaxPooling1D
    return kind(keepdims=len(step.row_shape) == len(shape), **named), []


def _noise(step: steps.Noise, shape: Shape, named: dict[str, Any], after: list[Step]) -> Made:
    kind = "spatial_dropout" if step.noise == "dropout" and step.lines_alike else step.noise
    return _NOISE[kind](step.rate, **named), []


_NOISE: dict[str, Callable[..., Layer]] = {
    "alpha_dropout": layers.AlphaDropout,
    "dropout": layers.Dropout,
    "gaussian": layers.GaussianNoise,
    "gaussian_dropout": layers.GaussianDropout,
    "spatial_dropout": layers.SpatialDropout1D,
}
_LAYERS: dict[type[Step], Callable[[Any, Shape, dict[str, Any], list[Step]], Made]] = {
    steps.Activation: _activation,
    steps.Affine: _affine,
    steps.BatchNorm: _batch_norm,
    steps.ClippedRelu: _clipped_relu,
    steps.Dense: _dense,
    steps.Lookup: _lookup,
    steps.Noise: _noise,
    steps.Pool: _pool,
    steps.Prelu: _prelu,
    steps.Reshape: _reshape,
    steps.RowNorm: _row_norm,
}
