"""Cross-validation: models trained on parts of the rows, and tested on the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import random
from lamina._common.checks import KindError, function, integer, listed, number, short
from lamina._common.records import Record
from lamina.callbacks import History
from lamina.models.evaluation import evaluate_prepared
from lamina.models.many import fit_many, row_indices
from lamina.models.model import Model
from lamina.models.prepared import Prepared, prepare

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
    batch_size: Any = 32,
    epochs: Any = 1,
    sample_weight: Any = None,
    validation_split: float = 0.0,
    early_stopping: Any = None,
    shuffle: bool = True,
    verbose: Any = "auto",
) -> CrossValidation:
    """Train a new model for each fold on the rows outside of it, all in one call of `fit_many`, and test it inside.

    Parameters
    ----------
    make_model : callable
        Returns a new, compiled model.
    x : array_like, shape (n, ...)
        Read in place while models are trained.
    y : array_like, shape (n, ...)
    folds : int, splitter, or iterable of pairs
        A number, at least 2: parts of equal size of the rows in random order, with the same share of each class if y
        is one integer for each row. An object with the method ``split(x, y, groups)``, such as scikit-learn's
        splitters. Or pairs of indices of the rows to train on and to test on.
    groups : array_like, shape (n,), optional
        For the splitter.
    batch_size, epochs, early_stopping, shuffle, verbose
        As in `fit_many`.
    sample_weight : array_like, shape (n,), optional
        For training and scores.
    validation_split : float in [0, 1)
        Fraction of the rows outside of a fold, random ones, that the model is validated with after each epoch instead
        of being trained on them.

    Returns
    -------
    CrossValidation

    Raises
    ------
    TypeError, ValueError, RuntimeError
        The data do not fit, folds are wrong, or what `make_model` returns is no compiled model, or one that `fit_many`
        refuses.

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
    total = (getattr(x, "shape", None) or np.shape(x) or (0,))[0]
    first = _made(who, make_model)
    pairs = _folds(who, folds, x, y, groups, total, random.stream_key(first.seed, "folds"))
    models = [first, *(_made(who, make_model) for _ in pairs[1:])]
    held_out: list[Array] | None = None
    if fraction:
        parts = [
            _divided(who, f"folds[{i}]", train, fraction, random.stream_key(model.seed, "validation"))
            for i, ((train, _), model) in enumerate(zip(pairs, models, strict=True))
        ]
        pairs = [(train, test) for (train, _), (_, test) in zip(parts, pairs, strict=True)]
        held_out = [validated for _, validated in parts]
    histories = fit_many(
        models, x, y, rows=[train for train, _ in pairs], batch_size=batch_size, epochs=epochs,
        sample_weight=sample_weight, validation_rows=held_out, early_stopping=early_stopping, shuffle=shuffle,
        verbose=verbose,
    )  # fmt: skip
    tested = [_tested(who, model, x, y, sample_weight, test) for model, (_, test) in zip(models, pairs, strict=True)]
    logs = [evaluate_prepared(model, rows) for model, rows in zip(models, tested, strict=True)]
    outputs = [model.executor.predict(rows.data.x) for model, rows in zip(models, tested, strict=True)]
    scores = {name: np.array([one[name] for one in logs]) for name in logs[0]}
    return CrossValidation(scores, _out_of_fold(outputs, [test for _, test in pairs], total), models, histories, pairs)


def _made(who: str, make_model: Callable[[], Any]) -> Model:
    """Return a new model."""
    model = make_model()
    if not isinstance(model, Model):
        raise KindError(f"{who}: make_model must return a model; it returned {short(model)}.")
    model.executor.require_compiled(who)
    return model


def _folds(who: str, folds: Any, x: Any, y: Any, groups: Any, total: int, key: int) -> list[tuple[Array, Array]]:
    """Return for each fold the rows to train on, and those to test on."""
    splits = callable(getattr(folds, "split", None))
    if groups is not None and not splits:
        raise ValueError(f"{who}: groups must be None unless folds is a splitter, which reads them.")
    if splits:
        given = listed(who, "folds.split(x, y, groups)", folds.split(x, y, groups))
    elif isinstance(folds, (int, np.integer)) and not isinstance(folds, bool):
        return _random_folds(who, integer(who, "folds", folds, 2), y, total, key)
    else:
        given = listed(who, "folds", folds)
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


def _random_folds(who: str, count: int, y: Any, total: int, key: int) -> list[tuple[Array, Array]]:
    """Return folds of rows in random order; each has its share of every class."""
    if count > total:
        raise ValueError(f"{who}: folds must be at most the number of rows, {total}; got {count}.")
    order = random.permutation(key, 0, total)
    labels = np.asarray(y)
    if labels.dtype.kind in "iub" and labels.shape in ((total,), (total, 1)):
        order = order[np.argsort(labels.reshape(-1)[order], kind="stable")]
    fold = np.empty(total, np.int64)
    fold[order] = np.arange(total) % count
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(count)]


def _divided(who: str, name: str, rows: Array, fraction: float, key: int) -> tuple[Array, Array]:
    """Return rows without a random fraction of them, and that fraction; copies of a row stay together."""
    known = np.unique(rows)
    count = int(len(known) * fraction)
    if not 0 < count < len(known):
        raise ValueError(
            f"{who}: validation_split must leave rows to train on and to validate with; {fraction} of the {len(known)} "
            f"of {name} is {count}."
        )
    chosen = np.sort(known[random.permutation(key, 0, len(known))[:count]])
    return rows[~np.isin(rows, chosen)], chosen


def _tested(who: str, model: Model, x: Any, y: Any, sample_weight: Any, rows: Array) -> Prepared:
    """Return the rows that a trained model is tested on."""
    return prepare(who, model.stack, model.executor.require_compiled(who), x, y, sample_weight).take(rows)


def _out_of_fold(outputs: Sequence[Array], rows: Sequence[Array], total: int) -> Array:
    """Return the outputs for the rows of all folds; the mean of several, NaN where there is none."""
    found = np.full((total, *outputs[0].shape[1:]), np.nan, outputs[0].dtype)
    counts = np.bincount(np.concatenate(rows), minlength=total)
    if counts.max() == 1:
        for output, tested in zip(outputs, rows, strict=True):
            found[tested] = output
        return found
    sums = np.zeros(found.shape)
    for output, tested in zip(outputs, rows, strict=True):
        sums[tested] += output
    known = counts > 0
    found[known] = sums[known] / counts[known].reshape(-1, *[1] * (sums.ndim - 1))
    return found
