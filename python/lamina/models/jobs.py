"""Trainings of many models on rows of the same data, as jobs of one call into the engine."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, runtime
from lamina._common.checks import KindError, listed, short
from lamina._common.memory import memory_bytes
from lamina._common.warn import warn
from lamina._data.arrays import real_array
from lamina._data.rows import only_target
from lamina.callbacks import Callback, CallbackList, EarlyStopping, History
from lamina.callbacks import base as callbacks_module
from lamina.models.base import BaseModel
from lamina.models.epochs import EpochsTogether, Outcome
from lamina.models.prepared import Prepared, prepare, rows_of
from lamina.models.training import FitArguments, begun, checked_arguments, kept_of, put_back, running, together, whole

__all__ = ["NeedsPythonError", "check_models", "early_stopping_of", "row_indices", "train_many"]

Array = npt.NDArray[Any]


class NeedsPythonError(ValueError):
    """The engine cannot train a model alone, for code written in Python takes part in the steps."""


class _Part:
    """The training of one of the models."""

    def __init__(self, who: str, model: BaseModel) -> None:
        self.who, self.model = who, model
        self.rows: Array | None = None
        self.held_out_rows: Array | None = None
        self.given: FitArguments
        self.source: Prepared
        self.events: CallbackList
        self.epochs: EpochsTogether
        self.outcome: Outcome | None = None

    @property
    def batches(self) -> int:
        """Batches of an epoch."""
        rows = self.source.rows if self.rows is None else len(self.rows)
        return -(-rows // min(self.given.size, rows))


def train_many(
    who: str,
    models: Any,
    x: Any,
    y: Any,
    *,
    rows: Any,
    batch_size: Any,
    epochs: Any,
    sample_weight: Any,
    validation_rows: Any,
    early_stopping: Any,
    shuffle: Any,
    verbose: Any,
) -> list[History]:
    """Train models in one call into the engine; see `lamina.fit_many`.

    Raises
    ------
    NeedsPythonError
        The engine cannot do that. Nothing has changed.
    """
    parts = [_Part(f"{who}: models[{i}]", model) for i, model in enumerate(_different(who, models))]
    if not parts:
        return []
    count, level = len(parts), callbacks_module.resolve_verbose(who, verbose)
    sizes, ends = _each(who, "batch_size", batch_size, count), _each(who, "epochs", epochs, count)
    stops = _each(who, "early_stopping", early_stopping, count)
    x = rows_of(who, parts[0].model.stack, x)
    total = len(x)
    trained = _indices(who, "rows", rows, count, total)
    tested = _indices(who, "validation_rows", validation_rows, count, total)
    targets, weights = _arrays(who, "y", y, count, total), _arrays(who, "sample_weight", sample_weight, count, total)
    with ExitStack() as locks:
        for part in parts:
            locks.enter_context(part.model.executor.fitting.of(part.who))
        kept = [kept_of(part.model) for part in parts]
        try:
            with ExitStack() as transactions:
                for i, part in enumerate(parts):
                    compiled = part.model.executor.require_compiled("fit_many")
                    transactions.enter_context(part.model.executor.transaction())
                    part.rows, part.held_out_rows = trained[i], tested[i]
                    part.source = prepare(part.who, part.model.stack, compiled, x, targets[i], weights[i])
                    part.given = _arguments(part, sizes[i], ends[i], stops[i], shuffle)
                    held_out = None if part.held_out_rows is None else part.source
                    events = begun(part.model, part.given, part.source, held_out)
                    part.epochs = together(part.model, part.given, part.source, held_out, events)
                    _check_watches(part, events)
                    if hindrance := part.epochs.hindrance():
                        raise NeedsPythonError(f"{part.who}: {hindrance}: only fit can train that.")
                    part.events = events
                _check_memory(who, parts)
        except BaseException:
            for part, before in zip(parts, kept, strict=True):
                put_back(part.model, before)
            raise
        errors = _run(parts, kept, level)
    _say(parts, errors)
    return [part.given.history for part in parts]


def check_models(who: str, models: Sequence[Any]) -> None:
    """Raise unless all of them are models."""
    for i, model in enumerate(models):
        if not isinstance(model, BaseModel):
            raise KindError(f"{who}: models must be models; models[{i}] is {type(model).__name__}.")


def _different(who: str, models: Any) -> list[BaseModel]:
    """Return the models; raise unless they are models that share nothing."""
    found = listed(who, "models", models)
    check_models(who, found)
    owners: dict[int, int] = {}
    for i, model in enumerate(found):
        for owned in (model, *model.stack.layers):
            other = owners.setdefault(id(owned), i)
            if other != i:
                what = "the same as" if owned is model else f"sharing the layer {owned.name!r} with"
                raise ValueError(f"{who}: models must be different ones; models[{i}] is {what} models[{other}].")
    return found


def _each(who: str, name: str, value: Any, count: int) -> list[Any]:
    """Return an argument for each model, which is given once, or as a list of one a model."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise ValueError(f"{who}: {name} must be one value, or {count}, one a model; got {len(value)}.")
    return list(value)


def _indices(who: str, name: str, value: Any, count: int, total: int) -> list[Array | None]:
    """Return the row indices for each model, None for all rows."""
    if value is None:
        return [None] * count
    given = listed(who, name, value)
    if len(given) != count:
        raise ValueError(f"{who}: {name} must have {count} entries, one a model; got {len(given)}.")
    return [None if one is None else row_indices(who, f"{name}[{i}]", one, total) for i, one in enumerate(given)]


def row_indices(who: str, name: str, value: Any, total: int) -> Array:
    """Return indices of some of `total` rows, given as such or as a mask of bools."""
    array = np.asarray(value)
    if array.dtype == bool and array.shape == (total,):
        array = np.flatnonzero(array)
    if array.ndim == 1 and not len(array):
        raise ValueError(f"{who}: {name} must not be empty.")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise KindError(f"{who}: {name} must be indices or {total} bools; got {short(value)}.")
    if array.min() < 0 or array.max() >= total:
        raise ValueError(f"{who}: {name} must lie in [0, {total}); got {array.min()} to {array.max()}.")
    return np.ascontiguousarray(array, np.int64)


def _arrays(who: str, name: str, value: Any, count: int, total: int) -> list[Any]:
    """Return targets or sample weights for each model: a list of as many arrays of all rows, or one for all."""
    separate = (
        isinstance(value, (list, tuple))
        and len(value) == count
        and all(getattr(one, "shape", ())[:1] == (total,) for one in value)
    )
    if separate:
        return list(value)
    return [None if value is None else real_array(who, name, only_target(value, total))] * count


def early_stopping_of(who: str, early_stopping: Any) -> list[Callback]:
    """Return the callback of one model, in a list; an empty one for None."""
    if early_stopping is None:
        return []
    if isinstance(early_stopping, EarlyStopping):
        return [copy.copy(early_stopping)]
    if not isinstance(early_stopping, dict) or not all(isinstance(name, str) for name in early_stopping):
        raise KindError(
            f"{who}: early_stopping must be an EarlyStopping or a dict of its arguments; got {short(early_stopping)}."
        )
    return [EarlyStopping(**early_stopping)]


def _arguments(part: _Part, batch_size: Any, epochs: Any, early_stopping: Any, shuffle: Any) -> FitArguments:
    """Return the arguments of one model's `fit`."""
    listeners = early_stopping_of(part.who, early_stopping)
    given = checked_arguments(
        part.who, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=listeners, validation_split=0.0,
        shuffle=shuffle, initial_epoch=0, steps_per_epoch=None, validation_steps=None, validation_batch_size=None,
        validation_freq=1,
    )  # fmt: skip
    optimizer = part.model.executor.require_compiled("fit_many").optimizer
    if optimizer.whole_batches:
        rows = part.source.rows if part.rows is None else len(part.rows)
        given = whole(part.who, given, rows, type(optimizer).__name__)
    return given


def _check_watches(part: _Part, events: CallbackList) -> None:
    """Raise if a callback would watch what is not there."""
    names = list(part.model.executor.require_compiled("fit_many").results())
    names += [f"val_{name}" for name in names] if part.held_out_rows is not None else []
    for callback in events.callbacks:
        if isinstance(callback, EarlyStopping) and callback.monitor not in names:
            raise ValueError(
                f"{part.who}: early_stopping: monitor must be one of {', '.join(map(repr, names))}; got "
                f"{callback.monitor!r}. What begins with 'val_' needs rows to validate with."
            )


def _check_memory(who: str, parts: list[_Part]) -> None:
    """Raise if the steps of as many models as there are threads need more memory than there is."""
    each = [
        part.model.executor.require_compiled("fit_many").optimizer.workspace_bytes(part.model.stack.trainable_weights)
        for part in parts
    ]
    needed = sum(sorted(each)[-runtime.get_num_threads() :])
    if needed and needed > (memory := memory_bytes()):
        raise MemoryError(
            f"{who}: the normal equations of models that train at once must fit into memory: they have "
            f"{needed / 1e9:.3g} GB, and there are {memory / 1e9:.3g} GB. Train fewer in a call, or set_num_threads."
        )


def _run(parts: list[_Part], kept: list[dict[str, Any]], level: int) -> list[Exception | None]:
    """Train all models; return the error of each, None where there is none."""
    with ExitStack() as fits:
        fitted = [
            fits.enter_context(running(part.model, part.given, part.events, before, part.source, None))
            for part, before in zip(parts, kept, strict=True)
        ]
        jobs, work = [], [part for part in parts if part.given.end > 0]
        with ExitStack() as sessions:
            for part in work:
                job, part.outcome = sessions.enter_context(
                    part.epochs.job(0, part.given.end, math.inf, part.rows, part.held_out_rows, ends_at_nan=True)
                )
                jobs.append(job)
            found = _core.run_jobs(jobs, sessions.enter_context(_Bar(work)).update if level else None)
        for part, outcome in zip(parts, fitted, strict=True):
            outcome.logs = None if part.outcome is None else part.outcome.logs
    errors = dict(zip(map(id, work), found, strict=True))
    return [errors.get(id(part)) for part in parts]


class _Bar:
    """The progress bar of all models' epochs."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts

    def __enter__(self) -> _Bar:
        from tqdm.auto import tqdm

        self._bar = tqdm(total=sum(part.given.end for part in self._parts), unit="epoch")
        return self

    def update(self) -> None:
        """Show how many epochs are done."""
        done = sum(part.outcome.record.steps // part.batches for part in self._parts if part.outcome is not None)
        self._bar.update(done - self._bar.n)

    def __exit__(self, *_: object) -> None:
        self.update()
        self._bar.close()


def _say(parts: list[_Part], errors: list[Exception | None]) -> None:
    """Warn of losses that are NaN; raise the first error."""
    for part in parts:
        losses = part.given.history.history.get("loss", [])
        if losses and math.isnan(losses[-1]):
            warn(f"{part.who}: the loss is NaN after epoch {len(losses)}; the training of this model has ended.")
    for part, error in zip(parts, errors, strict=True):
        if error is not None:
            raise type(error)(f"{part.who}: {error}")
