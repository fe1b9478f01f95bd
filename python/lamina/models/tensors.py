"""The variables of a model by its layers, as files hold them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy.typing as npt

from lamina._common.names import snake_case, unique
from lamina._files.state import Finder, Tensors
from lamina.layers import Layer
from lamina.layers.composition import held
from lamina.layers.symbols import Operation
from lamina.models.parts import shown
from lamina.models.trainer import Trainer

__all__ = ["found_values", "tensors_of", "unplaced"]

Array = npt.NDArray[Any]


def tensors_of(model: Trainer, values: Sequence[Array]) -> Tensors:
    """Return the variables of a model by its layers, with values that are given in the order of `Stack.weights`."""
    stack = model.stack
    arrays = dict(zip(map(id, stack.weights), values, strict=True))
    places: dict[int, str] = {}
    _place(model, "", places)
    left = list(stack.layers)
    parts: list[Any] = [*shown(stack.listed), *stack.layers]  # the latter: without those that are reached before
    found = [_tensors_of(part, arrays, places, left, part.trainable) for part in parts]
    layers = [tensors for tensors in found if tensors is not None]
    return Tensors(model.name, type(model).__name__, {}, [], layers, places[id(model)])


def unplaced(model: Trainer) -> list[Layer]:
    """Return the layers with parameters to which no attributes lead, so that Keras's files have no place for them."""
    places: dict[int, str] = {}
    _place(model, "", places)
    return [layer for layer in model.stack.layers if layer.weights and id(layer) not in places]


def _tensors_of(
    part: Any, arrays: dict[int, Array], places: dict[int, str], left: list[Layer], trains: bool = True
) -> Tensors | None:
    """Return the variables of a layer or model; None if it is a layer that is not, or no longer, in `left`."""
    kind, place = type(part).__name__, places.get(id(part))
    if isinstance(part, Layer) and not part.holds_layers:
        if not any(part is layer for layer in left):
            return None
        left[:] = [layer for layer in left if layer is not part]
        return _of_layer(part, arrays, places, trains)
    inner = held(part) if isinstance(part, Layer) else shown(part.stack.listed)
    found = [tensors for one in inner if (tensors := _tensors_of(one, arrays, places, left, trains)) is not None]
    return Tensors(part.name, kind, {}, [], found, place)


def _of_layer(layer: Layer, arrays: dict[int, Array], places: dict[int, str], trains: bool) -> Tensors:
    own = layer.own_weights
    named = {variable.path.removeprefix(f"{layer.path}/"): arrays[id(variable)] for variable in own}
    inner = [_of_layer(one, arrays, places, trains) for one in layer.argument_layers.values()]
    trained = [trains and layer.trainable and variable.trainable for variable in own]
    return Tensors(layer.name, type(layer).__name__, named, trained, inner, places.get(id(layer)))


def _place(part: Any, path: str, places: dict[int, str]) -> None:
    """Note where Keras's files keep the variables of a layer or model and of all in it: at the first way to each."""
    if id(part) in places:
        return
    places[id(part)] = path
    for name, value in _attributes(part):
        if isinstance(value, Operation):
            _place(value, f"{path}{name}/", places)
        elif isinstance(value, (list, tuple, dict)):
            _place_all(value, f"{path}{name}/", places)


def _place_all(values: Any, path: str, places: dict[int, str]) -> None:
    taken: set[str] = set()
    for value in values.values() if isinstance(values, dict) else values:
        if isinstance(value, (Operation, list, tuple, dict)):
            single = isinstance(value, Operation)
            name = unique(snake_case(type(value).__name__) if single else "container", taken)
            taken.add(name)
            (_place if single else _place_all)(value, f"{path}{name}/", places)


def _attributes(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield names and values of attributes in the order in which Keras visits them: private ones last."""
    if not isinstance(part, Layer):
        if not part.by_call:
            yield "layers", part.layers
            return
        yield from _sorted([*vars(part).items(), ("layers", part.layers)])
    elif part.by_call:
        yield from _sorted(vars(part).items())
    else:
        yield from _sorted(part.argument_layers.items())


def _sorted(attributes: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return sorted(attributes, key=lambda one: f"~{one[0]}" if one[0].startswith("_") else one[0])


def found_values(model: Trainer, find: Finder) -> list[Array]:
    """Return the values that a file has for a model's weights, in the order of `Stack.weights` and of their dtypes."""
    variables = model.stack.weights
    found = find(tensors_of(model, [variable.numpy() for variable in variables]))
    if len(found) != len(variables):
        raise ValueError(f"it holds {len(found)} tensors; the model has {len(variables)}")
    return [array.astype(variable.dtype, copy=False) for variable, array in zip(variables, found, strict=True)]
