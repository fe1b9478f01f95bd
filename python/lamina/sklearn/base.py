"""Perceptron: what MLPClassifier and MLPRegressor share."""

from __future__ import annotations

import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.optimize
import sklearn
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from lamina._common.output import say
from lamina.models import Sequential
from lamina.optimizers import SGD, Adam
from lamina.regularizers import L2
from lamina.sklearn.objective import Objective, Watched
from lamina.sklearn.parameters import COMMON, checked
from lamina.sklearn.rates import InverseScaling
from lamina.sklearn.rows import is_finite, row_weights
from lamina.sklearn.stopping import StoppingRule, reporter
from lamina.sklearn.weights import Weights

__all__ = ["Perceptron", "trains_by_steps"]

Array = npt.NDArray[Any]

# With the policy "adaptive" training goes on with a fifth of the learning rate, down to this one.
_LEAST_RATE = 1e-6


def trains_by_steps(estimator: Any) -> bool:
    """Return whether the solver takes steps on batches; raise AttributeError if it does not."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


class Perceptron(BaseEstimator, ABC):
    """A multi-layer perceptron with scikit-learn's parameters and attributes."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = COMMON

    # What __init__ of the subclasses sets.
    hidden_layer_sizes: Any
    activation: Any
    solver: Any
    alpha: Any
    batch_size: Any
    learning_rate: Any
    learning_rate_init: Any
    power_t: Any
    max_iter: Any
    loss: Any
    shuffle: Any
    random_state: Any
    tol: Any
    verbose: Any
    warm_start: Any
    momentum: Any
    nesterovs_momentum: Any
    early_stopping: Any
    validation_fraction: Any
    beta_1: Any
    beta_2: Any
    epsilon: Any
    n_iter_no_change: Any
    max_fun: Any

    # The weights, which are seen and replaced through `coefs_` and `intercepts_`.

    def _weights(self) -> Weights:
        """Return the place of the weights, which a new estimator does not have yet."""
        found: Weights | None = self.__dict__.get("_kept_weights")
        if found is None:
            found = self._kept_weights = Weights()
        return found

    def _shown(self, name: str) -> list[Any]:
        weights: Weights | None = self.__dict__.get("_kept_weights")
        if weights is None or not weights.can_show(name):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute '{name}_'")
        return weights.shown(name)

    @property
    def coefs_(self) -> list[Any]:
        """The kernels of the layers, each of shape (inputs, outputs). Changing them changes the network."""
        return self._shown("coefs")

    @coefs_.setter
    def coefs_(self, arrays: Any) -> None:
        self._weights().show("coefs", arrays)

    @property
    def intercepts_(self) -> list[Any]:
        """The biases of the layers, each of shape (outputs,)."""
        return self._shown("intercepts")

    @intercepts_.setter
    def intercepts_(self, arrays: Any) -> None:
        self._weights().show("intercepts", arrays)

    def _network(self) -> Sequential:
        return self._weights().network((self.activation, self.out_activation_))

    # What subclasses define.

    @abstractmethod
    def _validated(self, X: Any, y: Any, *, incremental: bool, first: bool) -> tuple[Any, Array]:
        """Return rows and targets, (n,) or (n, outputs), with scikit-learn's checks."""

    @abstractmethod
    def _out_activation(self) -> str:
        """Return the activation of the output."""

    @abstractmethod
    def _watched(self, model: Sequential, X: Any, targets: Array, weight: Array | None) -> Watched:
        """Return the score of held-out rows."""

    @abstractmethod
    def _classes_of(self, targets: Array) -> Array | None:
        """Return the classes whose shares held-out rows have too, None if that is not asked for."""

    @abstractmethod
    def _objective(self, targets: Array, sample_weight: Array | None) -> Objective:
        """Return the loss, and the value that early stopping watches."""

    @abstractmethod
    def _outputs(self, targets: Array) -> int:
        """Return the number of outputs."""

    # Training.

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Fit the model to data.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, incremental=False)

    def _fit(self, X: Any, y: Any, sample_weight: Any, *, incremental: bool) -> Any:
        if not sklearn.get_config()["skip_parameter_validation"]:
            self._checked = checked(self, self._parameter_constraints, self.__dict__.get("_checked"))
        hidden = _hidden_sizes(self.hidden_layer_sizes)
        first = not self._weights().known or not (self.warm_start or incremental)
        X, targets = self._validated(X, y, incremental=incremental, first=first)
        weight = None if sample_weight is None else row_weights(sample_weight, X)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        random = check_random_state(self.random_state) if first or not incremental else None
        model = self._resumed(targets) if random is None or not first else self._start(X, targets, hidden, random)
        try:
            if self.solver == "lbfgs":
                self._minimize(model, X, targets, weight)
            elif random is None or incremental:
                self._take_step(model, X, targets, weight)
            else:
                self._take_epochs(model, X, targets, weight, random)
        finally:
            self._weights().changed()
        if not all(map(is_finite, model.get_weights())):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )
        return self

    def _start(self, X: Any, targets: Array, hidden: Sequence[int], random: np.random.RandomState) -> Sequential:
        """Draw weights as scikit-learn does, and return the network."""
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = self._outputs(targets)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._out_activation()
        arrays = []
        for inputs, outputs in pairwise(sizes):
            bound = math.sqrt((2.0 if self.activation == "logistic" else 6.0) / (inputs + outputs))
            for shape in ((inputs, outputs), (outputs,)):
                arrays.append(random.uniform(-bound, bound, shape).astype(X.dtype, copy=False))
        model = self._weights().start(arrays, (self.activation, self.out_activation_))
        twin = np.random.RandomState()  # what `random` draws next are the rows to hold out, as in scikit-learn
        twin.set_state(random.get_state())
        model.seed = int(twin.randint(2**31))
        self._optimizer: SGD | Adam | None = None
        if self.solver != "lbfgs":
            self.loss_curve_: list[float] = []
            self._begin_counting()
        return model

    def _begin_counting(self) -> None:
        """Forget the best loss or score."""
        self._no_improvement_count = 0
        stops = self.early_stopping
        self.validation_scores_: list[float] | None = [] if stops else None
        self.best_validation_score_: float | None = -math.inf if stops else None
        self.best_loss_: float | None = None if stops else math.inf

    def _resumed(self, targets: Array) -> Sequential:
        """Return the network that is trained on."""
        outputs = self._outputs(targets)
        if outputs != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} outputs, as in the last call to fit; got {outputs}.")
        if self.solver != "lbfgs":  # another solver, or no early stopping, may have been asked for before
            self.loss_curve_ = self.__dict__.get("loss_curve_", [])
            if (self.__dict__.get("validation_scores_") is None) == bool(self.early_stopping) or not self.loss_curve_:
                self._begin_counting()
        return self._network()

    def _penalize(self) -> None:
        """Set the penalty of the kernels: alpha / 2 times their squares, divided by the rows of a batch."""
        for layer in self._weights().dense():
            present = layer.kernel_regularizer
            if (0.0 if present is None else present.l2) != self.alpha / 2:
                layer.kernel_regularizer = L2(self.alpha / 2, per_row=True) if self.alpha else None

    def _batch_size(self, rows: int) -> int:
        if self.batch_size == "auto":
            return min(200, rows)
        if self.batch_size > rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=5
            )
        return min(int(self.batch_size), rows)

    def _new_optimizer(self, rows: int, size: int) -> SGD | Adam:
        if self.solver == "sgd":
            rate: Any = self.learning_rate_init
            if self.learning_rate == "invscaling":
                rate = InverseScaling(rate, self.power_t, rows, -(-rows // size), self.t_)
            return SGD(rate, momentum=self.momentum, nesterov=bool(self.nesterovs_momentum and self.momentum > 0))
        return Adam(self.learning_rate_init, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon)

    def _take_step(self, model: Sequential, X: Any, targets: Array, weight: Array | None) -> None:
        """Take one epoch of steps, with the optimizer of the last call."""
        rows = X.shape[0]
        size, objective = self._batch_size(rows), self._objective(targets, weight)
        kept = self.__dict__.get("_optimizer")
        optimizer: SGD | Adam = self._new_optimizer(rows, size) if kept is None else kept
        self._optimizer = optimizer
        if kept is not None and isinstance(optimizer.rate, InverseScaling):
            optimizer.learning_rate = optimizer.rate.after(self.t_)
        self._penalize()
        if getattr(model, "optimizer", None) is not optimizer:
            objective.compile(model, optimizer)
        if size == rows:
            loss = model.train_on_batch(X, targets, weight, return_dict=True)["loss"]
        else:
            past = model.fit(X, targets, size, 1, verbose=0, shuffle=self.shuffle, sample_weight=weight)
            loss = past.history["loss"][-1]
        self.n_iter_ = 1
        self.t_ += rows
        self.loss_ = loss + objective.offset
        self.loss_curve_.append(self.loss_)
        if self.verbose:
            say(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
        if self.best_loss_ is not None:
            worse = self.loss_ > self.best_loss_ - self.tol
            self._no_improvement_count = self._no_improvement_count + 1 if worse else 0
            if self.loss_ < self.best_loss_:
                self.best_loss_ = self.loss_
            if self._no_improvement_count > self.n_iter_no_change and self._goes_on(optimizer):
                self._no_improvement_count = 0

    def _take_epochs(
        self, model: Sequential, X: Any, targets: Array, weight: Array | None, random: np.random.RandomState
    ) -> None:
        """Train until the loss, or the score of held-out rows, does not improve any more."""
        held_out = None
        if self.early_stopping:
            X, targets, weight, held_out = self._divided(X, targets, weight, random)
        rows = X.shape[0]
        size = self._batch_size(rows)
        objective = self._objective(targets, weight)
        optimizer = self._optimizer = self._new_optimizer(rows, size)
        self._penalize()
        watched = None if held_out is None else self._watched(model, *held_out)
        objective.compile(model, optimizer, watched)
        rule = self._rule(watched, objective.offset)
        arguments: dict[str, Any] = {
            "verbose": 0,
            "shuffle": self.shuffle,
            "sample_weight": weight,
            "callbacks": [rule],
        }
        if held_out is not None:
            arguments["validation_data"] = tuple(part for part in held_out if part is not None)
        losses: list[float] = []
        scores: list[float] = []
        stopped, before = False, self.t_
        # Without any score that is a number it is the first weights that are kept.
        first = model.get_weights() if watched is not None and before == 0 else None
        try:
            while len(losses) < self.max_iter:
                try:
                    model.fit(X, targets, size, self.max_iter, initial_epoch=len(losses), **arguments)
                finally:  # also if it was interrupted
                    history = {} if model.history is None else model.history.history
                    losses += [loss + objective.offset for loss in history.get("loss", [])]
                    scores += [] if watched is None else map(watched.score, history.get(watched.monitor, []))
                if not rule.stopped_epoch:
                    break
                if not self._goes_on(optimizer):
                    stopped = True
                    break
                rule.wait = 0
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
            stopped = True
        self.n_iter_, self.t_ = len(losses), before + len(losses) * rows
        self.loss_curve_ += losses
        if losses:
            self.loss_ = losses[-1]
        self._no_improvement_count = rule.wait
        if watched is None:
            self.best_loss_ = math.inf if rule.best is None else rule.best + objective.offset
        else:
            assert self.validation_scores_ is not None
            self.validation_scores_ += scores
            self.best_validation_score_ = -math.inf if rule.best is None else watched.score(rule.best)
            best = first if rule.best_weights is None else rule.best_weights
            if best is not None:
                model.set_weights([*best])
        if self.n_iter_ == self.max_iter and not stopped:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't"
                " converged yet.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _goes_on(self, optimizer: SGD | Adam) -> bool:
        """Return whether training goes on although it does not improve any more, with a lower learning rate."""
        if self.early_stopping:
            reason = "Validation score did not improve more than "
        else:
            reason = "Training loss did not improve more than "
        reason += f"tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
        lowers = self.solver == "sgd" and self.learning_rate == "adaptive"
        rate = float(optimizer.learning_rate)
        if not lowers or rate <= _LEAST_RATE:
            if self.verbose:
                say(reason + (" Learning rate too small. Stopping." if lowers else " Stopping."))
            return False
        optimizer.learning_rate = rate / 5
        if self.verbose:
            say(f"{reason} Setting learning rate to {rate / 5:f}")
        return True

    def _rule(self, watched: Watched | None, offset: float) -> StoppingRule:
        """Return what stops training; it goes on counting where the last fit ended."""
        score_name = None if watched is None else watched.monitor
        report = reporter(offset, score_name, float if watched is None else watched.score) if self.verbose else None
        if watched is None:
            rule = StoppingRule(
                "loss", "min", self.tol, self.n_iter_no_change, keeps_weights=False, score=None, report=report
            )
            if self.best_loss_ is not None and math.isfinite(self.best_loss_):
                rule.best = self.best_loss_ - offset
        else:
            rule = StoppingRule(
                watched.monitor, watched.mode, self.tol * watched.scale, self.n_iter_no_change, keeps_weights=True,
                score=watched.compute, report=report,
            )  # fmt: skip
            if self.best_validation_score_ is not None and math.isfinite(self.best_validation_score_):
                rule.best = watched.value(self.best_validation_score_)
        rule.wait = self._no_improvement_count
        return rule

    def _divided(
        self, X: Any, targets: Array, weight: Array | None, random: np.random.RandomState
    ) -> tuple[Any, Array, Array | None, tuple[Any, Array, Array | None]]:
        """Return the rows to train on, and those that are held out."""
        arrays = [X, targets] if weight is None else [X, targets, weight]
        with sklearn.config_context(skip_parameter_validation=True):  # what it says itself is about the data
            parts = train_test_split(
                *arrays, random_state=random, test_size=self.validation_fraction, stratify=self._classes_of(targets)
            )
        if parts[1].shape[0] < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of your dataset."
            )
        weights = (None, None) if weight is None else (parts[4], parts[5])
        return parts[0], parts[2], weights[0], (parts[1], parts[3], weights[1])

    def _minimize(self, model: Sequential, X: Any, targets: Array, weight: Array | None) -> None:
        """Minimize the loss of all rows by L-BFGS."""
        objective = self._objective(targets, weight)
        self._penalize()
        objective.compile(model, SGD())
        found = scipy.optimize.minimize(
            *model.objective(X, targets, weight),
            method="L-BFGS-B",
            jac=True,
            options={"maxfun": self.max_fun, "maxiter": self.max_iter, "gtol": self.tol},
            callback=self._reporter_of_iterations(objective.offset) if self.verbose else None,
        )
        model.flat_weights = found.x
        # In some cases SciPy takes one iteration more than it was told.
        self.n_iter_ = min(found.nit, self.max_iter)
        self.loss_ = float(found.fun) + objective.offset
        if found.status != 0:
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s) (status={found.status}):\n{found.message}"
                "\n\nIncrease the number of iterations (max_iter) or of evaluations (max_fun), or scale the data.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _reporter_of_iterations(self, offset: float) -> Any:
        count = 0

        def report(intermediate_result: Any) -> None:
            nonlocal count
            count += 1
            say(f"Iteration {count}, loss = {intermediate_result.fun + offset:.8f}")

        return report

    # Prediction.

    def _forward(self, X: Any) -> Array:
        """Return the outputs of rows, (n, outputs)."""
        check_is_fitted(self)
        model = self._network()
        return np.asarray(model.predict_on_batch(self._rows(X)))

    def _rows(self, X: Any) -> Any:
        """Return valid rows. Plain finite arrays like those of `fit` need no more checks than these."""
        if self._is_plain(X):
            return X
        return validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)

    def _is_plain(self, X: Any) -> bool:
        """Return whether rows are a finite array of floats with as many features as those of `fit`, without names."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype.char in "fd"
            and X.shape[1] == self.n_features_in_
            and len(X) > 0
            and "feature_names_in_" not in self.__dict__
            and is_finite(X)
        )

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _hidden_sizes(given: Any) -> list[int]:
    """Return the widths of the hidden layers."""
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]
