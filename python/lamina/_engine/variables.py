"""Several variables at once: read, written and checked as they are at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import KindError
from lamina._data.arrays import real_array
from lamina._engine.variable import Variable

__all__ = ["Kept", "all_finite", "assign_all", "assign_together", "one_moment", "put_back"]

Array = npt.NDArray[Any]


def one_moment(variables: Iterable[Variable], write: bool = False) -> _core.Passage:
    """Return a context manager in which variables have the values of one moment, between two steps of training.

    Parameters
    ----------
    write : bool
        Whether they will be assigned: predictions and training then see all new values or none.
    """
    # Move a layer's variables into its block first: a first step on another thread could move them meanwhile.
    places = [v.require_block() if v.owner is not None else v.block for v in variables]
    return _core.Passage([place[0] for place in places if place is not None], write)


def assign_together(variables: Iterable[Variable], values: Iterable[Any]) -> None:
    """Assign to several variables: to all, or to none if a value is refused or a signal handler raises."""
    pairs = [(variable, variable.converted(value)) for variable, value in zip(variables, values, strict=True)]
    in_engine = [pair for pair in pairs if pair[0].owner is not None or pair[0].block is not None]
    writes = [(*variable.require_block(), array) for variable, array in in_engine]
    with one_moment([variable for variable, _ in pairs], write=True):
        try:
            _core.write_together(writes)
        finally:
            for variable, _ in in_engine:
                if variable.on_assign is not None:
                    variable.on_assign()
        for variable, array in pairs:
            if variable.block is None:  # an optimizer's counter or learning rate
                variable.take(array)


def assign_all(who: str, variables: list[Variable], weights: Any) -> None:
    """Write arrays into variables after all of them were checked."""
    if not isinstance(weights, (list, tuple)) and not (isinstance(weights, np.ndarray) and weights.ndim):
        raise KindError(f"{who}: weights must be a list of arrays; got {type(weights).__name__}.")
    if len(weights) != len(variables):
        raise ValueError(f"{who}: there must be {len(variables)} arrays, one a weight; got {len(weights)}.")
    arrays = [real_array(who, f"weight {v.path!r}", array) for v, array in zip(variables, weights, strict=True)]
    for variable, array in zip(variables, arrays, strict=True):
        if array.shape != variable.shape:
            raise ValueError(
                f"{who}: weight {variable.path!r} must have shape {variable.shape}; got {array.shape}. Nothing was set."
            )
    assign_together(variables, arrays)


def put_back(kept: Iterable[tuple[Variable, Array]]) -> None:
    """Restore the values that variables had before a step that failed."""
    for variable, values in kept:
        variable.take(values)


class Kept:
    """The values of variables, to return to."""

    def __init__(self) -> None:
        self._blocks: dict[int, tuple[_core.Parameters, _core.Parameters]] = {}
        self._arrays: list[tuple[Variable, Array]] = []

    def keep(self, variables: Iterable[Variable]) -> None:
        """Keep the values that variables have now, and no others any more."""
        blocks, self._arrays = self._blocks, []
        self._blocks = {}
        for variable in variables:
            place = variable.block
            if place is None:
                self._arrays.append((variable, variable.value))
            elif id(place[0]) not in self._blocks:
                self._blocks[id(place[0])] = blocks.get(id(place[0])) or (place[0], place[0].like())
        for block, copy in self._blocks.values():
            copy.take(block)

    def put_back(self) -> None:
        """Give the variables what was kept."""
        for block, copy in self._blocks.values():
            block.take(copy)
        put_back(self._arrays)


def all_finite(variables: Iterable[Variable]) -> bool:
    """Return whether no value is NaN or infinite, nor one of another variable that lies in the same blocks."""
    blocks: dict[int, _core.Parameters] = {}
    for variable in variables:
        place = variable.block
        if place is not None:
            blocks[id(place[0])] = place[0]
        elif variable.is_float and not np.isfinite(variable.value).all():
            return False
    return all(block.finite() for block in blocks.values())
