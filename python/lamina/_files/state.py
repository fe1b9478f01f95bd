"""Contents of files as values: the state of training, a model, a backup of its training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

__all__ = ["BackupState", "ModelState", "TrainingState", "damaged_where_wrong"]

Array = npt.NDArray[Any]


class TrainingState(NamedTuple):
    """State of training: everything that the next step depends on besides parameters and the optimizer's slots.

    Attributes
    ----------
    batches : int
        Batches that the optimizer has seen.
    shuffles : int
        Number of passes over the data (of epochs, for streams); the next random order depends on it.
    draws : int
        Number of batches that ran as in training; noise depends on it.
    epoch, row : int
        The current epoch, and the position in its row order at which the next batch begins.
    metrics : list of dict
        Attributes of the loss's mean and of each metric, with their sums so far.
    """

    batches: int = 0
    shuffles: int = 0
    draws: int = 0
    epoch: int = 0
    row: int = 0
    metrics: list[dict[str, Any]] = []  # noqa: RUF012  (never changed)


class ModelState(NamedTuple):
    """A model as a value.

    Attributes
    ----------
    config : dict
        The model's configuration, as `lamina._common.objects.serialize` returns it.
    weights : dict of str to ndarray
        By the path of the variable.
    training : TrainingState
        Files hold its batches, shuffles and draws.
    layer_states : dict of str to dict
        What `lamina.layers.inner.whole_state` returns, by the name of the layer; without layers that have no state.
    compile_config : dict or None
        The arguments of `compile`, None for a model that is not compiled; then the following are empty.
    without_decay : object
        `Optimizer.without_decay`.
    slots : dict of str to ndarray
        The optimizer's state, by ``<slot>/<variable path>``.
    """

    config: dict[str, Any]
    weights: dict[str, Array]
    training: TrainingState
    layer_states: dict[str, dict[str, int]]
    compile_config: dict[str, Any] | None = None
    without_decay: Any = None
    slots: dict[str, Array] = {}  # noqa: RUF012  (never changed)


class BackupState(NamedTuple):
    """The state from which training resumes, without the model's configuration.

    Attributes
    ----------
    weights : list of ndarray
    slots : dict of str to list of ndarray
        The optimizer's state: by the name of the slot an array for each weight.
    optimizer : str
        Name of the optimizer's class.
    learning_rate : float or None
        None if it follows a schedule or a function.
    training : TrainingState
        Its `epoch` is the one to resume with; files do not hold `row` and `metrics`.
    seed : int
    layer_states : list of dict
        What `lamina.layers.inner.whole_state` returns, for each layer.
    """

    weights: list[Array]
    slots: dict[str, list[Array]]
    optimizer: str
    learning_rate: float | None
    training: TrainingState
    seed: int
    layer_states: list[dict[str, int]]


# Exceptions that reading a damaged or foreign file may raise. A MemoryError does not mean that the file is damaged.
_BROKEN = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError, ZeroDivisionError,
    AssertionError, re.error,
)  # fmt: skip


@contextmanager
def damaged_where_wrong(who: str, path: Any) -> Iterator[None]:
    """Turn exceptions of the block, which reads a file's contents, into a ValueError that names the file."""
    try:
        yield
    except _BROKEN as error:
        what = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(
            f"{who}: {Path(path)} is damaged, of a newer lamina, or of another kind; {what}{error}."
        ) from None
