"""Weights: the network of an estimator, and its weights as lists of arrays, which users read, change and replace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import layers
from lamina.models import Sequential

__all__ = ["Architecture", "Weights"]

Array = npt.NDArray[Any]

# The names of scikit-learn's activations that have other ones in Keras.
_ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid", "exp": "exponential"}

# Activations of the hidden layers and of the output.
Architecture = tuple[str, str]


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
            arrays = self._model.get_weights()
            self._known = [array.copy() for array in arrays]
            self._shown = {"coefs": arrays[0::2], "intercepts": arrays[1::2]} | self._shown
        return self._shown[name]

    def show(self, name: str, arrays: Any) -> None:
        """Replace one of the lists."""
        if self._model is not None:
            self.shown(name)  # the other list is to be seen too
        self._shown[name] = arrays

    def start(self, arrays: Sequence[Array], architecture: Architecture) -> Sequential:
        """Return a new network with these weights: a kernel and a bias for each layer."""
        self._shown, self._known = {}, None
        self._model, self._architecture = _network(arrays, architecture), architecture
        return self._model

    def network(self, architecture: Architecture) -> Sequential:
        """Return the network with the weights as they are now, and with these activations."""
        arrays = self._given() if self._shown else None
        model = self._model
        if model is None:
            assert arrays is not None
            return self._of_shown(arrays, architecture)
        if architecture != self._architecture:
            for layer, name in zip(self.dense(), _names(len(self.dense()), architecture), strict=True):
                layer.activation = name
            self._architecture = architecture
        if arrays is not None and not _same(arrays, self._known):
            if [array.shape for array in arrays] != [array.shape for array in model.get_weights()]:
                return self._of_shown(arrays, architecture)
            model.set_weights([*arrays])
            self._known = [array.copy() for array in arrays]
        return model

    def _of_shown(self, arrays: Sequence[Array], architecture: Architecture) -> Sequential:
        """Return a new network with the weights that users have."""
        self._known = [array.copy() for array in arrays]
        self._model, self._architecture = _network(arrays, architecture), architecture
        return self._model

    def dense(self) -> list[layers.Dense]:
        """Return the layers of the network."""
        assert self._model is not None
        return [layer for layer in self._model.layers if isinstance(layer, layers.Dense)]

    def changed(self) -> None:
        """Note that the network has been trained: what users look at from now on are new arrays."""
        self._shown, self._known = {}, None

    def _given(self) -> list[Array]:
        coefs, intercepts = self._shown["coefs"], self._shown["intercepts"]
        return [np.asarray(array) for pair in zip(coefs, intercepts, strict=True) for array in pair]


def _same(arrays: Sequence[Array], others: Sequence[Array] | None) -> bool:
    return others is not None and all(map(_equal, arrays, others))


def _equal(one: Array, other: Array) -> bool:
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=True)


def _names(depth: int, architecture: Architecture) -> list[str]:
    """Return the activation of each layer."""
    hidden, output = (_ACTIVATIONS.get(name, name) for name in architecture)
    return [hidden] * (depth - 1) + [output]


def _network(arrays: Sequence[Array], architecture: Architecture) -> Sequential:
    """Return a network with these weights."""
    kernels = arrays[0::2]
    dtype = "float32" if all(array.dtype == np.float32 for array in arrays) else "float64"
    dense = [
        layers.Dense(kernel.shape[1], name, dtype=dtype)
        for kernel, name in zip(kernels, _names(len(kernels), architecture), strict=True)
    ]
    model = Sequential([layers.Input((kernels[0].shape[0],)), *dense])  # type: ignore[list-item]  # as in Keras
    model.set_weights([*arrays])
    return model
