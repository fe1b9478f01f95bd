"""What concerns a layer and its inner layers (`Layer.argument_layers`) together."""

from __future__ import annotations

from typing import Any

from lamina.constraints import Constraint
from lamina.initializers import Initializer
from lamina.layers.base import Layer
from lamina.regularizers import Regularizer

__all__ = ["rules_of", "take_whole_state", "version_of", "whole_state"]


def version_of(layer: Layer) -> Any:
    """Return a value that changes whenever a value that is baked into compiled networks does, also in inner layers."""
    penalty = layer.activity_regularizer
    factors = None if penalty is None else penalty.engine_factors()
    return (layer.changes, layer.trainable, factors, *map(version_of, layer.argument_layers.values()))


def whole_state(layer: Layer) -> dict[str, int]:
    """Return `Layer.own_state`, and that of the inner layers with their argument's name before it."""
    found = layer.own_state()
    for argument, inner in layer.argument_layers.items():
        found = found | {f"{argument}/{name}": value for name, value in whole_state(inner).items()}
    return found


def take_whole_state(layer: Layer, state: dict[str, int]) -> None:
    """Continue from what `whole_state` returned."""
    layer.take_own_state({name: value for name, value in state.items() if "/" not in name})
    for argument, inner in layer.argument_layers.items():
        start = f"{argument}/"
        own = {name.removeprefix(start): value for name, value in state.items() if name.startswith(start)}
        take_whole_state(inner, own)


def rules_of(layer: Layer) -> list[Initializer | Regularizer | Constraint]:
    """Return the initializers, regularizers and constraints that are attributes of a layer."""
    return [one for one in vars(layer).values() if isinstance(one, (Initializer, Regularizer, Constraint))]
