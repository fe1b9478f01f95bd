"""Layers that are arguments of other layers, as the activation of a `Dense` can be; they have no parameters."""

from __future__ import annotations

from typing import Any

from lamina.constraints import Constraint
from lamina.initializers import Initializer
from lamina.layers.base import Layer
from lamina.layers.dense import Dense
from lamina.regularizers import Regularizer

__all__ = ["inner_layers", "rules_of", "take_whole_state", "version_of", "whole_state"]


def inner_layers(layer: Layer) -> dict[str, Layer]:
    """Return the layers that are arguments of a layer, by the argument's name."""
    held = layer.activation if isinstance(layer, Dense) else None
    return {"activation": held} if isinstance(held, Layer) else {}


def version_of(layer: Layer) -> Any:
    """Return a value that changes whenever a value of the layer that is baked into compiled networks does."""
    inner = inner_layers(layer)
    return (layer.changes, *map(version_of, inner.values())) if inner else layer.changes


def whole_state(layer: Layer) -> dict[str, int]:
    """Return `Layer.own_state`, and that of the inner layers with their argument's name before it."""
    found = layer.own_state()
    for argument, inner in inner_layers(layer).items():
        found = found | {f"{argument}/{name}": value for name, value in whole_state(inner).items()}
    return found


def take_whole_state(layer: Layer, state: dict[str, int]) -> None:
    """Continue from what `whole_state` returned."""
    layer.take_own_state({name: value for name, value in state.items() if "/" not in name})
    for argument, inner in inner_layers(layer).items():
        start = f"{argument}/"
        own = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
        take_whole_state(inner, own)


def rules_of(layer: Layer) -> list[Initializer | Regularizer | Constraint]:
    """Return the initializers, regularizers and constraints that are attributes of a layer."""
    return [one for one in vars(layer).values() if isinstance(one, (Initializer, Regularizer, Constraint))]
