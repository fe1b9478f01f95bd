"""Where a `fit` is in its epochs and in its pass over the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.counts import Steps

__all__ = ["Order", "Place", "Taken"]

Order = npt.NDArray[np.int64]


class Taken:
    """A run whose steps are taken one by one, with code written in Python.

    Attributes
    ----------
    steps : int
        Steps that were taken.
    """

    def __init__(self) -> None:
        self.steps = 0


class Place:
    """Where a `fit` is in its pass over the data.

    Attributes
    ----------
    epoch : int
        The current epoch.
    order : ndarray or None
        The order of rows of the pass; None for the order in which they lie.
    active : bool
        Whether the `fit` goes on.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self.order: Order | None = None
        self.active = False
        # Rows that were trained before a stretch, the run that trains it, its rows, its batch size: replaced at once.
        self._at: tuple[int, Steps | None, int, int] = (0, None, 0, 1)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the order, which is as long as the data, and the stretch that is being trained."""
        return {"epoch": self.epoch, "order": None, "active": False, "_at": (self.row, None, 0, 1)}

    @property
    def row(self) -> int:
        """Number of rows of the pass that were trained: where in `order` the next batch begins."""
        before, run, rows, size = self._at
        return before if run is None else before + min(run.steps * size, rows)

    def go_to(self, epoch: int, row: int) -> None:
        """Continue from elsewhere; the order of rows is not known there."""
        self.epoch, self.order, self._at = epoch, None, (row, None, 0, 1)

    def begin_pass(self, order: Order | None) -> None:
        """Begin a pass over the data."""
        self.order, self._at = order, (0, None, 0, 1)

    def begin_stretch(self, rows: int, size: int, run: Steps) -> None:
        """Begin to train rows, in batches whose steps `run` counts."""
        self._at = (self.row, run, rows, size)

    def end_stretch(self) -> None:
        """End the stretch, all of it or in its midst."""
        self._at = (self.row, None, 0, 1)
