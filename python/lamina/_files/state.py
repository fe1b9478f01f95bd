"""What files hold, as values: where training stands, a model, a backup of its training."""

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
    """Where training stands, beside parameters and the optimizer's slots: everything that the next step depends on.

    Attributes
    ----------
    batches : int
        Batches that the optimizer has seen.
    shuffles : int
        Orders of rows that were drawn.
    draws : int
        Batches that were trained, on which noise depends.
    epoch, row : int
        The epoch that runs, and the row of its order at which the next batch begins.
    metrics : list of dict
        What the loss's mean and each metric have summed so far, by attribute.
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
        What the model is made of, as `lamina._common.objects.serialize` returns it.
    weights : dict of str to ndarray
        By the path of the variable.
    training : TrainingState
        Files hold its batches, shuffles and draws.
    layer_states : dict of str to dict
        Of the layers that have one, what `Layer.own_state` returns.
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
    """What training goes on from, without what the model is made of.

    Attributes
    ----------
    weights : list of ndarray
    slots : dict of str to list of ndarray
        Of each kind of the optimizer's state an array for each weight.
    optimizer : str
        The optimizer's class.
    learning_rate : float or None
        None where it follows a schedule or a function.
    training : TrainingState
        Its epoch is the one to go on with; files do not hold its row and metrics.
    seed : int
    layer_states : list of dict
        What `Layer.own_state` returns, of each layer.
    """

    weights: list[Array]
    slots: dict[str, list[Array]]
    optimizer: str
    learning_rate: float | None
    training: TrainingState
    seed: int
    layer_states: list[dict[str, int]]


# What reading a file that is not what it should be raises. A MemoryError says something else.
_BROKEN = (
    KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError, OverflowError, ZeroDivisionError,
    AssertionError, re.error,
)  # fmt: skip


@contextmanager
def damaged_where_wrong(who: str, path: Any) -> Iterator[None]:
    """Raise ValueError, which names the file, where a block that reads its contents finds something wrong."""
    try:
        yield
    except _BROKEN as error:
        what = "" if type(error) is ValueError else f"{type(error).__name__}: "
        raise ValueError(
            f"{who}: {Path(path)} is damaged, of a newer lamina, or of another kind; {what}{error}."
        ) from None
