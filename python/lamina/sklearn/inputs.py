"""TakesRows: the rows that an estimator takes, with scikit-learn's checks."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_X_y
from sklearn.utils.validation import validate_data

from lamina.sklearn.columns import Columns, check_table
from lamina.sklearn.objective import Rows
from lamina.sklearn.rows import is_plain
from lamina.sklearn.scaling import scaled

__all__ = ["TakesRows"]


class TakesRows(BaseEstimator):
    """Takes arrays, sparse matrices and data frames, and knows those of its fit again."""

    categorical_features: Any
    impute: Any

    def _checked_rows(self, X: Any, *more: Any, reset: bool, **how: Any) -> Any:
        """Return rows of numbers, and targets if there are any, after scikit-learn's checks."""
        how = {"accept_sparse": ["csr", "csc"], "dtype": (np.float64, np.float32)} | how
        if reset:
            self._columns = None
        given = self.categorical_features is not None or self.impute is not None
        known: Columns | None = self.__dict__.get("_columns")
        if known is None and not (reset and given):
            return validate_data(self, X, *more, reset=reset, **how)
        if scipy.sparse.issparse(X):
            X = X.tocsr()
        check_table(X)
        validate_data(self, X, skip_check_array=True, reset=reset)
        if known is None:
            columns = Columns(self.categorical_features, self.impute)
            X = columns.fit_transform(X)
            self._columns = columns
        else:
            X = known.transform(X)
        return check_X_y(X, *more, **how) if more else check_array(X, **how)

    def _rows(self, X: Any) -> Any:
        """Return valid rows. Plain finite arrays like those of `fit` need no more checks than these."""
        if not self._is_plain(X):
            X = self._checked_rows(X, reset=False, dtype="numeric")
        scaler = self.__dict__.get("x_scaler_")
        return X if scaler is None else scaled(Rows(X, np.empty(0)), scaler, None).X

    def _is_plain(self, X: Any) -> bool:
        """Return whether rows are a finite array of floats with as many features as those of `fit`, without names."""
        return (
            type(X) is np.ndarray
            and X.shape[1:] == (self.__dict__.get("n_features_in_"),)
            and self.__dict__.get("_columns") is None
            and "feature_names_in_" not in self.__dict__
            and is_plain(X)
        )

    def _learns_plain(self, X: Any, count: int) -> bool:
        """Return whether these are plain rows, of so many, and note how many features they have."""
        if self.categorical_features is not None or self.impute is not None or not is_plain(X) or len(X) != count:
            return False
        self._columns = None
        self.n_features_in_ = X.shape[1]
        self.__dict__.pop("feature_names_in_", None)
        return True

    def __sklearn_tags__(self) -> Any:
        """Return what scikit-learn wants to know of the estimator."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.impute is not None
        tags.input_tags.categorical = tags.input_tags.string = self.categorical_features is not None
        return tags
