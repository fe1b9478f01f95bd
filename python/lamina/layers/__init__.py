"""Layers, with the names and arguments of Keras."""

from __future__ import annotations

from typing import Any

from lamina._names import look_up
from lamina._names import serialize as serialize
from lamina.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from lamina.layers.base import Layer
from lamina.layers.dense import Dense
from lamina.layers.embedding import Embedding
from lamina.layers.normalization import (
    BatchNormalization,
    LayerNormalization,
    Normalization,
    Rescaling,
    RMSNormalization,
)
from lamina.layers.regularization import ActivityRegularization, Dropout, GaussianDropout, GaussianNoise
from lamina.layers.shaping import Flatten, Input, InputLayer, Reshape

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "Input",
    "InputLayer",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "PReLU",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "deserialize",
    "serialize",
]

_CLASSES: dict[str, type[Layer]] = {
    layer.__name__: layer
    for layer in (
        Activation, ActivityRegularization, BatchNormalization, Dense, Dropout, ELU, Embedding, Flatten,
        GaussianDropout, GaussianNoise, InputLayer, LayerNormalization, LeakyReLU, Normalization, PReLU,
        RMSNormalization, ReLU, Rescaling, Reshape, Softmax,
    )
}  # fmt: skip


def deserialize(config: dict[str, Any]) -> Layer:
    """Return a layer from ``{"class_name", "config"}``, as `serialize` makes it."""
    return look_up("layers.deserialize", "layer", config, _CLASSES, Layer)
