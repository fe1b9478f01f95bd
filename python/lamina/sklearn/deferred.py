"""Deferred: an estimator whose fits are collected first, and then given out as they were trained together."""

from __future__ import annotations

import time
from typing import Any

from sklearn.base import BaseEstimator, clone

from lamina.sklearn.passes import KeptFolds
from lamina.sklearn.together import Fit, fit_each

__all__ = ["Deferred", "Fits"]


class Fits:
    """The fits of a search, in their order. They are collected, done at once, and then given out again.

    Parameters
    ----------
    X, y
        All rows.
    folds : KeptFolds
        The rows that each of the fits is trained on.

    Attributes
    ----------
    seconds : float
        The time of one of them, when all were trained.
    """

    def __init__(self, X: Any, y: Any, folds: KeptFolds) -> None:
        self._X, self._y, self._folds = X, y, folds
        self._fits: list[Fit] = []
        self._next: int | None = None
        self.seconds = 0.0

    def collect(self, estimator: Any, parameters: dict[str, Any]) -> None:
        """Note a fit to the next fold."""
        rows = self._folds.trained_on(len(self._fits))
        self._fits.append(Fit(estimator, self._X, self._y, parameters, rows=rows))

    def train(self) -> None:
        """Do all fits."""
        begin = time.perf_counter()
        fit_each(self._fits)
        self.seconds = (time.perf_counter() - begin) / max(1, len(self._fits))
        self._next = 0

    @property
    def collecting(self) -> bool:
        """Whether they are still collected."""
        return self._next is None

    def give(self) -> Any:
        """Return the estimator of the next fit, or raise what its fit has raised; None after the last one."""
        assert self._next is not None
        if self._next == len(self._fits):
            return None
        fit = self._fits[self._next]
        self._next += 1
        if fit.error is not None:
            raise fit.error
        return fit.estimator


class Deferred(BaseEstimator):
    """Stands for an estimator in scikit-learn's searches: has its parameters, and after `fit` its methods.

    Parameters
    ----------
    estimator : estimator
    fits : Fits
    """

    def __init__(self, estimator: Any, fits: Fits) -> None:
        self.estimator, self.fits = estimator, fits

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters of the estimator."""
        found: dict[str, Any] = self.estimator.get_params(deep)
        return found

    def set_params(self, **parameters: Any) -> Deferred:
        """Set parameters of the estimator."""
        self.estimator.set_params(**parameters)
        return self

    def __sklearn_clone__(self) -> Deferred:
        return Deferred(clone(self.estimator), self.fits)

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know of the estimator."""
        return self.estimator.__sklearn_tags__()

    def get_metadata_routing(self) -> Any:
        """Return which arguments the estimator's methods ask for."""
        return self.estimator.get_metadata_routing()

    def fit(self, X: Any, y: Any = None, **parameters: Any) -> Deferred:
        """Collect the fit, or become the estimator that was fitted."""
        if self.fits.collecting:
            self.fits.collect(self.estimator, parameters)
            return self
        found = self.fits.give()
        if found is None:  # the fit of the best parameters to all rows
            self.estimator.fit(X, y, **parameters)
        else:
            self.estimator = found
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in ("estimator", "fits"):
            raise AttributeError(name)
        return getattr(self.estimator, name)
