"""What files hold, as values: a model, or a backup of its training."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt

__all__ = ["BackupState", "ModelState", "damaged_where_wrong"]

Array = npt.NDArray[Any]


class ModelState(NamedTuple):
    """A model as a value.

    Attributes
    ----------
    config : dict
        What the model is made of, as `lamina._common.objects.serialize` returns it.
    weights : dict of str to ndarray
        By the path of the variable.
    shuffles, draws : int
        Orders of rows that were drawn, batches that were trained.
    layer_states : dict of str to dict
        Of the layers that have one, what `Layer.own_state` returns.
    compile_config : dict or None
        The arguments of `compile`, None for a model that is not compiled; then the following are empty.
    batches : int
        Batches that the optimizer has seen.
    without_decay : object
        `Optimizer.without_decay`.
    slots : dict of str to ndarray
        The optimizer's state, by ``<slot>/<variable path>``.
    """

    config: dict[str, Any]
    weights: dict[str, Array]
    shuffles: int
    draws: int
    layer_states: dict[str, dict[str, int]]
    compile_config: dict[str, Any] | None = None
    batches: int = 0
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
    batches, shuffles, draws, seed, epoch : int
    layer_states : list of dict
        What `Layer.own_state` returns, of each layer.
    """

    weights: list[Array]
    slots: dict[str, list[Array]]
    optimizer: str
    learning_rate: float | None
    batches: int
    shuffles: int
    draws: int
    seed: int
    epoch: int
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
