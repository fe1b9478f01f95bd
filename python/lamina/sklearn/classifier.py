"""MLPClassifier."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import check_array, column_or_1d
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels

from lamina._common.warn import warn
from lamina.losses import BinaryCrossentropy, SparseCategoricalCrossentropy
from lamina.models import Sequential
from lamina.sklearn.base import Perceptron, trains_by_steps
from lamina.sklearn.calibration import calibrated, check_calibration
from lamina.sklearn.interrupts import ends_the_call
from lamina.sklearn.labels import Labels, are_in_columns, are_plain
from lamina.sklearn.objective import Objective, Rows, Watched, computed
from lamina.sklearn.parameters import COMMON, StrOptions

__all__ = ["MLPClassifier"]

Array = npt.NDArray[Any]


class MLPClassifier(ClassifierMixin, Perceptron):
    """Multi-layer perceptron classifier with the parameters and attributes of scikit-learn's, trained by lamina.

    It minimizes the cross-entropy: of the softmax of its outputs for several classes, of a logistic output for two; for
    labels in columns the sum over the columns.

    Parameters
    ----------
    hidden_layer_sizes : int or array_like of int, default (100,)
        Widths of the hidden layers.
    activation : {"identity", "logistic", "tanh", "relu"}, or sequence of them, default "relu"
        Of the hidden layers, or of each of them. Besides scikit-learn's there are "elu", "exponential", "gelu",
        "hard_sigmoid", "leaky_relu", "mish", "relu6", "selu", "silu", "softplus" and "softsign".
    solver : {"adam", "sgd", "lbfgs"} or Optimizer, default "adam"
        "lbfgs" is `lamina.optimizers.LBFGS` on all rows. Of an optimizer each fit uses a copy, with its own learning
        rate.
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
        The share of these rows, unless `fit` is given `validation_data`. They have each class's share, if there are
        enough of them.
    beta_1, beta_2 : float in [0, 1), default 0.9 and 0.999
        For "adam".
    epsilon : float, > 0, default 1e-8
        For "adam".
    n_iter_no_change : int, default 10
        Training stops after more than so many epochs without improvement.
    max_fun : int, default 15000
        Evaluations of the loss at most, for "lbfgs".
    class_weight : dict, list of dict, "balanced" or None, default None
        Factors of the rows' weights in training, by their class; a list for labels in columns. "balanced":
        ``n_samples / (n_classes * number of the class)``.
    calibrate : "temperature" or None, default None
        Whether `fit` also makes `calibrator_`, from which classes and probabilities then come, as from scikit-learn's
        ``CalibratedClassifierCV(method="temperature")`` (>= 1.8): five networks that are trained on four fifths of the
        rows each, with the temperature that suits the last fifth (Guo et al. 2017). `coefs_` are those of a network
        that is trained on all rows.
    dropout : float in [0, 1), or sequence of them, default 0
        The share of the hidden layers' outputs, or of each one's, that is set to 0 in training.
    batch_normalization : bool, default False
        Whether hidden layers normalize their batch before the activation.
    standardize : bool, default False
        Whether the columns of X get mean 0 and standard deviation 1 over the rows of the first fit; sparse
        columns keep their mean. Weights and losses are those of such numbers, predictions are not.
    categorical_features : None, "from_dtype", or array_like of int, str or bool, default None
        The columns of X that hold categories: those of a data frame whose dtype says so, or their numbers, names or a
        mask. The first layer has weights for each category; one that was not seen adds nothing.
    impute : {"mean", "median", "most_frequent"} or None, default None
        What missing numbers in X are replaced by; None refuses them.
    callbacks : sequence of Callback, default None
        `lamina.callbacks` that listen to each fit.

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
        Accuracy of the held-out rows; None without `early_stopping`.
    validation_loss_curve_ : list of float or None
        The loss of held-out rows after each epoch, penalties included; None without such rows.
    n_iter_ : int
        Epochs, or iterations, of the last call.
    t_ : int
        Rows that were trained on in all epochs.
    n_features_in_, n_layers_, n_outputs_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        If the columns of X have names.
    out_activation_ : str
        Activation of the output.
    calibrator_ : object with `members`, five CalibratedClassifierCV, and their mean `predict_proba`
        Only with `calibrate`.
    classes_ : ndarray, shape (n_classes,)
        The classes, sorted; for labels in columns their numbers.

    Notes
    -----
    float64 rows are trained on in float64, float32 rows in float32; neither is copied. With ``shuffle=False`` the
    weights are scikit-learn's up to rounding. Ctrl-C ends `fit` with a warning and keeps what was trained.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(random_state=1, max_iter=1000).fit(X, y)
    >>> model.predict(X[:3]).tolist()
    [0, 0, 0]
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = COMMON | {
        "class_weight": [StrOptions({"balanced"}), dict, list, None],
        "calibrate": [StrOptions({"temperature"}), None],
    }
    loss = "log_loss"

    def __init__(
        self,
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
        class_weight: Any = None,
        calibrate: Any = None,
        dropout: Any = 0.0,
        batch_normalization: Any = False,
        standardize: Any = False,
        categorical_features: Any = None,
        impute: Any = None,
        callbacks: Any = None,
    ) -> None:
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
        self.class_weight = class_weight
        self.calibrate = calibrate
        self.dropout = dropout
        self.batch_normalization = batch_normalization
        self.standardize = standardize
        self.categorical_features = categorical_features
        self.impute = impute
        self.callbacks = callbacks

    # Labels. The network gets numbers of classes (n,), or 0 and 1 in columns, (n, 1) or (n, labels).

    def _validated(self, X: Any, y: Any, *, incremental: bool, first: bool) -> tuple[Any, Array]:
        if incremental and not first and (targets := self._plain_targets(X, y)) is not None:
            return X, targets
        if not (first and are_plain(y) and self._learns_plain(X, len(y))):
            X, y = self._checked_rows(X, y, reset=first, multi_output=True)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._learn_classes(y)
        else:
            self._check_classes(y)
        return X, self._labels.encoded(y)

    def _plain_targets(self, X: Any, y: Any) -> Array | None:
        """Return the targets of plain rows with known whole numbers as classes; None for any other data."""
        classes = self.classes_
        if not (type(y) is np.ndarray and y.ndim == 1 and y.dtype == classes.dtype and y.dtype.kind in "iub"):
            return None
        if self.warm_start or len(classes) < 2 or self._labels.in_columns:
            return None
        if not self._is_plain(X) or len(X) != len(y):
            return None
        targets = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        if not np.array_equal(classes[targets], y):
            return None
        return targets if self.n_outputs_ > 1 else targets.reshape(-1, 1).astype(np.float32)

    def _learn_classes(self, y: Any) -> None:
        self._labels = Labels(y)
        self.classes_ = self._labels.classes

    def _check_classes(self, y: Any) -> None:
        classes = unique_labels(y)
        if self.warm_start:
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                    f"Previously got {self.classes_}, `y` has {classes}"
                )
        else:
            self._check_known(classes)

    def _check_known(self, classes: Any) -> None:
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _held_out_targets(self, y: Any, X: Any, targets: Array) -> Array:
        y = check_array(y, accept_sparse="csr", ensure_2d=False, dtype=None, input_name="y")
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if are_in_columns(y) != self._labels.in_columns:
            raise ValueError("validation_data must have labels in columns if y has, and one label for each row if not.")
        self._check_known(unique_labels(y))
        found = self._labels.encoded(y)
        if found.shape[1:] != targets.shape[1:]:
            raise ValueError(f"validation_data must have {targets.shape[1]} labels, as y; got {found.shape[1]}.")
        return found

    def _training_weight(self, y: Any, weight: Array | None, dtype: Any, *, incremental: bool) -> Array | None:
        if self.class_weight is None:
            return weight
        if incremental and isinstance(self.class_weight, str):
            raise ValueError(
                "class_weight 'balanced' is not supported for partial_fit. In order to use 'balanced' weights, use"
                " compute_class_weight('balanced', classes=classes, y=y), and pass them as a dict."
            )
        found: Array = compute_sample_weight(self.class_weight, y).astype(dtype)
        found = found if weight is None else found * weight
        if not found.any():
            raise ValueError("Sample weights must contain at least one non-zero number; class_weight makes them 0.")
        return found

    def _outputs(self, targets: Array) -> int:
        return len(self.classes_) if targets.ndim == 1 else targets.shape[1]

    def _out_activation(self) -> str:
        return "softmax" if self._labels.several else "logistic"

    # Training.

    def _check_before(self, y: Any, sample_weight: Any) -> None:
        if self.calibrate is not None:
            check_calibration(y, sample_weight)

    def _follow(self, X: Any, y: Any, sample_weight: Any, validation_data: Any) -> None:
        if self.calibrate is None or len(self.classes_) == 1:
            return
        plain = clone(self).set_params(calibrate=None)
        try:
            self.calibrator_ = calibrated(plain, X, y, sample_weight, validation_data, method=self.calibrate)
        except KeyboardInterrupt:
            if ends_the_call():
                raise
            warn("Calibration interrupted by user: probabilities are those of one network, not calibrated.")

    def _objective(self, outputs: int) -> Objective:
        if self.out_activation_ == "softmax":
            return Objective(SparseCategoricalCrossentropy(reduction="mean_with_sample_weight"))
        return Objective(BinaryCrossentropy(reduction="mean_with_sample_weight"), float(outputs))

    def _classes_of(self, targets: Array) -> Array | None:
        if targets.ndim == 2:
            return targets.astype(bool) if targets.shape[1] == 1 else None
        return targets if np.bincount(targets, minlength=len(self.classes_)).min() > 1 else None

    def _watched(self, model: Sequential, rows: Rows) -> Watched:
        if len(self.classes_) == 1:  # which is always predicted
            return Watched(compute=lambda: 1.0)
        if rows.targets.ndim == 1 or rows.targets.shape[1] == 1:
            return Watched(metric="accuracy")
        return computed(
            model, rows, lambda targets, outputs, weight: accuracy_score(targets, outputs > 0.5, sample_weight=weight)
        )

    @available_if(trains_by_steps)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Any:
        """Train on rows for one epoch.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_labels)
        sample_weight : array_like, shape (n_samples,), optional
        classes : array_like, optional
            All classes; needed in the first call, unless y has labels in columns.

        Returns
        -------
        self
        """
        if self.calibrate is not None:
            raise ValueError("partial_fit does not support calibrate")
        learn = None
        if self._is_first_call(y, classes):
            learn = partial(self._learn_classes, y if are_in_columns(y) else classes)
        return self._take_steps(X, y, sample_weight, learn)

    def _is_first_call(self, y: Any, classes: Any) -> bool:
        known = getattr(self, "classes_", None)
        if known is None and classes is None and not are_in_columns(y):
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if known is None:
            return True
        if classes is not None and not np.array_equal(known, unique_labels(classes)):
            raise ValueError(f"`classes={classes!r}` is not the same as on last call to partial_fit, was: {known!r}")
        return False

    # Prediction.

    def predict(self, X: Any) -> Any:
        """Return the classes of rows.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        y : ndarray, shape (n_samples,) or (n_samples, n_labels)
            A sparse matrix, if `fit` got the labels in one.
        """
        if self._calibrator() is not None:
            return self.classes_[np.argmax(self.predict_proba(X), axis=1)]
        outputs = self._forward(X)
        return self._labels.decided(outputs)

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        y : ndarray, shape (n_samples, n_classes) or (n_samples, n_labels)
        """
        if self._calibrator() is not None:
            found: Array = self._calibrator().predict_proba(X)
            return found
        outputs = self._forward(X)
        if len(self.classes_) == 1:
            return np.ones_like(outputs)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    _leftovers = ("calibrator_",)

    def _is_one_training(self) -> bool:
        return self.calibrate is None

    def _beyond_layers(self) -> str | None:
        if len(self.classes_) == 1:
            return "a single class, whose probability is 1"
        return "calibrate, which asks several networks" if self._calibrator() is not None else super()._beyond_layers()

    def _calibrator(self) -> Any:
        return self.__dict__.get("calibrator_")

    def input_gradients(self, X: Any) -> Array:
        """Return the derivatives of the probabilities by the inputs of each row.

        Parameters
        ----------
        X : array_like, shape (n_samples, n_features)
            Dense rows, of numbers only.

        Returns
        -------
        ndarray, shape (n_samples, n_classes, n_features) or (n_samples, n_labels, n_features)
            In the order of `predict_proba`.
        """
        if self._calibrator() is not None:
            raise ValueError("input_gradients are those of one network; there are several with calibrate.")
        found = self._jacobian(X)
        if len(self.classes_) == 1:
            return np.zeros_like(found)
        return np.concatenate([-found, found], axis=1) if self.n_outputs_ == 1 else found

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`."""
        found = self.predict_proba(X)
        return np.log(found, out=found)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
