"""Backups of training: the state from which it resumes, without the model's configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.interrupts import interrupts_later
from lamina._engine.variable import Variable
from lamina._engine.variables import assign_together, one_moment
from lamina._files.errors import damaged_where_wrong
from lamina._files.native import read_backup, write_backup
from lamina._files.state import BackupState
from lamina.layers.inner import take_whole_state, whole_state
from lamina.models.base import BaseModel
from lamina.models.prepared import prepare
from lamina.models.trainer import Trainer

__all__ = ["restore_backup", "save_backup"]

Array = npt.NDArray[Any]

CallbackStates = Sequence[tuple[str, dict[str, Any]]]


def save_backup(model: Trainer, path: Path, callbacks: CallbackStates, epoch: int) -> None:
    """Write the state from which training resumes, without the model's configuration.

    Parameters
    ----------
    model : Trainer
        In a `fit`, between two batches or two epochs.
    path : Path
    callbacks : sequence of (str, dict)
        The callbacks' classes and states.
    epoch : int
        The one that is next, in a loop of the user's; a `fit` knows it.
    """
    stack, executor, optimizer, place = model.stack, model.executor, model.optimizer, model.executor.place
    with one_moment(variables := stack.weights):
        training = executor.state()
        between = place.completed or not place.active
        if between:  # the next epoch begins with no batch, and no values
            row = training.row if place.active and place.data["steps"] is not None else 0
            epoch = training.epoch + 1 if place.active else epoch
            training = training._replace(epoch=epoch, row=row, metrics=[])
        state = BackupState(
            weights=[variable.numpy() for variable in variables],
            slots={name: [optimizer.slot(name, v).numpy() for v in variables] for name in optimizer.state_names()},
            optimizer=type(optimizer).__name__,
            learning_rate=optimizer.rate_if_constant(),
            training=training,
            batch=0 if between else place.batch,
            stopped=bool(model.stop_training or optimizer.converged) and place.active and between,
            streams=[None if stream is None else stream.state() for stream in place.streams],
            callbacks=list(callbacks),
            made_by=_made_by(model),
            data=place.data,
            seed=model.seed,
            layer_states=[whole_state(layer) for layer in stack.layers],
            numbers=optimizer.numbers(),
        )
    write_backup(stack.who("backup"), path, state)


def restore_backup(model: Trainer, path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Restore a backup of a model with the same layers and optimizer, at the begin of a `fit`.

    Parameters
    ----------
    model : Trainer
    path : Path

    Returns
    -------
    list of (str, dict)
        The callbacks' classes and states.

    Raises
    ------
    ModelFileError
        The file is no backup, or is good for another kind of training. The model is unchanged.
    """
    stack, executor, optimizer = model.stack, model.executor, model.optimizer
    who = stack.who("restore")
    state = read_backup(who, path)
    with damaged_where_wrong(who, path):
        _go_to_batches(model, state)
        variables = stack.weights
        _check(state, model, variables)
    targets: list[tuple[Variable, Array]] = list(zip(variables, state.weights, strict=True))
    for name, arrays in state.slots.items():
        targets += [(optimizer.slot(name, v), array) for v, array in zip(variables, arrays, strict=True)]
    with one_moment(variables, write=True), interrupts_later():
        assign_together([variable for variable, _ in targets], [array for _, array in targets])
        executor.restore(state.training)
        executor.place.resume(state.batch, state.stopped)
        model.seed = state.seed
        if state.learning_rate is not None and optimizer.rate_if_constant() is not None:
            optimizer.learning_rate = state.learning_rate
        optimizer.take_numbers(state.numbers)
        for layer, own in zip(stack.layers, state.layer_states, strict=True):
            take_whole_state(layer, own)
    model.initial_epoch = state.training.epoch
    return state.callbacks


def _go_to_batches(model: Trainer, state: BackupState) -> None:
    """Go to the batches that are next, and build a model that only batches can tell how.

    Raises
    ------
    ValueError
        The data have fewer batches.
    """
    executor, sample = model.executor, None
    for stream, own in zip(executor.place.streams, state.streams, strict=True):
        if (stream is None) != (own is None):
            raise ValueError("it was written for data of another kind: in batches, or in rows")
        if stream is not None and own is not None:
            last = stream.resume(own)
            sample = last if sample is None else sample
    if sample is not None:
        executor.commit(prepare("fit", executor.stack, executor.require_compiled("fit"), *sample), model.build)


def _check(state: BackupState, model: Trainer, variables: list[Variable]) -> None:
    """Raise unless a backup is good for this model and its `fit`."""
    optimizer, layers = model.optimizer, model.stack.layers
    if state.optimizer != type(optimizer).__name__ or set(state.slots) != set(optimizer.state_names()):
        raise ValueError(f"it was written with another optimizer, {state.optimizer}; this is {optimizer!r}")
    if any(len(arrays) != len(variables) for arrays in (state.weights, *state.slots.values())):
        raise ValueError("it belongs to a model of other layers")
    for arrays in (state.weights, *state.slots.values()):
        for variable, array in zip(variables, arrays, strict=True):
            if array.shape != variable.shape or str(np.dtype(array.dtype)) != variable.dtype:
                raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
    if set(state.numbers) != set(optimizer.numbers()):
        raise ValueError("it lacks numbers of the optimizer")
    if len(state.layer_states) != len(layers):
        raise ValueError("it belongs to a model of other layers")
    here = _made_by(model)
    for what in sorted(here.keys() | state.made_by.keys()):
        own, other = here.get(what, "missing"), state.made_by.get(what, "missing")
        if own != other:
            raise ValueError(f"its {what} is {other}; here it is {own}")
    data = model.executor.place.data
    if (state.batch or state.training.row) and state.data != data:
        raise ValueError(f"it was written within an epoch over the data {state.data}; here are {data}")


def _made_by(model: Trainer) -> dict[str, str]:
    """Return what a backup is good for, as texts."""
    compiled = model.executor.require_compiled("restore")
    found = {"lamina": _core.__version__, "instruction set": _core.isa()}
    for number, layer in enumerate(model.stack.layers):
        found[f"layer {number}"] = _described(layer)
    optimizer = _described(model.optimizer, "learning_rate", *model.optimizer.numbers())
    return found | {"optimizer": optimizer, "loss": _described(compiled.loss)}


def _described(one: Any, *changing: str) -> str:
    """Return the class of an object of the library and its arguments, or the class of a user's, as text.

    Arguments that change in training are left out, and the name, which is numbered as objects are made.
    """
    kind = type(one)
    if not kind.__module__.startswith("lamina."):
        return kind.__name__
    if isinstance(one, BaseModel):
        return f"{kind.__name__} of {[_described(layer) for layer in one.stack.layers]}"
    settings = {name: _nameless(value) for name, value in one.get_config().items() if name not in ("name", *changing)}
    return f"{kind.__name__} {json.dumps(settings, sort_keys=True, default=lambda other: type(other).__name__)}"


def _nameless(value: Any) -> Any:
    """Return a value without the names of objects in it."""
    if isinstance(value, dict):
        return {key: _nameless(one) for key, one in value.items() if key != "name"}
    return [_nameless(one) for one in value] if isinstance(value, (list, tuple)) else value
