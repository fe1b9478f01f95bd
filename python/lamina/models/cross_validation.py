"""Cross-validation: models trained on parts of the rows, and tested on the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import random
from lamina._common.checks import KindError, function, integer, listed, number, short
from lamina._common.records import Record
from lamina._data.arrays import real_array
from lamina._data.rows import only_target
from lamina.callbacks import History
from lamina.models.evaluation import evaluate_prepared
from lamina.models.jobs import NeedsPythonError, early_stopping_of, row_indices, train_many
from lamina.models.model import Model
from lamina.models.prepared import prepare, rows_of

__all__ = ["CrossValidation", "cross_validate"]

Array = npt.NDArray[Any]


class CrossValidation(Record):
    """What `cross_validate` returns.

    Attributes
    ----------
    scores : dict of str to ndarray, shape (folds,)
        Loss and metrics of each fold's model on the rows that it was not trained on.
    predictions : ndarray, shape (n, ...)
        For each row the output of the model that was not trained on it; the mean of several, NaN where there is none.
    models : list of Model
    histories : list of History
    folds : list of (ndarray, ndarray)
        The rows that each model was trained on, without those it was validated with, and those it was tested on.
    """

    scores: dict[str, Array]
    predictions: Array
    models: list[Model]
    histories: list[History]
    folds: list[tuple[Array, Array]]

    def __repr__(self) -> str:
        means = ", ".join(f"{name} {values.mean():.4g} ± {values.std():.2g}" for name, values in self.scores.items())
        return f"<CrossValidation: {len(self.models)} folds, {means}>"


def cross_validate(
    make_model: Callable[[], Model],
    x: Any,
    y: Any,
    folds: Any = 5,
    *,
    groups: Any = None,
    batch_size: Any = None,
    epochs: Any = 1,
    sample_weight: Any = None,
    validation_split: float = 0.0,
    early_stopping: Any = None,
    shuffle: bool = True,
    verbose: Any = "auto",
) -> CrossValidation:
    """Train a new model for each fold on the rows outside of it, all in one call of `fit_many`, and test it inside.

    Models that need Python in their steps (a metric such as AUC, a loss or layer of your own) are trained one after the
    other by their `fit`, with the same result.

    Parameters
    ----------
    make_model : callable
        Returns a new, compiled model; all with the same outputs and metrics.
    x : array_like, shape (n, ...)
        Read in place while models are trained.
    y : array_like, shape (n, ...)
    folds : int, splitter, or iterable of pairs
        A number, at least 2: parts of equal size of the rows in random order, with the same share of each class if y
        is one integer for each row. An object with the method ``split(x, y, groups)``, such as scikit-learn's
        splitters. Or pairs of indices of the rows to train on and to test on.
    groups : array_like, shape (n,), optional
        For the splitter; `validation_split` then holds back whole groups.
    batch_size, epochs, early_stopping, shuffle, verbose
        As in `fit_many`, the same for all models.
    sample_weight : array_like, shape (n,), optional
        For training and scores.
    validation_split : float in [0, 1)
        Fraction of the rows outside of a fold, random ones, that the model is validated with after each epoch instead
        of being trained on them; of the groups, if there are any.

    Returns
    -------
    CrossValidation

    Raises
    ------
    TypeError, ValueError, RuntimeError
        The data do not fit, folds are wrong, or what `make_model` returns is no compiled model, or not like the others.

    Examples
    --------
    >>> import lamina
    >>> def make_model():
    ...     model = lamina.Sequential([lamina.Input((64,)), lamina.layers.Dense(10, activation="softmax")])
    ...     model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    ...     return model
    >>> (x, y), _ = lamina.datasets.digits.load_data()
    >>> found = cross_validate(make_model, x / 16, y, folds=4, epochs=20, verbose=0)
    >>> bool(found.scores["accuracy"].mean() > 0.8), found.predictions.shape == (len(y), 10)
    (True, True)
    """
    who = "cross_validate"
    function(who, "make_model", make_model)
    fraction = number(who, "validation_split", validation_split, least=0, below=1)
    _check_folds(who, folds)
    settings = {
        "batch_size": batch_size, "epochs": epochs, "early_stopping": early_stopping, "shuffle": shuffle,
        "verbose": verbose,
    }  # fmt: skip
    for name, value in settings.items():
        if isinstance(value, (list, tuple)):
            raise KindError(f"{who}: {name} must be one value for all models; got {short(value)}.")
    first = _made(who, make_model)
    x = rows_of(who, first.stack, x)
    y = real_array(who, "y", only_target(y, len(x)))
    weights = None if sample_weight is None else real_array(who, "sample_weight", sample_weight)
    pairs = _folds(who, folds, x, y, groups, random.stream_key(first.seed, "folds"))
    models = [first, *(_made(who, make_model) for _ in pairs[1:])]
    _check_alike(who, models, x.shape[1:])
    held_out: list[Array] | None = None
    if fraction:
        parts = [
            _divided(who, f"folds[{i}]", train, groups, fraction, random.stream_key(model.seed, "validation"))
            for i, ((train, _), model) in enumerate(zip(pairs, models, strict=True))
        ]
        pairs = [(train, test) for (train, _), (_, test) in zip(parts, pairs, strict=True)]
        held_out = [validated for _, validated in parts]
    trained = [train for train, _ in pairs]
    try:
        histories = train_many(
            who, models, x, y, rows=trained, sample_weight=weights, validation_rows=held_out, **settings
        )
    except NeedsPythonError:
        histories = _one_by_one(who, models, (x, y, weights), trained, held_out, **settings)
    scores: list[dict[str, float]] = []
    mean = _OutOfFold([test for _, test in pairs], len(x))
    for model, (_, test) in zip(models, pairs, strict=True):
        prepared = prepare(who, model.stack, model.executor.require_compiled(who), x, y, weights).take(test)
        scores.append(evaluate_prepared(model, prepared))
        mean.add(test, model.executor.predict(prepared.data.x))
    values = {name: np.array([one[name] for one in scores]) for name in scores[0]}
    return CrossValidation(values, mean.result(), models, histories, pairs)


def _made(who: str, make_model: Callable[[], Any]) -> Model:
    """Return a new model."""
    model = make_model()
    if not isinstance(model, Model):
        raise KindError(f"{who}: make_model must return a model; it returned {short(model)}.")
    model.executor.require_compiled(who)
    return model


def _check_alike(who: str, models: Sequence[Model], row_shape: tuple[int, ...]) -> None:
    """Raise unless the models have the same outputs, and metrics of the same names."""
    for what, of in (("outputs", lambda model: _planned(model, row_shape)), ("metrics", _metric_names)):
        first = of(models[0])
        for i, model in enumerate(models):
            if (found := of(model)) != first:
                raise ValueError(
                    f"{who}: make_model must return models of the same {what}; model {i} has {found}, model 0 {first}."
                )


def _planned(model: Model, row_shape: tuple[int, ...]) -> Any:
    """Return the shape of an output row; None for a model whose `call` has not been followed yet."""
    return None if model.stack.composed else model.stack.planned_output(row_shape)


def _metric_names(model: Model) -> list[str]:
    compiled = model.executor.require_compiled("cross_validate")
    return [one if isinstance(one, str) else one.name for one in (*compiled.metrics, *compiled.weighted_metrics)]


def _one_by_one(
    who: str,
    models: Sequence[Model],
    data: tuple[Any, Array, Array | None],
    trained: list[Array],
    held_out: list[Array] | None,
    *,
    early_stopping: Any,
    **settings: Any,
) -> list[History]:
    """Train models by their own `fit`."""

    def taken(rows: Array) -> list[Any]:
        return [None if array is None else array[rows] for array in data]

    histories = []
    for i, (model, rows) in enumerate(zip(models, trained, strict=True)):
        x, y, weights = taken(rows)
        settings["validation_data"] = None if held_out is None else tuple(taken(held_out[i]))
        settings["callbacks"] = early_stopping_of(who, early_stopping)
        histories.append(model.fit(x, y, sample_weight=weights, **settings))
    return histories


def _check_folds(who: str, folds: Any) -> None:
    """Raise for what is neither a number nor a splitter nor an iterable."""
    whole = isinstance(folds, (int, np.integer)) and not isinstance(folds, bool)
    splits = callable(getattr(folds, "split", None)) and not isinstance(folds, (str, bytes, type))
    pairs = isinstance(folds, Iterable) and not isinstance(folds, (str, bytes, type, Mapping))
    if not (whole or splits or pairs):
        raise KindError(
            f"{who}: folds must be a number, an object with the method split(x, y, groups), or pairs of indices; got "
            f"{short(folds)}."
        )


def _folds(who: str, folds: Any, x: Any, y: Array, groups: Any, key: int) -> list[tuple[Array, Array]]:
    """Return for each fold the rows to train on, and those to test on."""
    total, splits = len(x), callable(getattr(folds, "split", None))
    if groups is not None and np.shape(groups) != (total,):
        raise ValueError(f"{who}: groups must have shape ({total},); got {np.shape(groups)}.")
    if isinstance(folds, (int, np.integer)):
        if groups is not None:
            raise ValueError(f"{who}: groups must be None unless folds is a splitter or pairs, which respect them.")
        return _random_folds(who, integer(who, "folds", folds, 2), y, total, key)
    given = listed(who, "folds", folds.split(_seen(x), y, groups) if splits else folds)
    if not given:
        raise ValueError(f"{who}: folds must not be empty.")
    pairs = []
    for i, pair in enumerate(given):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise KindError(f"{who}: folds[{i}] must be a pair of indices to train and to test on; got {short(pair)}.")
        train, test = (row_indices(who, f"folds[{i}][{part}]", rows, total) for part, rows in enumerate(pair))
        if len(np.unique(test)) < len(test):
            raise ValueError(f"{who}: folds[{i}][1] must name each row to test on once.")
        if len(both := np.intersect1d(train, test)):
            raise ValueError(f"{who}: folds[{i}] must not train on rows that it tests on; one is {both[0]}.")
        pairs.append((train, test))
    return pairs


def _seen(x: Any) -> Array:
    """Return rows as a splitter sees them: arrays as they are, of others only how many there are."""
    return x if isinstance(x, np.ndarray) else np.empty((len(x), 1))


def _random_folds(who: str, count: int, y: Array, total: int, key: int) -> list[tuple[Array, Array]]:
    """Return folds of rows in random order; each has its share of every class."""
    if count > total:
        raise ValueError(f"{who}: folds must be at most the number of rows, {total}; got {count}.")
    order = random.permutation(key, 0, total)
    if y.dtype.kind in "iub" and y.shape in ((total,), (total, 1)):
        order = order[np.argsort(y.reshape(-1)[order], kind="stable")]
    fold = np.empty(total, np.int64)
    fold[order] = np.arange(total) % count
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(count)]


def _divided(who: str, name: str, rows: Array, groups: Any, fraction: float, key: int) -> tuple[Array, Array]:
    """Return rows without a random fraction of them, and that fraction; copies of a row, and groups, stay together."""
    of_rows = rows if groups is None else np.asarray(groups)[rows]
    known = np.unique(of_rows)
    count = round(len(known) * fraction)
    if not 0 < count < len(known):
        what = "rows" if groups is None else "groups"
        raise ValueError(
            f"{who}: validation_split must leave {what} to train on and to validate with; {fraction} of the "
            f"{len(known)} of {name} is {count}."
        )
    chosen = np.isin(of_rows, known[random.permutation(key, 0, len(known))[:count]])
    return rows[~chosen], np.unique(rows[chosen])


class _OutOfFold:
    """The outputs for the rows of all folds: the mean of several, NaN where there is none.

    Parameters
    ----------
    tested : list of ndarray
        The rows of each fold.
    total : int
        How many rows there are.
    """

    def __init__(self, tested: list[Array], total: int) -> None:
        self._counts = np.bincount(np.concatenate(tested), minlength=total)
        self._sums: Array | None = None
        self._dtype: Any = None

    def add(self, rows: Array, outputs: Array) -> None:
        """Add the outputs for the rows of a fold."""
        if self._sums is None:
            self._dtype = outputs.dtype
            once = self._counts.max() == 1
            self._sums = np.zeros((len(self._counts), *outputs.shape[1:]), outputs.dtype if once else np.float64)
        self._sums[rows] += outputs

    def result(self) -> Array:
        """Return the means."""
        assert self._sums is not None
        counts = self._counts.reshape(-1, *[1] * (self._sums.ndim - 1))
        with np.errstate(invalid="ignore"):
            means: Array = (self._sums / counts.astype(self._sums.dtype)).astype(self._dtype)
        return means
