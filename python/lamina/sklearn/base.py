"""Perceptron: what MLPClassifier and MLPRegressor share."""

from __future__ import annotations

import math
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from operator import index
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.validation import check_is_fitted

from lamina._common.warn import warn
from lamina._engine.variables import all_finite
from lamina.models import Sequential
from lamina.sklearn.course import Course, Task
from lamina.sklearn.held_out import counted, divided
from lamina.sklearn.inputs import TakesRows
from lamina.sklearn.interrupts import ends_the_call
from lamina.sklearn.network import Architecture
from lamina.sklearn.objective import Objective, Rows, Watched
from lamina.sklearn.parameters import COMMON, checked
from lamina.sklearn.rows import of_kind, row_weights
from lamina.sklearn.scaling import scaled, scaler_of
from lamina.sklearn.shown import ShownWeights
from lamina.sklearn.solvers import Training
from lamina.sklearn.whole import whole_model

__all__ = ["Perceptron", "finish", "is_one_training", "training_of", "trains_by_steps"]

Array = npt.NDArray[Any]


def trains_by_steps(estimator: Any) -> bool:
    """Return whether the solver takes steps on batches; raise AttributeError if it does not."""
    solver = estimator.solver
    if solver == "lbfgs" if isinstance(solver, str) else solver.whole_batches:
        raise AttributeError(
            f"partial_fit is only available for stochastic optimizers. {estimator.solver} is not stochastic."
        )
    return True


def is_one_training(estimator: Perceptron) -> bool:
    """Return whether a `fit` of an estimator is one training, and nothing before or after it."""
    return type(estimator).fit is Perceptron.fit and estimator._is_one_training()


def training_of(
    estimator: Perceptron, X: Any, y: Any, sample_weight: Any = None, validation_data: Any = None
) -> Training:
    """Return the training that a `fit` of an estimator does, to be done by the caller."""
    undo = estimator._snapshot()
    try:
        return estimator._prepared(X, y, sample_weight, validation_data)
    except Exception:
        undo()
        raise


def finish(estimator: Perceptron, training: Training) -> None:
    """Give an estimator what its training has found."""
    estimator._finish(training)


class Perceptron(ShownWeights, TakesRows, ABC):
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
    dropout: Any
    batch_normalization: Any
    callbacks: Any
    standardize: Any

    def _course(self) -> Course:
        """Return what training has come to."""
        found: Course | None = self.__dict__.get("_kept_course")
        if found is None:
            found = self._kept_course = Course()
        return found

    # scikit-learn's names of these.

    @property
    def _optimizer(self) -> Any:
        return self._course().optimizer

    @property
    def _no_improvement_count(self) -> int:
        return self._course().waited

    @_no_improvement_count.setter
    def _no_improvement_count(self, count: int) -> None:
        self._course().waited = count

    def _architecture(self) -> Architecture:
        activation, dropout = self.activation, self.dropout
        return Architecture(
            activation if isinstance(activation, str) else tuple(activation), self.out_activation_,
            tuple(dropout) if np.ndim(dropout) else dropout, bool(self.batch_normalization),
        )  # fmt: skip

    def _network(self) -> Sequential:
        return self._weights().network(self._architecture())

    # What subclasses define.

    @abstractmethod
    def _validated(self, X: Any, y: Any, *, incremental: bool, first: bool) -> tuple[Any, Array]:
        """Return rows and targets, (n,) or (n, outputs), with scikit-learn's checks."""

    @abstractmethod
    def _held_out_targets(self, y: Any, X: Any, targets: Array) -> Array:
        """Return the targets of other rows than those of `fit`, whose targets are given too."""

    @abstractmethod
    def _out_activation(self) -> str:
        """Return the activation of the output."""

    @abstractmethod
    def _watched(self, model: Sequential, rows: Rows) -> Watched:
        """Return the score of held-out rows."""

    @abstractmethod
    def _classes_of(self, targets: Array) -> Array | None:
        """Return the classes whose shares held-out rows have too, None if that is not asked for."""

    # What only some fits leave, and the next one drops.
    _leftovers: ClassVar[tuple[str, ...]] = ()

    def _calibration_fraction(self) -> float | None:
        """Return the share of rows to calibrate with, if there are any."""
        return None

    def _check_calibration(self, count: int) -> None:
        """Raise if so many rows are too few to calibrate with."""

    def _calibrate(self, rows: Rows) -> None:
        """Learn from rows that were held out."""

    def _is_one_training(self) -> bool:
        """Return whether nothing comes after the training."""
        return True

    def _check_before(self, y: Any, sample_weight: Any) -> None:
        """Raise if there cannot be what follows a training on these targets."""

    def _follow(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        """Do what follows the training in `fit`."""

    @abstractmethod
    def _objective(self, outputs: int) -> Objective:
        """Return the loss of so many outputs."""

    @abstractmethod
    def _outputs(self, targets: Array) -> int:
        """Return the number of outputs."""

    def _training_weight(self, y: Any, weight: Array | None, dtype: Any, *, incremental: bool) -> Array | None:
        """Return the weights of rows in training."""
        return weight

    # Training.

    def fit(self, X: Any, y: Any, sample_weight: Any = None, *, validation_data: Any = None) -> Any:
        """Fit the model to data.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional
        validation_data : tuple (X, y) or (X, y, sample_weight), optional
            Rows that are not trained on. Their loss after each epoch is in `validation_loss_curve_`; with
            `early_stopping` it is their score that is watched, and no other rows are held out.

        Returns
        -------
        self
        """
        self._check_before(y, sample_weight)
        undo, training, interrupted = self._snapshot(), None, False
        try:
            training = self._prepared(X, y, sample_weight, validation_data)
            try:
                training.run()
            except KeyboardInterrupt:
                if ends_the_call():
                    raise
                interrupted = True
                warn("Training interrupted by user.")
            finally:
                self._take_over(training)
            self._check_finite()
        except Exception:
            if training is None or not training.losses:  # refused before, or in, the first epoch
                undo()
            raise
        if not interrupted:
            try:
                self._follow(X, y, sample_weight, validation_data)
            except Exception:
                if not self.warm_start:  # which has trained the weights that there were
                    undo()
                raise
        return self

    def _prepared(self, X: Any, y: Any, sample_weight: Any, validation_data: Any = None) -> Training:
        """Return the training of `fit`, after all checks."""
        model, rows, trained, held_out, random = self._begun(X, y, sample_weight, validation_data, incremental=False)
        assert random is not None
        calibration = None
        if (fraction := self._calibration_fraction()) is not None:
            rows, trained, calibration = divided(rows, trained, random, fraction, self._classes_of)
            calibration = counted(calibration)
            self._check_calibration(calibration.size)
        return self._course().training(self, self._task(model), rows, trained, held_out, calibration, random)

    def _take_over(self, training: Training) -> None:
        """Note what a training has found."""
        try:
            self._course().take_over(self, training)
            if training.calibration is not None:
                self._calibrate(training.calibration)
        finally:
            self._weights().changed()

    def _finish(self, training: Training) -> None:
        """Take over what a training of the caller has found."""
        self._take_over(training)
        self._check_finite()

    def _take_steps(self, X: Any, y: Any, sample_weight: Any, learn: Callable[[], None] | None = None) -> Any:
        """Train on rows for one epoch; `learn` is called first, and undone too if the rows are refused."""
        undo, count = self._snapshot(), None
        try:
            if learn is not None:
                learn()
            model, rows, trained, _, _ = self._begun(X, y, sample_weight, None, incremental=True)
            count = self.t_
            try:
                self._course().take_steps(self, self._task(model), rows._replace(weight=trained))
            finally:
                self._weights().changed()
        except Exception:
            if count is None or self.t_ == count:
                undo()
            raise
        self._check_finite()
        return self

    def _snapshot(self) -> Callable[[], None]:
        """Return a function that sets all attributes to what they are now."""
        own = self.__dict__
        changing = [own, *(own[name].__dict__ for name in ("_kept_weights", "_kept_course") if name in own)]
        before = [dict(one) for one in changing]

        def undo() -> None:
            for one, old in zip(changing, before, strict=True):
                one.clear()
                one.update(old)

        return undo

    def _task(self, model: Sequential) -> Task:
        return Task(model, lambda: self._objective(self.n_outputs_), self._watched, self._classes_of)

    def _begun(
        self, X: Any, y: Any, sample_weight: Any, validation_data: Any, *, incremental: bool
    ) -> tuple[Sequential, Rows, Array | None, Rows | None, np.random.RandomState | None]:
        """Return the network, rows, their weights in training, rows of the user that are held out, and draws."""
        if not sklearn.get_config()["skip_parameter_validation"]:
            self._checked = checked(self, self._parameter_constraints, self.__dict__.get("_checked"))
        hidden = _hidden_sizes(self.hidden_layer_sizes)
        first = not self._weights().known or not (self.warm_start or incremental)
        given, (X, targets) = y, self._validated(X, y, incremental=incremental, first=first)
        weight = None if sample_weight is None else row_weights(sample_weight, X)
        trained = self._training_weight(given, weight, X.dtype, incremental=incremental)
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        held_out = None if validation_data is None else self._validation_rows(validation_data, targets)
        if not (first or incremental):
            if self._calibration_fraction() is not None:
                raise ValueError("interval needs rows that no fit has seen: warm_start must be False.")
            if bool(self.standardize) != ("x_scaler_" in self.__dict__):
                raise ValueError("standardize cannot be changed in a warm start.")
        for name in self._leftovers:
            self.__dict__.pop(name, None)
        if first:
            self._learn_scales(Rows(X, targets, weight))
        if held_out is not None:
            held_out = held_out._replace(X=of_kind(held_out.X, X))
        x_scaler, y_scaler = self._scalers()
        if x_scaler is not None or y_scaler is not None:
            X, targets, _ = scaled(Rows(X, targets), x_scaler, y_scaler)
            held_out = None if held_out is None else scaled(held_out, x_scaler, y_scaler)
        random = check_random_state(self.random_state) if first or not incremental else None
        model = self._start(X, targets, hidden, random) if random is not None and first else self._resumed(targets)
        return model, Rows(X, targets, weight), trained, held_out, random

    def _start(self, X: Any, targets: Array, hidden: Sequence[int], random: np.random.RandomState) -> Sequential:
        """Draw weights as scikit-learn does, and return the network."""
        self.n_iter_ = self.t_ = 0
        self.n_outputs_ = self._outputs(targets)
        sizes = [X.shape[1], *hidden, self.n_outputs_]
        self.n_layers_ = len(sizes)
        self.out_activation_ = self._out_activation()
        arrays = []
        logistic = isinstance(self.activation, str) and self.activation == "logistic"
        for inputs, outputs in pairwise(sizes):
            bound = math.sqrt((2.0 if logistic else 6.0) / (inputs + outputs))
            for shape in ((inputs, outputs), (outputs,)):
                drawn = random.uniform(-bound, bound, shape)
                arrays.append(drawn.astype(X.dtype, copy=False))
        # What `random` draws next are the rows to hold out, as in scikit-learn, so the seed comes from the weights.
        seed = zlib.crc32(drawn.tobytes()) % 2**31
        model = self._weights().start(arrays, self._architecture(), seed)
        self._course().begin(self)
        return model

    def _resumed(self, targets: Array) -> Sequential:
        """Return the network that is trained on."""
        outputs = self._outputs(targets)
        if outputs != self.n_outputs_:
            raise ValueError(f"y must have {self.n_outputs_} outputs, as in the last call to fit; got {outputs}.")
        self._course().resume(self)
        return self._network()

    def _check_finite(self) -> None:
        if not all_finite(self._network().weights):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may contain large values and need to be"
                " preprocessed."
            )

    def _learn_scales(self, rows: Rows) -> None:
        """Learn what rows and targets are divided by, if they are."""
        kept = self.__dict__
        for name in ("x_scaler_", "y_scaler_"):
            kept.pop(name, None)
        if self.standardize:
            self.x_scaler_ = scaler_of(rows.X, rows.weight)
            if self._scales_targets():
                self.y_scaler_ = scaler_of(rows.targets, rows.weight)

    def _scalers(self) -> tuple[Any, Any]:
        return self.__dict__.get("x_scaler_"), self.__dict__.get("y_scaler_")

    def _scales_targets(self) -> bool:
        """Return whether `standardize` is for the targets, too."""
        return False

    def _validation_rows(self, given: Any, fitted: Array) -> Rows:
        """Return the rows that the user has held out, with targets like those of `fit`."""
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise ValueError("validation_data must be a tuple (X, y) or (X, y, sample_weight).")
        X = self._checked_rows(given[0], reset=False)
        targets = self._held_out_targets(given[1], X, fitted)
        check_consistent_length(X, targets)
        return Rows(X, targets, None if len(given) == 2 or given[2] is None else row_weights(given[2], X))

    # Prediction.

    def to_model(self) -> Sequential:
        """Return the network as a model of its own, with standardization before it and scaled targets after it.

        Returns
        -------
        lamina.Sequential
            Not compiled. It predicts what the regressor does, or the classifier's probabilities: of two classes that
            of the second one, of labels in columns one each.

        Raises
        ------
        ValueError
            Predictions are not those of one network of layers: with `categorical_features`, `impute`, `calibrate`, or
            several quantiles, which are sorted.
        """
        check_is_fitted(self)
        if reason := self._beyond_layers():
            raise ValueError(f"to_model: a network has no layers for {reason}.")
        return whole_model("to_model", self._network(), *self._scalers())

    def _beyond_layers(self) -> str | None:
        """Return what predictions need besides the network, None if nothing."""
        columns = self.__dict__.get("_columns") is not None
        return "categorical_features and impute; encode and impute by steps of a pipeline" if columns else None

    def _forward(self, X: Any) -> Array:
        """Return the outputs of rows, (n, outputs)."""
        if not self.__sklearn_is_fitted__():
            check_is_fitted(self)  # which raises
        rows = self._rows(X)
        outputs = np.asarray(self._network().predict_on_batch(rows))
        return outputs.astype(np.result_type(rows.dtype, outputs.dtype), copy=False)

    def _jacobian(self, X: Any) -> Array:
        """Return the derivatives of the outputs by the inputs, (n, outputs, features)."""
        check_is_fitted(self)
        if self.__dict__.get("_columns") is not None:
            raise ValueError("input_gradients needs rows of numbers; there are categorical_features, or impute.")
        found = self._network().jacobian(self._rows(X))
        scaler = self.__dict__.get("x_scaler_")
        return found if scaler is None else (found / scaler.scale_).astype(found.dtype, copy=False)


def _hidden_sizes(given: Any) -> list[int]:
    """Return the widths of the hidden layers."""
    sizes = list(given) if hasattr(given, "__iter__") else [given]
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [index(size) for size in sizes]
