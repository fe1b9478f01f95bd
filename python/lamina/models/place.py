"""Where a `fit` is in its epochs and in its pass over the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.counts import Steps

__all__ = ["Order", "Passes", "Place", "Taken"]

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


class Passes:
    """The passes over the data that a run of the engine has begun, counted as steps.

    Parameters
    ----------
    run : Steps
    batches : int
        Batches of a pass.
    """

    def __init__(self, run: Steps, batches: int) -> None:
        self._run, self._batches = run, batches

    @property
    def steps(self) -> int:
        """Passes that were begun."""
        return -(-self._run.steps // self._batches)


class Place:
    """Where a `fit` is in its pass over the data.

    Attributes
    ----------
    order : ndarray or None
        The order of rows of the pass; None for the order in which they lie.
    active : bool
        Whether the `fit` goes on.
    """

    def __init__(self) -> None:
        self.order: Order | None = None
        # The current epoch, or the first of those that a run of the engine trains, the run and its batches an epoch.
        self._epoch: tuple[int, Steps | None, int] = (0, None, 1)
        self.active = False
        # Rows that were trained before a stretch, the run that trains it, its rows, its batch size: replaced at once.
        self._at: tuple[int, Steps | None, int, int] = (0, None, 0, 1)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the order, which is as long as the data, and the stretch that is being trained."""
        at = (self.row, None, 0, 1)
        return {"order": None, "active": False, "_epoch": (self.epoch, None, 1), "_at": at}

    @property
    def epoch(self) -> int:
        """The current epoch."""
        first, run, batches = self._epoch
        return first if run is None else first + max(0, run.steps - 1) // batches

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = (epoch, None, 1)

    @property
    def row(self) -> int:
        """Number of rows of the pass that were trained: where in `order` the next batch begins."""
        before, run, rows, size = self._at
        if run is None:
            return before
        _, epochs, batches = self._epoch
        steps = run.steps if epochs is None or run.steps == 0 else (run.steps - 1) % batches + 1
        return before + min(steps * size, rows)

    def go_to(self, epoch: int, row: int) -> None:
        """Continue from elsewhere; the order of rows is not known there."""
        self.epoch, self.order, self._at = epoch, None, (row, None, 0, 1)

    def begin_pass(self, order: Order | None) -> None:
        """Begin a pass over the data."""
        self.order, self._at = order, (0, None, 0, 1)

    def begin_stretch(self, rows: int, size: int, run: Steps) -> None:
        """Begin to train rows, in batches whose steps `run` counts."""
        self._at = (self.row, run, rows, size)

    def begin_epochs(self, rows: int, size: int, run: Steps) -> None:
        """Begin to train whole epochs of these rows, in batches whose steps `run` counts, from the current epoch on."""
        self._epoch = (self.epoch, run, -(-rows // size))
        self._at = (0, run, rows, size)

    def end_stretch(self) -> None:
        """End the stretch, or the epochs, all of it or in its midst."""
        self._at, self.epoch = (self.row, None, 0, 1), self.epoch
