"""Training: compile, fit and evaluate of a model."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy.typing as npt

from lamina import random
from lamina._common.checks import choice, flag, integer, mapping, number
from lamina._common.objects import deserialize_keras_object
from lamina._data import rows as data_module
from lamina._data.compact import kind_of_rows
from lamina._data.streams import Stream, is_stream
from lamina.callbacks import Callback, CallbackList, History, ProgbarLogger
from lamina.callbacks import base as callbacks_module
from lamina.callbacks.lists import checked as checked_callbacks
from lamina.losses import Loss
from lamina.metrics import Metric
from lamina.models.base import Model
from lamina.models.compiled import Compiled
from lamina.models.executor import Run
from lamina.models.loops import Loops
from lamina.models.prepared import Prepared, prepare, split, weighted_by_class
from lamina.optimizers import Optimizer

__all__ = ["Trainable"]

Array = npt.NDArray[Any]
P = ParamSpec("P")
R = TypeVar("R")


def _in_turn(fit: Callable[Concatenate[Trainable, P], R]) -> Callable[Concatenate[Trainable, P], R]:
    """Make threads wait, so that only one at a time fits a model."""

    @functools.wraps(fit)
    def wait_and_fit(self: Trainable, *arguments: P.args, **settings: P.kwargs) -> R:
        with self.executor.fitting.of(self.stack.who(fit.__name__)):
            return fit(self, *arguments, **settings)

    return wait_and_fit  # type: ignore[return-value]  # the signature is unchanged; mypy cannot tell


class Trainable(Model):
    """The methods of a model that train and evaluate it, and the attributes that `compile` and callbacks set."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_training = self.stop_evaluating = False
        # Arguments of `compile` for code that reads them; they have no effect.
        self.run_eagerly: bool = False
        self.jit_compile: Any = "auto"
        self.steps_per_execution: int = 1
        self.fit_completed = False  # whether the last `fit` ended without an exception
        self.initial_epoch: int | None = None  # a callback sets it to the epoch at which `fit` shall begin
        self.history: History | None = None
        self.validates = False  # whether the last `fit` had validation data

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
        """Set optimizer, loss and metrics.

        Parameters
        ----------
        optimizer : str, Optimizer or dict
        loss : str, Loss or dict
        loss_weights : float, >= 0, or a list of one, optional
            Factor of the loss; penalties are not scaled.
        metrics : list of str or Metric, optional
            ``"accuracy"`` stands for the kind of accuracy that fits output and targets.
        weighted_metrics : list of str or Metric, optional
            The same, taking sample weights into account.
        run_eagerly, steps_per_execution, jit_compile, auto_scale_loss
            Accepted for Keras's sake; they have no effect.

        Raises
        ------
        TypeError, ValueError
            A name is unknown; the message suggests the nearest. The model is unchanged.
        """
        who = self.stack.who("compile")
        run_eagerly = flag(who, "run_eagerly", run_eagerly)
        choice(who, "jit_compile", jit_compile, ("auto", True, False, None))
        if not (isinstance(steps_per_execution, str) and steps_per_execution == "auto"):
            integer(who, "steps_per_execution", steps_per_execution)
        flag(who, "auto_scale_loss", auto_scale_loss)
        compiled = Compiled(who, optimizer, loss, loss_weights, metrics, weighted_metrics)
        executor, in_use = self.executor, self.executor.in_use(who)
        with executor.fitting.if_free(in_use), executor.running.if_free(in_use), executor.once:
            executor.compile(compiled)
            self.run_eagerly, self.jit_compile = run_eagerly, jit_compile
            self.steps_per_execution = steps_per_execution
        if compiled.loss.from_logits and self.stack.parts and executor.fuses_head():
            warnings.warn(
                f"{who}: the loss has from_logits=True, but the model ends in {compiled.loss.logits_activation}; the "
                "loss is computed from what comes before.",
                stacklevel=2,
            )

    @property
    def compiled(self) -> bool:
        """Whether `compile` was called."""
        return self.executor.compiled is not None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; for compiled models."""
        return self.executor.require_compiled("optimizer").optimizer

    @property
    def loss(self) -> Loss:
        """The loss; for compiled models."""
        return self.executor.require_compiled("loss").loss

    @property
    def metrics(self) -> list[Metric]:
        """The loss as a running mean, and the metrics that are known so far; empty before `compile`."""
        return [] if self.executor.compiled is None else self.executor.compiled.trackers

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns."""
        return [] if self.executor.compiled is None else list(self.executor.compiled.results())

    @property
    def knows_metrics(self) -> bool:
        """Whether all metrics are resolved: targets have been seen, or no metric's name depends on them."""
        return self.executor.compiled is not None and self.executor.compiled.knows_metrics

    def direction_of(self, name: str) -> str | None:
        """Return "up" if larger values of the metric `name` in logs are better, "down" if smaller; None: unknown."""
        return None if self.executor.compiled is None else self.executor.compiled.direction_of(name)

    def reset_metrics(self) -> None:
        """Reset all running means."""
        if self.executor.compiled is not None:
            self.executor.compiled.reset_metrics()

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the loss and the metrics so far, by name."""
        return {} if self.executor.compiled is None else self.executor.compiled.logs()

    def get_compile_config(self) -> dict[str, Any]:
        """Return the arguments of `compile` as plain values, without the optimizer's state."""
        return self.executor.require_compiled("get_compile_config").config()

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile the model with the arguments that `get_compile_config` returned."""
        who = self.stack.who("compile_from_config")
        found = {name: deserialize_keras_object(value) for name, value in mapping(who, "config", config).items()}
        known = inspect.signature(self.compile).parameters
        for name in found:
            if name not in known:
                raise ValueError(f"{who}: config must hold arguments of compile; {name!r} is none.")
        self.compile(**found)

    def _warn_if_nothing_trains(self, who: str) -> None:
        if self.stack.built and not self.stack.trainable_weights:
            warnings.warn(f"{who}: the model has no trainable weights: nothing is learnt.", stacklevel=4)

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
            Rows of input; a C-ordered array of the model's dtype is not copied, other dtypes are converted batch by
            batch. Or a generator, a loader or a sequence of batches ``(x, y)`` or ``(x, y, sample_weight)``.
        y : array_like
            Targets, in the form that the loss reads; None if `x` yields batches.
        batch_size : int, >= 1, optional
            Number of rows in a batch, 32 if omitted; the last batch of an epoch may be smaller.
        epochs : int, >= 0
            Train the epochs from `initial_epoch` to ``epochs - 1``, counting from 0.
        verbose : {"auto", 0, 1, 2}
            0 silent, 1 a progress bar per epoch, 2 a line per epoch; "auto": 1 on a terminal or in a notebook, else 2.
        callbacks : list of Callback, optional
        validation_split : float in [0, 1)
            Fraction of the rows, the last ones, that is held back and evaluated after each epoch.
        validation_data : tuple (x, y) or (x, y, sample_weight), optional
            Evaluated after each epoch; overrides `validation_split`.
        shuffle : bool
            Whether each epoch takes the rows, or the batches of a sequence, in a new random order: a function of the
            model's seed and of the number of passes over data before. Generators and other iterables are not shuffled.
        class_weight : dict of int to float, or "balanced", optional
            Class number → factor of the loss of its rows, 1 for classes that are not named; "balanced" gives all
            classes the same total weight. Not together with `sample_weight`.
        sample_weight : array_like, shape (n,), optional
            Factor of each row's loss.
        initial_epoch : int, >= 0
            Number of the first epoch.
        steps_per_epoch, validation_steps : int, >= 1, optional
            Number of batches of an epoch, and of an evaluation. An epoch continues where the one before it ended; if
            the rows run out it ends early, with a warning, and the next one begins anew. Without a batch size the rows
            are divided into that many batches.
        validation_batch_size : int, >= 1, optional
            As `batch_size` if omitted.
        validation_freq : int, >= 1, or list of int
            Evaluate after every `validation_freq` epochs, or after the listed epochs, counting from 1.

        Returns
        -------
        History
            Loss and metrics of each epoch; also in `history`.

        Raises
        ------
        RuntimeError
            The model is not compiled.
        TypeError, ValueError
            An argument does not fit. The model is unchanged.
        """
        who, executor = self.stack.who("fit"), self.executor
        compiled = executor.require_compiled("fit")
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
            source = Stream(who, x, steps, self._order_of_batches if shuffle else None)
            total = len(source)
        else:
            if class_weight is not None:
                data_module.check_class_weight(who, class_weight)
            if class_weight is not None and sample_weight is not None:
                raise ValueError(f"{who}: give class_weight or sample_weight, not both.")
            source = prepare("fit", self.stack, compiled, x, y, sample_weight)
            if fraction and validation_data is None:
                source, held_out = split(who, source, fraction)
            if class_weight is not None:
                source = weighted_by_class(who, self.stack, source, class_weight, y)
            if steps is not None and batch_size is None:
                size = -(-source.rows // steps)
            total = -(-source.rows // size) if steps is None else steps
        if validation_data is not None:
            held_out = self._validation_source(who, validation_data, held_out_steps)
            if isinstance(held_out, Prepared) and isinstance(source, Prepared):
                _same_rows(who, source, held_out)
        before, was_built, uses = self.validates, self.stack.built, compiled.uses
        try:
            if isinstance(source, Prepared):
                executor.commit(source, self.build)
                if isinstance(held_out, Prepared):  # raises if the network cannot read them
                    executor.network(executor.fuses_head(), kind_of_rows(held_out.data.x))
            self.validates = held_out is not None
            events = CallbackList(listeners, model=self, verbose=level, epochs=end, steps=total or None)
            for listener in listeners:
                listener.check()
        except BaseException:
            self.validates, compiled.uses = before, uses
            if self.stack.built and not was_built:
                self.stack.undo_build()
                compiled.optimizer.build([])
            raise
        self._warn_if_nothing_trains(who)
        kept = self.history, self.fit_completed
        self.history = history
        self.stop_training = self.fit_completed = False
        self.initial_epoch = None
        logs: dict[str, float] | None = None
        optimizer, loops = compiled.optimizer, Loops(self, events)
        batches, draws, shuffles = optimizer.batches, executor.draws.value, executor.shuffles
        try:
            events.call("on_train_begin", {})
            for epoch in range(self._first_epoch(first), end):
                events.call("on_epoch_begin", epoch, {})
                executor.epoch, executor.row = epoch, 0
                run = Run(executor, "fit", self.get_metrics_result)
                loops.train_epoch(run, source, size, steps, shuffle, class_weight)
                if isinstance(source, Stream) and source.exhausted:
                    warnings.warn(
                        f"{who}: the batches ran out after {epoch} of {end} epochs; a generator serves one pass.",
                        stacklevel=3,
                    )
                    break
                logs = run.end()
                if held_out is not None and every(epoch + 1):
                    tested = loops.evaluate(held_out, held_out_size, held_out_steps, "fit: validation_data")
                    logs |= {f"val_{name}": value for name, value in tested.items()}
                events.call("on_epoch_end", epoch, logs)
                if self.stop_training:
                    break
            if optimizer.batches > batches:
                optimizer.finalize_variable_values(self.stack.trainable_weights)
            self.fit_completed = True
        except KeyboardInterrupt:
            events.call("on_train_end", logs)
            raise
        except BaseException:  # as in Keras, `on_train_end` is not called, so that backups stay
            events.release()
            if executor.draws.value == draws and optimizer.batches == batches:
                executor.shuffles = shuffles  # no step was taken
                self.history, self.fit_completed = kept
            raise
        events.call("on_train_end", logs)
        return history

    def _first_epoch(self, wanted: int) -> int:
        """Return the epoch to begin with: the one wanted, unless a callback restored a later state."""
        return wanted if self.initial_epoch is None else self.initial_epoch

    def _order_of_batches(self, count: int) -> list[int]:
        """Return the next random order of a sequence of batches."""
        key = random.stream_key(self.seed, "batches")
        found: list[int] = random.permutation(key, self.executor.shuffles, count).tolist()
        return found

    def _validation_source(self, who: str, validation_data: Any, steps: int | None) -> Prepared | Stream:
        if is_stream(validation_data):
            return Stream(f"{who}: validation_data", validation_data, steps)
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise ValueError(f"{who}: validation_data must be (x, y), (x, y, sample_weight) or yield batches.")
        x, y, sample_weight = (*validation_data, None)[:3]
        compiled = self.executor.require_compiled("fit")
        return prepare("fit: validation_data", self.stack, compiled, x, y, sample_weight)

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
            Bounds memory; 32 if omitted. The loss may depend on it, see Returns.
        verbose : {"auto", 0, 1, 2}
            2 prints the result; 0 and 1 do not.
        steps : int, >= 1, optional
            Evaluate this many batches only.
        callbacks : list of Callback, optional
        return_dict : bool

        Returns
        -------
        float, list of float, or dict
            The loss; with metrics a list that begins with it; with `return_dict` by name. The loss is the mean of the
            batches' losses, weighted by their numbers of rows. So, as in Keras, it depends on the batch size if its
            reduction is "sum", or "mean_with_sample_weight" and there are weights; else only up to rounding.

        Raises
        ------
        RuntimeError, TypeError, ValueError
            As `fit`.
        """
        who = self.stack.who("evaluate")
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
            source = self._prepared("evaluate", x, y, sample_weight)
            total = limit or -(-source.rows // (size or 32))
        events = CallbackList(listeners, model=self, verbose=level, epochs=1, steps=total or None)
        logs = Loops(self, events).evaluate(source, size, limit, "evaluate")
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
        who = self.stack.who("train_on_batch")
        return_dict = flag(who, "return_dict", return_dict)
        if class_weight is not None and sample_weight is not None:
            raise ValueError(f"{who}: give class_weight or sample_weight, not both.")
        executor = self.executor
        prepared = prepare(
            "train_on_batch", self.stack, executor.require_compiled("train_on_batch"), x, y, sample_weight
        )
        if class_weight is not None:
            prepared = weighted_by_class(who, self.stack, prepared, class_weight, y)
        executor.commit(prepared, self.build)
        self._warn_if_nothing_trains(who)
        run = Run(executor, "train_on_batch", self.get_metrics_result)
        with run.turn():
            run.take_over()
            executor.train_rows(prepared, None, 0, prepared.rows, prepared.rows)
            logs = run.end()
        return self._as_result(logs, return_dict)

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, return_dict: bool = False) -> Any:
        """Return loss and metrics of one batch, without training; result as `train_on_batch`."""
        return_dict = flag(self.stack.who("test_on_batch"), "return_dict", return_dict)
        prepared = self._prepared("test_on_batch", x, y, sample_weight)
        run = Run(self.executor, "test_on_batch", self.get_metrics_result)
        with run.turn():
            run.take_over()
            self.executor.evaluate_rows(prepared, 0, prepared.rows, prepared.rows)
            logs = run.end()
        return self._as_result(logs, return_dict)

    def _prepared(self, method: str, x: Any, y: Any, sample_weight: Any) -> Prepared:
        """Check the data of a call, build the model for them if need be, and return them."""
        prepared = prepare(method, self.stack, self.executor.require_compiled(method), x, y, sample_weight)
        self.executor.commit(prepared, self.build)
        return prepared

    def _as_result(self, logs: dict[str, float], return_dict: bool) -> Any:
        """Return loss and metrics as `evaluate` does: by name, or as a list that begins with the loss."""
        if return_dict:
            return logs
        values = [logs[name] for name in self.metrics_names]
        return values[0] if len(values) == 1 else values


def _same_rows(who: str, prepared: Prepared, held_out: Prepared) -> None:
    """Raise unless the rows of validation data have the shape of the training rows."""
    if held_out.data.x.shape[1:] != prepared.data.x.shape[1:]:
        raise ValueError(
            f"{who}: the rows of validation_data must have shape {prepared.data.x.shape[1:]} as those of x; "
            f"got {held_out.data.x.shape[1:]}."
        )


def _epochs_to_validate(who: str, validation_freq: Any) -> Callable[[int], bool]:
    """Return a function that says whether to evaluate after an epoch, counting from 1."""
    if isinstance(validation_freq, (list, tuple, set)):
        named = {integer(who, "validation_freq", epoch) for epoch in validation_freq}
        return lambda epoch: epoch in named
    every = integer(who, "validation_freq", validation_freq)
    return lambda epoch: epoch % every == 0
