"""Where a `fit` is in its epochs and in its pass over the data."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._common.counts import Steps
from lamina._data.streams import Stream

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


class _At(NamedTuple):
    """A place, as long as a run of the engine trains on from there.

    Attributes
    ----------
    epoch : int
        The epoch, or the first of those that the run trains.
    row : int
        Rows of the pass that were trained before the run.
    run : Steps or None
        The run, None between runs.
    rows, size : int
        Its rows, and those of its batches.
    batches : int or None
        Batches of an epoch of a run that trains whole epochs.
    """

    epoch: int = 0
    row: int = 0
    run: Steps | None = None
    rows: int = 0
    size: int = 1
    batches: int | None = None

    def now(self) -> tuple[int, int]:
        """Return the present epoch, and the rows of its pass that were trained."""
        if self.run is None:
            return self.epoch, self.row
        steps, epoch = self.run.steps, self.epoch
        if self.batches is not None and steps:
            epoch += (steps - 1) // self.batches
            steps = (steps - 1) % self.batches + 1
        return epoch, self.row + min(steps * self.size, self.rows)


class Place:
    """Where a `fit` is in its epochs, and in its pass over the data.

    Attributes
    ----------
    order : ndarray or None
        The order of rows of the pass; None for the order in which they lie.
    active : bool
        Whether the `fit` goes on.
    batch : int
        Batches of the epoch that were trained, where callbacks are called between them.
    completed : bool
        Whether the epoch is over.
    resumed, stopped : bool
        Whether the epoch was begun before a backup was made that was restored, and whether training had ended by then.
    streams : list of (Stream or None)
        The training data and the validation data, if they arrive in batches.
    data : dict
        What is known of them: a backup in the midst of an epoch is good for the same only.
    """

    def __init__(self) -> None:
        self.order: Order | None = None
        self.active = False
        self.batch, self.completed, self.resumed, self.stopped = 0, False, False, False
        self.streams: list[Stream | None] = [None, None]
        self.data: dict[str, Any] = {}
        self._at = _At()  # replaced at once: other threads read it

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the order, which is as long as the data, the data, and the run."""
        return vars(Place()) | {"_at": _At(*self.now)}

    @property
    def now(self) -> tuple[int, int]:
        """The current epoch, and the number of rows of its pass that were trained, at one moment."""
        return self._at.now()

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return self.now[0]

    @property
    def row(self) -> int:
        """Number of rows of the pass that were trained: where in `order` the next batch begins."""
        return self.now[1]

    def go_to(self, epoch: int, row: int) -> None:
        """Continue from elsewhere; the order of rows is not known there."""
        self.order, self._at = None, _At(epoch, row)

    def begin_epoch(self, epoch: int, continues: bool) -> None:
        """Begin an epoch; with `continues` in the pass of the epoch before, else with a new one.

        An epoch that was begun before a backup was made goes on where it was.
        """
        self.completed = False
        if not self.resumed:
            self.batch = 0
        if continues or self.resumed:
            self._at = _At(epoch, self.row)
        else:
            self.go_to(epoch, 0)

    def resume(self, batch: int, stopped: bool) -> None:
        """Go on after so many batches of the present epoch, or not at all if training had `stopped`."""
        self.batch, self.resumed, self.stopped = batch, batch > 0, stopped

    def begin_pass(self, order: Order | None) -> None:
        """Begin a pass over the data."""
        self.order, self._at = order, _At(self.epoch)

    def begin_stretch(self, rows: int, size: int, run: Steps) -> None:
        """Begin to train rows, in batches whose steps `run` counts."""
        self._at = _At(*self.now, run, rows, size)

    def begin_epochs(self, rows: int, size: int, run: Steps) -> None:
        """Begin to train whole epochs of these rows, in batches whose steps `run` counts, from the current epoch on."""
        self._at = _At(self.epoch, 0, run, rows, size, -(-rows // size))

    def end_stretch(self) -> None:
        """End the stretch, or the epochs, all of it or in its midst."""
        self._at = _At(*self.now)
