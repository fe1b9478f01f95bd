"""Scaling: rows and targets with mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from sklearn.preprocessing import StandardScaler

from lamina.sklearn.objective import Rows

__all__ = ["scaled", "scaler_of"]

Array = npt.NDArray[Any]


def scaler_of(array: Any, weight: Array | None) -> StandardScaler:
    """Return a scaler that has learnt the columns; sparse ones keep their zeros, and so their mean."""
    return StandardScaler(with_mean=not scipy.sparse.issparse(array)).fit(array, sample_weight=weight)


def scaled(rows: Rows, x_scaler: Any, y_scaler: Any) -> Rows:
    """Return rows after the scalers, of which each may be None."""
    X, targets = rows.X, rows.targets
    if x_scaler is not None:
        X = x_scaler.transform(X.toarray() if scipy.sparse.issparse(X) and x_scaler.with_mean else X)
    if y_scaler is not None:
        targets = np.asarray(y_scaler.transform(targets))
    return Rows(X, targets, rows.weight)
