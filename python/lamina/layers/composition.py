"""Layers and models whose `call` calls other layers: what they hold, and what they do with a symbolic tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from lamina._common.checks import KindError
from lamina.layers.symbols import KerasTensor, Operation

__all__ = ["Mode", "calls_between", "chosen", "follow", "held", "takes_training"]


class Mode:
    """The argument `training` while a `call` is followed: true or false, and still not a choice of its author's.

    A layer that is called with it runs as in training while the model trains, whichever it is.
    """

    def __init__(self, training: bool) -> None:
        self._training = training

    def __bool__(self) -> bool:
        return self._training


def chosen(training: Any) -> Any:
    """Return the argument `training` of a layer's call, None if a followed `call` passes on its own."""
    return None if isinstance(training, Mode) else training


def held(holder: Any) -> list[Operation]:
    """Return the layers and models that are attributes, or items of attributes, in the order of assignment."""
    found: list[Operation] = []

    def look(value: Any) -> None:
        if isinstance(value, Operation):
            if not any(value is known for known in found):
                found.append(value)
        elif type(value) in (list, tuple):
            for item in value:
                look(item)
        elif type(value) is dict:
            for item in value.values():
                look(item)

    for value in vars(holder).values():
        look(value)
    return found


def takes_training(call: Callable[..., Any]) -> bool:
    """Return whether a `call` has the argument `training`."""
    return "training" in inspect.signature(call).parameters


def follow(who: str, call: Callable[..., Any], x: KerasTensor, training: Any = None) -> KerasTensor:
    """Return what a `call` returns for a symbolic tensor.

    If it takes `training` and that is not given, it is followed in both modes. What it does in training only must be
    layers that change nothing in predictions.

    Raises
    ------
    TypeError
        It returns something else than a symbolic tensor.
    ValueError
        It does something else in training than in predictions.
    """
    if not takes_training(call):
        return _one(who, call(x))
    if training is not None:
        return _one(who, call(x, training=training))
    in_training, output = (_one(who, call(x, training=Mode(training))) for training in (True, False))
    every, fewer = calls_between(x, in_training), calls_between(x, output)
    if [id(one) for one in fewer] != [id(one) for one in every if one in fewer or not one.identity_in_predictions]:
        raise ValueError(
            f"{who}: call must do the same in training and in predictions, but for layers that add noise; it calls "
            f"{[one.name for one in every]} in training, and else {[one.name for one in fewer]}."
        )
    return in_training


def _one(who: str, output: Any) -> KerasTensor:
    if not isinstance(output, KerasTensor):
        raise KindError(
            f"{who}: call must return what a layer returns for its input; it returned {type(output).__name__}. Models "
            "have one output here."
        )
    return output


def calls_between(first: KerasTensor, last: KerasTensor) -> list[Operation]:
    """Return what was called to get from one symbolic tensor to another, as far as each call has one input."""
    found: list[Operation] = []
    at = last
    while at is not first and at.call is not None and len(at.call.inputs) == 1:
        found.append(at.call.operation)
        at = at.call.inputs[0]
    return found[::-1]
