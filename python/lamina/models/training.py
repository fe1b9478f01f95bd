"""Training: what `fit` and `train_on_batch` of a model do."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lamina import random
from lamina._common.checks import choice, flag, integer, number
from lamina._common.records import Record
from lamina._common.warn import warn
from lamina._data import rows as data_module
from lamina._data.streams import Stream, is_stream
from lamina.callbacks import Callback, CallbackList, History, ProgbarLogger
from lamina.callbacks import base as callbacks_module
from lamina.callbacks.lists import checked as checked_callbacks
from lamina.models.base import BaseModel
from lamina.models.epochs import EpochsTogether
from lamina.models.evaluation import as_result
from lamina.models.finite import FiniteSteps
from lamina.models.loops import Loops
from lamina.models.prepared import Prepared, prepare, split, weighted_by_class
from lamina.models.run import Run

__all__ = [
    "FitArguments",
    "begun",
    "checked_arguments",
    "fit",
    "kept_of",
    "put_back",
    "running",
    "together",
    "train_on_batch",
    "whole",
]

Source = Prepared | Stream


class FitArguments(Record):
    """The checked arguments of `fit` besides the data; see `Model.fit`."""

    size: int
    has_size: bool
    first: int
    end: int
    steps: int | None
    validation_size: int | None
    validation_steps: int | None
    validates_after: Callable[[int], bool]
    fraction: float
    shuffle: bool
    level: int
    listeners: list[Callback]
    history: History
    finite: bool


def checked_arguments(
    who: str, *, batch_size: Any, epochs: Any, verbose: Any, callbacks: Any, validation_split: Any, shuffle: Any,
    initial_epoch: Any, steps_per_epoch: Any, validation_steps: Any, validation_batch_size: Any, validation_freq: Any,
    on_nan: Any = None,
) -> FitArguments:  # fmt: skip
    """Return the arguments of `fit` besides the data, or raise."""
    size = 32 if batch_size is None else integer(who, "batch_size", batch_size)
    first, end = integer(who, "initial_epoch", initial_epoch, 0), integer(who, "epochs", epochs, 0)
    validates_after = _epochs_to_validate(who, validation_freq)
    steps = None if steps_per_epoch is None else integer(who, "steps_per_epoch", steps_per_epoch)
    validation_limit = None if validation_steps is None else integer(who, "validation_steps", validation_steps)
    validation_size = None if batch_size is None else size
    if validation_batch_size is not None:
        validation_size = integer(who, "validation_batch_size", validation_batch_size)
    fraction = number(who, "validation_split", validation_split, 0, below=1)
    level = callbacks_module.resolve_verbose(who, verbose)
    older = shuffle is None or isinstance(shuffle, float)  # what older programs give
    if older or (isinstance(shuffle, str) and shuffle == "batch"):
        shuffle = bool(shuffle)
    shuffle = flag(who, "shuffle", shuffle)
    listeners: list[Callback] = [*checked_callbacks(who, callbacks)]
    if level and not any(isinstance(one, ProgbarLogger) for one in listeners):
        listeners.append(ProgbarLogger())
    history = next((one for one in listeners if isinstance(one, History)), History())
    if history not in listeners:
        listeners.append(history)
    choice(who, "on_nan", on_nan, (None, "raise"))
    return FitArguments(
        size, batch_size is not None, first, end, steps, validation_size, validation_limit, validates_after, fraction,
        shuffle, level, listeners, history, on_nan is not None,
    )  # fmt: skip


def fit(
    model: BaseModel, x: Any, y: Any, sample_weight: Any, validation_data: Any, *, class_weight: Any, **arguments: Any
) -> History:
    """Train a model; see `lamina.models.trainer.Trainer.fit`."""
    who, executor = model.stack.who("fit"), model.executor
    with executor.fitting.of(who):
        executor.require_compiled("fit")
        given = checked_arguments(who, **arguments)
        built = model.stack.built
        try:
            source, held_out, given = _sources(model, given, x, y, sample_weight, class_weight, validation_data)
        except BaseException:
            if not built:
                model.stack.undo_build()
            raise
        nested = executor.place.active  # called by a callback of another fit
        before = kept_of(model)
        events = begun(model, given, source, held_out)
        try:
            return _train(model, given, source, held_out, events, class_weight, before)
        finally:
            if nested:
                put_back(model, before)


def begun(model: BaseModel, given: FitArguments, source: Source, held_out: Source | None) -> CallbackList:
    """Build and resolve what the data ask for, and return the callbacks; if that fails, the model is unchanged."""
    who, executor, before = model.stack.who("fit"), model.executor, kept_of(model)
    try:
        with executor.transaction():
            if isinstance(source, Prepared):
                executor.commit(source, model.build)
                if isinstance(held_out, Prepared):
                    _check_rows(who, model, source, held_out)
            _check_loss(model, who)
            model.validates = held_out is not None
            total = _batches(source, given)
            events = CallbackList(
                given.listeners, model=model, verbose=given.level, epochs=given.end, steps=total or None
            )
            for listener in given.listeners:
                listener.check()
    except BaseException:
        put_back(model, before)
        raise
    _warn_if_nothing_trains(model, who)
    return events


def kept_of(model: BaseModel) -> dict[str, Any]:
    """Return the attributes of a model that say how its last `fit` went, or how the current one goes."""
    return {name: getattr(model, name) for name in _OF_FIT}


def put_back(model: BaseModel, kept: dict[str, Any]) -> None:
    """Set the attributes to what `kept_of` returned."""
    for name, value in kept.items():
        setattr(model, name, value)


_OF_FIT = ("history", "stop_training", "initial_epoch", "fit_completed", "validates")


def _sources(
    model: BaseModel, given: FitArguments, x: Any, y: Any, sample_weight: Any, class_weight: Any, validation_data: Any
) -> tuple[Source, Source | None, FitArguments]:
    """Return the training data, the validation data if any, and the arguments with the batch size that the data ask."""
    who, stack, compiled = model.stack.who("fit"), model.stack, model.executor.require_compiled("fit")
    source: Source
    held_out: Source | None = None
    if class_weight is not None:
        data_module.check_class_weight(who, class_weight)
    if is_stream(x):
        if y is not None or sample_weight is not None or given.fraction:
            raise ValueError(f"{who}: where x yields batches, y, sample_weight and validation_split must not be given.")
        if isinstance(class_weight, str):
            raise ValueError(f"{who}: class_weight must be a dict where x yields batches: 'balanced' needs all rows.")
        source = Stream(who, x, given.steps, _OrderOfBatches(model) if given.shuffle else None)
    else:
        if class_weight is not None and sample_weight is not None:
            raise ValueError(f"{who}: give class_weight or sample_weight, not both.")
        _check_classes(who, class_weight, y)
        source = prepare("fit", stack, compiled, x, y, sample_weight)
        if given.fraction and validation_data is None:
            source, held_out = split(who, source, given.fraction)
        if class_weight is not None:
            source = weighted_by_class(who, stack, source, class_weight)
        if compiled.optimizer.whole_batches:
            given = whole(who, given, source.rows, type(compiled.optimizer).__name__)
        if given.steps is not None and not given.has_size:
            given = given.replaced(size=-(-source.rows // given.steps))
    if validation_data is not None:
        held_out = _validation_source(model, who, validation_data, given.validation_steps)
    return source, held_out, given


def whole(who: str, given: FitArguments, rows: int, optimizer: str) -> FitArguments:
    """Return the arguments with batches of all rows, or raise if smaller ones are asked for."""
    if (given.has_size and given.size < rows) or (given.steps or 1) > 1:
        raise ValueError(
            f"{who}: batch_size and steps_per_epoch must be None for {optimizer}, which takes a step on all rows."
        )
    return given.replaced(size=max(1, rows))


def _check_classes(who: str, class_weight: Any, y: Any) -> None:
    """Raise if there are weights of classes, and no classes."""
    if class_weight is not None and y is None:
        raise ValueError(f"{who}: class_weight must be None without y, which says the class of each row.")


def _batches(source: Source, given: FitArguments) -> int | None:
    """Return the number of batches of an epoch; None or 0 if it is not known."""
    if isinstance(source, Stream):
        return len(source)
    return -(-source.rows // given.size) if given.steps is None else given.steps


class _OrderOfBatches:
    """Random orders of a sequence of batches."""

    def __init__(self, model: BaseModel) -> None:
        self._model = model

    def number(self) -> int:
        """Return the number of the order that is next."""
        return self._model.executor.shuffles

    def __call__(self, count: int, number: int) -> list[int]:
        """Return an order by its number."""
        found: list[int] = random.permutation(random.stream_key(self._model.seed, "batches"), number, count).tolist()
        return found


def _validation_source(model: BaseModel, who: str, validation_data: Any, steps: int | None) -> Source:
    if is_stream(validation_data):
        return Stream(f"{who}: validation_data", validation_data, steps)
    compiled = model.executor.require_compiled("fit")
    if not compiled.loss.needs_targets and not isinstance(validation_data, (tuple, list)):
        validation_data = (validation_data,)
    least = 2 if compiled.loss.needs_targets else 1
    if not isinstance(validation_data, (tuple, list)) or not least <= len(validation_data) <= 3:
        raise ValueError(f"{who}: validation_data must be (x, y), (x, y, sample_weight) or yield batches.")
    x, y, sample_weight = (*validation_data, None, None)[:3]
    return prepare("fit: validation_data", model.stack, compiled, x, y, sample_weight)


def _train(
    model: BaseModel, given: FitArguments, source: Source, held_out: Source | None, events: CallbackList,
    class_weight: Any, kept: dict[str, Any],
) -> History:  # fmt: skip
    """Go through the epochs, between the events that callbacks listen to.

    `kept` are the model's attributes before, for a failure before the first step.
    """
    optimizer = model.executor.require_compiled("fit").optimizer
    with running(model, given, events, kept, source, held_out) as outcome:
        if model.executor.place.stopped:  # before the backup was made from which this `fit` resumes
            return given.history
        epochs, epoch = together(model, given, source, held_out, events), _first_epoch(model, given)
        while epoch < given.end:
            if epochs.ready():
                epoch, outcome.logs = epochs.train(epoch, given.end)
            else:
                begin = time.perf_counter()
                outcome.logs, ran_out = _one_epoch(
                    model, given, source, held_out, events, class_weight, epoch, outcome.logs
                )
                if ran_out:
                    break
                epochs.note(time.perf_counter() - begin)
                epoch += 1
            if model.stop_training or optimizer.converged:
                break
    return given.history


class FitOutcome:
    """What a `fit` has found so far.

    Attributes
    ----------
    logs : dict or None
        Of the last epoch.
    """

    logs: dict[str, float] | None = None


@contextmanager
def running(
    model: BaseModel,
    given: FitArguments,
    events: CallbackList,
    kept: dict[str, Any],
    source: Source,
    held_out: Source | None,
) -> Iterator[FitOutcome]:
    """Return a context manager for the epochs of a `fit`, between the events at its begin and its end.

    `kept` are the model's attributes before, for a failure before the first step.
    """
    streams = [one if isinstance(one, Stream) else None for one in (source, held_out)]
    data = {
        "rows": None if isinstance(source, Stream) else source.rows, "steps": given.steps, "shuffle": given.shuffle,
        "batch_size": None if isinstance(source, Stream) else given.size,
    }  # fmt: skip
    executor, outcome = model.executor, FitOutcome()
    optimizer = executor.require_compiled("fit").optimizer
    model.history = given.history
    model.stop_training = model.fit_completed = False
    model.initial_epoch = None
    before, outer = executor.begin_fit(streams, data)
    try:
        events.call("on_train_begin", {})
        yield outcome
        if optimizer.batches > before.batches:
            optimizer.finalize_variable_values(model.stack.trainable_weights)
        model.fit_completed = True
    except KeyboardInterrupt:
        events.call("on_train_end", outcome.logs)
        raise
    except BaseException:  # as in Keras, `on_train_end` is not called: what is kept for the next try stays
        events.release()
        if not executor.stepped_since(before):
            executor.restore(before)
            put_back(model, kept)
        raise
    finally:
        executor.end_fit(outer)
    events.call("on_train_end", outcome.logs)


def together(
    model: BaseModel, given: FitArguments, source: Source, held_out: Source | None, events: CallbackList
) -> EpochsTogether:
    """Return what trains the epochs of a `fit` in the engine, where that is possible."""
    return EpochsTogether(
        model, events, source, held_out,
        size=given.size, held_out_size=given.validation_size or 32, shuffle=given.shuffle,
        validates_after=given.validates_after,
        validates_always=held_out is not None and given.validates_after is _every_epoch,
        whole=given.steps is None and given.validation_steps is None and not given.finite,
    )  # fmt: skip


def _first_epoch(model: BaseModel, given: FitArguments) -> int:
    """Return the epoch to begin with: the argument, unless a callback has restored a later state."""
    return given.first if model.initial_epoch is None else model.initial_epoch


def _one_epoch(
    model: BaseModel, given: FitArguments, source: Source, held_out: Source | None, events: CallbackList,
    class_weight: Any, epoch: int, logs: dict[str, float] | None,
) -> tuple[dict[str, float] | None, bool]:  # fmt: skip
    """Train an epoch and evaluate after it; return its logs, and whether there were no batches any more."""
    executor = model.executor
    loops = Loops(model, events, FiniteSteps(executor) if given.finite else None)
    executor.begin_epoch(epoch, continues=given.steps is not None and isinstance(source, Prepared))
    events.call("on_epoch_begin", epoch, {})
    run = Run(executor, "fit", model.get_metrics_result, begun=executor.place.resumed)
    loops.train_epoch(run, source, given.size, given.steps, given.shuffle, class_weight)
    executor.place.resumed = False
    if isinstance(source, Stream) and source.exhausted:
        warn(
            f"{model.stack.who('fit')}: the batches ran out after {epoch} of {given.end} epochs; a generator serves "
            "one pass."
        )
        return logs, True
    logs = run.end()
    if held_out is not None and given.validates_after(epoch + 1):
        tested = loops.evaluate(held_out, given.validation_size, given.validation_steps, "fit: validation_data")
        logs = dict(sorted((logs | {f"val_{name}": value for name, value in tested.items()}).items()))  # as in Keras
    executor.place.completed = True
    events.call("on_epoch_end", epoch, logs)
    return logs, False


def train_on_batch(
    model: BaseModel, x: Any, y: Any, sample_weight: Any, class_weight: Any, return_dict: Any
) -> float | list[float] | dict[str, float]:
    """Take one step on one batch; see `lamina.models.trainer.Trainer.train_on_batch`."""
    who, executor = model.stack.who("train_on_batch"), model.executor
    return_dict = flag(who, "return_dict", return_dict)
    if class_weight is not None and sample_weight is not None:
        raise ValueError(f"{who}: give class_weight or sample_weight, not both.")
    compiled = executor.require_compiled("train_on_batch")
    _check_classes(who, class_weight, y)
    prepared = prepare("train_on_batch", model.stack, compiled, x, y, sample_weight)
    if class_weight is not None:
        prepared = weighted_by_class(who, model.stack, prepared, class_weight)
    executor.commit(prepared, model.build)
    _check_loss(model, who)
    _warn_if_nothing_trains(model, who)
    run = Run(executor, "train_on_batch", model.get_metrics_result)
    with run.turn():
        run.take_over()
        executor.train_rows(prepared, None, 0, prepared.rows, prepared.rows)
        logs = run.end()
    return as_result(model, logs, return_dict)


def _check_loss(model: BaseModel, who: str) -> None:
    """Raise if there is nothing to minimize: no loss, no layer whose `call` may add one, no penalty."""
    stack = model.stack
    if model.executor.require_compiled(who).loss.needs_targets or not stack.built:
        return
    adds = any(layer.by_call or layer.activity_regularizer is not None for layer in stack.layers)
    if not adds and all(variable.regularizer is None for variable in stack.trainable_weights):
        raise ValueError(f"{who}: there must be a loss; compile got none, and no layer adds one.")


def _warn_if_nothing_trains(model: BaseModel, who: str) -> None:
    if model.stack.built and not model.stack.trainable_weights:
        warn(f"{who}: the model has no trainable weights: nothing is learnt.")


def _check_rows(who: str, model: BaseModel, prepared: Prepared, held_out: Prepared) -> None:
    """Raise unless the model, built for the training rows, takes the rows of validation data."""
    rows = held_out.data.x
    if not model.stack.takes(rows.shape[1:]):
        raise ValueError(
            f"{who}: the rows of validation_data must have shape {prepared.data.x.shape[1:]} as those of x; "
            f"got {rows.shape[1:]}."
        )
    model.executor.network(rows, model.executor.fuses_head())  # raises if the engine cannot read them


def _epochs_to_validate(who: str, validation_freq: Any) -> Callable[[int], bool]:
    """Return a function that says whether to evaluate after an epoch, counting from 1."""
    if isinstance(validation_freq, (list, tuple, set)):
        named = {integer(who, "validation_freq", epoch) for epoch in validation_freq}
        return lambda epoch: epoch in named
    every = integer(who, "validation_freq", validation_freq)
    return _every_epoch if every == 1 else lambda epoch: epoch % every == 0


def _every_epoch(_: int) -> bool:
    return True
