"""Many models in one call: training, predictions."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import KindError, listed, short
from lamina._common.warn import warn
from lamina.callbacks import Callback, CallbackList, EarlyStopping, History
from lamina.callbacks import base as callbacks_module
from lamina.models.base import BaseModel
from lamina.models.epochs import EpochsTogether, Outcome
from lamina.models.prediction import predict_each
from lamina.models.prepared import Prepared, prepare
from lamina.models.training import FitArguments, begun, checked_arguments, kept_of, put_back, running, together, whole

__all__ = ["check_models", "fit_many", "predict_many", "row_indices"]

Array = npt.NDArray[Any]


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


def fit_many(
    models: Sequence[Any],
    x: Any,
    y: Any,
    *,
    rows: Sequence[Any] | None = None,
    batch_size: Any = 32,
    epochs: Any = 1,
    sample_weight: Any = None,
    validation_rows: Sequence[Any] | None = None,
    early_stopping: Any = None,
    shuffle: bool = True,
    verbose: Any = "auto",
) -> list[History]:
    """Train many models on rows of the same data: folds, replicas, seeds, searches.

    All of it is one call into the engine, without the GIL. Each model trains on one thread, and a thread takes the next
    model when it has finished one; a model that is too large for one core's share of the caches trains on all threads.
    Weights and History of each model are bit for bit those of ``model.fit(x[rows[i]], y[rows[i]], ...)``.

    Parameters
    ----------
    models : sequence of Model
        Compiled, different ones that share no layers; no code written in Python may take part in their steps.
    x : array_like, shape (n, ...)
        Read in place.
    y : array_like, shape (n, ...), or a list of them, one a model
    rows : sequence of array_like, optional
        For each model the indices of the rows that it trains on, repeats allowed, or a mask of n bools; None for all.
    batch_size, epochs : int or sequence of int
        One for all models, or one a model.
    sample_weight : array_like, shape (n,), or a list of them, one a model; optional
    validation_rows : sequence of array_like, optional
        For each model the rows to validate with after each epoch, in batches of `batch_size`; None for none.
    early_stopping : EarlyStopping, dict of its arguments, or a sequence of them; optional
        Each model gets its own copy.
    shuffle : bool
        Train the rows in a random order, another one in each epoch.
    verbose : {"auto", 0, 1, 2}
        0 shows no progress bar, else there is one for all models.

    Returns
    -------
    list of History
        One a model, also as ``model.history``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        A model is not compiled, given twice or shares layers with another one, or the data do not fit. Nothing has
        changed. If the training of a model fails later, the others go on, and the error names the model.

    Warns
    -----
    UserWarning
        The loss of a model has become NaN: its training has ended.

    Examples
    --------
    >>> import numpy as np
    >>> import lamina
    >>> models = [lamina.Sequential([lamina.layers.Dense(1)]) for _ in range(3)]
    >>> for model in models:
    ...     model.compile("adam", "mse")
    >>> x = np.eye(6)
    >>> histories = fit_many(models, x, x.sum(1), rows=[[0, 1], [2, 3], [4, 5]], epochs=2, verbose=0)
    >>> [len(history.history["loss"]) for history in histories]
    [2, 2, 2]
    """
    who = "fit_many"
    parts = [_Part(f"{who}: models[{i}]", model) for i, model in enumerate(_different(who, models))]
    count, level = len(parts), callbacks_module.resolve_verbose(who, verbose)
    sizes, ends = _each(who, "batch_size", batch_size, count), _each(who, "epochs", epochs, count)
    stops = _each(who, "early_stopping", early_stopping, count)
    total = (getattr(x, "shape", None) or np.shape(x) or (0,))[0]
    trained = _indices(who, "rows", rows, count, total)
    tested = _indices(who, "validation_rows", validation_rows, count, total)
    targets, weights = _arrays(y, count, total), _arrays(sample_weight, count, total)
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
                    if not part.epochs.possible():
                        raise ValueError(
                            f"{part.who}: no code written in Python may take part in the steps: no layer, loss, "
                            "metric, optimizer, regularizer or constraint. Call fit."
                        )
                    part.events = events
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


def _arrays(value: Any, count: int, total: int) -> list[Any]:
    """Return targets or sample weights for each model: a list of as many arrays of all rows, or one for all."""
    separate = (
        isinstance(value, (list, tuple))
        and len(value) == count
        and all(len(np.shape(one)) >= 1 and np.shape(one)[0] == total for one in value)
    )
    return list(value) if separate else [value] * count


def _arguments(part: _Part, batch_size: Any, epochs: Any, early_stopping: Any, shuffle: Any) -> FitArguments:
    """Return the arguments of one model's `fit`."""
    listeners: list[Callback] = []
    if isinstance(early_stopping, EarlyStopping):
        listeners.append(copy.copy(early_stopping))
    elif isinstance(early_stopping, dict):
        listeners.append(EarlyStopping(**early_stopping))
    elif early_stopping is not None:
        raise KindError(
            f"{part.who}: early_stopping must be an EarlyStopping or a dict of its arguments; got "
            f"{short(early_stopping)}."
        )
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


def _run(parts: list[_Part], kept: list[dict[str, Any]], level: int) -> list[Exception | None]:
    """Train all models; return the error of each, None where there is none."""
    with ExitStack() as fits:
        fitted = [
            fits.enter_context(running(part.model, part.given, part.events, before))
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


def predict_many(models: Sequence[Any], x: Any) -> Array:
    """Return the predictions of many models for the same rows.

    Parameters
    ----------
    models : sequence of Model
        With outputs of one shape.
    x : array_like, shape (n, ...)

    Returns
    -------
    ndarray, shape (models, n, ...)

    Raises
    ------
    TypeError, ValueError
        There is no model, one of them is none, or their outputs differ in shape.

    Examples
    --------
    >>> import lamina
    >>> models = [lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)]) for _ in range(3)]
    >>> predict_many(models, [[1.0, 2.0]]).shape
    (3, 1, 1)
    """
    found = listed("predict_many", "models", models)
    if not found:
        raise ValueError("predict_many: models must not be empty.")
    check_models("predict_many", found)
    return predict_each("predict_many", found, x)
