"""Loops over epochs and batches, which call the callbacks."""

from __future__ import annotations

from typing import Any

from lamina._common.warn import warn
from lamina._data.streams import Stream
from lamina.callbacks import CallbackList
from lamina.models.base import BaseModel
from lamina.models.finite import FiniteSteps
from lamina.models.place import Order
from lamina.models.prepared import Prepared, prepare, weighted_by_class
from lamina.models.run import Run

__all__ = ["Loops"]


class Loops:
    """Loops over the rows or batches of a call.

    Parameters
    ----------
    model : BaseModel
    events : CallbackList
    finite : FiniteSteps, optional
        Takes the steps of training one by one.
    """

    def __init__(self, model: BaseModel, events: CallbackList, finite: FiniteSteps | None = None) -> None:
        self._model, self._executor = model, model.executor
        self._events, self._finite = events, finite
        self._place = model.executor.place

    def _who(self, method: str) -> str:
        return self._executor.stack.who(method)

    def _note_steps(self, steps: int) -> None:
        """Tell the callbacks how many batches a stream has had, if nobody knew before."""
        if steps and self._events.params.get("steps") is None:
            self._events.set_params(self._events.params | {"steps": steps})

    # Training.

    def train_epoch(
        self, run: Run, source: Prepared | Stream, size: int, steps: int | None, shuffle: bool, class_weight: Any
    ) -> None:
        """Train one epoch: all rows, `steps` batches of them, or what yields batches."""
        if isinstance(source, Stream):
            self._train_stream(run, source, class_weight)
            self._executor.count_order()
        elif steps is not None:
            self._train_steps(run, source, size, steps, shuffle)
        else:
            self._train_rows(run, source, size, shuffle)

    def _train_rows(self, run: Run, prepared: Prepared, size: int, shuffle: bool) -> None:
        total, place = prepared.rows, self._place
        make = self._executor.same_order if place.resumed else self._executor.next_order
        order, begin = make(place, self._model.seed, prepared, size, shuffle), place.row
        events = self._events
        if events.wants_batches("train") or self._finite is not None:
            for index, first in enumerate(range(begin, total, size), place.batch):
                self._train_one(run, prepared, order, first, min(size, total - first), index)
                if self._model.stop_training:
                    break
            return
        left = total - begin
        if self._model.stop_training:
            left = min(size, left)
        for first, rows in events.stretches(left, size):
            with run.turn():
                run.take_over()
                self._executor.train_rows(prepared, order, begin + first, rows, size, place)
            events.advance(-(-rows // size), run.logs)

    def _train_one(self, run: Run, prepared: Prepared, order: Order | None, first: int, rows: int, index: int) -> None:
        """Train one batch, between its events."""
        self._events.call("on_train_batch_begin", index, {})
        with run.turn():
            run.take_over()
            if self._finite is None:
                self._executor.train_rows(prepared, order, first, rows, rows, self._place)
            else:
                self._finite.train_rows(prepared, order, first, rows, self._place, index)
            logs = self._executor.require_compiled("fit").logs()
        self._place.batch = index + 1
        self._events.call("on_train_batch_end", index, logs)
        self._events.advance(1, run.logs)

    def _train_steps(self, run: Run, prepared: Prepared, size: int, steps: int, shuffle: bool) -> None:
        """Train a number of batches, or the rest of the rows, from where the last epoch ended."""
        total, place = prepared.rows, self._place
        first = place.row if place.resumed else place.row % total
        if first:
            self._executor.same_order(place, self._model.seed, prepared, size, shuffle)
        for index in range(place.batch, steps):
            if first == total:
                warn(f"{self._who('fit')}: the rows ran out after {index} of {steps} batches of this epoch.")
                break
            if first == 0:
                self._executor.next_order(place, self._model.seed, prepared, size, shuffle)
            rows = min(size, total - first)
            self._train_one(run, prepared, place.order, first, rows, index)
            first += rows
            if self._model.stop_training:
                break

    def _train_stream(self, run: Run, stream: Stream, class_weight: Any) -> None:
        who, executor = self._who("fit"), self._executor
        index = self._place.batch - 1
        for index, batch in enumerate(stream.epoch(self._place.batch), self._place.batch):
            prepared = prepare("fit", executor.stack, executor.require_compiled("fit"), *batch)
            if class_weight is not None:
                if batch.y is None:
                    raise ValueError(f"{who}: class_weight must be None for batches without targets.")
                if batch.sample_weight is not None:
                    raise ValueError(f"{who}: give class_weight or weights of the batches' rows, not both.")
                prepared = weighted_by_class(who, executor.stack, prepared, class_weight)
            executor.commit(prepared, self._model.build)
            self._train_one(run, prepared, None, 0, prepared.rows, index)
            if self._model.stop_training:
                break
        self._note_steps(index + 1)

    # Evaluation.

    def evaluate(self, source: Prepared | Stream, size: int | None, steps: int | None, method: str) -> dict[str, Any]:
        """Return loss and metrics on rows or a stream; `steps` without `size` divides all rows into `steps` batches."""
        self._model.stop_evaluating = False
        if isinstance(source, Stream):
            return self._evaluate_stream(source, method)
        if size is None:
            size = 32 if steps is None else -(-source.rows // steps)
        if steps is not None:
            if -(-source.rows // size) < steps:
                warn(f"{self._who('evaluate')}: the rows ran out after {-(-source.rows // size)} of {steps} batches.")
            source = source.take(slice(0, steps * size))
        return self._evaluate_rows(source, size)

    def _evaluate_rows(self, prepared: Prepared, size: int) -> dict[str, Any]:
        total = prepared.rows
        self._events.call("on_test_begin", {})
        run = Run(self._executor, "evaluate", self._model.get_metrics_result)
        if self._events.wants_batches("test"):
            for index, first in enumerate(range(0, total, size)):
                self._evaluate_one(run, prepared, first, min(size, total - first), size, index)
                if self._model.stop_evaluating:
                    break
        else:
            with run.turn():
                run.take_over()
                self._executor.evaluate_rows(prepared, 0, total, size)
        logs = run.end()
        self._events.call("on_test_end", logs)
        return logs

    def _evaluate_one(self, run: Run, prepared: Prepared, first: int, rows: int, size: int, index: int) -> None:
        """Evaluate one batch, and call its callbacks."""
        self._events.call("on_test_batch_begin", index, {})
        with run.turn():
            run.take_over()
            self._executor.evaluate_rows(prepared, first, rows, size)
            logs = self._executor.require_compiled("evaluate").logs()
        self._events.call("on_test_batch_end", index, logs)

    def _evaluate_stream(self, stream: Stream, method: str) -> dict[str, Any]:
        executor = self._executor
        self._events.call("on_test_begin", {})
        run, index = Run(executor, "evaluate", self._model.get_metrics_result), -1
        for index, batch in enumerate(stream.epoch(from_start=True)):
            prepared = prepare(method, executor.stack, executor.require_compiled("evaluate"), *batch)
            executor.commit(prepared, self._model.build)
            self._evaluate_one(run, prepared, 0, prepared.rows, prepared.rows, index)
            if self._model.stop_evaluating:
                break
        if method == "evaluate":
            self._note_steps(index + 1)
        if stream.exhausted:
            warn(
                f"{self._who('fit')}: validation_data ran out: a generator serves one pass. There are no values of it "
                "from this epoch on."
            )
            self._events.call("on_test_end", {})
            return {}
        logs = run.end()
        self._events.call("on_test_end", logs)
        return logs
