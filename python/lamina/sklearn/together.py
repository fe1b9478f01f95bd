"""Fits of many estimators, which train in one call into the engine where that is possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from lamina.models import fit_many
from lamina.sklearn.base import Perceptron, finish, is_one_training, training_of
from lamina.sklearn.objective import Rows
from lamina.sklearn.solvers import Training

__all__ = ["Fit", "fit_each"]

Array = npt.NDArray[Any]

# Rows of fits that differ are joined into one array up to this many bytes; larger ones train one after the other.
MOST_BYTES = 2**28


class Fit:
    """A fit of an estimator.

    Parameters
    ----------
    estimator : estimator
        Which is fitted.
    X, y
        The rows.
    parameters : dict
        Other arguments of `fit`.

    Attributes
    ----------
    error : Exception or None
        What the fit has raised.
    """

    def __init__(self, estimator: Any, X: Any, y: Any, parameters: dict[str, Any]) -> None:
        self.estimator, self.X, self.y, self.parameters = estimator, X, y, parameters
        self.error: Exception | None = None
        self.perceptron: Perceptron | None = None
        self.training: Training | None = None

    def prepare(self) -> None:
        """Do what comes before the training of a perceptron, or the whole fit of anything else."""
        from sklearn.pipeline import Pipeline  # of use to few

        try:
            last, X = self.estimator, self.X
            if isinstance(last, Pipeline) and last.memory is None and not self.parameters:
                last = last.steps[-1][1]
                if isinstance(last, Perceptron) and len(self.estimator) > 1:
                    X = self.estimator[:-1].fit_transform(X, self.y)
            alone = not isinstance(last, Perceptron) or not is_one_training(last)
            if alone or not set(self.parameters) <= {"sample_weight"}:
                self.estimator.fit(self.X, self.y, **self.parameters)
                return
            self.perceptron = last
            self.training = training_of(last, X, self.y, self.parameters.get("sample_weight"))
        except Exception as error:
            self.error = error

    def finish(self, error: Exception | None = None) -> None:
        """Take over what the training has found."""
        try:
            if error is not None:
                raise error
            assert self.perceptron is not None
            assert self.training is not None
            self.training.warn_of_its_end()
            finish(self.perceptron, self.training)
        except Exception as raised:
            self.error = raised


def fit_each(fits: Sequence[Fit]) -> None:
    """Fit all estimators; what one raises becomes its `error`."""
    for fit in fits:
        fit.prepare()
    alone: list[Fit] = []
    joint: list[Fit] = []
    for fit in fits:
        if fit.training is not None:
            (joint if fit.training.can_be_joined() else alone).append(fit)
    for group in _groups(joint):
        _train(group)
    for fit in alone:
        assert fit.training is not None
        try:
            fit.training.run(warns=False)
        except Exception as error:
            fit.finish(error)
        else:
            fit.finish()


def _groups(fits: Sequence[Fit]) -> Iterable[list[Fit]]:
    """Yield fits that are trained in one call: with the same kind of rows, shuffles and weights."""
    found: dict[Any, list[Fit]] = {}
    for fit in fits:
        assert fit.training is not None
        work = fit.training.work
        rows = work.rows.X
        kind = (
            scipy.sparse.issparse(rows), rows.dtype.str, rows.shape[1], bool(fit.training.shuffles()),
            work.rows.weight is None, work.held_out is None, work.held_out is not None and work.held_out.weight is None,
        )  # fmt: skip
        found.setdefault(kind, []).append(fit)
    return found.values()


def _train(fits: list[Fit]) -> None:
    """Train in one call for all rows, or for those of some fits at a time."""
    pool = _Pool()
    begun: list[Fit] = []
    for fit in fits:
        assert fit.training is not None
        work = fit.training.work
        parts = [work.rows] if work.held_out is None else [work.rows, work.held_out]
        if begun and not pool.has_room(parts):
            _train_pool(begun, pool)
            begun, pool = [], _Pool()
        pool.add(parts)
        begun.append(fit)
    _train_pool(begun, pool)


class _Pool:
    """Rows of several trainings, each of them once, with targets and weights where they are not the same for all."""

    def __init__(self) -> None:
        self._blocks: list[Any] = []
        self._begins = [0]
        self._bytes = 0
        self._parts: list[list[tuple[int, Rows]]] = []

    def has_room(self, parts: Sequence[Rows]) -> bool:
        """Return whether the rows of another training may be added."""
        new = sum(_bytes(part.X) for part in parts if self._find(part.X) is None)
        return self._bytes + new <= MOST_BYTES

    def add(self, parts: Sequence[Rows]) -> None:
        """Add the rows of a training, to train on and to validate with."""
        numbers = []
        for part in parts:
            number = self._find(part.X)
            if number is None:
                number = len(self._blocks)
                self._blocks.append(part.X)
                self._begins.append(self._begins[-1] + part.size)
                self._bytes += _bytes(part.X)
            numbers.append((number, part))
        self._parts.append(numbers)

    def _find(self, X: Any) -> int | None:
        return next((number for number, block in enumerate(self._blocks) if _same(X, block)), None)

    def rows(self) -> Any:
        """Return all rows."""
        if len(self._blocks) == 1:
            return self._blocks[0]
        if scipy.sparse.issparse(self._blocks[0]):
            return scipy.sparse.vstack(self._blocks, format="csr")
        return np.concatenate(self._blocks)

    def indices(self, which: int) -> list[Array | None]:
        """Return for each training the indices of the rows to train on (0), or to validate with (1)."""
        return [
            np.arange(self._begins[parts[which][0]], self._begins[parts[which][0] + 1]) if which < len(parts) else None
            for parts in self._parts
        ]

    def targets(self) -> tuple[list[Array], list[Array] | None]:
        """Return targets and weights of all rows for each training, one array for those that agree."""
        canvases: list[_Canvas] = []
        found = []
        for parts in self._parts:
            canvas = next((one for one in canvases if one.fits(parts)), None)
            if canvas is None:
                canvas = _Canvas(self._begins, parts[0][1])
                canvases.append(canvas)
            canvas.add(parts)
            found.append(canvas)
        weighted = self._parts[0][0][1].weight is not None
        return [one.targets for one in found], [one.weights for one in found] if weighted else None


class _Canvas:
    """Targets and weights of all rows, of which some blocks are filled in."""

    def __init__(self, begins: Sequence[int], rows: Rows) -> None:
        self._begins = begins
        self.targets = np.zeros((begins[-1], *rows.targets.shape[1:]), rows.targets.dtype)
        self.weights = np.ones(begins[-1], rows.X.dtype)
        self._filled: set[int] = set()

    def _views(self, number: int) -> tuple[Array, Array]:
        part = slice(self._begins[number], self._begins[number + 1])
        return self.targets[part], self.weights[part]

    def fits(self, parts: Sequence[tuple[int, Rows]]) -> bool:
        """Return whether the rows of a training can be filled in."""
        if parts[0][1].targets.dtype != self.targets.dtype or parts[0][1].targets.shape[1:] != self.targets.shape[1:]:
            return False
        for number, rows in parts:
            targets, weights = self._views(number)
            weight = 1.0 if rows.weight is None else rows.weight
            if number in self._filled and not (np.array_equal(targets, rows.targets) and np.all(weights == weight)):
                return False
        return True

    def add(self, parts: Sequence[tuple[int, Rows]]) -> None:
        """Fill in the rows of a training."""
        for number, rows in parts:
            targets, weights = self._views(number)
            targets[...] = rows.targets
            weights[...] = 1.0 if rows.weight is None else rows.weight
            self._filled.add(number)


def _train_pool(fits: list[Fit], pool: _Pool) -> None:
    """Train on the rows of a pool; again those whose learning rate becomes lower."""
    x, rows, held_out = pool.rows(), pool.indices(0), pool.indices(1)
    targets, weights = pool.targets()
    active = list(range(len(fits)))
    trainings = [fit.training for fit in fits]
    errors: dict[int, Exception] = {}
    while active:
        now: list[Any] = [trainings[i] for i in active]
        try:
            fit_many(
                [training.work.model for training in now],
                x,
                [targets[i] for i in active],
                rows=[rows[i] for i in active],
                batch_size=[training.batch_size() for training in now],
                epochs=[training.left for training in now],
                sample_weight=None if weights is None else [weights[i] for i in active],
                validation_rows=None if held_out[active[0]] is None else [held_out[i] for i in active],
                early_stopping=[training.rule for training in now],
                shuffle=now[0].shuffles(),
                verbose=0,
            )
        except Exception as error:
            errors.update(dict.fromkeys(active, error))
            break
        for training in now:
            training.note()
        active = [i for i, training in zip(active, now, strict=True) if training.goes_on() and training.left > 0]
    for i, fit in enumerate(fits):
        fit.finish(errors.get(i))


def _bytes(X: Any) -> int:
    return int(X.data.nbytes + X.indices.nbytes) if scipy.sparse.issparse(X) else int(X.nbytes)


def _same(one: Any, other: Any) -> bool:
    """Return whether two arrays of rows are the same, number by number."""
    if one is other:
        return True
    if one.shape != other.shape or scipy.sparse.issparse(one):
        return False
    return np.array_equal(one, other)
