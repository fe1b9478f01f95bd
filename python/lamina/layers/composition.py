"""Layers and models whose `call` calls other layers: what they hold, and what they do with a symbolic tensor."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from lamina._common.checks import KindError
from lamina._common.parameters import parameters_of
from lamina._engine.variable import Variable
from lamina.layers.symbols import KerasTensor, Operation

__all__ = ["calls_between", "check_nothing_lost", "follow", "held", "mode_noted"]

# The attributes of every layer in which it keeps the model that it is, and the layers that it has built.
_OWN = ("_wrapped", "_built_parts", "_call_shapes")


def held(holder: Any) -> list[Operation]:
    """Return the layers and models that are attributes, or items of attributes, in the order of assignment."""
    found: list[Operation] = []

    def look(value: Any) -> None:
        if isinstance(value, Operation):
            if value is not holder and not any(value is known for known in found):
                found.append(value)
        elif type(value) in (list, tuple):
            for item in value:
                look(item)
        elif type(value) is dict:
            for item in value.values():
                look(item)

    for name, value in vars(holder).items():
        if name not in _OWN:
            look(value)
    return found


def check_nothing_lost(who: str, holder: Any) -> None:
    """Raise if something whose `call` is followed has variables of its own: they would not be trained."""
    lost = [name for name, value in vars(holder).items() if isinstance(value, Variable)]
    lost += [variable.name for variable in getattr(holder, "own_weights", [])]  # of a layer, also those in lists
    if lost:
        raise KindError(
            f"{who}: {lost[0]} would be neither trained nor saved: what calls layers that it holds has no parameters "
            "of its own. Put them into a layer."
        )


class _Trace:
    """One pass through a `call`: with which `training` each layer and model was called."""

    def __init__(self) -> None:
        self.modes: list[tuple[Operation, bool | None]] = []

    def mode_of(self, operation: Operation, otherwise: bool | None) -> bool | None:
        """Return the mode of an operation; what it is if it was not given, or the operation not called."""
        for one, training in self.modes:
            if one is operation and training is not None:
                return training
        return otherwise


_trace: ContextVar[_Trace | None] = ContextVar("trace", default=None)


def mode_noted(operation: Operation, training: bool | None) -> bool:
    """Note with which `training` a layer or model is called, if a `call` is being followed; return whether one is."""
    trace = _trace.get()
    if trace is not None:
        trace.modes.append((operation, training))
    return trace is not None


def _passed(who: str, call: Callable[..., Any], x: KerasTensor, **named: bool) -> tuple[KerasTensor, _Trace]:
    before, trace = _trace.get(), _Trace()
    try:  # set inside `try`: Ctrl-C may come right after it
        _trace.set(trace)
        output = call(x, **named)
    finally:
        _trace.set(before)
    if not isinstance(output, KerasTensor):
        raise KindError(
            f"{who}: call must return what a layer returns for its input; it returned {type(output).__name__}. Models "
            "have one output here."
        )
    return output, trace


def follow(who: str, call: Callable[..., Any], x: KerasTensor) -> KerasTensor:
    """Return what a `call` returns for a symbolic tensor.

    If it takes `training` it is followed in both modes. What it does in training only must be layers that change
    nothing in predictions. Layers that it calls with another mode keep that mode.

    Raises
    ------
    TypeError
        It returns something else than a symbolic tensor.
    ValueError
        It does something else in training than in predictions.
    """
    if "training" not in parameters_of(call):
        output, trace = _passed(who, call, x)
        modes = [(one, trace.mode_of(one, True), trace.mode_of(one, False)) for one in calls_between(x, output)]
    else:
        (output, training), (other, predicting) = (_passed(who, call, x, training=mode) for mode in (True, False))
        every, fewer = calls_between(x, output), calls_between(x, other)
        _check_same(who, every, fewer)
        modes = [(one, training.mode_of(one, True), predicting.mode_of(one, False)) for one in every]
    for operation, in_training, in_predictions in modes:
        if in_training == in_predictions:
            operation.fix_training(bool(in_training))
        elif in_predictions:
            raise ValueError(f"{who}: {operation.name!r} must not act in predictions alone as in training.")
    return output


def _check_same(who: str, every: list[Operation], fewer: list[Operation]) -> None:
    rest = list(fewer)
    for one in every:
        if rest and (one is rest[0] or (one.made_of is not None and one.made_of == rest[0].made_of)):
            rest.pop(0)
        elif not one.identity_in_predictions:
            break
    else:
        if not rest:
            return
    raise ValueError(
        f"{who}: call must do the same in training and in predictions, but for layers that add noise; it calls "
        f"{[one.name for one in every]} in training, and else {[one.name for one in fewer]}."
    )


def calls_between(first: KerasTensor, last: KerasTensor) -> list[Operation]:
    """Return what was called to get from one symbolic tensor to another, as far as each call has one input."""
    found: list[Operation] = []
    at = last
    while at is not first and at.call is not None and len(at.call.inputs) == 1:
        found.append(at.call.operation)
        at = at.call.inputs[0]
    return found[::-1]
