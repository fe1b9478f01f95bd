"""Executor: runs a model in the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, random
from lamina._common.checks import NotCompiledError
from lamina._common.counts import Count
from lamina._common.interrupts import interrupts_later
from lamina._common.locks import Turn
from lamina._common.records import Record
from lamina._data.compact import Rows, kind_of_rows
from lamina._data.rows import engine_input
from lamina._data.streams import Stream
from lamina._engine.network import CompiledNetwork, Constants
from lamina._engine.ops import Shape
from lamina._engine.variable import Variable
from lamina._engine.variables import one_moment, put_back
from lamina._files.state import TrainingState
from lamina.layers import Layer
from lamina.layers.added import summing
from lamina.metrics.sums import check_sums, sums_of, take_sums
from lamina.models.compilation import Compilation, CompiledTrainer, GradientHook, split
from lamina.models.compiled import Compiled
from lamina.models.head import Given
from lamina.models.place import Order, Passes, Place, Taken
from lamina.models.prepared import Prepared
from lamina.models.python_code import has_host_rules, python_in_steps
from lamina.models.stack import Stack
from lamina.optimizers import Optimizer
from lamina.optimizers.given import constrained
from lamina.regularizers import penalty_of

__all__ = ["EpochsTask", "Executor"]

Array = npt.NDArray[Any]


class EpochsTask(Record):
    """Epochs that the engine trains in one call.

    Attributes
    ----------
    prepared : Prepared
    size : int
        Rows of a batch.
    shuffle : bool
    seed : int
        The model's.
    validates : list of bool
        For each epoch, whether to evaluate `held_out` after it.
    held_out : Prepared or None
    held_out_size : int
        Rows of its batches.
    watches : list
        What may stop the epochs.
    seconds : float
        No epoch begins after that time.
    rows, held_out_rows : ndarray of int64 or None
        The rows to train on and to validate with; None for all of them.
    ends_at_nan : bool
        Whether an epoch whose loss is NaN is the last one.
    """

    prepared: Prepared
    size: int
    shuffle: bool
    seed: int
    validates: list[bool]
    held_out: Prepared | None
    held_out_size: int
    watches: list[_core.Watch]
    seconds: float
    rows: Order | None = None
    held_out_rows: Order | None = None
    ends_at_nan: bool = False

    @property
    def row_count(self) -> int:
        """How many rows are trained on."""
        return self.prepared.rows if self.rows is None else len(self.rows)


class _Transaction:
    """A block that, if it fails, leaves the model as it was: what it has built is undone, metrics stay resolved."""

    def __init__(self, executor: Executor, compiled: Compiled) -> None:
        self._executor, self._compiled = executor, compiled
        self._built, self._uses, self._prepared = executor.stack.built, compiled.uses, compiled.optimizer.built

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: object) -> None:
        if kind is None:
            return
        executor, compiled = self._executor, self._compiled
        with executor.once.taken():
            compiled.uses = self._uses
            if executor.stack.built and not self._built:
                executor.undo_build()
            if compiled.optimizer.built and not self._prepared:
                compiled.optimizer.build([])


class Executor:
    """Owns the internal state of training and prediction.

    Parameters
    ----------
    stack : Stack
        The model's layers.

    Attributes
    ----------
    compiled : Compiled or None
        The arguments of `compile`, resolved; None before `compile` is called.
    fitting, running : Turn
        Locks: `fitting` is held during a whole `fit`, `running` while batches run, but not while callbacks run.
    draws : Count
        Number of batches that ran as in training in the model's life; noise depends on it.
    place : Place
        Where the innermost `fit` is in its epochs and its pass over the data, or where the last one has ended.
    run : Run or None
        The run whose values the metrics hold.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.once = stack.once
        self.compiled: Compiled | None = None
        self.fitting, self.running = Turn(1), Turn(2)
        self._shuffles = Count()
        self.draws = Count()
        self.place = Place()
        self.run: object = None  # the run whose sums the metrics hold
        self._given = Given()
        self._compilation = Compilation(stack, self._given)
        # Fast path of predictions: the network, and the layers and `Constants.changes` for which it is valid.
        self._predictor: tuple[list[Layer], _core.Network, object] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made again when needed, and the current run."""
        return self.__dict__ | {"_predictor": None, "run": None}

    def in_use(self, who: str) -> str:
        """Return the error message of a call that is refused while the model is trained or evaluated."""
        return f"{who}: the model must not be in use; it is being trained or evaluated. Call it before or afterwards."

    def require_compiled(self, method: str) -> Compiled:
        """Return the resolved arguments of `compile`; raise if it was not called."""
        if self.compiled is None:
            raise NotCompiledError(
                f"{self.stack.who(method)}: the model must be compiled first; call compile(optimizer, loss)."
            )
        return self.compiled

    def compile(self, compiled: Compiled) -> None:
        """Store the resolved arguments of `compile`; the caller must hold both turns."""
        self.compiled = compiled
        self._compilation.forget_trainer()

    def forget_metrics(self) -> None:
        """Drop the resolved metrics, because the output has changed; the next data resolve them again."""
        if self.compiled is not None:
            self.compiled.uses = None

    def on_gradient(self, function: GradientHook | None) -> None:
        """Set a function that trainers call with each op's gradient as soon as it is complete.

        Parameters
        ----------
        function : callable or None
            Called with the index of the op and its gradient, a view of the engine's memory that is valid only during
            the call; at the end of a step with -1 and None.
        """
        self._compilation.on_gradient(function)

    # State of training.

    @property
    def shuffles(self) -> int:
        """Number of passes over the data (of epochs, for streams); the next random order depends on it."""
        return self._shuffles.value

    @shuffles.setter
    def shuffles(self, value: int) -> None:
        self._shuffles.value = value

    def state(self, metrics: bool = True) -> TrainingState:
        """Return the state of training, with or without the sums of the metrics."""
        compiled = self.compiled
        epoch, row = self.place.now
        return TrainingState(
            batches=0 if compiled is None else compiled.optimizer.batches,
            shuffles=self.shuffles,
            draws=self.draws.value,
            epoch=epoch,
            row=row,
            metrics=[] if compiled is None or not metrics else [sums_of(metric) for metric in compiled.trackers],
        )

    def restore(self, state: TrainingState) -> None:
        """Set the state of training to one that `state` returned; metrics are restored if it holds them.

        Raises
        ------
        ValueError
            The model has other metrics. Nothing has changed.
        """
        compiled = self.compiled
        if compiled is not None:
            trackers = compiled.trackers
            if state.metrics and len(state.metrics) != len(trackers):
                raise ValueError(
                    f"{self.stack.who('restore')}: the state must be one of {len(trackers)} metrics, the loss "
                    f"included; it has {len(state.metrics)}."
                )
            for metric, sums in zip(trackers, state.metrics, strict=bool(state.metrics)):
                check_sums(metric, sums)
            for metric, sums in zip(trackers, state.metrics, strict=bool(state.metrics)):
                take_sums(metric, sums)
            compiled.optimizer.batches = state.batches
        self.shuffles, self.draws.value = state.shuffles, state.draws
        self.place.go_to(state.epoch, state.row)

    def begin_fit(self, streams: list[Stream | None], data: dict[str, Any]) -> tuple[TrainingState, Place]:
        """Begin a `fit`, with a new pass over the data; return the state (without metrics) and the place before.

        `streams` and `data` are those of `Place`.
        """
        before, outer = self.state(metrics=False), self.place
        self.place = Place()
        self.place.active, self.place.streams, self.place.data = True, streams, data
        return before, outer

    def end_fit(self, outer: Place) -> None:
        """End a `fit`; one in which it was called goes on at its own place."""
        self.place.active, self.place.order = False, None
        if outer.active:
            self.place = outer

    def begin_epoch(self, epoch: int, continues: bool) -> None:
        """Begin an epoch; it starts a new pass over the data unless it `continues` that of the epoch before."""
        self.place.begin_epoch(epoch, continues)

    def next_order(self, place: Place, seed: int, prepared: Prepared, size: int, shuffle: bool) -> Order | None:
        """Begin a pass over rows and return their order, random with `shuffle`."""
        key = self.shuffle_key(seed, prepared, prepared.rows, size, shuffle)
        place.begin_pass(None if key is None else random.permutation(key, self.shuffles, prepared.rows))
        self.count_order()
        return place.order

    def same_order(self, place: Place, seed: int, prepared: Prepared, size: int, shuffle: bool) -> Order | None:
        """Return the order of the present pass, which was begun before a backup was made that was restored."""
        if place.order is None:
            key = self.shuffle_key(seed, prepared, prepared.rows, size, shuffle)
            place.order = None if key is None else random.permutation(key, self.shuffles - 1, prepared.rows)
        return place.order

    def shuffle_key(self, seed: int, prepared: Prepared, rows: int, size: int, shuffle: bool) -> int | None:
        """Return the key of the random orders of so many rows; None if they keep their order.

        They do if all of them are one batch, whose order nobody sees unless code written in Python runs in the step.
        """
        seen = rows > size or self.trainer(prepared).engine.host
        return random.stream_key(seed, "shuffle") if shuffle and seen else None

    def count_order(self) -> None:
        """Count a pass over the data: the next random order is another one."""
        self.shuffles += 1

    def stepped_since(self, before: TrainingState) -> bool:
        """Return whether a step was taken since the executor was in a state."""
        return self.draws.value != before.draws or self.require_compiled("fit").optimizer.batches != before.batches

    # What the engine has compiled.

    def network(self, rows: Rows, logits: bool = False) -> CompiledNetwork:
        """Return the compiled network that reads rows; with `logits` it lacks the final activation."""
        return self._compilation.network(rows.shape[1:], logits, kind_of_rows(rows))

    @property
    def row_shapes(self) -> set[Shape]:
        """The shapes of input rows for which something compiled is kept."""
        return self._compilation.row_shapes

    def fuses_head(self) -> bool:
        """Return whether the loss includes the final activation, as a cross-entropy does its softmax or sigmoid."""
        return self._compilation.fuses_head(self.require_compiled("loss"))

    def trainer(self, prepared: Prepared) -> CompiledTrainer:
        """Return the trainer for this kind of data; a new one if anything it depends on has changed."""
        return self._compilation.trainer(self.require_compiled("fit"), prepared)

    def transaction(self) -> _Transaction:
        """Return a context manager that undoes what its block has built and resolved if the block fails."""
        return _Transaction(self, self.require_compiled("fit"))

    def undo_build(self) -> None:
        """Undo the last build of the model, and forget what was compiled from it."""
        self.stack.undo_build()
        self._compilation.forget()
        self._predictor = None

    def commit(self, prepared: Prepared, build: Callable[[Any], None]) -> None:
        """Build the model for data that passed all checks, store the resolved metrics, prepare trainer and optimizer.

        If one of these fails, the model is unchanged.
        """
        compiled = self.require_compiled("fit")
        with _Transaction(self, compiled):
            with self.once.taken():
                if not self.stack.built:
                    build((None, *prepared.data.x.shape[1:]))
                compiled.uses = prepared.uses
                optimizer = compiled.optimizer
                if optimizer.method() is not None:
                    optimizer.check_problem(compiled.loss, self.stack.layers, self.stack.trainable_weights)
                trainer = self.trainer(prepared)
            if optimizer.built_for is trainer.token:
                return
            if not optimizer.built:
                _try_rules(trainer.variables)
            self._build_optimizer(optimizer, trainer)

    def _build_optimizer(self, optimizer: Optimizer, trainer: CompiledTrainer) -> None:
        """Tell the optimizer which variables it trains, in the order of the model's weights, as Keras does."""
        trained = {id(variable) for variable in trainer.variables}
        optimizer.build([variable for variable in self.stack.weights if id(variable) in trained])
        optimizer.built_for = trainer.token

    # Steps.

    def train_rows(
        self, prepared: Prepared, order: Order | None, first: int, rows: int, size: int, place: Place | None = None
    ) -> None:
        """Train on the rows [first, first + rows) of the order, a step for each batch of `size` rows.

        `place` advances with the steps.
        """
        size = min(size, max(1, rows))
        place = Place() if place is None else place
        try:
            self._take_steps(prepared, order, first, rows, size, place)
        finally:
            place.end_stretch()
            self._given.release()

    def _take_steps(
        self, prepared: Prepared, order: Order | None, first: int, rows: int, size: int, place: Place
    ) -> None:
        compiled = self.require_compiled("fit")
        trainer, optimizer = self.trainer(prepared), compiled.optimizer
        variables = trainer.variables
        if optimizer.built_for is not trainer.token:
            self._build_optimizer(optimizer, trainer)
        if optimizer.in_python or has_host_rules(variables):
            taken = Taken()
            place.begin_stretch(rows, size, taken)
            with self.draws.during(taken):
                return self._take_host_steps(optimizer, trainer, prepared, order, first, rows, size, taken)
        self._given.hold(prepared.given)
        totals = compiled.new_totals()
        place.begin_stretch(rows, size, totals)
        rates = optimizer.rates(-(-rows // size))
        iteration, draw = optimizer.batches, self.draws.value
        with summing() as added:
            several = optimizer.method() is not None  # evaluations of the loss in a step
            try:
                with (
                    self.draws.during(totals),
                    optimizer.counting(totals if variables else None),
                    optimizer.running(trainer.engine),
                ):
                    trainer.engine.train(
                        **prepared.arrays(), order=order, first=first, rows=rows, batch_size=size, rates=rates,
                        iteration=iteration, draw=draw, totals=totals,
                        added=added.take if several and trainer.engine.host else None,
                    )  # fmt: skip
            finally:
                compiled.add_totals(totals)
                compiled.loss_tracker.total += added.total
        return None

    def python_in_steps(self, prepared: Prepared) -> str:
        """Return what keeps the engine from taking steps alone, as a clause; empty if nothing does."""
        return python_in_steps(self.stack, self.require_compiled("fit"), self._compilation, self.trainer(prepared))

    @contextmanager
    def epochs(
        self, task: EpochsTask, record: _core.EpochRecord, weights: dict[int, list[Array]]
    ) -> Iterator[_core.EpochsJob]:
        """Return a context manager whose job trains whole epochs in one call of the engine.

        Parameters
        ----------
        task : EpochsTask
        record : EpochRecord
            Receives losses and metrics.
        weights : dict
            Receives, for the number of each watch that has kept the model's weights, these weights.
        """
        compiled, prepared, place = self.require_compiled("fit"), task.prepared, self.place
        trainer, optimizer = self.trainer(prepared), compiled.optimizer
        variables, rows = trainer.variables, task.row_count
        size = min(task.size, rows)
        batches, held_out = -(-rows // size), None
        if task.held_out is not None:
            arrays = task.held_out.arrays()
            batch = min(task.held_out_size, max(1, task.held_out.rows))
            held_out = arrays["x"], arrays["targets"], arrays["sample_weight"], batch, task.held_out_rows
        job = _core.EpochsJob(
            trainer.engine, **prepared.arrays(), batch_size=size, rates=optimizer.rates(batches * len(task.validates)),
            iteration=optimizer.batches, draw=self.draws.value,
            shuffle_key=self.shuffle_key(task.seed, prepared, rows, size, task.shuffle), shuffles=self.shuffles,
            first=place.epoch, validates=task.validates, held_out=held_out, seconds=task.seconds, watches=task.watches,
            record=record, rows=task.rows, ends_at_nan=task.ends_at_nan,
        )  # fmt: skip
        place.begin_epochs(rows, size, record)
        try:
            with (
                self.draws.during(record),
                self._shuffles.during(Passes(record, batches)),
                optimizer.counting(record if variables else None),
                optimizer.running(trainer.engine),
            ):
                yield job
        finally:
            place.end_stretch()
            compiled.add_totals(record.totals)
            for number, blocks in job.kept().items():
                weights[number] = self._compilation.weights_in(compiled, prepared, blocks)

    def _take_host_steps(
        self, optimizer: Optimizer, trainer: CompiledTrainer, prepared: Prepared, order: Order | None, first: int,
        rows: int, size: int, taken: Taken,
    ) -> None:  # fmt: skip
        """Take the steps one by one, for an optimizer, a regularizer or a constraint written in Python."""
        variables = trainer.variables
        for begin in range(first, first + rows, size):
            end = min(begin + size, first + rows)
            batch = prepared.take(slice(begin, end) if order is None else order[begin:end])
            # Variables that a forward pass changes: running moments, state of layers written in Python.
            moving = [v for layer in self.stack.layers if layer.trainable for v in layer.non_trainable_weights]
            kept, batches, complete = [(v, v.numpy()) for v in moving], optimizer.batches, False
            try:
                gradients = split(self._gradients(trainer, batch, self.draws.value), variables)
                self._add_host_penalties(end - begin, variables, gradients)
                optimizer.scale_gradients(gradients)
                # Ctrl-C is handled between two steps, or while user code runs.
                with one_moment(variables, write=True), interrupts_later():
                    optimizer.apply(gradients, variables)
                    complete = True
            except BaseException:
                complete = complete or optimizer.batches != batches
                if not complete:
                    put_back(kept)
                raise
            finally:
                taken.steps += complete

    def _add_host_penalties(self, rows: int, variables: list[Variable], gradients: list[Array] | None = None) -> None:
        """Add the penalties of regularizers written in Python to a batch's loss, their gradients to `gradients`."""
        tracker = self.require_compiled("fit").loss_tracker
        for number, variable in enumerate(variables):
            regularizer = variable.host_regularizer
            if regularizer is None:
                continue
            value, gradient = penalty_of(variable.path, regularizer, variable.value)
            tracker.total += value * rows
            if gradients is not None:
                _core.add_to(np.require(gradient, variable.dtype, ["C", "A"]), gradients[number])

    def value_and_gradients(self, batch: Prepared, draw: int | None) -> tuple[float, Array, list[Variable]]:
        """Return the loss of a batch with penalties, its gradients as one vector, and the variables in their order.

        With a draw it runs as in training. Nothing is updated but the running mean of the loss.
        """
        trainer, tracker = self.trainer(batch), self.require_compiled("fit").loss_tracker
        tracker.reset_state()
        vector = self._gradients(trainer, batch, draw, settles=False)
        if has_host_rules(trainer.variables):
            self._add_host_penalties(batch.rows, trainer.variables, split(vector, trainer.variables))
        return float(tracker.result()), vector, trainer.variables

    def _gradients(self, trainer: CompiledTrainer, batch: Prepared, draw: int | None, settles: bool = True) -> Array:
        vector = np.empty(trainer.size, self.stack.dtype)
        self._given.hold(batch.given)
        compiled = self.require_compiled("fit")
        totals = compiled.new_totals()
        with summing() as added:
            trainer.engine.gradients(**batch.arrays(), draw=draw, settles=settles, vector=vector, totals=totals)
        compiled.add_totals(totals)
        compiled.loss_tracker.total += added.total
        return vector

    def evaluate_rows(self, prepared: Prepared, first: int, rows: int, size: int) -> None:
        """Add the rows [first, first + rows) to loss and metrics, in batches of `size` rows."""
        try:
            self._evaluate(prepared, first, rows, min(size, max(1, rows)))
        finally:
            self._given.release()

    def _evaluate(self, prepared: Prepared, first: int, rows: int, size: int) -> None:
        compiled = self.require_compiled("evaluate")
        self._given.hold(prepared.given)
        totals = compiled.new_totals()
        trainer = self.trainer(prepared)
        self._add_host_penalties(rows, self.stack.trainable_weights)
        with summing() as added:
            try:
                trainer.engine.test(**prepared.arrays(), first=first, rows=rows, batch_size=size, totals=totals)
            finally:
                compiled.add_totals(totals)
                compiled.loss_tracker.total += added.total

    # Predictions.

    def predict_plain(self, x: Any, out: Any) -> Array | None:
        """Return the output for a plain array if nothing has to be checked, built or compiled; else None."""
        known = self._predictor
        if known is not None and known[2] is Constants.changes and known[0] == self.stack.layers:
            return known[1].predict_plain(x, out)
        return None

    def predict(self, rows: Rows, out: Array | None = None) -> Array:
        """Return the output for rows."""
        changes = Constants.changes  # read before compiling: a change meanwhile makes the predictor invalid
        compiled = self.network(rows)
        if kind_of_rows(rows) == "dense":
            self._predictor = (list(self.stack.layers), compiled.network, changes)
        found = compiled.network.predict(engine_input(rows), out)
        if out is not None:
            return out
        return found if len(compiled.output_shape) == 1 else found.reshape(len(rows), *compiled.output_shape)

    def predict_as_in_training(self, rows: Rows) -> Array:
        """Return the output for rows as in training: with noise and the batch's moments; updates the running means."""
        compiled = self.network(rows)
        with self.once.taken():
            draw = self.draws.add(1)
        output = compiled.network.predict(engine_input(rows), None, draw)
        return output.reshape(len(rows), *compiled.output_shape)


def _try_rules(variables: list[Variable]) -> None:
    """Call regularizers and constraints written in Python before the first step; raise if a result is invalid."""
    for variable in variables:
        if variable.host_regularizer is not None:
            penalty_of(variable.path, variable.host_regularizer, variable.value)
        if variable.host_constraint is not None:
            constrained(variable)
