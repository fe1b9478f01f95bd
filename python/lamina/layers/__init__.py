"""Layers, with the names and arguments of Keras."""

from __future__ import annotations

from typing import Any

from lamina._names import look_up
from lamina._names import serialize as serialize
from lamina.layers.activation import Activation, LeakyReLU, ReLU, Softmax
from lamina.layers.base import Layer
from lamina.layers.dense import Dense
from lamina.layers.embedding import Embedding
from lamina.layers.shaping import Flatten, Input, InputLayer

__all__ = [
    "Activation",
    "Dense",
    "Embedding",
    "Flatten",
    "Input",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "ReLU",
    "Softmax",
    "deserialize",
    "serialize",
]

_CLASSES: dict[str, type[Layer]] = {
    layer.__name__: layer for layer in (Activation, Dense, Embedding, Flatten, InputLayer, LeakyReLU, ReLU, Softmax)
}


def deserialize(config: dict[str, Any]) -> Layer:
    """Return a layer from ``{"class_name", "config"}``, as `serialize` makes it."""
    return look_up("layers.deserialize", "layer", config, _CLASSES, Layer)
