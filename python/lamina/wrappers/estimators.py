"""The estimators: a model that is given, or that a function makes for the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from lamina._common.checks import KindError, short
from lamina.models import Model, clone_model

__all__ = ["SKLearnClassifier", "SKLearnRegressor", "SKLearnTransformer"]

Array = npt.NDArray[Any]


class _Estimator(BaseEstimator):
    """What the estimators share.

    Parameters
    ----------
    model : Model or callable
        A compiled model, of which each `fit` trains a copy with new weights; or a function
        ``model(X, y, **model_kwargs)`` that returns a compiled model; it gets y in columns, classes as one-hot rows.
    warm_start : bool
        Whether `fit` goes on with the model of the last one.
    model_kwargs : dict, optional
        More arguments of the function.
    fit_kwargs : dict, optional
        Arguments of the model's `fit`.

    Attributes
    ----------
    model_ : Model
        The model that `fit` has trained.
    history_ : History
        What the model's `fit` returned.
    """

    model_: Model

    def __init__(
        self,
        model: Any,
        warm_start: bool = False,
        model_kwargs: Mapping[str, Any] | None = None,
        fit_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.warm_start = warm_start
        self.model_kwargs = model_kwargs
        self.fit_kwargs = fit_kwargs

    def fit(self, X: Any, y: Any, **kwargs: Any) -> Any:
        """Train the model.

        Parameters
        ----------
        X : array_like, shape (n, features)
        y : array_like, shape (n,) or (n, outputs)
        **kwargs
            Arguments of the model's `fit`, which override `fit_kwargs`.

        Returns
        -------
        self
        """
        X, y = validate_data(self, X, y, multi_output=True, allow_nd=True)
        self._read_targets(y)
        keeps = self.warm_start and hasattr(self, "model_")
        model: Model = self.model_ if keeps else self._new_model(X, self._targets(y))
        targets = self._targets_of(model, y)
        self.history_ = model.fit(X, targets, **{"verbose": 0, **(self.fit_kwargs or {}), **kwargs})
        self.model_ = model
        return self

    def _new_model(self, X: Array, y: Array) -> Model:
        who = type(self).__name__
        if isinstance(self.model, Model):
            made: Any = clone_model(self.model)
        elif callable(self.model):
            made = self.model(X=X, y=y, **(self.model_kwargs or {}))
        else:
            raise KindError(f"{who}: model must be a model, or a function that returns one; got {short(self.model)}.")
        if not isinstance(made, Model):
            raise KindError(f"{who}: the function must return a model; it returned {short(made)}.")
        if not made.compiled:
            raise RuntimeError(f"{who}: the model must be compiled; call compile() first.")
        return made

    def _read_targets(self, y: Array) -> None:
        """Remember the form of the targets."""
        self._one_axis = y.ndim == 1

    def _targets(self, y: Array) -> Array:
        """Return the targets in columns."""
        return y.reshape(-1, 1) if y.ndim == 1 else y

    def _targets_of(self, model: Model, y: Array) -> Array:
        """Return the targets as the model reads them."""
        return self._targets(y)

    def _outputs(self, X: Any) -> Array:
        """Return the model's predictions."""
        check_is_fitted(self)
        model: Model = self.model_
        return model.predict(validate_data(self, X, reset=False, allow_nd=True), verbose=0)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: initial weights are drawn anew for each `fit`."""
        tags = super().__sklearn_tags__()
        tags.non_deterministic = True
        return tags


class SKLearnClassifier(ClassifierMixin, _Estimator):
    """A model as a classifier of scikit-learn; see `lamina.wrappers`.

    The model's output has a unit for each class and reads one-hot targets; or one unit, a probability, if there are two
    classes.

    Parameters
    ----------
    model : Model or callable
        A compiled model, of which each `fit` trains a copy with new weights; or a function
        ``model(X, y, **model_kwargs)`` that returns a compiled model; it gets y in columns, classes as one-hot rows.
    warm_start : bool
        Whether `fit` goes on with the model of the last one.
    model_kwargs : dict, optional
        More arguments of the function.
    fit_kwargs : dict, optional
        Arguments of the model's `fit`; nothing is printed unless they say so.

    Attributes
    ----------
    classes_ : ndarray
        The classes, sorted.
    model_, history_
        The model that `fit` has trained, and what its `fit` returned.
    """

    def _read_targets(self, y: Array) -> None:
        check_classification_targets(y)
        if type_of_target(y, raise_unknown=True) not in ("binary", "multiclass"):
            raise ValueError(f"SKLearnClassifier: y must hold one class for each row; got {type_of_target(y)}.")
        super()._read_targets(y)
        self.classes_ = np.unique(y)
        if len(self.classes_) < 2:
            raise ValueError("Classifier can't train when only one class is present.")

    def _targets(self, y: Array) -> Array:
        numbers = np.searchsorted(self.classes_, y.reshape(-1))
        one_hot: Array = (numbers[:, np.newaxis] == np.arange(len(self.classes_))).astype(np.float32)
        return one_hot

    def _targets_of(self, model: Model, y: Array) -> Array:
        one_hot = self._targets(y)
        single = len(self.classes_) == 2 and model.built and model.output_shape[-1] == 1
        return one_hot[:, 1:] if single else one_hot

    def decision_function(self, X: Any) -> Array:
        """Return the model's predictions, shape (n, units)."""
        return self._outputs(X)

    def predict_proba(self, X: Any) -> Array:
        """Return the model's predictions with a column for each class; probabilities if the output has them."""
        found = self._outputs(X)
        return np.concatenate([1 - found, found], axis=1) if found.shape[1] == 1 else found

    def predict(self, X: Any) -> Array:
        """Return the likeliest class of each row, in the form of the targets."""
        numbers = self.predict_proba(X).argmax(axis=1)
        found: Array = self.classes_[numbers]
        return found if self._one_axis else found.reshape(-1, 1)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True  # on its tests' small data
        return tags


class SKLearnRegressor(RegressorMixin, _Estimator):
    """A model as a regressor of scikit-learn; see `lamina.wrappers`.

    Parameters
    ----------
    model : Model or callable
        A compiled model, of which each `fit` trains a copy with new weights; or a function
        ``model(X, y, **model_kwargs)`` that returns a compiled model; it gets y in columns, classes as one-hot rows.
    warm_start : bool
        Whether `fit` goes on with the model of the last one.
    model_kwargs : dict, optional
        More arguments of the function.
    fit_kwargs : dict, optional
        Arguments of the model's `fit`; nothing is printed unless they say so.

    Attributes
    ----------
    model_, history_
        The model that `fit` has trained, and what its `fit` returned.
    """

    def predict(self, X: Any) -> Array:
        """Return the predictions, in the form of the targets."""
        found = self._outputs(X)
        return found.reshape(-1) if self._one_axis and found.ndim == 2 and found.shape[1] == 1 else found

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # on its tests' small data
        return tags


class SKLearnTransformer(TransformerMixin, _Estimator):
    """A model as a transformer of scikit-learn: its predictions are new features; see `lamina.wrappers`.

    Parameters
    ----------
    model : Model or callable
        A compiled model, of which each `fit` trains a copy with new weights; or a function
        ``model(X, y, **model_kwargs)`` that returns a compiled model; it gets y in columns, classes as one-hot rows.
    warm_start : bool
        Whether `fit` goes on with the model of the last one.
    model_kwargs : dict, optional
        More arguments of the function.
    fit_kwargs : dict, optional
        Arguments of the model's `fit`; nothing is printed unless they say so.

    Attributes
    ----------
    model_, history_
        The model that `fit` has trained, and what its `fit` returned.
    """

    def transform(self, X: Any) -> Array:
        """Return the model's predictions, shape (n, units)."""
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags."""
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
