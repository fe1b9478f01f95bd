"""MLPRegressor."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.metaestimators import available_if

from lamina.losses import Huber, LogCosh, MeanAbsoluteError, MeanSquaredError, PoissonDeviance, Quantile
from lamina.models import Sequential
from lamina.optimizers import Optimizer
from lamina.sklearn.base import Perceptron, trains_by_steps
from lamina.sklearn.objective import Objective, Rows, Watched, computed
from lamina.sklearn.parameters import ACTIVATIONS, COMMON, Interval, StrOptions
from lamina.sklearn.quantiles import band, mean_score, order, several
from lamina.sklearn.rows import is_finite, row_weights

__all__ = ["MLPRegressor"]

Array = npt.NDArray[Any]

# Losses without parameters, and their factors.
_LOSSES: dict[str, tuple[Any, float]] = {
    "squared_error": (MeanSquaredError, 0.5),
    "poisson": (PoissonDeviance, 1.0),
    "absolute_error": (MeanAbsoluteError, 1.0),
    "log_cosh": (LogCosh, 1.0),
}


class MLPRegressor(RegressorMixin, Perceptron):
    """Multi-layer perceptron regressor with the parameters and attributes of scikit-learn's, trained by lamina.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "log_cosh", "quantile"}, default "squared_error"
        Of ``e = y - f`` summed over the outputs, and the mean over the rows: half the squared error ``e² / 2``; half
        the deviance of Poisson's distribution, ``y log(y / f) - e``, for ``y >= 0`` and with an exponential output;
        ``|e|``; ``e² / 2`` where ``|e| <= delta``, else ``delta |e| - delta² / 2``; ``log cosh e``;
        ``max(q e, (q - 1) e)`` with ``q = quantile``.
    solver : {"adam", "sgd", "lbfgs", "lm"} or Optimizer, default "adam"
        "lbfgs" is `lamina.optimizers.LBFGS` on all rows. "lm" is Levenberg–Marquardt, for small networks and the
        squared error. Of an optimizer each fit uses a copy, with its own learning rate.
    hidden_layer_sizes, activation, alpha, batch_size, learning_rate, learning_rate_init, power_t, max_iter, shuffle
        As of `MLPClassifier`, like the next ones.
    random_state, tol, verbose, warm_start, momentum, nesterovs_momentum, early_stopping, validation_fraction
    beta_1, beta_2, epsilon, n_iter_no_change, max_fun, dropout, batch_normalization
    quantile : float in [0, 1], or sequence of them, default 0.5
        For "quantile". Of several, for y with one output, the network has an output each, and predictions have shape
        (n_samples, n_quantiles). Their order is that of the quantiles: they do not cross (Chernozhukov et al. 2010).
    delta : float, > 0, default 1
        For "huber", in units of y, or of its standard deviation with `standardize`.
    output_activation : str or None, default None
        Activation of the output, with one of the names of `activation`; None is "identity", or "exp" for "poisson".
    interval : float in (0, 1) or None, default None
        The share of new targets that `predict_interval` shall cover. `fit` then holds rows out to learn how wide
        intervals must be (split conformal prediction, Vovk et al. 2005). Each of them counts once, unless its weight is
        0.
    calibration_fraction : float in (0, 1), default 0.2
        The share of these rows.
    standardize : bool, default False
        Whether the columns of X and y get mean 0 and standard deviation 1 over the rows of the first fit; sparse
        columns keep their mean. Weights and losses are those of such numbers, predictions are not.
    categorical_features, impute, callbacks
        As of `MLPClassifier`.

    Attributes
    ----------
    coefs_, intercepts_ : list of ndarray
        Kernels (inputs, outputs) and biases (outputs,) of the layers. They may be changed and replaced.
    loss_ : float
        The mean loss of the last epoch, penalties included: what is differentiated.
    best_loss_ : float or None
        The smallest loss; None with `early_stopping`.
    loss_curve_ : list of float
        The loss of each epoch; not for "lbfgs".
    validation_scores_, best_validation_score_ : list of float, float
        R² of the held-out rows; None without `early_stopping`.
    validation_loss_curve_ : list of float or None
        The loss of held-out rows after each epoch, penalties included; None without such rows.
    n_iter_ : int
        Epochs, or iterations, of the last call.
    t_ : int
        Rows that were trained on in all epochs.
    quantiles_ : list of float or None
        Several quantiles, one for each output.
    interval_radius_ : ndarray, shape (n_outputs,)
        What intervals are widened by; only with `interval`.
    n_features_in_, n_layers_, n_outputs_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        If the columns of X have names.
    out_activation_ : str
        Activation of the output.

    Notes
    -----
    float64 rows are trained on in float64, float32 rows in float32; neither is copied. With ``shuffle=False`` the
    weights are scikit-learn's up to rounding. Ctrl-C ends `fit` with a warning and keeps what was trained.

    Examples
    --------
    >>> from sklearn.datasets import make_regression
    >>> X, y = make_regression(200, 5, random_state=1)
    >>> MLPRegressor(random_state=1, max_iter=2000, tol=1, learning_rate_init=0.01).fit(X, y).score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = COMMON | {
        "loss": [StrOptions({*_LOSSES, "poisson", "huber", "quantile"})],
        "solver": [StrOptions({"lbfgs", "sgd", "adam", "lm"}), Optimizer],
        "quantile": [Interval(Real, 0, 1, closed="both"), "array-like"],
        "delta": [Interval(Real, 0, None, closed="neither")],
        "output_activation": [StrOptions({*ACTIVATIONS, "exp"}), None],
        "interval": [Interval(Real, 0, 1, closed="neither"), None],
        "calibration_fraction": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: Any = 0.0001,
        batch_size: Any = "auto",
        learning_rate: Any = "constant",
        learning_rate_init: Any = 0.001,
        power_t: Any = 0.5,
        max_iter: Any = 200,
        shuffle: Any = True,
        random_state: Any = None,
        tol: Any = 1e-4,
        verbose: Any = False,
        warm_start: Any = False,
        momentum: Any = 0.9,
        nesterovs_momentum: Any = True,
        early_stopping: Any = False,
        validation_fraction: Any = 0.1,
        beta_1: Any = 0.9,
        beta_2: Any = 0.999,
        epsilon: Any = 1e-8,
        n_iter_no_change: Any = 10,
        max_fun: Any = 15000,
        quantile: Any = 0.5,
        delta: Any = 1.0,
        output_activation: Any = None,
        interval: Any = None,
        calibration_fraction: Any = 0.2,
        dropout: Any = 0.0,
        batch_normalization: Any = False,
        standardize: Any = False,
        categorical_features: Any = None,
        impute: Any = None,
        callbacks: Any = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.quantile = quantile
        self.delta = delta
        self.output_activation = output_activation
        self.interval = interval
        self.calibration_fraction = calibration_fraction
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.impute = impute
        self.callbacks = callbacks

    def _validated(self, X: Any, y: Any, *, incremental: bool, first: bool) -> tuple[Any, Array]:
        self.quantiles_ = self._several_quantiles()
        plain = incremental and not first and _is_column(y) and self._is_plain(X)
        if plain and len(X) == len(y) and is_finite(y):
            return X, y.reshape(-1, 1).astype(X.dtype, copy=False)
        if not (first and _is_column(y) and is_finite(y) and self._learns_plain(X, len(y))):
            X, y = self._checked_rows(X, y, reset=first, multi_output=True, y_numeric=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        targets = (y.reshape(-1, 1) if y.ndim == 1 else y).astype(X.dtype, copy=False)
        if self._quantiles() is not None and targets.shape[1] > 1:
            raise ValueError(f"y must have one output for several quantiles; got {targets.shape[1]}.")
        return X, targets

    def _held_out_targets(self, y: Any, X: Any, targets: Array) -> Array:
        y = check_array(y, ensure_2d=False, dtype=X.dtype, input_name="y")
        found: Array = y.reshape(-1, 1) if y.ndim == 1 else y
        if found.shape[1] != targets.shape[1]:
            raise ValueError(f"validation_data must have {targets.shape[1]} outputs, as y; got {found.shape[1]}.")
        return found

    def _several_quantiles(self) -> list[float] | None:
        """Return the quantiles that are asked for, if there are several."""
        return several(self.quantile) if self.loss == "quantile" else None

    def _beyond_layers(self) -> str | None:
        return "several quantiles, which are sorted" if self._quantiles() is not None else super()._beyond_layers()

    def _quantiles(self) -> list[float] | None:
        """Return the quantiles of the outputs, if there are several."""
        if "quantiles_" not in self.__dict__:  # weights were given without a fit
            return self._several_quantiles()
        return self.quantiles_

    def _outputs(self, targets: Array) -> int:
        quantiles = self._quantiles()
        return int(targets.shape[1]) if quantiles is None else len(quantiles)

    def _out_activation(self) -> str:
        return str(self.output_activation or ("exp" if self.loss == "poisson" else "identity"))

    def _scales_targets(self) -> bool:
        return self.loss != "poisson" and self.output_activation in (None, "identity")

    def _objective(self, outputs: int) -> Objective:
        mean: Any = "mean_with_sample_weight"
        if self.loss == "huber":
            return Objective(Huber(self.delta, reduction=mean), float(outputs))
        if self.loss == "quantile":
            return Objective(Quantile(self._quantiles() or self.quantile, reduction=mean), float(outputs))
        kind, factor = _LOSSES[self.loss]
        return Objective(kind(reduction=mean), factor * outputs)

    def _calibration_fraction(self) -> float | None:
        fraction: float = self.calibration_fraction
        return None if self.interval is None else fraction

    _leftovers = ("interval_radius_",)

    def _check_calibration(self, count: int) -> None:
        if math.ceil((count + 1) * self.interval) > count:
            raise ValueError(
                f"interval={self.interval} needs at least {math.ceil(self.interval / (1 - self.interval))} rows to"
                f" calibrate with; calibration_fraction={self.calibration_fraction} holds {count} out."
            )

    def _calibrate(self, rows: Rows) -> None:
        """Learn how far rows that were held out lie outside of the band of predictions."""
        targets, rank = rows.targets, math.ceil((rows.size + 1) * self.interval)
        low, high = self._band(np.asarray(self._network().predict_on_batch(rows.X)))
        outside = np.sort(np.maximum(low - targets, targets - high), axis=0)
        scaler = self.__dict__.get("y_scaler_")
        self.interval_radius_ = outside[rank - 1] * (1.0 if scaler is None else scaler.scale_)

    def _band(self, outputs: Array) -> tuple[Array, Array]:
        """Return the lowest and the highest quantile of outputs (n, k), or the outputs twice."""
        if self._quantiles() is None:
            return outputs, outputs
        return band(outputs)

    def _classes_of(self, targets: Array) -> Array | None:
        return None

    def _watched(self, model: Sequential, rows: Rows) -> Watched:
        if self.loss == "quantile":
            return computed(model, rows, self._pinball_score)
        targets, weight = rows.targets, rows.weight
        if targets.shape[1] == 1 and (weight is None or weight.sum() > 0):  # R² = 1 - error / variance
            column = targets[:, 0].astype(np.float64)
            with np.errstate(over="ignore"):
                variance = float(np.average((column - np.average(column, weights=weight)) ** 2, weights=weight))
            if 0 < variance < math.inf:
                return Watched(metric="mse", error=True, scale=variance)
        return computed(model, rows, lambda targets, outputs, weight: r2_score(targets, outputs, sample_weight=weight))

    def _pinball_score(self, targets: Array, outputs: Array, weight: Array | None) -> float:
        """Return D²: 1 - loss / loss of the best constants, the mean over the quantiles."""
        quantiles = self._quantiles() or [float(self.quantile)] * outputs.shape[1]
        return mean_score(targets, outputs, weight, quantiles)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², or D² of the quantile loss: 1 - loss / loss of the best constants.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional

        Returns
        -------
        float
            1 for exact predictions; for several quantiles the mean of their scores.
        """
        if self.loss != "quantile":
            return float(super().score(X, y, sample_weight))
        found = self.predict(X)
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        weight = None if sample_weight is None else row_weights(sample_weight, found)
        return self._pinball_score(targets.reshape(len(targets), -1), found.reshape(len(found), -1), weight)

    @available_if(trains_by_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train on rows for one epoch.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional

        Returns
        -------
        self
        """
        if self.interval is not None:
            raise ValueError("partial_fit does not support interval")
        return self._take_steps(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the predictions for rows.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        y : ndarray, shape (n_samples,), (n_samples, n_outputs) or (n_samples, n_quantiles)
        """
        outputs = self._forward(X)
        scaler = self.__dict__.get("y_scaler_")
        if scaler is not None:
            outputs = (outputs * scaler.scale_ + scaler.mean_).astype(outputs.dtype, copy=False)
        if (quantiles := self._quantiles()) is not None:
            outputs = np.take_along_axis(outputs, order(outputs, quantiles), axis=1)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs

    def predict_interval(self, X: Any) -> Array:
        """Return for each row the interval that covers its target in the share `interval` of all cases.

        The share is that of new rows like those of `fit` (exchangeable ones), whatever the network is like. Intervals
        are as wide everywhere; with ``loss="quantile"`` and several quantiles they reach from the lowest to the highest
        and as far beyond as is needed (Romano et al. 2019).

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Lower and upper ends.

        Raises
        ------
        AttributeError
            `interval` was None in `fit`.
        """
        if "interval_radius_" not in self.__dict__:
            raise AttributeError("predict_interval needs a fit with interval=, the share of targets to cover.")
        found = self.predict(X)
        low, high = self._band(found.reshape(len(found), -1))
        ends = np.stack([low - self.interval_radius_, high + self.interval_radius_], axis=-1)
        return ends[:, 0] if ends.shape[1] == 1 else ends

    def input_gradients(self, X: Any) -> Array:
        """Return the derivatives of the predictions by the inputs of each row.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Dense rows, of numbers only.

        Returns
        -------
        ndarray, shape (n_samples, n_features) or (n_samples, n_outputs, n_features)
            Of several quantiles in the order of the predictions.

        Examples
        --------
        >>> model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0)
        >>> model = model.fit([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0])
        >>> model.input_gradients([[0.5]]).round(4)
        array([[2.]])
        """
        found = self._jacobian(X)
        scaler = self.__dict__.get("y_scaler_")
        if scaler is not None:
            found = (found * scaler.scale_.reshape(1, -1, 1)).astype(found.dtype, copy=False)
        if (quantiles := self._quantiles()) is not None:
            found = np.take_along_axis(found, order(self._forward(X), quantiles)[:, :, np.newaxis], axis=1)
        return found[:, 0] if found.shape[1] == 1 else found


def _is_column(y: Any) -> bool:
    return type(y) is np.ndarray and y.dtype.char in "fd" and y.ndim == 1
