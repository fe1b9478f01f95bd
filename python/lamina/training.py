"""Training: compile, fit, evaluate of a model."""

from __future__ import annotations

import copy
import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from lamina import data as data_module
from lamina import losses, metrics, optimizers, random
from lamina._arrays import SparseRows, real_array
from lamina._checks import choice, flag, integer, mapping, number, short
from lamina._names import required
from lamina.callbacks import Callback, CallbackList, History, ProgbarLogger
from lamina.callbacks import base as callbacks_module
from lamina.callbacks.lists import checked as checked_callbacks
from lamina.data import Data
from lamina.prediction import Predictor
from lamina.stepping import Compiled, Prepared, Run
from lamina.streams import Stream, is_stream

__all__ = ["Trainer"]

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


def _in_turn(fit: Callable[Concatenate[Trainer, P], R]) -> Callable[Concatenate[Trainer, P], R]:
    """Let one thread after the other fit a model."""

    @functools.wraps(fit)
    def wait_and_fit(self: Trainer, *arguments: P.args, **settings: P.kwargs) -> R:
        with self._fitting.of(self._who(fit.__name__)):
            return fit(self, *arguments, **settings)

    return wait_and_fit  # type: ignore[return-value]  # the same function, for which mypy has another spelling


class Trainer(Predictor):
    """The part of a model that users call to train and test it."""

    def compile(
        self,
        optimizer: Any = "rmsprop",
        loss: Any = None,
        loss_weights: Any = None,
        metrics: Sequence[Any] | None = None,
        weighted_metrics: Sequence[Any] | None = None,
        run_eagerly: bool = False,
        steps_per_execution: Any = 1,
        jit_compile: Any = "auto",
        auto_scale_loss: bool = True,
    ) -> None:
        """Say how to train.

        Parameters
        ----------
        optimizer : str, Optimizer or dict
        loss : str, Loss or dict
        loss_weights : float, >= 0, or a list of one, optional
            Factor of the loss; penalties are not scaled.
        metrics : list of str or Metric, optional
            ``"accuracy"`` becomes the accuracy that fits output and targets.
        weighted_metrics : list of str or Metric, optional
            The same, taking sample weights into account.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted as in Keras, where they choose how to execute; here there is one way.

        Raises
        ------
        TypeError, ValueError
            An unknown name, with the nearest suggested. The model stays as it was.
        """
        who = self._who("compile")
        if loss is None:
            raise ValueError(f"{who}: loss must be given; got None.")
        weight = _only(who, "loss_weights", loss_weights)
        run_eagerly = flag(who, "run_eagerly", run_eagerly)
        choice(who, "jit_compile", jit_compile, ("auto", True, False, None))
        if not (isinstance(steps_per_execution, str) and steps_per_execution == "auto"):
            integer(who, "steps_per_execution", steps_per_execution)
        flag(who, "auto_scale_loss", auto_scale_loss)
        compiled = Compiled(
            required(who, "optimizer", optimizers.get(optimizer)),
            required(who, "loss", losses.get(_only(who, "loss", loss))),
            [_checked_metric(who, metric) for metric in _as_list(_of_output(who, "metrics", metrics))],
            [
                _checked_metric(who, metric)
                for metric in _as_list(_of_output(who, "weighted_metrics", weighted_metrics))
            ],
            1.0 if weight is None else number(who, "loss_weights", weight, least=0),
        )
        compiled.optimizer.check_trainable()
        compiled.loss.check_trainable()
        with self._fitting.if_free(in_use := self._in_use(who)), self._running.if_free(in_use), self.once:
            self._compiled = compiled
            self.run_eagerly, self.jit_compile = run_eagerly, jit_compile
            self.steps_per_execution = steps_per_execution
            self._metric_uses = None
            self._trainer = None
            self._loss_tracker.reset_state()
        if compiled.loss.from_logits and self.flat_layers and self._fuses_head():
            self._warn_about_logits()

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self._compiled is not None

    def get_compile_config(self) -> dict[str, Any]:
        """Return how the model was compiled, as plain values; without the optimizer's state."""
        from lamina.saving.objects import serialize_keras_object

        compiled = self._require_compiled("get_compile_config")
        return {
            "optimizer": serialize_keras_object(compiled.optimizer),
            "loss": serialize_keras_object(compiled.loss),
            "loss_weights": compiled.loss_weight,
            "metrics": serialize_keras_object(compiled.metrics),
            "weighted_metrics": serialize_keras_object(compiled.weighted_metrics),
        }

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile as `get_compile_config` says."""
        from lamina.saving.objects import deserialize_keras_object

        who = self._who("compile_from_config")
        found = {name: deserialize_keras_object(value) for name, value in mapping(who, "config", config).items()}
        known = inspect.signature(self.compile).parameters
        for name in found:
            if name not in known:
                raise ValueError(f"{who}: config must hold arguments of compile; {name!r} is none.")
        self.compile(**found)

    def _compile_like(self, other: Trainer) -> None:
        """Compile with copies of what another model was compiled with: nothing that they keep is shared."""
        known = other._require_compiled("compile")
        optimizer = type(known.optimizer).from_config(known.optimizer.get_config())
        optimizer.without_decay = known.optimizer.without_decay
        metrics, weighted = copy.deepcopy(known.metrics), copy.deepcopy(known.weighted_metrics)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # compiling the other model said it already
            self.compile(optimizer, copy.deepcopy(known.loss), known.loss_weight, metrics, weighted)
        self.reset_metrics()

    def _warn_if_nothing_trains(self, who: str) -> None:
        if self.built and not self.trainable_weights:
            warnings.warn(f"{who}: the model has no trainable weights: nothing is learnt.", stacklevel=4)

    def _warn_about_logits(self) -> None:
        warnings.warn(
            f"{self._who('compile')}: the loss has from_logits=True, but the model ends in "
            f"{self._require_compiled('compile').loss.logits_activation}; the loss is computed from what comes before.",
            stacklevel=3,
        )

    @_in_turn
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_steps: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: Any = 1,
    ) -> History:
        """Train for a number of epochs.

        Parameters
        ----------
        x : array_like, shape (n, ...), or iterable of batches
            Rows of input. A C-ordered array of the model's dtype is read where it is; other dtypes are
            converted batch by batch. Or what yields ``(x, y)`` or ``(x, y, sample_weight)``: a generator, a loader, a
            sequence of batches.
        y : array_like
            Targets as the loss takes them; None where `x` yields batches.
        batch_size : int, >= 1, optional
            Rows of a step, 32 if omitted; the last batch of an epoch may be smaller.
        epochs : int, >= 0
            Number of the epoch to stop before, counting from 0: with `initial_epoch` 0 how many there are.
        verbose : {"auto", 0, 1, 2}
            0 silent, 1 a progress bar an epoch, 2 a line an epoch; "auto" is 1 on a terminal or in a notebook, else 2.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            Share of the last rows that is held back and evaluated after each epoch.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch; overrides `validation_split`.
        shuffle : bool
            Whether each epoch takes the rows, or the batches of a sequence, in a new random order: a function of the
            model's seed and of the number of epochs that it was trained for. The order of a generator or of another
            iterable is its own.
        class_weight : dict of int to float, or "balanced", optional
            Factor of the loss of rows of a class, 1 for classes that are not named; "balanced" gives all classes the
            same weight in all. Not together with `sample_weight`.
        sample_weight : array_like, shape (n,), optional
            Factor of each row's loss.
        initial_epoch : int, >= 0
            Number of the first epoch.
        steps_per_epoch, validation_steps : int, >= 1, optional
            Batches of an epoch, and of an evaluation. An epoch goes on where the one before it ended; where the rows
            run out it ends early, with a warning, and the next one begins anew. Without a batch size that many batches
            are all rows.
        validation_batch_size : int, >= 1, optional
            As `batch_size` if omitted.
        validation_freq : int, >= 1, or list of int
            Evaluate after every so many epochs, or after those that are named, counting from 1.

        Returns
        -------
        History
            Loss and metrics of each epoch; also in `history`.

        Raises
        ------
        RuntimeError
            The model is not compiled.
        TypeError, ValueError
            Anything that does not fit. The model is as it was.
        """
        who = self._who("fit")
        self._require_compiled("fit")
        size = 32 if batch_size is None else integer(who, "batch_size", batch_size)
        first, end = integer(who, "initial_epoch", initial_epoch, 0), integer(who, "epochs", epochs, 0)
        every = _epochs_to_validate(who, validation_freq)
        steps = None if steps_per_epoch is None else integer(who, "steps_per_epoch", steps_per_epoch)
        held_out_steps = None if validation_steps is None else integer(who, "validation_steps", validation_steps)
        held_out_size = None if batch_size is None else size
        if validation_batch_size is not None:
            held_out_size = integer(who, "validation_batch_size", validation_batch_size)
        fraction = number(who, "validation_split", validation_split, 0, below=1)
        level = callbacks_module.resolve_verbose(who, verbose)
        shuffle = flag(who, "shuffle", shuffle)
        listeners: list[Callback] = [*checked_callbacks(who, callbacks)]
        if level and not any(isinstance(one, ProgbarLogger) for one in listeners):
            listeners.append(ProgbarLogger())
        history = next((one for one in listeners if isinstance(one, History)), History())
        if history not in listeners:
            listeners.append(history)

        source: Prepared | Stream
        held_out: Prepared | Stream | None = None
        if is_stream(x):
            if y is not None or sample_weight is not None or fraction:
                raise ValueError(
                    f"{who}: where x yields batches, y, sample_weight and validation_split must not be given."
                )
            if class_weight is not None:
                data_module.check_class_weight(who, class_weight)
                if isinstance(class_weight, str):
                    raise ValueError(
                        f"{who}: class_weight must be a dict where x yields batches: 'balanced' needs all rows."
                    )
            source = Stream(who, x, steps, seed=self.seed if shuffle else None, passes=lambda: self._shuffles)
            total = len(source)
        else:
            if class_weight is not None:
                data_module.check_class_weight(who, class_weight)
            if class_weight is not None and sample_weight is not None:
                raise ValueError(f"{who}: give class_weight or sample_weight, not both.")
            source = self._prepare("fit", x, y, sample_weight)
            if fraction and validation_data is None:
                source, held_out = _split(who, source, fraction)
            if class_weight is not None:
                source = self._weighted(who, source, class_weight, y)
            if steps is not None and batch_size is None:
                size = -(-len(source.data) // steps)
            total = -(-len(source.data) // size) if steps is None else steps
        if validation_data is not None:
            held_out = self._validation_source(who, validation_data, held_out_steps)
            if isinstance(held_out, Prepared) and isinstance(source, Prepared):
                _same_rows(who, source, held_out)
        before, was_built, uses = self.validates, self.built, self._metric_uses
        try:
            if isinstance(source, Prepared):
                self._commit(source)
                if isinstance(held_out, Prepared):  # raises where it cannot read them
                    self._plan(self._fuses_head(), isinstance(held_out.data.x, SparseRows))
            self.validates = held_out is not None
            events = CallbackList(listeners, model=self, verbose=level, epochs=end, steps=total or None)
            for listener in listeners:
                listener.check()
        except BaseException:
            self.validates, self._metric_uses = before, uses
            if self.built and not was_built:
                self.undo_build()
                self.optimizer.build([])
            raise
        self._warn_if_nothing_trains(who)
        kept = self.history, self.fit_completed
        self.history = history
        self.stop_training = self.fit_completed = False
        self.initial_epoch = None
        logs: dict[str, float] | None = None
        batches, draws, shuffles = self.optimizer.batches, self._draws.value, self._shuffles
        place = _Place(0, None)
        try:
            events.call("on_train_begin", {})
            for epoch in range(self._first_epoch(first), end):
                events.call("on_epoch_begin", epoch, {})
                run = Run(self, "fit")
                if isinstance(source, Stream):
                    self._train_stream(run, source, class_weight, events)
                    self._shuffles += 1
                    if source.exhausted:
                        warnings.warn(
                            f"{who}: the batches ran out after {epoch} of {end} epochs; a generator serves one pass.",
                            stacklevel=3,
                        )
                        break
                elif steps is not None:
                    place = self._train_steps(run, source, size, steps, shuffle, place, events)
                else:
                    self._train_epoch(run, source, size, shuffle, events)
                logs = run.end()
                if held_out is not None and every(epoch + 1):
                    tested = self._test(held_out, held_out_size, held_out_steps, events, "fit: validation_data")
                    logs |= {f"val_{name}": value for name, value in tested.items()}
                events.call("on_epoch_end", epoch, logs)
                if self.stop_training:
                    break
            if self.optimizer.batches > batches:
                self.optimizer.finalize_variable_values(self.trainable_weights)
            self.fit_completed = True
        except KeyboardInterrupt:
            events.call("on_train_end", logs)
            raise
        except BaseException:  # as in Keras, what is kept for the next try stays
            events.release()
            if self._draws.value == draws and self.optimizer.batches == batches:
                self._shuffles = shuffles  # no step was taken
                self.history, self.fit_completed = kept
            raise
        events.call("on_train_end", logs)
        return history

    def _weighted(self, who: str, prepared: Prepared, class_weight: Any, y: Any) -> Prepared:
        """Return the rows, the first of `y`'s, weighted by their classes."""
        rows = len(prepared.data)
        columns = self.planned_output(prepared.data.x.shape[1:])[-1]
        weights = data_module.class_weights(who, class_weight, real_array(who, "y", y)[:rows], columns)
        weight = data_module.weights(who, weights, rows, (), self.compute_dtype)
        return prepared._replace(data=Data(prepared.data.x, prepared.data.y, weight))

    def _validation_source(self, who: str, validation_data: Any, steps: int | None) -> Prepared | Stream:
        if is_stream(validation_data):
            return Stream(f"{who}: validation_data", validation_data, steps)
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError(f"{who}: validation_data must be (x, y), (x, y, sample_weight) or yield batches.")
        return self._prepare("fit: validation_data", *(*validation_data, None)[:3])

    def _first_epoch(self, wanted: int) -> int:
        """Return the epoch to begin with: the one wanted, unless a callback restored a later state."""
        return wanted if self.initial_epoch is None else self.initial_epoch

    def _order(self, rows: int, shuffle: bool) -> npt.NDArray[np.int64] | None:
        """Return the next order of rows."""
        order = None
        if shuffle:
            order = random.permutation(random.stream_key(self.seed, "shuffle"), self._shuffles, rows)
        self._shuffles += 1
        return order

    def _train_epoch(self, run: Run, prepared: Prepared, size: int, shuffle: bool, events: CallbackList) -> None:
        total = len(prepared.data)
        order = self._order(total, shuffle)
        if events.wants_batches("train"):
            for index, first in enumerate(range(0, total, size)):
                self._train_one(run, prepared, order, first, min(size, total - first), index, events)
                if self.stop_training:
                    break
            return
        for first, rows in events.stretches(total, size) if not self.stop_training else [(0, min(size, total))]:
            with run.turn():
                run.take_over()
                self._train_rows(prepared, order, first, rows, size)
            events.advance(-(-rows // size), run.logs)

    def _train_one(
        self, run: Run, prepared: Prepared, order: npt.NDArray[np.int64] | None, first: int, rows: int, index: int,
        events: CallbackList,
    ) -> None:  # fmt: skip
        """Train one batch, between its events."""
        events.call("on_train_batch_begin", index, {})
        with run.turn():
            run.take_over()
            self._train_rows(prepared, order, first, rows, rows)
            logs = self._logs()
        events.call("on_train_batch_end", index, logs)
        events.advance(1, run.logs)

    def _train_steps(
        self, run: Run, prepared: Prepared, size: int, steps: int, shuffle: bool, place: _Place, events: CallbackList
    ) -> _Place:
        """Train so many batches from a place in the rows on, or what is left of them; return the next place."""
        total = len(prepared.data)
        first, order = place
        for index in range(steps):
            if first == total:
                warnings.warn(
                    f"{self._who('fit')}: the rows ran out after {index} of {steps} batches of this epoch.",
                    stacklevel=4,
                )
                break
            if first == 0:
                order = self._order(total, shuffle)
            rows = min(size, total - first)
            self._train_one(run, prepared, order, first, rows, index, events)
            first += rows
            if self.stop_training:
                break
        return _Place(first % total, order)

    def _train_stream(self, run: Run, stream: Stream, class_weight: Any, events: CallbackList) -> None:
        who = self._who("fit")
        for index, batch in enumerate(stream.epoch()):
            prepared = self._prepare("fit", *batch)
            if class_weight is not None:
                if batch.sample_weight is not None:
                    raise ValueError(f"{who}: give class_weight or weights of the batches' rows, not both.")
                prepared = self._weighted(who, prepared, class_weight, batch.y)
            self._commit(prepared)
            self._train_one(run, prepared, None, 0, len(prepared.data), index, events)
            if self.stop_training:
                break

    def _test(
        self, source: Prepared | Stream, size: int | None, steps: int | None, events: CallbackList, method: str
    ) -> dict[str, float]:
        """Return loss and metrics on rows, or on what yields batches; without a size `steps` batches are all rows."""
        self.stop_evaluating = False
        if isinstance(source, Prepared):
            if size is None:
                size = 32 if steps is None else -(-len(source.data) // steps)
            if steps is not None:
                _warn_of_missing(self._who("evaluate"), len(source.data), size, steps)
                source = source.take(slice(0, steps * size))
            return self._test_rows(source, size, events)
        events.call("on_test_begin", {})
        run = Run(self, "evaluate")
        for index, batch in enumerate(source.epoch(from_start=True)):
            prepared = self._prepare(method, *batch)
            self._commit(prepared)
            events.call("on_test_batch_begin", index, {})
            with run.turn():
                run.take_over()
                self._evaluate_rows(prepared, 0, len(prepared.data), len(prepared.data))
                logs = self._logs()
            events.call("on_test_batch_end", index, logs)
            if self.stop_evaluating:
                break
        if source.exhausted:
            warnings.warn(
                f"{self._who('fit')}: validation_data ran out: a generator serves one pass. There are no values of it "
                "from this epoch on.",
                stacklevel=4,
            )
            events.call("on_test_end", {})
            return {}
        logs = run.end()
        events.call("on_test_end", logs)
        return logs

    def _test_rows(self, prepared: Prepared, size: int, events: CallbackList | None = None) -> dict[str, float]:
        total = len(prepared.data)
        if events is not None:
            events.call("on_test_begin", {})
        run = Run(self, "evaluate")
        if events is not None and events.wants_batches("test"):
            for index, first in enumerate(range(0, total, size)):
                events.call("on_test_batch_begin", index, {})
                with run.turn():
                    run.take_over()
                    self._evaluate_rows(prepared, first, min(size, total - first), size)
                    logs = self._logs()
                events.call("on_test_batch_end", index, logs)
                if self.stop_evaluating:
                    break
        else:
            with run.turn():
                run.take_over()
                self._evaluate_rows(prepared, 0, total, size)
        logs = run.end()
        if events is not None:
            events.call("on_test_end", logs)
        return logs

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
        return_dict: bool = False,
    ) -> Any:
        """Return loss and metrics on rows, without training.

        Parameters
        ----------
        x, y, sample_weight
            As in `fit`.
        batch_size : int, >= 1, optional
            Bounds memory; 32 if omitted. Loss and metrics do not depend on it beyond rounding.
        verbose : {"auto", 0, 1, 2}
            2 prints the result; 0 and 1 do not.
        steps : int, >= 1, optional
            Look at so many batches only.
        callbacks : list of Callback, optional
        return_dict : bool

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics a list that begins with it; with `return_dict` by name. The loss is the mean of the
            batches' losses, weighted by their rows. So it depends on the batches, as in Keras, where its reduction is
            "sum", or "mean_with_sample_weight" and there are weights.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As `fit`.
        """
        who = self._who("evaluate")
        size = None if batch_size is None else integer(who, "batch_size", batch_size)
        limit = None if steps is None else integer(who, "steps", steps)
        return_dict = flag(who, "return_dict", return_dict)
        level = callbacks_module.resolve_verbose(who, verbose)
        listeners = checked_callbacks(who, callbacks)
        source: Prepared | Stream
        if is_stream(x):
            if y is not None or sample_weight is not None:
                raise ValueError(f"{who}: where x yields batches, y and sample_weight must be left out.")
            source = Stream(who, x, limit)
            total = len(source)
        else:
            source = self._prepare("evaluate", x, y, sample_weight)
            self._commit(source)
            total = limit or -(-len(source.data) // (size or 32))
        events = CallbackList(listeners, model=self, verbose=level, epochs=1, steps=total or None)
        logs = self._test(source, size, limit, events, "evaluate")
        if verbose == 2:
            print(" - ".join(f"{name}: {value}" for name, value in callbacks_module.spell(logs).items()), flush=True)
        return self._as_result(logs, return_dict)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Take one step on one batch; arguments as of `fit`.

        Returns
        -------
        float, list of float, or dict
            As `evaluate`: loss and metrics of this batch, before the step.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As `fit`.
        """
        who = self._who("train_on_batch")
        return_dict = flag(who, "return_dict", return_dict)
        if class_weight is not None and sample_weight is not None:
            raise ValueError(f"{who}: give class_weight or sample_weight, not both.")
        prepared = self._prepare("train_on_batch", x, y, sample_weight)
        if class_weight is not None:
            prepared = self._weighted(who, prepared, class_weight, y)
        self._commit(prepared)
        self._warn_if_nothing_trains(who)
        run = Run(self, "train_on_batch")
        with run.turn():
            run.take_over()
            self._train_rows(prepared, None, 0, len(prepared.data), len(prepared.data))
            logs = run.end()
        return self._as_result(logs, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return loss and metrics of one batch, without training; result as `train_on_batch`."""
        return_dict = flag(self._who("test_on_batch"), "return_dict", return_dict)
        prepared = self._prepare("test_on_batch", x, y, sample_weight)
        self._commit(prepared)
        run = Run(self, "test_on_batch")
        with run.turn():
            run.take_over()
            self._evaluate_rows(prepared, 0, len(prepared.data), len(prepared.data))
            logs = run.end()
        return self._as_result(logs, return_dict)

    def _as_result(self, logs: dict[str, float], return_dict: bool) -> Any:
        """Return loss and metrics as `evaluate` does: by name, or as a list that begins with the loss."""
        if return_dict:
            return logs
        values = [logs[name] for name in self.metrics_names]
        return values[0] if len(values) == 1 else values


def _split(who: str, prepared: Prepared, fraction: float) -> tuple[Prepared, Prepared]:
    """Return the first rows and the last `fraction` of them."""
    at = data_module.split_point(who, len(prepared.data), fraction)
    return prepared.take(slice(0, at)), prepared.take(slice(at, None))


def _warn_of_missing(who: str, rows: int, size: int, steps: int) -> None:
    """Warn where rows are fewer than so many batches want, as Keras does."""
    if -(-rows // size) < steps:
        warnings.warn(f"{who}: the rows ran out after {-(-rows // size)} of {steps} batches.", stacklevel=4)


class _Place(NamedTuple):
    """Where an epoch of so many steps ended: the next row, and the order of rows that it is in."""

    first: int
    order: npt.NDArray[np.int64] | None


def _same_rows(who: str, prepared: Prepared, held_out: Prepared) -> None:
    """Raise unless the rows of validation data have the shape of the others."""
    if held_out.data.x.shape[1:] != prepared.data.x.shape[1:]:
        raise ValueError(
            f"{who}: the rows of validation_data must have shape {prepared.data.x.shape[1:]} as those of x; "
            f"got {held_out.data.x.shape[1:]}."
        )


def _epochs_to_validate(who: str, validation_freq: Any) -> Callable[[int], bool]:
    """Return whether to evaluate after an epoch, counting from 1: every so many, or those that are named."""
    if isinstance(validation_freq, (list, tuple, set)):
        named = {integer(who, "validation_freq", epoch) for epoch in validation_freq}
        return lambda epoch: epoch in named
    every = integer(who, "validation_freq", validation_freq)
    return lambda epoch: epoch % every == 0


def _as_list(value: Any) -> list[Any]:
    """Return metrics as a list; Keras's list of lists, one an output, is flattened."""
    if value is None:
        return []
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    return [item for part in items for item in (part if isinstance(part, (list, tuple)) else [part])]


def _of_output(who: str, name: str, value: Any) -> Any:
    """Return metrics; of a dict by outputs those of the one output."""
    if not isinstance(value, dict) or "class_name" in value:
        return value
    if len(value) > 1:
        raise ValueError(f"{who}: {name} must be those of one output: a model has one; got {short(list(value))}.")
    return next(iter(value.values()), None)


def _only(who: str, name: str, value: Any) -> Any:
    """Return what belongs to a model's one output: the value itself, or that in a list or a dict of one."""
    values = list(value.values()) if isinstance(value, dict) and "class_name" not in value else value
    if not isinstance(values, (list, tuple)):
        return values
    if len(values) != 1:
        raise ValueError(f"{who}: {name} must be one: a model has one output; got {len(values)}.")
    return values[0]


def _checked_metric(who: str, metric: Any) -> Any:
    """Return a name like "accuracy" as it is, everything else as a metric; raises for unknown names."""
    if metrics.depends_on_shape(metric):
        return metric
    found = required(who, "a metric", metrics.get(metric))
    if not found.compares:
        raise ValueError(f"{who}: a metric must compare targets and predictions; {type(found).__name__} takes numbers.")
    return found
