"""Layers written in Python, as the engine calls them."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from lamina._common.checks import short
from lamina._data.arrays import real_array
from lamina._engine.ops import row_of
from lamina._engine.variable import Variable

__all__ = ["Functions", "Gradients", "Pass"]

Array = npt.NDArray[Any]


class Pass(NamedTuple):
    """Result of `forward` of a layer written in Python: the output, and whatever else `backward` needs."""

    output: Array
    saved: Any = None


class Gradients(NamedTuple):
    """Gradients with respect to the input, and to each parameter, which is None if it is not trained."""

    dx: Array | None
    parameters: list[Array | None]


class HostLayer(Protocol):
    """A layer that is computed in Python."""

    @property
    def name(self) -> str:
        """Unique in a model."""

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        """Input shape, batch first."""

    @property
    def output_shape(self) -> tuple[int | None, ...]:
        """Output shape, batch first."""

    @property
    def engine_weights(self) -> list[Variable]:
        """The variables of floats, in the order of the block's tensors."""

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes."""

    def pass_of(self, x: Array, training: bool, differentiated: bool) -> Pass:
        """Return the output for a batch, and what `backward` needs if that follows."""

    def backward(self, dy: Array, forward_pass: Pass, *, need_dx: bool) -> tuple[Array | None, list[Array]]:
        """Return the gradients of the input and of the trainable variables."""


class Functions:
    """A layer's `forward` and `backward` for the engine, which passes flat rows; keeps the last training pass."""

    def __init__(self, layer: HostLayer) -> None:
        self._layer = weakref.ref(layer)  # a weak reference: the engine must not keep the layer alive
        self.last: Pass | None = None

    def _alive(self) -> HostLayer:
        layer = self._layer()
        assert layer is not None
        return layer

    def forward(self, x: Array, random: bool, training: bool) -> Array:
        """Return the output for flat rows.

        Parameters
        ----------
        random : bool
            Compute as in training.
        training : bool
            `backward` will be called for these rows, also if they are not computed as in training.
        """
        layer = self._alive()
        rows = x.reshape(-1, *layer.input_shape[1:])
        found: Any = layer.pass_of(rows, random, training)
        if not isinstance(found, Pass):
            raise TypeError(f"{self._who()}: forward must return a Pass; got {type(found).__name__}.")
        shape = row_of(layer.output_shape)
        output = self._checked("what forward returns", found.output, (len(rows), *shape))
        if training:
            self.last = found
        return output

    def _who(self) -> str:
        layer = self._alive()
        return f"{type(layer).__name__} {layer.name!r}"

    def _checked(self, what: str, value: Any, shape: tuple[int, ...]) -> Array:
        """Return an array of exactly that shape, or raise."""
        array = real_array(self._who(), what, value)
        if array.shape != shape:
            raise ValueError(f"{self._who()}: {what} must have shape {shape}; got {array.shape}.")
        return array

    def backward(self, dy: Array, need_dx: bool) -> Gradients:
        """Return the gradients of the input and of the parameters."""
        assert self.last is not None
        layer, dy = self._alive(), dy.reshape(np.shape(self.last.output))
        found: Any = layer.backward(dy, self.last, need_dx=need_dx)
        if not isinstance(found, tuple) or len(found) != 2 or not isinstance(found[1], (list, tuple)):
            raise TypeError(f"{self._who()}: backward must return dx and a list of gradients; got {short(found)}.")
        dx, gradients = found
        trained = layer.trainable_weights
        if len(gradients) != len(trained):
            raise ValueError(
                f"{self._who()}: backward must return {len(trained)} gradients, one a trainable parameter; got "
                f"{len(gradients)}."
            )
        if need_dx:
            row = row_of(layer.input_shape)
            dx = self._checked("backward's dx", dx, (len(dy), *row))
        by_variable = {
            id(variable): self._checked(f"backward's gradient of {variable.name!r}", gradient, variable.shape)
            for variable, gradient in zip(trained, gradients, strict=True)
        }
        return Gradients(dx, [by_variable.get(id(variable)) for variable in layer.engine_weights])
