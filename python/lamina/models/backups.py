"""Backups of training: the state from which it resumes, without the model's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.interrupts import interrupts_later
from lamina._engine.variable import Variable, assign_together, one_moment
from lamina._files.native import read_backup, write_backup
from lamina._files.state import BackupState, damaged_where_wrong
from lamina.layers import Layer
from lamina.layers.inner import take_whole_state, whole_state
from lamina.models.trainer import Trainer
from lamina.optimizers import Optimizer

__all__ = ["restore_backup", "save_backup"]

Array = npt.NDArray[Any]


def save_backup(model: Trainer, path: Path, epoch: int) -> None:
    """Write the state from which training resumes, without the model's configuration."""
    stack, executor, optimizer = model.stack, model.executor, model.optimizer
    with one_moment(variables := stack.weights):
        state = BackupState(
            weights=[variable.numpy() for variable in variables],
            slots={name: [optimizer.slot(name, v).numpy() for v in variables] for name in optimizer.state_names()},
            optimizer=type(optimizer).__name__,
            learning_rate=optimizer.rate_if_constant(),
            training=executor.state(metrics=False)._replace(epoch=epoch),
            seed=model.seed,
            layer_states=[whole_state(layer) for layer in stack.layers],
            numbers=optimizer.numbers(),
        )
    write_backup(stack.who("backup"), path, state)


def restore_backup(model: Trainer, path: Path) -> int:
    """Restore a backup of a model with the same layers and optimizer; return the epoch to resume with.

    Raises
    ------
    ValueError
        The file is no backup, or belongs to another kind of model. The model is unchanged.
    """
    stack, executor, optimizer = model.stack, model.executor, model.optimizer
    who, variables = stack.who("restore"), stack.weights
    state = read_backup(who, path, optimizer.state_names(), len(variables))
    with damaged_where_wrong(who, path):
        _check_backup(state, optimizer, stack.layers, variables)
    targets: list[tuple[Variable, Array]] = list(zip(variables, state.weights, strict=True))
    for name, arrays in state.slots.items():
        targets += [(optimizer.slot(name, v), array) for v, array in zip(variables, arrays, strict=True)]
    with one_moment(variables, write=True), interrupts_later():
        assign_together([variable for variable, _ in targets], [array for _, array in targets])
        executor.restore(state.training)
        model.seed = state.seed
        if state.learning_rate is not None and optimizer.rate_if_constant() is not None:
            optimizer.learning_rate = state.learning_rate
        optimizer.take_numbers(state.numbers)
        for layer, own in zip(stack.layers, state.layer_states, strict=True):
            take_whole_state(layer, own)
    return state.training.epoch


def _check_backup(state: BackupState, optimizer: Optimizer, layers: list[Layer], variables: list[Variable]) -> None:
    if state.optimizer != type(optimizer).__name__:
        raise ValueError(f"it was written with another optimizer, {state.optimizer}; this is {optimizer!r}")
    for arrays in (state.weights, *state.slots.values()):
        for variable, array in zip(variables, arrays, strict=True):
            if array.shape != variable.shape or str(np.dtype(array.dtype)) != variable.dtype:
                raise ValueError(f"its {variable.path!r} is {array.dtype} of shape {array.shape}")
    if set(state.numbers) != set(optimizer.numbers()):
        raise ValueError("it lacks numbers of the optimizer")
    if len(state.layer_states) != len(layers):
        raise ValueError("it belongs to a model of other layers")
