"""Alone: runs a layer that is called by itself, outside a model."""

from __future__ import annotations

import copy
from typing import Any, Protocol

from lamina import _core
from lamina._common.locks import Once
from lamina._engine.network import CompiledLayer, CompiledNetwork, Constants, compile_network
from lamina._engine.ops import OpenShape, Shape

__all__ = ["Alone"]


class _Callable(CompiledLayer, Protocol):
    """A layer that may be called by itself."""

    input_row_shape: OpenShape | None

    @property
    def trainable(self) -> bool:
        """Whether training changes its parameters."""

    @property
    def dtype(self) -> str:
        """The dtype in which it computes."""

    def block(self) -> _core.Parameters:
        """Return the engine's memory for its parameters."""


class Alone:
    """A network of one layer, compiled on the first call, and the number of calls with noise.

    Attributes
    ----------
    draws : int
        Number of calls with ``training=True``; noise depends on it.
    """

    def __init__(self) -> None:
        # The key for which the network was compiled, the network, and the layer that it was compiled from.
        self._network: tuple[Any, CompiledNetwork, _Callable] | None = None
        self.draws = 0

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the network, which is compiled again when needed."""
        return {"_network": None, "draws": self.draws}

    def network(self, layer: _Callable, row_shape: Shape) -> CompiledNetwork:
        """Return the layer as a network of its own, for rows of a shape."""
        key = (row_shape, layer.trainable, Constants.changes)
        if self._network is None or self._network[0] != key:
            if row_shape != layer.input_row_shape:
                # A view of the layer, built for these rows, over the same parameters.
                layer.block()
                layer = copy.copy(layer)
                layer.input_row_shape = row_shape
            self._network = (key, compile_network([layer], row_shape, layer.dtype), layer)
        return self._network[1]

    def forget_network(self) -> None:
        """Drop the network; the next call compiles a new one."""
        self._network = None

    def next_draw(self, once: Once) -> int:
        """Count a call with noise and return the count; `once` is the layer's lock."""
        with once.taken():
            self.draws += 1
            return self.draws
