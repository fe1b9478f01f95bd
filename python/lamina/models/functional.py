"""Functional: the class of models that ``Model(inputs, outputs)`` makes."""

from __future__ import annotations

from functools import partial
from typing import Any

from lamina._engine.ops import OpenShape
from lamina.layers import REGISTRY as LAYERS
from lamina.layers import InputLayer, Layer
from lamina.layers.composition import follow, held
from lamina.models.model import Model

__all__ = ["Functional"]


class Functional(Model):
    """A model of layers between two symbolic tensors; see `Model`."""

    # The layer that the model was made of, whose `call` calls others; lists of layers show it in the model's place.
    of_layer: Layer | None = None


def model_of(layer: Layer, row_shape: OpenShape) -> Functional:
    """Return the model of the layers that a layer's `call` calls; its parameters follow the layer's attributes."""
    who = f"{type(layer).__name__} {layer.name!r}"
    symbol = InputLayer(row_shape, dtype=layer.dtype).symbol()
    written: Any = layer
    model = Functional(symbol, follow(who, written.call, symbol), name=layer.name)
    model.stack.list_by(partial(held, layer))
    model.of_layer = layer
    return model


Layer.model_of = staticmethod(model_of)
Model.functional = Functional
LAYERS.accept(Model)
LAYERS.add(Functional, "Model", package="keras", room="src.models.functional")
