"""The solvers: their optimizers, and trainings that end when scikit-learn's end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from lamina._common.output import say
from lamina._common.warn import warn
from lamina.callbacks import Callback
from lamina.models import Sequential
from lamina.optimizers import LBFGS, SGD, Adam, LevenbergMarquardt, Optimizer
from lamina.sklearn.objective import Objective, Rows, Watched
from lamina.sklearn.rates import InverseScaling
from lamina.sklearn.stopping import StoppingRule, reporter

__all__ = ["Training", "Work", "batch_size", "goes_on", "lbfgs", "optimizer_of"]

# With the policy "adaptive" training goes on with a fifth of the learning rate, down to this one.
_LEAST_RATE = 1e-6

# "lbfgs" ends when a step lowers the loss by less than this share of it: SciPy's default, which is scikit-learn's.
_FLAT = 1e7 * 2.220446049250313e-16


def optimizer_of(estimator: Any, rows: int, batches: int) -> Optimizer:
    """Return a new optimizer for batches of rows.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        With one of the solvers "sgd", "adam" and "lm", or an optimizer, of which it gets a copy.
    rows, batches : int
        Of an epoch.
    """
    solver = estimator.solver
    if isinstance(solver, Optimizer):
        return type(solver).from_config(solver.get_config())
    if solver == "lm":
        return LevenbergMarquardt()
    if solver == "adam":
        return Adam(
            estimator.learning_rate_init, beta_1=estimator.beta_1, beta_2=estimator.beta_2, epsilon=estimator.epsilon
        )
    rate: Any = estimator.learning_rate_init
    if estimator.learning_rate == "invscaling":
        rate = InverseScaling(rate, estimator.power_t, rows, batches, estimator.t_)
    nesterov = bool(estimator.nesterovs_momentum and estimator.momentum > 0)
    return SGD(rate, momentum=estimator.momentum, nesterov=nesterov)


def batch_size(estimator: Any, rows: int) -> int:
    """Return the rows of a batch, for an epoch of so many rows."""
    if isinstance(estimator.solver, str) and estimator.solver == "lbfgs":
        return rows
    if isinstance(estimator.batch_size, str):
        return rows if isinstance(estimator.solver, str) and estimator.solver == "lm" else min(200, rows)
    if estimator.batch_size > rows:
        warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped")
    return min(int(estimator.batch_size), rows)


def lbfgs(estimator: Any, before: Optimizer | None) -> LBFGS:
    """Return the optimizer of the solver "lbfgs": the one of the last call, if there is one, with its curvature."""
    found = before if isinstance(before, LBFGS) else LBFGS(loss_tolerance=_FLAT)
    found.tolerance, found.max_evaluations, found.evaluations = estimator.tol, estimator.max_fun, 0
    return found


def goes_on(estimator: Any, optimizer: Optimizer) -> bool:
    """Return whether training goes on although it does not improve any more, with a lower learning rate."""
    what = "Validation score" if estimator.early_stopping else "Training loss"
    reason = f"{what} did not improve more than tol={estimator.tol:f} for {estimator.n_iter_no_change} "
    reason += "consecutive epochs."
    lowers = estimator.solver == "sgd" and estimator.learning_rate == "adaptive"
    rate = float(optimizer.learning_rate)
    if not lowers or rate <= _LEAST_RATE:
        if estimator.verbose:
            say(reason + (" Learning rate too small. Stopping." if lowers else " Stopping."))
        return False
    optimizer.learning_rate = rate / 5
    if estimator.verbose:
        say(f"{reason} Setting learning rate to {rate / 5:f}")
    return True


class Work:
    """What a training works on.

    Parameters
    ----------
    model : Sequential
    objective : Objective
    optimizer : Optimizer
    rows : Rows
    size : int
        Rows of a batch.
    held_out : Rows, optional
        Their loss is computed after each epoch.
    watched : Watched, optional
        The score of these rows, which early stopping watches.
    callbacks : sequence of Callback
    """

    def __init__(
        self, model: Sequential, objective: Objective, optimizer: Optimizer, rows: Rows, size: int, *,
        held_out: Rows | None = None, watched: Watched | None = None, callbacks: Sequence[Callback] = (),
    ) -> None:  # fmt: skip
        self.model, self.objective, self.optimizer, self.rows, self.size = model, objective, optimizer, rows, size
        self.held_out, self.watched, self.callbacks = held_out, watched, list(callbacks)


class Training:
    """Trains until the loss, or the score of held-out rows, does not improve any more.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    work : Work
    waited : int
        Epochs without improvement at the end of its last training.
    first : list of ndarray, optional
        Weights to return to if there are no best ones.
    calibration : Rows, optional
        Rows that are held out for what follows the training.

    Attributes
    ----------
    losses, scores, held_out_losses : list of float
        Of each epoch.
    rule : StoppingRule
        For the loss it goes on counting where the last training of the estimator ended; the best score is that of this
        training. The solver "lbfgs" has its own rule instead.
    """

    def __init__(
        self, estimator: Any, work: Work, waited: int = 0, first: list[Any] | None = None,
        calibration: Rows | None = None,
    ) -> None:  # fmt: skip
        self.estimator, self.work, self.first, self.calibration = estimator, work, first, calibration
        self.losses: list[float] = []
        self.scores: list[float] = []
        self.held_out_losses: list[float] = []
        self.by_lines = estimator.solver == "lbfgs"
        self.rule = self._new_rule(waited)
        self._stopped = False
        work.objective.compile(work.model, work.optimizer, work.watched)

    def _new_rule(self, waited: int) -> StoppingRule:
        estimator, watched = self.estimator, self.work.watched
        report = reporter(watched) if estimator.verbose else None
        if self.by_lines:
            return StoppingRule("loss", "min", 0, math.inf, keeps_weights=False, score=None, report=report)
        tol, patience = estimator.tol, estimator.n_iter_no_change
        if watched is None:
            rule = StoppingRule("loss", "min", tol, patience, keeps_weights=False, score=None, report=report)
            best = estimator.best_loss_
            rule.best = best if math.isfinite(best) else None
        else:
            return StoppingRule(
                watched.monitor, watched.mode, tol * watched.scale, patience, keeps_weights=True, score=watched.compute,
                report=report,
            )  # fmt: skip
        rule.wait = waited
        return rule

    @property
    def best(self) -> float | None:
        """The best loss, or the best score if one is watched."""
        watched = self.work.watched
        return self.rule.best if self.rule.best is None or watched is None else watched.score(self.rule.best)

    def can_be_joined(self) -> bool:
        """Return whether `fit_many` can do it: nothing of it is computed, printed or called in Python."""
        work = self.work
        computes = work.watched is not None and work.watched.metric is None
        return not computes and not work.callbacks and not self.estimator.verbose

    def shuffles(self) -> bool:
        """Return whether the rows of an epoch are shuffled: not if all of them are one batch."""
        return bool(self.estimator.shuffle) and self.work.size < self.work.rows.size

    def batch_size(self) -> int | None:
        """Return the rows of a batch as `fit` takes them."""
        return None if self.work.optimizer.whole_batches else self.work.size

    def run(self, *, warns: bool = True) -> None:
        """Train, and warn if it did not come to an end."""
        estimator, work = self.estimator, self.work
        held_out = None if work.held_out is None else work.held_out.given()
        ended = False
        while not ended and self.left > 0:
            done, before = len(self.losses), work.model.history
            try:
                work.model.fit(
                    work.rows.X, work.rows.targets, self.batch_size(), estimator.max_iter, initial_epoch=done,
                    verbose=0, sample_weight=work.rows.weight, shuffle=self.shuffles(), validation_data=held_out,
                    callbacks=[self.rule, *work.callbacks],
                )  # fmt: skip
            finally:  # also if it was interrupted
                if work.model.history is not before:
                    self.note()
            ended = not self.goes_on()
        if warns:
            self.warn_of_its_end()

    @property
    def left(self) -> int:
        """The epochs that are left."""
        found: int = self.estimator.max_iter - len(self.losses)
        return found

    def goes_on(self) -> bool:
        """Return whether training goes on after a `fit` of the model, with a lower learning rate."""
        more = self.rule.stopped and goes_on(self.estimator, self.work.optimizer)
        self._stopped = self.rule.stopped and not more
        self.rule.wait = 0 if more else self.rule.wait
        return more

    def note(self) -> None:
        """Note what a `fit` of the model has recorded."""
        history = {} if self.work.model.history is None else self.work.model.history.history
        self.losses += history.get("loss", [])
        self.held_out_losses += history.get("val_loss", [])
        watched = self.work.watched
        self.scores += [] if watched is None else map(watched.score, history.get(watched.monitor, []))

    def warn_of_its_end(self) -> None:
        """Warn if training ended before it had converged."""
        count, most = len(self.losses), self.estimator.max_iter
        if not self.by_lines:
            if count == most and not self._stopped and not self.work.optimizer.converged:
                warn(
                    f"Stochastic Optimizer: Maximum iterations ({most}) reached and the optimization hasn't converged"
                    " yet.",
                    ConvergenceWarning,
                )
            return
        optimizer = self.work.optimizer
        assert isinstance(optimizer, LBFGS)
        evaluations = optimizer.evaluations >= (optimizer.max_evaluations or math.inf)
        if optimizer.converged and not evaluations:
            return
        what, name = ("EVALUATIONS", "max_fun") if evaluations else ("ITERATIONS", "max_iter")
        limit = f"{name}={getattr(self.estimator, name)}"
        warn(
            f"lbfgs failed to converge after {count} iteration(s) (status=1):\nTOTAL NO. OF {what} REACHED LIMIT\n\n"
            f"Increase the number of {what.lower()} to improve the convergence ({limit}).\n"
            "You might also want to scale the data as shown in:\n"
            "    https://scikit-learn.org/stable/modules/preprocessing.html",
            ConvergenceWarning,
        )
