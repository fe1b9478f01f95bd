"""Fits of many estimators, which train in one call into the engine where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from lamina.models import fit_many
from lamina.sklearn.base import Perceptron, finish, is_one_training, training_of
from lamina.sklearn.objective import Rows
from lamina.sklearn.rows import Distinct, chosen
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
    rows : ndarray of int, optional
        The rows of X and y to fit to. Without them it is all.

    Attributes
    ----------
    error : Exception or None
        What the fit has raised.
    """

    def __init__(
        self, estimator: Any, X: Any, y: Any, parameters: dict[str, Any], *, rows: Array | None = None
    ) -> None:
        self.estimator, self.X, self.y, self.parameters, self.rows = estimator, X, y, parameters, rows
        self.error: Exception | None = None
        self.perceptron: Perceptron | None = None
        self.training: Training | None = None

    def prepare(self) -> None:
        """Do what comes before the training of a perceptron, or the whole fit of anything else."""
        from sklearn.pipeline import Pipeline  # of use to few

        try:
            last, X, y = self.estimator, self.X, self.y
            if self.rows is not None:
                X, y = chosen(X, self.rows), chosen(y, self.rows)
            if isinstance(last, Pipeline) and last.memory is None and not self.parameters:
                last = last.steps[-1][1]
                if isinstance(last, Perceptron) and len(self.estimator) > 1:
                    X = self.estimator[:-1].fit_transform(X, y)
            alone = not isinstance(last, Perceptron) or not is_one_training(last)
            if alone or not set(self.parameters) <= {"sample_weight", "validation_data"}:
                self.estimator.fit(X, y, **self.parameters)
                return
            self.perceptron = last
            self.training = training_of(last, X, y, **self.parameters)
        except Exception as error:
            self.error = error

    def finish(self, error: Exception | None = None) -> None:
        """Take over what the training has found."""
        perceptron, training, self.training = self.perceptron, self.training, None
        assert perceptron is not None
        assert training is not None
        try:
            if error is not None:
                raise error
            training.warn_of_its_end()
            finish(perceptron, training)
        except Exception as raised:
            self.error = raised

    def run(self) -> None:
        """Do the training alone."""
        assert self.training is not None
        try:
            self.training.run(warns=False)
        except Exception as error:
            self.finish(error)
        else:
            self.finish()


def fit_each(fits: Sequence[Fit]) -> None:
    """Fit all estimators; what one raises becomes its `error`."""
    pools: dict[Any, _Pool] = {}
    for fit in fits:
        fit.prepare()
        if fit.training is None:
            continue
        if not fit.training.can_be_joined():
            fit.run()
            continue
        kind = _kind(fit.training)
        if kind in pools and not pools[kind].has_room(fit.training):
            _train(pools.pop(kind))
        pools.setdefault(kind, _Pool()).add(fit)
    for pool in pools.values():
        _train(pool)


def _kind(training: Training) -> Any:
    """Return what trainings have in common that are done in one call: kinds of rows, shuffles and weights."""
    work = training.work
    rows, held_out = work.rows.X, work.held_out
    return (
        scipy.sparse.issparse(rows), rows.dtype.str, rows.shape[1], training.shuffles(), work.rows.weight is None,
        held_out is None, held_out is not None and held_out.weight is None,
    )  # fmt: skip


def _parts(training: Training) -> list[Rows]:
    """Return the rows to train on, and those to validate with."""
    work = training.work
    return [work.rows] if work.held_out is None else [work.rows, work.held_out]


class _Pool:
    """Trainings that are done in one call: their rows, those of the same content once."""

    def __init__(self) -> None:
        self.fits: list[Fit] = []
        self._blocks: list[Any] = []
        self._distinct = Distinct()
        self._numbers: dict[int, int] = {}  # of the blocks, by their identities
        self._begins = [0]
        self._bytes = 0
        self._parts: list[list[tuple[int, Rows]]] = []

    def has_room(self, training: Training) -> bool:
        """Return whether the rows of another training may be added."""
        new = [part.X for part in _parts(training) if id(self._distinct.of(part.X)) not in self._numbers]
        return self._bytes + sum(map(_bytes, new)) <= MOST_BYTES

    def add(self, fit: Fit) -> None:
        """Add a training."""
        assert fit.training is not None
        parts = []
        for part in _parts(fit.training):
            block = self._distinct.of(part.X)
            number = self._numbers.setdefault(id(block), len(self._blocks))
            if number == len(self._blocks):
                self._blocks.append(block)
                self._begins.append(self._begins[-1] + part.size)
                self._bytes += _bytes(block)
            parts.append((number, part))
        self.fits.append(fit)
        self._parts.append(parts)

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
        for fit, parts in zip(self.fits, self._parts, strict=True):
            assert fit.perceptron is not None
            outputs = fit.perceptron.n_outputs_
            canvas = next((one for one in canvases if one.fits(parts, outputs)), None)
            if canvas is None:
                canvas = _Canvas(self._begins, parts[0][1], outputs)
                canvases.append(canvas)
            canvas.add(parts)
            found.append(canvas)
        weighted = self._parts[0][0][1].weight is not None
        return [one.targets for one in found], [one.weights for one in found] if weighted else None


class _Canvas:
    """Targets and weights of all rows, of which some blocks are filled in."""

    def __init__(self, begins: Sequence[int], rows: Rows, outputs: int) -> None:
        self._begins, self._outputs = begins, outputs
        self.targets = np.zeros((begins[-1], *rows.targets.shape[1:]), rows.targets.dtype)
        self.weights = np.ones(begins[-1], rows.X.dtype)
        self._filled: set[int] = set()

    def _views(self, number: int) -> tuple[Array, Array]:
        part = slice(self._begins[number], self._begins[number + 1])
        return self.targets[part], self.weights[part]

    def fits(self, parts: Sequence[tuple[int, Rows]], outputs: int) -> bool:
        """Return whether the rows of a training can be filled in; its network reads the others' targets too."""
        if outputs != self._outputs:
            return False
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


def _train(pool: _Pool) -> None:
    """Do the trainings of a pool; again those whose learning rate becomes lower."""
    fits = pool.fits
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
