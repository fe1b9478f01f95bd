"""MLPRegressor."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy.special import xlogy
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from lamina.losses import MeanSquaredError, Poisson
from lamina.models import Sequential
from lamina.sklearn.base import Perceptron, trains_by_steps
from lamina.sklearn.objective import Objective, Watched
from lamina.sklearn.parameters import COMMON, StrOptions
from lamina.sklearn.rows import is_finite

__all__ = ["MLPRegressor"]

Array = npt.NDArray[Any]


class MLPRegressor(RegressorMixin, Perceptron):
    """Multi-layer perceptron regressor with the parameters and attributes of scikit-learn's, trained by lamina.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default "squared_error"
        Half the squared error, ``Σ (y - f)² / 2``, or half the deviance of Poisson's distribution,
        ``Σ (y log(y / f) - y + f)``, for ``y >= 0`` and with an exponential output; sums over the outputs, means over
        the rows.
    hidden_layer_sizes : int or array_like of int, default (100,)
        Widths of the hidden layers.
    activation : {"identity", "logistic", "tanh", "relu"}, default "relu"
        Of the hidden layers.
    solver : {"adam", "sgd", "lbfgs"}, default "adam"
        "lbfgs" is SciPy's L-BFGS-B on all rows.
    alpha : float, >= 0, default 1e-4
        Strength of the penalty ``alpha / 2 Σ w²`` of the kernels, which is divided by the rows of a batch, or by the
        sum of their weights.
    batch_size : int or "auto", default "auto"
        Rows of a batch; "auto" is ``min(200, n_samples)``.
    learning_rate : {"constant", "invscaling", "adaptive"}, default "constant"
        For "sgd". "invscaling": ``learning_rate_init / (t_ + 1) ** power_t`` after each epoch; "adaptive": a fifth of
        the rate whenever training would stop, down to 1e-6.
    learning_rate_init : float, > 0, default 0.001
        For "sgd" and "adam".
    power_t : float, >= 0, default 0.5
        For "invscaling".
    max_iter : int, default 200
        Epochs at most, or iterations of "lbfgs".
    shuffle : bool, default True
        Whether the rows of each epoch are shuffled, for "sgd" and "adam".
    random_state : int, RandomState or None, default None
        Determines the first weights (scikit-learn's), held-out rows and the order of rows (not scikit-learn's).
    tol : float, >= 0, default 1e-4
        An epoch that is not better by this counts as one without improvement; for "lbfgs", the largest element of the
        gradient at which it ends.
    verbose : bool or int, default False
        Whether to print a line an epoch.
    warm_start : bool, default False
        Whether `fit` goes on with the weights of the last call.
    momentum : float in [0, 1], default 0.9
        For "sgd".
    nesterovs_momentum : bool, default True
        For "sgd".
    early_stopping : bool, default False
        Whether to hold rows out, to stop when their score does not improve, and to keep the weights of the best epoch.
    validation_fraction : float in [0, 1), default 0.1
        The share of these rows.
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
        For "adam".
    epsilon : float, > 0, default 1e-8
        For "adam".
    n_iter_no_change : int, default 10
        Training stops after more than so many epochs without improvement.
    max_fun : int, default 15000
        Evaluations of the loss at most, for "lbfgs".

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
    n_iter_ : int
        Epochs, or iterations, of the last call.
    t_ : int
        Rows that were trained on in all epochs.
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
        "loss": [StrOptions({"squared_error", "poisson"})]
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

    def _validated(self, X: Any, y: Any, *, incremental: bool, first: bool) -> tuple[Any, Array]:
        plain = incremental and not first and _is_column(y) and self._is_plain(X)
        if plain and len(X) == len(y) and is_finite(y):
            return X, y.reshape(-1, 1).astype(X.dtype, copy=False)
        X, y = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
            dtype=(np.float64, np.float32), reset=first,
        )  # fmt: skip
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, (y.reshape(-1, 1) if y.ndim == 1 else y).astype(X.dtype, copy=False)

    def _outputs(self, targets: Array) -> int:
        return int(targets.shape[1])

    def _out_activation(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _objective(self, targets: Array, sample_weight: Array | None) -> Objective:
        outputs = targets.shape[1]
        if self.loss == "poisson":  # half the deviance, which is 0 for exact predictions
            constant = np.average(xlogy(targets, targets) - targets, axis=0, weights=sample_weight).sum()
            return Objective(
                loss=Poisson(reduction="mean_with_sample_weight"), factor=float(outputs), offset=float(constant)
            )
        return Objective(loss=MeanSquaredError(reduction="mean_with_sample_weight"), factor=0.5 * outputs, offset=0.0)

    def _classes_of(self, targets: Array) -> Array | None:
        return None

    def _watched(self, model: Sequential, X: Any, targets: Array, weight: Array | None) -> Watched:
        variance = float(np.cov(targets[:, 0], aweights=weight, ddof=0)) if targets.shape[1] == 1 else 0.0
        if variance > 0:  # R² = 1 - error / variance
            return Watched(
                metric="mse", monitor="val_mse", mode="min", score=lambda error: 1 - error / variance,
                value=lambda score: (1 - score) * variance, scale=variance, compute=None,
            )  # fmt: skip

        def score() -> float:
            outputs = np.asarray(model.predict_on_batch(X))
            if not np.isfinite(outputs).all():
                return np.nan
            return float(r2_score(targets, outputs, sample_weight=weight))

        return Watched(metric=None, monitor="val_score", mode="max", score=float, value=float, scale=1.0, compute=score)

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
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Array:
        """Return the predictions for rows.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        y : ndarray, shape (n_samples,) or (n_samples, n_outputs)
        """
        outputs = self._forward(X)
        return outputs.ravel() if outputs.shape[1] == 1 else outputs


def _is_column(y: Any) -> bool:
    return type(y) is np.ndarray and y.dtype.char in "fd" and y.ndim == 1
