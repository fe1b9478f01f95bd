"""Calibrated: networks that were calibrated on rows which they have not seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.multiclass import check_classification_targets

from lamina.sklearn.labels import are_in_columns
from lamina.sklearn.rows import chosen
from lamina.sklearn.together import Fit, fit_each

__all__ = ["Calibrated", "calibrated", "check_calibration"]

Array = npt.NDArray[Any]

# The folds of scikit-learn's CalibratedClassifierCV.
_FOLDS = 5


class _Trained(ClassifierMixin, BaseEstimator):
    """Stands for a classifier that is not trained again."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator
        self.classes_ = estimator.classes_

    def __sklearn_clone__(self) -> _Trained:
        return self

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> _Trained:
        """Do nothing."""
        return self

    def predict(self, X: Any) -> Array:
        """Return the classifier's classes."""
        found: Array = self.estimator.predict(X)
        return found

    def predict_proba(self, X: Any) -> Array:
        """Return the classifier's probabilities."""
        found: Array = self.estimator.predict_proba(X)
        return found


class Calibrated:
    """Classifiers whose probabilities are calibrated; those of all of them are the mean.

    Parameters
    ----------
    members : sequence of CalibratedClassifierCV
    """

    def __init__(self, members: Sequence[Any]) -> None:
        self.members = members

    def predict_proba(self, X: Any) -> Array:
        """Return the mean probabilities of the classes, (n_samples, n_classes)."""
        return np.asarray(sum(member.predict_proba(X) for member in self.members) / len(self.members))


def check_calibration(y: Any, sample_weight: Any) -> None:
    """Raise if labels cannot be divided into folds that have all classes, and weights that are not all 0."""
    check_classification_targets(y)
    if are_in_columns(y):
        raise ValueError("calibrate needs one label for each row; y has labels in columns.")
    labels = np.asarray(y).reshape(-1)
    if np.unique(labels, return_counts=True)[1].min() < _FOLDS:
        raise ValueError(f"calibrate needs {_FOLDS} rows of each class, one for each of {_FOLDS} folds.")
    if sample_weight is not None and np.size(sample_weight) == len(labels):
        weight = np.asarray(sample_weight).reshape(-1)
        if not all(weight[rest].any() for _, rest in _folds(labels)):
            raise ValueError("calibrate needs a row in each fold whose weight is not 0.")


def _folds(labels: Array) -> Iterator[tuple[Array, Array]]:
    """Yield the rows to train on and those to calibrate with."""
    yield from StratifiedKFold(_FOLDS).split(np.empty((len(labels), 0)), labels)


def calibrated(classifier: Any, X: Any, y: Any, sample_weight: Any, validation_data: Any, *, method: str) -> Calibrated:
    """Fit a classifier to all rows but those of a fold, for each of five, and calibrate it on these.

    The classifiers are trained in one call into the engine. Their calibration is scikit-learn's
    (`sklearn.calibration.CalibratedClassifierCV`).

    Parameters
    ----------
    classifier : MLPClassifier
    X, y, sample_weight, validation_data
        As of its `fit`.
    method : {"temperature"}
    """
    from sklearn.calibration import CalibratedClassifierCV  # which imports much of scikit-learn

    y = np.asarray(y).reshape(-1)
    weight = None if sample_weight is None else np.broadcast_to(np.asarray(sample_weight), len(y))
    fits, outside = [], []
    for inside, rest in _folds(y):
        more: dict[str, Any] = {} if weight is None else {"sample_weight": weight[inside]}
        if validation_data is not None:
            more["validation_data"] = validation_data
        fits.append(Fit(clone(classifier), X, y, more, rows=inside))
        outside.append(rest)
    fit_each(fits)
    members = []
    for fit, rest in zip(fits, outside, strict=True):
        if fit.error is not None:
            raise fit.error
        every = np.arange(len(rest))
        member = CalibratedClassifierCV(_Trained(fit.estimator), method=method, cv=[(every, every)], ensemble=False)
        with sklearn.config_context(enable_metadata_routing=False):
            member.fit(chosen(X, rest), y[rest], None if weight is None else weight[rest])
        members.append(member)
    return Calibrated(members)
