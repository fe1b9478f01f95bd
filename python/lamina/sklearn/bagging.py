"""Ensembles of perceptrons, trained in one call into the engine."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import scipy.sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_array, check_random_state, indexable
from sklearn.utils.validation import check_is_fitted, validate_data

from lamina._common.warn import warn
from lamina.sklearn.classifier import MLPClassifier
from lamina.sklearn.labels import Labels
from lamina.sklearn.parameters import Interval, checked
from lamina.sklearn.quantiles import mean_score, several
from lamina.sklearn.regressor import MLPRegressor
from lamina.sklearn.rows import row_weights, rows_of
from lamina.sklearn.together import Fit, fit_each

__all__ = ["BaggingMLPClassifier", "BaggingMLPRegressor"]

Array = npt.NDArray[Any]

# Numbers of a block of a matrix (rows to predict, rows that were trained on) of `predict_interval`.
_BLOCK = 2**22


_CONSTRAINTS: dict[str, list[Any]] = {
    "n_estimators": [Interval(Integral, 1, None, closed="left")],
    "max_samples": [Interval(Real, 0, 1, closed="right")],
    "bootstrap": ["boolean"],
    "oob_score": ["boolean"],
    "random_state": ["random_state"],
}


class _Bagging(BaseEstimator, ABC):
    """Base class of the ensembles."""

    _parameter_constraints: ClassVar[dict[str, list[Any]]]

    def __init__(
        self,
        estimator: Any = None,
        n_estimators: Any = 10,
        *,
        max_samples: Any = 1.0,
        bootstrap: Any = True,
        oob_score: Any = False,
        random_state: Any = None,
    ) -> None:
        self.estimator = estimator
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.bootstrap = bootstrap
        self.oob_score = oob_score
        self.random_state = random_state

    @abstractmethod
    def _new(self) -> Any:
        """Return a new member with default parameters."""

    @abstractmethod
    def _outputs(self, member: Any, X: Any) -> Array:
        """Return the outputs of a member, (n, outputs)."""

    @abstractmethod
    def _learn_outside(self, outputs: Array, y: Any, known: Array, weight: Array | None) -> None:
        """Learn from the mean outputs of the members that were not trained on a row, (n, outputs).

        `known` are the rows for which there are such members, but for those with a weight of 0; `weight` is theirs.
        """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train all members in one call into the engine, each on one thread.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional
            Multiplied by the number of times that a member has drawn a row, which makes its weights.

        Returns
        -------
        self
        """
        before = dict(self.__dict__)
        try:
            self._fit(X, y, sample_weight)
        except BaseException:  # the ensemble is as it was
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        checked(self, self._parameter_constraints)
        for name in ("_errors", "oob_score_", "oob_prediction_", "oob_decision_function_"):
            self.__dict__.pop(name, None)
        random = check_random_state(self.random_state)
        X, y = indexable(X, y)
        validate_data(self, X, y, skip_check_array=True)
        count = rows_of(X)
        if count == 0:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        weight = None if sample_weight is None else row_weights(sample_weight, np.empty((count, 0)))
        self._learn_targets(y)
        drawn = max(1, math.floor(self.max_samples * count))
        self.estimators_samples_ = []
        fits = []
        for _ in range(self.n_estimators):
            member = clone(self._new() if self.estimator is None else self.estimator)
            member.set_params(random_state=random.randint(2**31 - 1))
            chosen = random.randint(0, count, drawn) if self.bootstrap else random.permutation(count)[:drawn]
            self.estimators_samples_.append(np.sort(chosen))
            rows, times = np.unique(chosen, return_counts=True)
            weights = times.astype(float) if weight is None else times * weight[rows]
            given = {} if weight is None and not self.bootstrap else {"sample_weight": weights}
            fits.append(Fit(member, X, y, given, rows=None if len(rows) == count else rows))
        fit_each(fits)
        for fit in fits:
            if fit.error is not None:
                raise fit.error
        self.estimators_ = [fit.estimator for fit in fits]
        self._look_outside(X, y, weight)

    def _learn_targets(self, y: Any) -> None:
        """Learn what all members shall know of the targets."""

    def _look_outside(self, X: Any, y: Any, weight: Array | None) -> None:
        """Learn from the rows that some members were not trained on, and whose weight is not 0."""
        outside = np.ones((self.n_estimators, rows_of(X)), bool)
        for member, chosen in enumerate(self.estimators_samples_):
            outside[member, chosen] = False
        known: Array = np.asarray(outside.any(axis=0))
        counted = known if weight is None else known & (weight != 0)
        if not (self.oob_score or self._wants_outside) or not counted.any():
            if self.oob_score:
                raise ValueError("oob_score needs members that were not trained on all rows.")
            return
        if self.oob_score and not known.all():
            warn("All members were trained on some of the rows, which have no out-of-bag predictions.")
        outputs = np.stack([self._outputs(member, X) for member in self.estimators_])
        with np.errstate(invalid="ignore"):
            means = np.einsum("mn,mnk->nk", outside, outputs) / outside.sum(axis=0)[:, np.newaxis]
        self._outside = outside[:, counted]
        self._learn_outside(means, y, counted, None if weight is None else weight[counted])

    # Whether they are wanted besides for a score.
    _wants_outside = False

    def _mean(self, X: Any) -> Array:
        """Return the mean of the members' outputs, (n, outputs)."""
        check_is_fitted(self)
        found: Array = np.mean([self._outputs(member, X) for member in self.estimators_], axis=0)
        return found

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know of the estimator."""
        tags = super().__sklearn_tags__()
        member = (self._new() if self.estimator is None else self.estimator).__sklearn_tags__()
        tags.input_tags = member.input_tags
        return tags


class BaggingMLPClassifier(ClassifierMixin, _Bagging):
    """Mean of the probabilities of several `MLPClassifier`, each trained on rows of its own drawing.

    Parameters
    ----------
    estimator : MLPClassifier, optional
        With the parameters of the members; each gets a `random_state` of its own.
    n_estimators : int, default 10
    max_samples : float in (0, 1], default 1
        The share of the rows that a member draws.
    bootstrap : bool, default True
        Whether rows are drawn with replacement. Without, and with all rows, members differ in their first weights and
        the order of rows only (a deep ensemble).
    oob_score : bool, default False
        Whether to score, for each row, the members that were not trained on it.
    random_state : int, RandomState or None, default None

    Attributes
    ----------
    estimators_ : list of MLPClassifier
    estimators_samples_ : list of ndarray
        The rows that each of them has drawn.
    classes_ : ndarray
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If the columns of X have names.
    oob_score_ : float
    oob_decision_function_ : ndarray, shape (n_samples, n_classes)
        With `oob_score`.

    Notes
    -----
    Members are trained on the rows that they have drawn and no others, each with the number of times as its weight.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = BaggingMLPClassifier(MLPClassifier(solver="lbfgs", max_iter=1000), random_state=0).fit(X, y)
    >>> model.score(X, y) > 0.95
    True
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = _CONSTRAINTS | {"estimator": [MLPClassifier, None]}

    def _new(self) -> MLPClassifier:
        return MLPClassifier()

    def _learn_targets(self, y: Any) -> None:
        self._labels = Labels(y)
        self.classes_ = self._labels.classes

    def _outputs(self, member: Any, X: Any) -> Array:
        found: Array = member.predict_proba(X)
        if self._labels.in_columns or len(member.classes_) == len(self.classes_):
            return found
        all_classes = np.zeros((len(found), len(self.classes_)), found.dtype)  # of those that it has not drawn, too
        all_classes[:, np.searchsorted(self.classes_, member.classes_)] = found
        return all_classes

    def _learn_outside(self, outputs: Array, y: Any, known: Array, weight: Array | None) -> None:
        self.oob_decision_function_ = outputs
        y = y.tocsr() if scipy.sparse.issparse(y) else np.asarray(y)
        y = y if self._labels.in_columns else y.reshape(-1)
        self.oob_score_ = float(accuracy_score(y[known], self._decided(outputs[known]), sample_weight=weight))

    def _decided(self, outputs: Array) -> Any:
        """Return the classes for mean probabilities."""
        if not self._labels.in_columns:
            return self.classes_[np.argmax(outputs, axis=1)]
        return self._labels.decided(outputs)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, in the order of `classes_`.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples, n_classes)
        """
        return self._mean(X)

    def predict(self, X: Any) -> Any:
        """Return the classes of rows.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_labels)
            A sparse matrix, if `fit` got the labels in one.
        """
        return self._decided(self.predict_proba(X))


class BaggingMLPRegressor(RegressorMixin, _Bagging):
    """Mean of the predictions of several `MLPRegressor`, each trained on rows of its own drawing, with intervals.

    Parameters
    ----------
    estimator, n_estimators, max_samples, bootstrap, oob_score, random_state
        As of `BaggingMLPClassifier`.

    Attributes
    ----------
    estimators_ : list of MLPRegressor
    estimators_samples_ : list of ndarray
        The rows that each of them has drawn.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        If the columns of X have names.
    oob_score_ : float
    oob_prediction_ : ndarray, shape (n_samples,) or (n_samples, n_outputs)
        With `oob_score`.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.linspace(-1, 1, 200)[:, np.newaxis]
    >>> member = MLPRegressor(solver="lbfgs", alpha=0.1)
    >>> model = BaggingMLPRegressor(member, random_state=0).fit(X, X[:, 0] ** 2)
    >>> model.predict_interval(X).shape
    (200, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = _CONSTRAINTS | {"estimator": [MLPRegressor, None]}

    def _new(self) -> MLPRegressor:
        return MLPRegressor()

    _wants_outside = True

    def _outputs(self, member: Any, X: Any) -> Array:
        found: Array = member.predict(X)
        return found.reshape(len(found), -1)

    def _learn_targets(self, y: Any) -> None:
        if self.oob_score and self._quantiles() is not None:
            raise ValueError("oob_score needs an estimator that predicts one number, not several quantiles.")

    def _quantiles(self) -> list[float] | None:
        """Return the quantiles that members predict, if there are several."""
        member = self._new() if self.estimator is None else self.estimator
        return several(member.quantile) if member.loss == "quantile" else None

    def _learn_outside(self, outputs: Array, y: Any, known: Array, weight: Array | None) -> None:
        if self._quantiles() is not None:
            return
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y").reshape(len(outputs), -1)
        self._errors = np.abs(targets - outputs)[known]
        if self.oob_score:
            self.oob_prediction_ = outputs[:, 0] if outputs.shape[1] == 1 else outputs
            self.oob_score_ = float(r2_score(targets[known], outputs[known], sample_weight=weight))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Return the means of the members' predictions, and their standard deviations if wanted.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        return_std : bool

        Returns
        -------
        ndarray, shape (n_samples,) or (n_samples, n_outputs), or two of them
        """
        check_is_fitted(self)
        outputs = np.stack([self._outputs(member, X) for member in self.estimators_])
        mean, deviation = outputs.mean(axis=0), outputs.std(axis=0)
        if mean.shape[1] == 1:
            mean, deviation = mean[:, 0], deviation[:, 0]
        return (mean, deviation) if return_std else mean

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R², or for several quantiles the mean of their D², as `MLPRegressor.score`.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        y : array_like, shape (n_samples,) or (n_samples, n_outputs)
        sample_weight : array_like, shape (n_samples,), optional
        """
        quantiles = self._quantiles()
        if quantiles is None:
            return float(super().score(X, y, sample_weight))
        targets = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y").reshape(-1, 1)
        weight = None if sample_weight is None else row_weights(sample_weight, targets)
        return mean_score(targets, self.predict(X), weight, quantiles)

    def predict_interval(self, X: Any, coverage: Any = 0.9) -> Array:
        """Return intervals for the targets of rows: jackknife+-after-bootstrap (Kim, Xu & Barber 2020).

        For each row that was trained on there are members that have not seen it, and the error that they make on it;
        intervals reach as far as most of these errors, around the predictions of the same members. They cover at least
        ``2 coverage - 1`` of the targets of exchangeable rows, and about `coverage` of them in practice. Each row
        counts once, unless its weight was 0.

        Parameters
        ----------
        X : array_like or sparse matrix, shape (n_samples, n_features)
        coverage : float in (0, 1)

        Returns
        -------
        ndarray, shape (n_samples, 2) or (n_samples, n_outputs, 2)
            Lower and upper ends.

        Raises
        ------
        AttributeError
            Every member was trained on all rows, or members predict several quantiles.
        ValueError
            `coverage` is not in (0, 1), or there are too few rows for it.
        """
        check_is_fitted(self)
        if "_errors" not in self.__dict__:
            raise AttributeError(
                "predict_interval needs a fit of members that predict one number, and were not trained on all rows:"
                " bootstrap=True or a smaller max_samples."
            )
        if not isinstance(coverage, Real) or not 0 < float(coverage) < 1:
            raise ValueError(f"coverage must be a number in (0, 1); got {coverage!r}.")
        count, outputs = self._errors.shape
        rank = math.ceil((count + 1) * float(coverage))
        if rank > count:
            raise ValueError(f"coverage={coverage} needs more rows than {count}.")
        found = np.stack([self._outputs(member, X) for member in self.estimators_])  # (members, n, outputs)
        share = self._outside / self._outside.sum(axis=0)  # (members, rows trained on)
        ends = np.empty((found.shape[1], outputs, 2), found.dtype)
        step = max(1, _BLOCK // count)
        for begin in range(0, len(ends), step):
            for j in range(outputs):
                around = found[:, begin : begin + step, j].T @ share
                low, high = np.sort(around - self._errors[:, j], axis=1), np.sort(around + self._errors[:, j], axis=1)
                ends[begin : begin + step, j] = np.stack([low[:, count - rank], high[:, rank - 1]], axis=1)
        return ends[:, 0] if outputs == 1 else ends
