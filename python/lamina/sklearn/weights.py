"""Weights: the network of an estimator, and its weights as lists of arrays, which users read, change and replace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import layers, random
from lamina.models import Sequential
from lamina.sklearn.network import Architecture, copy_moments, dense_layers, new_network, set_activations

__all__ = ["Weights"]

Array = npt.NDArray[Any]


class Weights:
    """The weights of an estimator: in its network, and as arrays once somebody has looked at them.

    From then on arrays that differ from those that were handed out, in place or by another array in their lists, are
    put into the network before it is used.
    """

    def __init__(self) -> None:
        self._model: Sequential | None = None
        self._architecture: Architecture | None = None
        self._shown: dict[str, list[Any]] = {}  # "coefs" and "intercepts", as users have them
        self._known: list[Array] | None = None  # copies of the arrays in the order of the network, which has these

    def can_show(self, name: str) -> bool:
        """Return whether there is such a list."""
        return self._model is not None or name in self._shown

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return self._model is not None or bool(self._shown)

    def shown(self, name: str) -> list[Any]:
        """Return the list of arrays that users see: "coefs" (inputs, outputs) or "intercepts" (outputs,)."""
        if name not in self._shown and self._model is not None:
            arrays = self._arrays()
            self._known = [array.copy() for array in arrays]
            self._shown = {"coefs": arrays[0::2], "intercepts": arrays[1::2]} | self._shown
        return self._shown[name]

    def show(self, name: str, arrays: Any) -> None:
        """Replace one of the lists."""
        if self._model is not None:
            self.shown(name)  # the other list is to be seen too
        self._shown[name] = arrays

    def hide(self, name: str) -> None:
        """Drop one of the lists, and the network, whose other list stays."""
        self.shown(name)
        del self._shown[name]
        self._model, self._architecture, self._known = None, None, None

    def start(self, arrays: Sequence[Array], architecture: Architecture, seed: int) -> Sequential:
        """Return a new network with these weights: a kernel and a bias for each layer."""
        self._shown = {}
        return self._new(arrays, architecture, None, seed)

    def network(self, architecture: Architecture) -> Sequential:
        """Return the network with the weights as they are now, and with this architecture."""
        arrays = self._given() if self._shown else None
        model = self._model
        if model is None:
            assert arrays is not None
            return self._new_of(arrays, architecture)
        if architecture != self._architecture:
            if not architecture.same_layers(self._architecture):
                return self._new_of(self._arrays() if arrays is None else arrays, architecture)
            set_activations(self.dense(), architecture)
            self._architecture = architecture
        if arrays is not None and not _same(arrays, self._known):
            if [array.shape for array in arrays] != [array.shape for array in self._arrays()]:
                return self._new_of(arrays, architecture)
            for layer, kernel, bias in zip(self.dense(), arrays[0::2], arrays[1::2], strict=True):
                layer.set_weights([kernel, bias])
            self._known = [array.copy() for array in arrays]
        return model

    def dense(self) -> list[layers.Dense]:
        """Return the layers with these weights."""
        assert self._model is not None
        return dense_layers(self._model)

    def changed(self) -> None:
        """Note that the network has been trained: what users look at from now on are new arrays."""
        self._shown, self._known = {}, None

    def _new_of(self, arrays: Sequence[Array], architecture: Architecture) -> Sequential:
        before = self._model
        seed = random.global_seeds.next_seed() if self._model is None else self._model.seed
        model = self._new(arrays, architecture, [array.copy() for array in arrays], seed)
        if before is not None:
            copy_moments(before, model)
        return model

    def _new(
        self, arrays: Sequence[Array], architecture: Architecture, known: list[Array] | None, seed: int
    ) -> Sequential:
        """Return a new network with these weights."""
        model = self._model = new_network(arrays, architecture, seed)
        self._architecture, self._known = architecture, known
        return model

    def _arrays(self) -> list[Array]:
        """Return the weights in the network."""
        return [array for layer in self.dense() for array in layer.get_weights()]

    def _given(self) -> list[Array]:
        coefs, intercepts = self._shown["coefs"], self._shown["intercepts"]
        return [np.asarray(array) for pair in zip(coefs, intercepts, strict=True) for array in pair]


def _same(arrays: Sequence[Array], others: Sequence[Array] | None) -> bool:
    return others is not None and all(map(_equal, arrays, others))


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
