"""The variables of a model by its layers, as files hold them."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._files.state import Finder, Tensors
from lamina.layers import Layer
from lamina.models.stack import Part
from lamina.models.trainer import Trainer

__all__ = ["found_values", "tensors_of"]

Array = npt.NDArray[Any]


def tensors_of(part: Part | Trainer, arrays: dict[str, Array]) -> Tensors:
    """Return the variables of a model or a layer, with values that are given by their paths."""
    kind = type(part).__name__
    if isinstance(part, Layer):
        weights = part.weights
        named = {variable.name: arrays[variable.path] for variable in weights}
        return Tensors(part.name, kind, named, [variable.trainable for variable in weights])
    return Tensors(part.stack.name, kind, {}, [], [tensors_of(inner, arrays) for inner in part.stack.parts])


def found_values(model: Trainer, find: Finder) -> list[Array]:
    """Return the values that a file has for a model's weights, in the order of `Stack.weights` and of their dtypes."""
    variables = model.stack.weights
    held = find(tensors_of(model, {variable.path: variable.numpy() for variable in variables}))
    return [array.astype(variable.dtype, copy=False) for variable, array in zip(variables, held, strict=True)]
