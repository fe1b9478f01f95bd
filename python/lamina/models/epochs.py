"""Short epochs, which the engine trains many at a time: what `fit` does where no Python is needed between epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.interrupts import interrupts_later
from lamina._data.streams import Stream
from lamina.callbacks import CallbackList, EarlyStopping
from lamina.callbacks.base import FinishedEpochs, Logs
from lamina.models.base import BaseModel
from lamina.models.executor import EpochsTask
from lamina.models.place import Order
from lamina.models.prepared import Prepared
from lamina.models.run import Run

__all__ = ["SHORT_EPOCH", "SLICE", "EpochsTogether", "Outcome"]

# Python between two epochs costs less than a hundredth of an epoch that takes longer than this, and progress bars move.
SHORT_EPOCH = 0.01  # s
# A call returns after about this time, to print lines and look at `stop_training`.
SLICE = 0.1  # s


class Outcome:
    """What became of epochs.

    Attributes
    ----------
    record : EpochRecord
        Filled by the engine.
    next_epoch : int
    logs : dict
        Of the last epoch; empty if none was completed.
    """

    def __init__(self, record: _core.EpochRecord, next_epoch: int) -> None:
        self.record, self.next_epoch = record, next_epoch
        self.logs: Logs = {}


class EpochsTogether:
    """Trains short epochs many at a time.

    Parameters
    ----------
    model : BaseModel
    events : CallbackList
    source, held_out : Prepared, Stream or None
        Training and validation data of a `fit`.
    size, held_out_size : int
        Rows of their batches.
    shuffle : bool
    validates_after : callable
        Says whether to validate after an epoch, counted from 1.
    validates_always : bool
        Whether there is validation data, and every epoch is validated.
    whole : bool
        Whether epochs go through all rows, of the validation data too, and nothing looks at single steps.
    """

    def __init__(
        self, model: BaseModel, events: CallbackList, source: Prepared | Stream, held_out: Prepared | Stream | None, *,
        size: int, held_out_size: int, shuffle: bool, validates_after: Any, validates_always: bool, whole: bool,
    ) -> None:  # fmt: skip
        self._model, self._executor, self._events = model, model.executor, events
        self._source, self._held_out = source, held_out
        self._size, self._held_out_size, self._shuffle = size, held_out_size, shuffle
        self._validates_after, self._validates_always = validates_after, validates_always
        self._seconds: float | None = None  # of the last epoch
        self._hindrance: str | None = None if whole else "epochs end before their data"

    def note(self, seconds: float) -> None:
        """Note how long an epoch took."""
        self._seconds = seconds

    def ready(self) -> bool:
        """Return whether the next epochs are to be trained by `train`."""
        return self._seconds is not None and self._seconds <= SHORT_EPOCH and not self.hindrance()

    def hindrance(self) -> str:
        """Return why `job` cannot train the epochs, as a clause; empty if it can.

        It cannot where code written in Python is needed between epochs or in them.
        """
        if self._hindrance is None:
            self._hindrance = self._find_hindrance()
        return self._hindrance

    def _find_hindrance(self) -> str:
        source, held_out = self._source, self._held_out
        if not isinstance(source, Prepared) or isinstance(held_out, Stream):
            return "data arrive in batches"
        if held_out is not None and held_out.data.x.shape[1:] != source.data.x.shape[1:]:
            return "validation rows have another number of steps"
        own_results = type(self._model).get_metrics_result is not BaseModel.get_metrics_result
        if own_results or "get_metrics_result" in vars(self._model):
            return "get_metrics_result is computed in Python"
        if not self._events.take_epochs():
            return "callbacks are called in Python while the epochs run"
        if python := self._executor.python_in_steps(source):
            return python
        return "" if self._watches() is not None else "early stopping watches a value that the engine does not know"

    def _values(self) -> dict[str, tuple[int, bool]]:
        """Return the names of loss and metrics, the number of each, and whether it is one of the validation data."""
        names = list(self._executor.require_compiled("fit").results())
        values = {name: (number, False) for number, name in enumerate(names)}
        return values | {f"val_{name}": (number, True) for number, name in enumerate(names)}

    def _watches(self) -> list[tuple[EarlyStopping, _core.Watch]] | None:
        """Return what watches for callbacks in the engine; None if one of them cannot be served."""
        found, values = [], self._values()
        for callback in self._events.callbacks:
            if not isinstance(callback, EarlyStopping):
                continue
            try:
                watch = callback.watch(values)
            except ValueError:  # it is not known whether more or less is better
                return None
            if watch is None or (values[callback.monitor][1] and not self._validates_always):
                return None
            found.append((callback, watch))
        return found

    def train(self, epoch: int, end: int) -> tuple[int, Logs]:
        """Train epochs from `epoch` on, to `end` at most; return the next epoch and the logs of the last one."""
        assert self._seconds is not None
        count = min(end - epoch, 1 + int(SLICE / self._seconds))
        with self.job(epoch, count, SLICE) as (job, outcome):
            job.run()
        return outcome.next_epoch, outcome.logs

    @contextmanager
    def job(
        self, epoch: int, count: int, seconds: float, rows: Order | None = None, held_out_rows: Order | None = None,
        ends_at_nan: bool = False,
    ) -> Iterator[tuple[_core.EpochsJob, Outcome]]:  # fmt: skip
        """Return a context manager whose job trains `count` epochs at most, and what became of them afterwards.

        Parameters
        ----------
        epoch, count : int
            The first epoch, and how many.
        seconds : float
            No epoch begins after that time.
        rows, held_out_rows, ends_at_nan
            As in `EpochsTask`.
        """
        model, executor = self._model, self._executor
        assert isinstance(self._source, Prepared)
        assert not isinstance(self._held_out, Stream)
        validates = [self._held_out is not None and self._validates_after(epoch + i + 1) for i in range(count)]
        watched = self._watches() or []
        task = EpochsTask(
            self._source, self._size, self._shuffle, model.seed, validates, self._held_out, self._held_out_size,
            [watch for _, watch in watched], seconds, rows, held_out_rows, ends_at_nan,
        )  # fmt: skip
        executor.begin_epoch(epoch, continues=False)
        record = _core.EpochRecord(len(executor.require_compiled("fit").trackers) - 1)
        run = Run(executor, "fit", model.get_metrics_result)
        weights: dict[int, list[Any]] = {}
        outcome, begun = Outcome(record, epoch), time.perf_counter()
        try:
            with run.turn():
                run.take_over()
                with executor.epochs(task, record, weights) as job:
                    yield job, outcome
        finally:
            with interrupts_later():  # Ctrl-C must not lose epochs that were trained
                sums = record.sums
                finished = self._finished(epoch, record, validates[: len(sums)], time.perf_counter() - begun)
                for number, (callback, watch) in enumerate(watched):
                    callback.after_watch(watch, weights.get(number))
                if len(sums):
                    self._events.receive_epochs(finished)
        self._seconds = finished.seconds
        outcome.next_epoch, executor.place.completed = epoch + len(sums), len(sums) > 0
        if not len(sums):
            return
        last = record.held_out_sums if validates[len(sums) - 1] else sums
        counts = record.held_out_counts if validates[len(sums) - 1] else record.counts
        with run.turn():
            run.take_over()
            for tracker, total, number_of in zip(
                executor.require_compiled("fit").trackers, last[-1].tolist(), counts[-1].tolist(), strict=True
            ):
                tracker.total, tracker.count = total, number_of
        run.end()
        outcome.logs = list(finished.each())[-1][1]

    def _finished(self, first: int, record: _core.EpochRecord, validated: list[bool], seconds: float) -> FinishedEpochs:
        names = list(self._executor.require_compiled("fit").results())
        tested = np.array(validated, bool)

        def columns(sums: npt.NDArray[Any], counts: npt.NDArray[Any], prefix: str) -> dict[str, list[float]]:
            means = np.divide(sums, counts, out=np.zeros_like(sums), where=counts != 0)
            values = {f"{prefix}{name}": means[:, number].tolist() for number, name in enumerate(names)}
            return dict(sorted(values.items()))

        return FinishedEpochs(
            first, columns(record.sums, record.counts, ""),
            columns(record.held_out_sums[tested], record.held_out_counts[tested], "val_") if any(validated) else {},
            validated, seconds / max(1, len(validated)),
        )  # fmt: skip
