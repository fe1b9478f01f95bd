"""Architecture: what an estimator's network is made of besides its weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina import layers
from lamina.models import Sequential
from lamina.regularizers import L2

__all__ = ["Architecture", "copy_moments", "dense_layers", "new_network", "one_each", "penalize", "set_activations"]

Array = npt.NDArray[Any]

# The names of scikit-learn's activations that have other ones in Keras.
_NAMES = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}


class Architecture(NamedTuple):
    """What an estimator's network is made of besides its weights.

    Attributes
    ----------
    hidden : str or tuple of str
        Activation of the hidden layers, or of each of them.
    output : str
        Activation of the output.
    dropout : float or tuple of float
        The share of the hidden layers' outputs, or of each one's, that is set to 0 in training.
    normalized : bool
        Whether hidden layers normalize the batch before their activation.
    """

    hidden: str | tuple[str, ...]
    output: str
    dropout: float | tuple[float, ...] = 0.0
    normalized: bool = False

    def activations(self, depth: int) -> list[str]:
        """Return the activation of each of `depth` layers."""
        return [_NAMES.get(name, name) for name in (*one_each("activation", self.hidden, depth - 1), self.output)]

    def same_layers(self, other: Architecture | None) -> bool:
        """Return whether another one differs in activations at most, and they can be changed in place."""
        return other is not None and not self.normalized and self[2:] == other[2:]


def one_each(name: str, given: Any, depth: int) -> list[Any]:
    """Return a value for each of `depth` hidden layers, for which one, or a list of them, is given."""
    if isinstance(given, str) or np.ndim(given) == 0:
        return [given] * depth
    if len(given) != depth:
        raise ValueError(f"{name} must have one value, or one for each of {depth} hidden layers; got {len(given)}.")
    return list(given)


def new_network(arrays: Sequence[Array], architecture: Architecture, seed: int) -> Sequential:
    """Return a network with these weights, a kernel and a bias for each layer; its noise and shuffles have the seed."""
    kernels = arrays[0::2]
    dtype = "float32" if all(array.dtype == np.float32 for array in arrays) else "float64"
    activations = architecture.activations(len(kernels))
    rates = [*one_each("dropout", architecture.dropout, len(kernels) - 1), 0.0]
    stack: list[Any] = [layers.Input((kernels[0].shape[0],))]
    for number, (kernel, activation, rate) in enumerate(zip(kernels, activations, rates, strict=True), 1):
        normalizes = architecture.normalized and number < len(kernels)
        stack.append(layers.Dense(kernel.shape[1], None if normalizes else activation, dtype=dtype))
        if normalizes:
            stack += [layers.BatchNormalization(dtype=dtype), layers.Activation(activation, dtype=dtype)]
        if rate:
            stack.append(layers.Dropout(rate, seed=(seed + number) % 2**31, dtype=dtype))
    model = Sequential(stack)
    model.seed = seed
    for layer, kernel, bias in zip(dense_layers(model), kernels, arrays[1::2], strict=True):
        layer.set_weights([kernel, bias])
    return model


def dense_layers(model: Sequential) -> list[layers.Dense]:
    """Return the layers that have an estimator's weights."""
    return [layer for layer in model.layers if isinstance(layer, layers.Dense)]


def copy_moments(model: Sequential, to: Sequential) -> None:
    """Give a network what the batch normalizations of another one have learnt, if they fit."""
    learnt = [layer.get_weights() for layer in model.layers if isinstance(layer, layers.BatchNormalization)]
    others = [layer for layer in to.layers if isinstance(layer, layers.BatchNormalization)]
    if [[array.shape for array in own] for own in learnt] == [[w.shape for w in other.weights] for other in others]:
        for other, own in zip(others, learnt, strict=True):
            other.set_weights([*own])


def set_activations(dense: Sequence[layers.Dense], architecture: Architecture) -> None:
    """Change the activations of dense layers, without batch normalization."""
    for layer, name in zip(dense, architecture.activations(len(dense)), strict=True):
        layer.activation = name


def penalize(model: Sequential, alpha: float) -> None:
    """Set the penalty of the kernels: alpha / 2 times their squares, divided by the rows of a batch."""
    for layer in dense_layers(model):
        present = layer.kernel_regularizer
        if (0.0 if present is None else present.l2) != alpha / 2:
            layer.kernel_regularizer = L2(alpha / 2, per_row=True) if alpha else None
