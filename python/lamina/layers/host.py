"""Layers written in Python, as the engine calls them."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from lamina.layers.base import Layer

__all__ = ["Functions", "Pass"]

Array = npt.NDArray[Any]


class Pass(NamedTuple):
    """What `forward` of a layer written in Python leaves: the output, and whatever `backward` needs besides."""

    output: Array
    saved: Any = None


class Functions:
    """A layer's `forward` and `backward` as the engine calls them: for flat rows, the last pass remembered."""

    def __init__(self, layer: Layer) -> None:
        self._layer = weakref.ref(layer)  # which the engine keeps alive no longer than the model does
        self.last: Pass | None = None

    def _alive(self) -> Layer:
        layer = self._layer()
        assert layer is not None
        return layer

    def forward(self, x: Array, training: bool) -> Array:
        """Return the output for flat rows."""
        layer = self._alive()
        step = layer.forward(x.reshape(-1, *layer._built_input()), training=training)
        if training:
            self.last = step
        return np.asarray(step.output)

    def backward(self, dy: Array, need_dx: bool) -> tuple[Array | None, list[Array | None]]:
        """Return the gradients for the input and for each parameter, None for those that are not trained."""
        assert self.last is not None
        layer, dy = self._alive(), dy.reshape(np.shape(self.last.output))
        dx, gradients = layer.backward(dy, self.last, need_dx=need_dx)
        trained = layer.trainable_weights
        if len(gradients) != len(trained):
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: backward must return {len(trained)} gradients, one a "
                f"trainable parameter; got {len(gradients)}."
            )
        found = {id(variable): gradient for variable, gradient in zip(trained, gradients, strict=True)}
        return dx, [found.get(id(variable)) for variable in layer.weights]
