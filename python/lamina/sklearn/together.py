"""Fits of many estimators, which train in one call into the engine where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse

from lamina.models import fit_many
from lamina.sklearn.base import Perceptron, finish, is_one_training, training_of
from lamina.sklearn.interrupts import ending_the_call
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
        self._part: Any = None  # the rows that were chosen
        self.perceptron: Perceptron | None = None
        self.training: Training | None = None

    def prepare(self) -> None:
        """Do what comes before the training of a perceptron, or the whole fit of anything else."""
        from sklearn.pipeline import Pipeline  # of use to few

        try:
            last, X, y = self.estimator, self.X, self.y
            if self.rows is not None:
                X, y = chosen(X, self.rows), None if y is None else chosen(y, self.rows)
                self._part = X
            if isinstance(last, Pipeline) and last.memory is None and not self.parameters:
                last = last.steps[-1][1]
                if isinstance(last, Perceptron) and len(self.estimator) > 1:
                    X = self.estimator[:-1].fit_transform(X, y)
            alone = not isinstance(last, Perceptron) or not is_one_training(last)
            if alone or not set(self.parameters) <= {"sample_weight", "validation_data"}:
                self._part = None
                self.estimator.fit(X, y, **self.parameters)
                return
            self.perceptron = last
            self.training = training_of(last, X, y, **self.parameters)
        except Exception as error:
            self.error = error

    def finish(self, error: Exception | None = None) -> None:
        """Take over what the training has found."""
        perceptron, training = self.perceptron, self.training
        self.training = self._part = None
        assert perceptron is not None
        assert training is not None
        try:
            if error is not None:
                raise error
            training.warn_of_its_end()
            finish(perceptron, training)
        except Exception as raised:
            self.error = raised

    def shared(self) -> tuple[Any, Array | None]:
        """Return the rows of the training, or those that they were chosen from and which ones they are."""
        assert self.training is not None
        X, part = self.training.work.rows.X, self._part
        if part is None or X is not part or not isinstance(self.X, type(part)) or self.X.dtype != part.dtype:
            return X, None
        return self.X, self.rows

    def forget_part(self) -> None:
        """Drop the rows that were chosen, where they can be chosen again."""
        whole, rows = self.shared()
        if rows is not None:
            assert self.training is not None
            work = self.training.work
            work.rows, self._part = work.rows._replace(X=whole), whole

    def run(self) -> None:
        """Do the training alone."""
        assert self.training is not None
        work = self.training.work
        if self._part is not None and work.rows.X is self.X and self.rows is not None:  # they were dropped
            work.rows = work.rows._replace(X=chosen(self.X, self.rows))
        try:
            self.training.run(warns=False)
        except Exception as error:
            self.finish(error)
        else:
            self.finish()


def fit_each(fits: Sequence[Fit]) -> None:
    """Fit all estimators; what one raises becomes its `error`. Ctrl-C ends all of them."""
    pools: dict[Any, _Pool] = {}
    with ending_the_call():
        for fit in fits:
            fit.prepare()
            if fit.training is None:
                continue
            if not fit.training.can_be_joined():
                fit.run()
                continue
            kind = _kind(fit.training)
            if kind in pools and not pools[kind].has_room(fit):
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


class _Part(NamedTuple):
    """Rows of a training: those of a block of rows, all of them or some."""

    block: Any
    chosen: Array | None
    rows: Rows


def _parts(fit: Fit) -> list[_Part]:
    """Return the rows to train on, and those to validate with."""
    assert fit.training is not None
    work = fit.training.work
    block, rows = fit.shared()
    found = [_Part(block, rows, work.rows)]
    return found if work.held_out is None else [*found, _Part(work.held_out.X, None, work.held_out)]


class _Place(NamedTuple):
    """Where the rows of a training are among those of a pool."""

    rows: Rows
    indices: Array


class _Pool:
    """Trainings that are done in one call: their rows, those of the same content once."""

    def __init__(self) -> None:
        self.fits: list[Fit] = []
        self._blocks: list[Any] = []
        self._distinct = Distinct()
        self._numbers: dict[int, int] = {}  # of the blocks, by their identities
        self._begins = [0]
        self._bytes = 0
        self._places: list[list[_Place]] = []

    def has_room(self, fit: Fit) -> bool:
        """Return whether the rows of another training may be added."""
        new = [part.block for part in _parts(fit) if id(self._distinct.of(part.block)) not in self._numbers]
        return self._bytes + sum(map(_bytes, new)) <= MOST_BYTES

    def add(self, fit: Fit) -> None:
        """Add a training."""
        parts, places = [part._replace(rows=part.rows._replace(X=part.block)) for part in _parts(fit)], []
        fit.forget_part()
        for part in parts:
            block = self._distinct.of(part.block)
            number = self._numbers.setdefault(id(block), len(self._blocks))
            if number == len(self._blocks):
                self._blocks.append(block)
                self._begins.append(self._begins[-1] + block.shape[0])
                self._bytes += _bytes(block)
            begin, end = self._begins[number], self._begins[number + 1]
            indices = np.arange(begin, end) if part.chosen is None else begin + np.asarray(part.chosen)
            places.append(_Place(part.rows, indices))
        self.fits.append(fit)
        self._places.append(places)

    def rows(self) -> Any:
        """Return all rows."""
        if len(self._blocks) == 1:
            return self._blocks[0]
        if scipy.sparse.issparse(self._blocks[0]):
            return scipy.sparse.vstack(self._blocks, format="csr")
        return np.concatenate(self._blocks)

    def indices(self, which: int) -> list[Array | None]:
        """Return for each training the indices of the rows to train on (0), or to validate with (1)."""
        return [places[which].indices if which < len(places) else None for places in self._places]

    def targets(self) -> tuple[list[Array], list[Array] | None]:
        """Return targets and weights of all rows for each training, one array for those that agree."""
        canvases: list[_Canvas] = []
        found = []
        for fit, places in zip(self.fits, self._places, strict=True):
            assert fit.perceptron is not None
            outputs = fit.perceptron.n_outputs_
            canvas = next((one for one in canvases if one.fits(places, outputs)), None)
            if canvas is None:
                canvas = _Canvas(self._begins[-1], places[0].rows, outputs)
                canvases.append(canvas)
            canvas.add(places)
            found.append(canvas)
        weighted = self._places[0][0].rows.weight is not None
        return [one.targets for one in found], [one.weights for one in found] if weighted else None


class _Canvas:
    """Targets and weights of all rows, of which some are filled in."""

    def __init__(self, count: int, rows: Rows, outputs: int) -> None:
        self._outputs = outputs
        self.targets = np.zeros((count, *rows.targets.shape[1:]), rows.targets.dtype)
        self.weights = np.ones(count, rows.X.dtype)
        self._filled = np.zeros(count, bool)

    def fits(self, places: Sequence[_Place], outputs: int) -> bool:
        """Return whether the rows of a training can be filled in; its network reads the others' targets too."""
        first = places[0].rows.targets
        if outputs != self._outputs or first.dtype != self.targets.dtype or first.shape[1:] != self.targets.shape[1:]:
            return False
        for rows, indices in places:
            known = np.flatnonzero(self._filled[indices])
            weight = 1.0 if rows.weight is None else rows.weight[known]
            if not np.array_equal(self.targets[indices[known]], rows.targets[known]):
                return False
            if not np.all(self.weights[indices[known]] == weight):
                return False
        return True

    def add(self, places: Sequence[_Place]) -> None:
        """Fill in the rows of a training."""
        for rows, indices in places:
            self.targets[indices] = rows.targets
            self.weights[indices] = 1.0 if rows.weight is None else rows.weight
            self._filled[indices] = True


def _train(pool: _Pool) -> None:
    """Do the trainings of a pool; again those whose learning rate becomes lower."""
    fits = pool.fits
    x, rows, held_out = pool.rows(), pool.indices(0), pool.indices(1)
    targets, weights = pool.targets()
    active = list(range(len(fits)))
    trainings: list[Any] = [fit.training for fit in fits]
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
            # One may have been refused, for a reason that is not the others', or something is wrong in the midst.
            for i in [i for i in active if not trainings[i].losses]:
                fits[i].run()
                active.remove(i)
            errors.update(dict.fromkeys(active, error))
            break
        for training in now:
            training.note()
        active = [i for i, training in zip(active, now, strict=True) if training.goes_on() and training.left > 0]
    for i, fit in enumerate(fits):
        if fit.training is not None:
            fit.finish(errors.get(i))


def _bytes(X: Any) -> int:
    return int(X.data.nbytes + X.indices.nbytes) if scipy.sparse.issparse(X) else int(X.nbytes)
