"""Course: what the training of an estimator has come to, from one of its calls to the next."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._common.output import say
from lamina.models import Sequential
from lamina.optimizers import Optimizer
from lamina.sklearn.held_out import divided
from lamina.sklearn.network import penalize
from lamina.sklearn.objective import Objective, Rows, Watched
from lamina.sklearn.rates import InverseScaling
from lamina.sklearn.solvers import Training, Work, batch_size, goes_on, lbfgs, optimizer_of

__all__ = ["Course", "Task"]

Array = npt.NDArray[Any]


class Task(NamedTuple):
    """What an estimator's training is about.

    Attributes
    ----------
    model : Sequential
    objective : callable
        Returns the loss.
    watched : callable
        Returns the score of the model on held-out rows.
    strata : callable
        Returns for targets the classes whose shares held-out rows have too, or None.
    """

    model: Sequential
    objective: Callable[[], Objective]
    watched: Callable[[Sequential, Rows], Watched]
    strata: Callable[[Array], Array | None]


class Course:
    """What the training of an estimator has come to: its optimizer, and the epochs without improvement.

    Curves and best values are attributes of the estimator.

    Attributes
    ----------
    optimizer : Optimizer or None
        Of the last training.
    waited : int
        Epochs without improvement at its end.
    """

    def __init__(self) -> None:
        self.optimizer: Optimizer | None = None
        self.waited = 0

    def begin(self, estimator: Any) -> None:
        """Begin anew."""
        self.optimizer = None
        estimator.validation_loss_curve_ = None
        if estimator.solver != "lbfgs":
            estimator.loss_curve_ = []
            self._begin_counting(estimator)

    def resume(self, estimator: Any) -> None:
        """Go on; another solver, or no early stopping, may have been asked for before."""
        if estimator.solver == "lbfgs":
            return
        known = estimator.__dict__
        estimator.loss_curve_ = known.get("loss_curve_", [])
        watched = known.get("validation_scores_") is not None
        if watched != bool(estimator.early_stopping) or not estimator.loss_curve_:
            self._begin_counting(estimator)

    def _begin_counting(self, estimator: Any) -> None:
        """Forget the best loss or score."""
        self.waited = 0
        stops = estimator.early_stopping
        estimator.validation_scores_ = [] if stops else None
        estimator.best_validation_score_ = -math.inf if stops else None
        estimator.best_loss_ = None if stops else math.inf

    def take_steps(self, estimator: Any, task: Task, rows: Rows) -> None:
        """Train for one epoch, with the optimizer of the last call."""
        model, size = task.model, batch_size(estimator, rows.size)
        kept = self.optimizer
        if kept is not None and kept.whole_batches:  # of a fit with "lbfgs"
            kept = None
        optimizer = optimizer_of(estimator, rows.size, -(-rows.size // size)) if kept is None else kept
        self.optimizer = optimizer
        if kept is not None and isinstance(optimizer.rate, InverseScaling):
            optimizer.learning_rate = optimizer.rate.after(estimator.t_)
        penalize(model, estimator.alpha)
        if getattr(model, "optimizer", None) is not optimizer:
            task.objective().compile(model, optimizer)
        if size == rows.size and not estimator.callbacks:
            loss = model.train_on_batch(rows.X, rows.targets, rows.weight, return_dict=True)["loss"]
        else:
            past = model.fit(
                rows.X, rows.targets, size, 1, verbose=0, shuffle=estimator.shuffle, sample_weight=rows.weight,
                callbacks=list(estimator.callbacks or ()),
            )  # fmt: skip
            loss = past.history["loss"][-1]
        estimator.n_iter_ = 1
        estimator.t_ += rows.size
        estimator.loss_ = loss
        estimator.loss_curve_.append(loss)
        if estimator.verbose:
            say(f"Iteration {estimator.n_iter_}, loss = {loss:.8f}")
        if estimator.best_loss_ is not None:
            self._count(estimator, optimizer)

    def _count(self, estimator: Any, optimizer: Optimizer) -> None:
        """Count epochs without improvement, after which the policy "adaptive" lowers the learning rate."""
        worse = estimator.loss_ > estimator.best_loss_ - estimator.tol
        self.waited = self.waited + 1 if worse else 0
        estimator.best_loss_ = min(estimator.best_loss_, estimator.loss_)
        if self.waited > estimator.n_iter_no_change and goes_on(estimator, optimizer):
            self.waited = 0

    def training(
        self, estimator: Any, task: Task, rows: Rows, trained: Array | None, held_out: Rows | None,
        calibration: Rows | None, random: np.random.RandomState,
    ) -> Training:  # fmt: skip
        """Return a training until the loss, or the score of held-out rows, does not improve any more.

        Parameters
        ----------
        estimator : MLPClassifier or MLPRegressor
        task : Task
        rows : Rows
        trained : ndarray or None
            Their weights in training.
        held_out : Rows or None
            The user's; without them some of `rows` are held out if they are needed.
        calibration : Rows or None
            Rows for what follows the training.
        random : RandomState
        """
        model = task.model
        by_lines = estimator.solver == "lbfgs"
        watches = estimator.early_stopping and not by_lines
        if watches and held_out is None:
            rows, trained, held_out = divided(rows, trained, random, estimator.validation_fraction, task.strata)
            if held_out.size < 2:
                raise ValueError(
                    "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
                )
        if watches and held_out is not None and held_out.weight is not None and not held_out.weight.any():
            raise ValueError("Sample weights of held-out rows must contain at least one non-zero number.")
        size = batch_size(estimator, rows.size)
        if by_lines:
            optimizer: Optimizer = lbfgs(estimator, self.optimizer)
        else:
            optimizer = optimizer_of(estimator, rows.size, -(-rows.size // size))
        self.optimizer = optimizer
        penalize(model, estimator.alpha)
        watched = task.watched(model, held_out) if watches and held_out is not None else None
        work = Work(
            model, task.objective(), optimizer, rows._replace(weight=trained), size, held_out=held_out, watched=watched,
            callbacks=estimator.callbacks or (),
        )  # fmt: skip
        # Without any score that is a number it is the first weights that are kept.
        first = model.get_weights() if watched is not None else None
        return Training(estimator, work, 0 if by_lines else self.waited, first, calibration)

    def take_over(self, estimator: Any, training: Training) -> None:
        """Note what a training has found, and return to the best weights."""
        losses = training.losses
        estimator.n_iter_ = len(losses)
        if losses:
            estimator.loss_ = losses[-1]
        before = estimator.__dict__.get("validation_loss_curve_") or []
        estimator.validation_loss_curve_ = None if training.work.held_out is None else before + training.held_out_losses
        if training.by_lines:
            return
        rule, watched = training.rule, training.work.watched
        estimator.t_ += len(losses) * training.work.rows.size
        estimator.loss_curve_ += losses
        self.waited = rule.wait
        if watched is None:
            estimator.best_loss_ = math.inf if training.best is None else training.best
            return
        estimator.validation_scores_ += training.scores
        estimator.best_validation_score_ = -math.inf if training.best is None else training.best
        best = training.first if rule.best_weights is None else rule.best_weights
        if best is not None:
            training.work.model.set_weights([*best])
