"""Functional: the class of models that ``Model(inputs, outputs)`` makes."""

from __future__ import annotations

from lamina.layers import REGISTRY as LAYERS
from lamina.models.model import Model

__all__ = ["Functional"]


class Functional(Model):
    """A model of layers between two symbolic tensors; see `Model`."""


Model.functional = Functional
LAYERS.add(Functional, "Model", package="keras", room="src.models.functional")
