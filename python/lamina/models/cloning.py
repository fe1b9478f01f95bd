"""Makes models from other models, and from JSON."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from typing import Any

from lamina._common.checks import KindError, flag, function, text
from lamina._common.custom import custom_object_scope
from lamina._common.names import required
from lamina._common.objects import serialize_keras_object
from lamina.layers import REGISTRY as LAYERS
from lamina.layers import InputLayer, Layer, layer_of
from lamina.layers.symbols import KerasTensor, one_symbol
from lamina.models import graph
from lamina.models.functional import Functional
from lamina.models.model import Model
from lamina.models.parts import shown
from lamina.models.sequential import Sequential

__all__ = ["clone_model", "model_from_json"]


def model_from_json(json_string: str, custom_objects: dict[str, Any] | None = None) -> Model:
    """Return a model from the text of `Sequential.to_json`, lamina's or Keras's, with new initial parameters.

    Parameters
    ----------
    json_string : str
    custom_objects : dict, optional
        Name → class or function, for user-defined ones.
    """
    try:
        config = json.loads(text("model_from_json", "json_string", json_string))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"model_from_json: json_string must be JSON; it is none from line {error.lineno}, column {error.colno} on."
        ) from None
    if not isinstance(config, dict) or "class_name" not in config:
        raise ValueError("model_from_json: the text must be that of a model's to_json.")
    with custom_object_scope(custom_objects):
        found: Any = LAYERS.get(config, "model_from_json", "the model")
    if not isinstance(found, Model):
        raise ValueError(f"model_from_json: the text must be that of a model's to_json; got a {config['class_name']}.")
    return found


def clone_model(
    model: Model,
    input_tensors: Any = None,
    clone_function: Callable[[Layer], Layer] | None = None,
    call_function: Callable[..., Any] | None = None,
    recursive: bool = False,
) -> Model:
    """Return a model with the same layers and compile arguments, but new initial parameters.

    Parameters
    ----------
    model : Model
    input_tensors : KerasTensor, or list of one, optional
        The input of the clone, that of an `Input` for a stack. Default: a new one.
    clone_function : callable, optional
        Called with each layer; returns the layer to use. Default: a new layer of the same configuration.
    call_function : callable, optional
        Called with each layer, the symbolic tensor of its input and, if it was given, `training`; returns that of the
        output, by default what the layer returns. Not for stacks, whose layers are not called.
    recursive : bool
        Whether nested models are cloned layer by layer; if not, `clone_function` is called with the nested model.
    """
    if not isinstance(model, Model):
        raise KindError(f"clone_model: model must be a model; got {type(model).__name__}.")
    for name, given in (("clone_function", clone_function), ("call_function", call_function)):
        if given is not None:
            function("clone_model", name, given)
    if call_function is not None and not isinstance(model, Functional):
        raise ValueError(
            f"clone_model: call_function must be None for a {type(model).__name__}: only the layers of a model that "
            "was made with Model(inputs, outputs) are called."
        )
    start = None if input_tensors is None else one_symbol("clone_model: input_tensors", input_tensors)
    layer_by_layer = flag("clone_model", "recursive", recursive) or clone_function is None
    if model.by_call:
        if clone_function is not None or start is not None:
            raise ValueError(
                f"clone_model: clone_function and input_tensors must be None: {type(model).__name__} defines call, and "
                "makes its layers."
            )
        copy = type(model).from_config(model.get_config())
    else:
        copy = _cloned(model, clone_function, layer_by_layer, start=start, call=call_function or _called)
    if model.executor.compiled is not None:
        if type(copy).compile is Model.compile:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # compiling `model` has warned already
                copy.compile(**model.executor.compiled.copied_arguments())
        else:
            copy.compile_from_config(serialize_keras_object(model.get_compile_config()))
        copy.reset_metrics()
    return copy


def _called(part: Any, symbol: KerasTensor, **mode: bool) -> Any:
    """Return what a layer or model returns for a symbolic tensor."""
    return part(symbol, **mode)


def _cloned(
    model: Model,
    clone_function: Any,
    recursive: bool,
    kind: type[Sequential] = Sequential,
    start: KerasTensor | None = None,
    call: Callable[..., Any] = _called,
) -> Model:
    """Return a model with clones of the layers of `model`, a stack of class `kind` if it is one.

    It begins with the symbolic tensor `start`, by default with a clone of the input. `call` is called with each layer
    of a model that is no stack.
    """
    before = shown(model.stack.parts)
    parts = [part if part.made_of else _clone_of(part, clone_function, recursive, call) for part in before]
    if start is None and model.stack.input is not None:
        start = InputLayer.from_config(model.stack.input.get_config()).output
    if isinstance(model, Sequential):
        first: list[Any] = [] if start is None else [start]
        copy: Model = kind([*first, *parts], name=model.name)
    else:
        symbols = [required("clone_model", "input", start)]
        for old, part in zip(before, parts, strict=True):
            if part.made_of:
                called, arguments, named = part.made_of.called_with(symbols[-1])
                symbols.append(layer_of(symbols[-1], called, arguments, named, part.name))
            else:
                symbols.append(call(part, symbols[-1], **graph.mode_of(old)))
        made_by = type(model) if type(model).__init__ is Model.__init__ else Functional
        copy = made_by(symbols[0], symbols[-1], name=model.name)
    copy.stack.remember_trainable(model.stack.trainable)
    return copy


def _clone_of(part: Any, clone_function: Any, recursive: bool, call: Callable[..., Any]) -> Any:
    """Return a clone of a layer or a nested model, which keeps its class."""
    if recursive and isinstance(part, Sequential) and type(part).__init__ is Sequential.__init__:
        return _cloned(part, clone_function, True, type(part))
    if recursive and type(part) is Functional:
        return _cloned(part, clone_function, True, call=call)
    return type(part).from_config(part.get_config()) if clone_function is None else clone_function(part)
