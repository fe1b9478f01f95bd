"""Cross-validation and searches whose networks are trained in one call into the engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn import model_selection
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.utils import check_random_state, indexable

from lamina.sklearn.deferred import Deferred, Fits
from lamina.sklearn.passes import KeptFolds, Unscored

__all__ = ["cross_validate", "search"]


def cross_validate(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    verbose: int = 0,
    params: dict[str, Any] | None = None,
    return_train_score: bool = False,
    return_estimator: bool = False,
    return_indices: bool = False,
    error_score: Any = np.nan,
) -> dict[str, Any]:
    """Return scores of an estimator on folds, as `sklearn.model_selection.cross_validate`, which it calls.

    The perceptrons of all folds are trained in one call into the engine, each on one thread. They may be the last step
    of a pipeline. What the engine cannot train alone (callbacks, scores of labels in columns) is trained fold by fold.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, or Pipeline that ends with one
    X : array_like or sparse matrix, shape (n_samples, n_features)
    y : array_like, shape (n_samples,) or (n_samples, n_outputs)
    groups, scoring, cv, verbose, params, return_train_score, return_estimator, return_indices, error_score
        As in scikit-learn.

    Returns
    -------
    dict of str to ndarray
        As scikit-learn's. ``fit_time`` is each one's share of the time in which all were trained.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lamina.sklearn import MLPClassifier
    >>> model = MLPClassifier(solver="lbfgs", max_iter=1000, random_state=0)
    >>> bool(cross_validate(model, *load_iris(return_X_y=True))["test_score"].mean() > 0.95)
    True
    """
    X, y = indexable(X, y)
    folds = _folds(estimator, y, cv)
    fits = Fits(X, y, folds)
    unscored = Unscored(check_scoring(estimator, scoring=scoring))
    how: dict[str, Any] = {"groups": groups, "cv": folds, "n_jobs": 1, "error_score": error_score, "params": params}
    model_selection.cross_validate(Deferred(clone(estimator), fits), X, y, scoring=unscored, **how)
    fits.train()
    found: dict[str, Any] = model_selection.cross_validate(
        Deferred(clone(estimator), fits), X, y, scoring=scoring, verbose=verbose,
        return_train_score=return_train_score, return_estimator=return_estimator, return_indices=return_indices, **how,
    )  # fmt: skip
    found["fit_time"] = found["fit_time"] + fits.seconds
    if return_estimator:
        found["estimator"] = [one.estimator for one in found["estimator"]]
    return found


def search(
    estimator: Any,
    parameters: Mapping[str, Any] | list[Mapping[str, Any]],
    X: Any,
    y: Any = None,
    *,
    n_iter: int | None = None,
    random_state: Any = None,
    groups: Any = None,
    scoring: Any = None,
    cv: Any = None,
    refit: Any = True,
    verbose: int = 0,
    params: dict[str, Any] | None = None,
    return_train_score: bool = False,
    error_score: Any = np.nan,
) -> Any:
    """Search the best parameters of an estimator, and return a fitted search of scikit-learn.

    The perceptrons of all candidates and folds are trained in one call into the engine, each on one thread; as in
    `cross_validate`.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor, or Pipeline that ends with one
    parameters : dict or list of dict
        The values of each parameter to try, a grid; with `n_iter` values or distributions to draw from.
    X : array_like or sparse matrix, shape (n_samples, n_features)
    y : array_like, shape (n_samples,) or (n_samples, n_outputs)
    n_iter : int, optional
        Candidates that are drawn; without it all of the grid are tried.
    random_state : int, RandomState or None
        Determines which ones are drawn.
    groups, scoring, cv, refit, verbose, return_train_score, error_score
        As in `sklearn.model_selection.GridSearchCV`.
    params : dict, optional
        Arguments of the estimator's `fit`, such as sample_weight; with scikit-learn's metadata routing also those of
        scorers and `cv`.

    Returns
    -------
    GridSearchCV, or RandomizedSearchCV with `n_iter`
        With all of their attributes, such as ``best_estimator_``, ``best_params_`` and ``cv_results_``.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from lamina.sklearn import MLPClassifier
    >>> model = MLPClassifier(solver="lbfgs", max_iter=1000, random_state=0)
    >>> found = search(model, {"alpha": [1e-3, 1.0]}, *load_iris(return_X_y=True), cv=3)
    >>> found.best_params_["alpha"] in (1e-3, 1.0), len(found.cv_results_["params"])
    (True, 2)
    """
    X, y = indexable(X, y)
    draws = random_state if isinstance(random_state, (int, np.integer)) else check_random_state(random_state)
    again = copy.deepcopy(draws)  # both passes draw the same
    folds = _folds(estimator, y, cv)
    fits = Fits(X, y, folds)

    def made(scoring: Any, refit: Any, draws: Any, **more: Any) -> Any:
        how: dict[str, Any] = {"scoring": scoring, "cv": folds, "refit": refit, "n_jobs": 1, "error_score": error_score}
        stand_in = Deferred(clone(estimator), fits)
        if n_iter is None:
            return model_selection.GridSearchCV(stand_in, parameters, **how, **more)
        return model_selection.RandomizedSearchCV(
            stand_in, parameters, n_iter=n_iter, random_state=draws, **how, **more
        )

    given = dict(params or {}) if groups is None else {**(params or {}), "groups": groups}
    made(Unscored(check_scoring(estimator, scoring=scoring)), False, draws).fit(X, y, **given)
    fits.train()
    found = made(scoring, refit, again, verbose=verbose, return_train_score=return_train_score).fit(X, y, **given)
    found.cv_results_["mean_fit_time"] = found.cv_results_["mean_fit_time"] + fits.seconds
    found.estimator, found.cv = estimator, cv
    if n_iter is not None:
        found.random_state = random_state
    folds.forget()
    if scoring is None:
        found.scorer_ = check_scoring(estimator)
    if hasattr(found, "best_estimator_"):
        found.best_estimator_ = found.best_estimator_.estimator
    return found


def _folds(estimator: Any, y: Any, cv: Any) -> KeptFolds:
    """Return what divides the rows, the same for both passes."""
    return KeptFolds(model_selection.check_cv(cv, y, classifier=is_classifier(estimator)))
