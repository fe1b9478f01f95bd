"""From symbolic tensors to the layers between them, and to the configurations in which Keras writes them down."""

from __future__ import annotations

from typing import Any

from lamina._common.checks import KindError, integer, listed, mapping, short, text
from lamina._common.names import required
from lamina._common.objects import serialize
from lamina._common.records import Record
from lamina.layers import REGISTRY as LAYERS
from lamina.layers import InputLayer, Layer, layer_of
from lamina.layers.applied import called_in, is_operation
from lamina.layers.symbols import KerasTensor
from lamina.models.parts import Part, shown
from lamina.models.stack import Stack

__all__ = ["Chain", "chain", "chain_config", "chain_from_config", "input_layer"]

_ONLY_CHAINS = "Models are chains of layers here; branches and merges are not there yet."


class Chain(Record):
    """Layers and models, each called with the output of the one before.

    Attributes
    ----------
    start : InputLayer
    parts : list of Layer and model
    symbols : list of KerasTensor
        The input, and the output of each part.
    """

    start: InputLayer
    parts: list[Part]
    symbols: list[KerasTensor]


def chain(who: str, inputs: Any, outputs: Any) -> Chain:
    """Return the chain of calls that leads from one symbolic tensor to another; or raise."""
    first, last = _one(who, "inputs", inputs), _one(who, "outputs", outputs)
    parts: list[Any] = []
    symbols, at = [last], last
    while at is not first:
        call = at.call
        if call is None or not call.inputs:
            raise ValueError(
                f"{who}: outputs must follow from inputs; {last.name!r} begins with {at.name!r}, not {first.name!r}."
            )
        if len(call.inputs) != 1:
            name, count = call.operation.name, len(call.inputs)
            raise ValueError(f"{who}: {name!r} must have one input; it has {count}. {_ONLY_CHAINS}")
        parts.append(call.operation)
        at = call.inputs[0]
        symbols.append(at)
    if not parts:
        raise ValueError(f"{who}: there must be a layer between inputs and outputs; they are the same tensor.")
    start = None if first.call is None else first.call.operation
    if not isinstance(start, InputLayer):  # the model begins in the midst of another one
        start = InputLayer(first.shape[1:], dtype=first.dtype)
    parts.reverse()
    symbols.reverse()
    for i, part in enumerate(parts):
        if any(part is other for other in parts[:i]):
            raise ValueError(f"{who}: {part.name!r} must be called once between inputs and outputs. {_ONLY_CHAINS}")
    return Chain(start, parts, symbols)


def _one(who: str, name: str, value: Any) -> KerasTensor:
    """Return a symbolic tensor, or the only one of a list or dict; or raise."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        if len(value) != 1:
            raise ValueError(f"{who}: {name} must be one symbolic tensor; got {len(value)}. {_ONLY_CHAINS}")
        return _one(who, name, value[0])
    if not isinstance(value, KerasTensor):
        raise KindError(
            f"{who}: {name} must be a symbolic tensor, an Input or what a layer returns for one; got {short(value)}."
        )
    return value


def input_layer(who: str, symbol: KerasTensor) -> InputLayer:
    """Return the layer of what an `Input` returned, or raise if the symbolic tensor is another one."""
    start = None if symbol.call is None else symbol.call.operation
    if not isinstance(start, InputLayer):
        raise KindError(f"{who}: a symbolic tensor must be that of an Input; {symbol.name!r} is the output of a layer.")
    return start


def chain_config(stack: Stack) -> dict[str, Any]:
    """Return the configuration of a built stack as a graph, in Keras's form."""
    layers: list[dict[str, Any]] = []
    ends: list[tuple[str, tuple[int | None, ...], str]] = []  # name, shape and dtype of what the parts return
    shapes = [symbol.shape for symbol in stack.symbols()]
    parts: list[Any] = [required(stack.who("get_config"), "input", stack.input), *shown(stack.parts)]
    for part, shape in zip(parts, shapes, strict=True):
        layers.append(_entry(part, None if not ends else _tensor_config(*ends[-1])))
        dtype = part.integer_dtype or part.dtype if isinstance(part, InputLayer) else part.dtype
        ends.append((part.name, shape, dtype))
    first, last = ([name, 0, 0] for name in (ends[0][0], ends[-1][0]))
    return {"layers": layers, "input_layers": first, "output_layers": last}


def _entry(part: Any, before: dict[str, Any] | None) -> dict[str, Any]:
    """Return the configuration of a part, which is called with the tensor of a configuration; an input with None."""
    if before is not None and part.made_of is not None:
        found: dict[str, Any] | None = part.made_of.keras_config(part.name, before)
        if found is not None:
            return found
    inbound = [] if before is None else [{"args": [before], "kwargs": mode_of(part)}]
    entry: dict[str, Any] = serialize(part)
    return entry | {"name": part.name, "inbound_nodes": inbound}


def mode_of(part: Any) -> dict[str, bool]:
    """Return the arguments of the call of a layer or model besides its input: `training`, if it was fixed."""
    fixed = None if isinstance(part, Layer) and part.by_own_call else part.fixed_training
    return {} if fixed is None else {"training": fixed}


def _tensor_config(name: str, shape: tuple[int | None, ...], dtype: str) -> dict[str, Any]:
    made = {"shape": list(shape), "dtype": dtype, "keras_history": [name, 0, 0]}
    return {"class_name": "__keras_tensor__", "config": made}


def chain_from_config(who: str, settings: Any, stored: Any = None) -> Chain:
    """Return the chain that a configuration describes, Keras 3's or Keras 2's; its layers are new.

    Parameters
    ----------
    settings : mapping
        With ``"layers"``, ``"input_layers"`` and ``"output_layers"``.
    stored : Stored, optional
        Where the parameters come from.
    """
    made: dict[str, Any] = {}
    before: dict[str, str] = {}
    named: dict[str, dict[str, bool]] = {}
    for entry in listed(who, "layers", settings["layers"]):
        entry = mapping(who, "an item of layers", entry)
        part: Any = entry if is_operation(entry) else required(who, "layer", LAYERS.get(entry, who, "layer"))
        name = text(who, "the name of a layer", entry.get("name", None if part is entry else part.name))
        if name in made:
            raise ValueError(f"{who}: names must be unique; there are two layers {name!r}.")
        if isinstance(part, Layer):
            part.stored = stored
        made[name] = part
        named[name] = _arguments(entry.get("inbound_nodes", []))
        nodes = _history(who, name, entry.get("inbound_nodes", []), again=part is entry)
        if nodes:
            before[name] = nodes
    names = [_end(who, "output_layers", settings["output_layers"])]
    start = _end(who, "input_layers", settings["input_layers"])
    while names[-1] != start:
        if names[-1] not in before or len(names) > len(made):
            raise ValueError(f"{who}: output_layers must follow from input_layers; {names[-1]!r} does not.")
        names.append(before[names[-1]])
    if missing := [name for name in names if name not in made]:
        raise ValueError(f"{who}: layers must hold {missing[0]!r}, which an item of inbound_nodes names.")
    if not isinstance(made[start], InputLayer):
        raise KindError(f"{who}: input_layers must name an InputLayer; {start!r} is a {type(made[start]).__name__}.")
    symbol = made[start].symbol()
    first = symbol
    for name in reversed(names[:-1]):
        part = made[name]
        if isinstance(part, dict):
            symbol = layer_of(symbol, *called_in(f"{who}: {name}", part, symbol), name)
        else:
            symbol = part(symbol, **named[name])
    return chain(who, first, symbol)


def _end(who: str, name: str, value: Any) -> str:
    """Return the layer of ``[name, 0, 0]``, or of a list or dict of one of these."""
    while isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, (list, tuple)) or len(value) < 3 or not isinstance(value[0], str):
        count = len(value) if isinstance(value, (list, tuple, dict)) else 0
        raise ValueError(f"{who}: {name} must name one layer; got {count}. {_ONLY_CHAINS}")
    for number in value[1:3]:
        integer(who, f"a number in {name}", number, 0)
    return value[0]


def _history(who: str, layer: str, nodes: Any, again: bool = False) -> str | None:
    """Return the name of the layer before one, from its ``"inbound_nodes"``; None for an input.

    `again`: a node may name it several times.
    """
    nodes = listed(who, "inbound_nodes", nodes)
    found = [name for node in nodes for name in _names(node)]
    if again and len(nodes) == 1:
        found = list(dict.fromkeys(found))
    if len(found) > 1:
        raise ValueError(f"{who}: {layer!r} must be called once, with one input; it has {len(found)}. {_ONLY_CHAINS}")
    return found[0] if found else None


def _arguments(nodes: Any) -> dict[str, bool]:
    """Return the argument `training` of a layer's call, if a configuration has it."""
    node = nodes[0] if isinstance(nodes, (list, tuple)) and nodes else None
    held = node.get("kwargs") if isinstance(node, dict) else None
    training = held.get("training") if isinstance(held, dict) else None
    return {"training": training} if isinstance(training, bool) else {}


def _names(node: Any) -> list[str]:
    """Return the names of the layers that the inputs of a node come from."""
    if isinstance(node, dict):
        if node.get("class_name") == "__keras_tensor__":
            inner = node.get("config")
            history = inner.get("keras_history") if isinstance(inner, dict) else None
            return [str(history[0])] if isinstance(history, (list, tuple)) and history else []
        return [name for value in node.values() for name in _names(value)]
    if not isinstance(node, (list, tuple)):
        return []
    if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):  # Keras 2: [name, 0, 0, {}]
        return [node[0]]
    return [name for value in node for name in _names(value)]
