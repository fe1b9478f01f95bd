"""Columns: tables with categories and missing numbers, as rows of numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Columns", "check_table"]

# What the dtypes of columns that hold categories are called in pandas and polars.
_CATEGORIES = ("category", "categorical", "enum", "string", "str", "object")


class Columns:
    """Turns tables into rows of numbers: a column for each category, 1 where it is the row's and 0 elsewhere.

    Categories that `fit` has not seen have no 1. Rows are sparse if fewer than three in ten of their numbers are not 0.

    Parameters
    ----------
    categorical : None, "from_dtype", or array_like of int, str or bool
        The columns that hold categories: those of a data frame whose dtype says so, or their numbers, names or a mask.
    impute : {"mean", "median", "most_frequent"} or None
        What missing numbers are replaced by. A missing category is a category of its own.
    """

    def __init__(self, categorical: Any, impute: str | None) -> None:
        self._categorical, self._impute = categorical, impute
        self._transformer: Any = None
        self._chosen: list[int] = []

    def fit_transform(self, X: Any) -> Any:
        """Learn the categories of a table and the numbers to impute, and return its rows."""
        from sklearn.compose import ColumnTransformer  # as the next one, of use to few
        from sklearn.impute import SimpleImputer
        from sklearn.preprocessing import OneHotEncoder

        count = X.shape[1] if hasattr(X, "shape") else np.asarray(X, object).shape[1]
        self._chosen = _numbers(self._categorical, X, count)
        others = [column for column in range(count) if column not in self._chosen]
        numbers: Any = "passthrough"
        if self._impute is not None:
            numbers = SimpleImputer(strategy=self._impute, keep_empty_features=True)
        parts = [
            ("categories", OneHotEncoder(handle_unknown="ignore", dtype=_float_type(X)), self._chosen),
            ("numbers", numbers, others),
        ]
        self._transformer = ColumnTransformer([part for part in parts if part[2]])
        return _floats(self._transformer.fit_transform(_table(X, self._chosen)))

    def transform(self, X: Any) -> Any:
        """Return the rows of a table like the one that was learnt."""
        return _floats(self._transformer.transform(_table(X, self._chosen)))

    def names(self, given: Any) -> list[str]:
        """Return the names of the numbers of a row, for the names of the table's columns or None."""
        found: list[str] = self._transformer.get_feature_names_out(given).tolist()
        return found


def check_table(X: Any) -> None:
    """Raise unless a table has rows and columns."""
    shape = np.shape(X)
    if len(shape) != 2:
        raise ValueError(f"Expected 2D array, got {len(shape)}D array instead: X must have the shape (rows, columns).")


def _table(X: Any, categories: list[int]) -> Any:
    """Return a table whose missing numbers are NaN, and whose missing categories are None."""
    if not hasattr(X, "shape"):
        X = np.asarray(X, object)
    if isinstance(X, np.ndarray) and X.dtype.hasobject:
        for j in categories:
            missing = [_is_missing(value) for value in X[:, j]]
            if any(missing):
                X = X.copy()
                X[missing, j] = None
    if not hasattr(X, "isetitem"):
        return X
    found = X.copy(deep=False)
    for j, dtype in enumerate(X.dtypes):
        column = X.iloc[:, j]
        if isinstance(dtype, np.dtype) and dtype.kind in "fiub":
            continue
        if j in categories:
            found.isetitem(j, column.astype(object).where(column.notna(), None))
        elif getattr(dtype, "kind", "O") in "fiub":
            found.isetitem(j, column.to_numpy(np.float64, na_value=np.nan))
    return found


def _is_missing(value: Any) -> bool:
    """Return whether an object is None, NaN or pandas' NA, which is not equal to anything, nor different."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)


def _float_type(X: Any) -> Any:
    return np.float32 if getattr(X, "dtype", None) == np.float32 else np.float64


def _floats(rows: Any) -> Any:
    """Return rows of numbers; those from columns of different kinds may be objects."""
    return rows.astype(np.float64) if rows.dtype.kind not in "f" else rows


def _numbers(categorical: Any, X: Any, count: int) -> list[int]:
    """Return the numbers of the columns that hold categories."""
    names = [str(name) for name in getattr(X, "columns", ())]
    if categorical is None:
        return []
    if isinstance(categorical, str):
        if not names:
            raise ValueError("categorical_features='from_dtype' needs a data frame; its columns have dtypes.")
        return [column for column, name in enumerate(X.columns) if _holds_categories(X[name])]
    chosen = np.asarray(categorical)
    if chosen.ndim != 1:
        raise ValueError(f"categorical_features must be one-dimensional; got {chosen.ndim} dimensions.")
    if chosen.dtype.kind == "b":
        if len(chosen) != count:
            raise ValueError(f"categorical_features must have one bool for each of {count} columns; got {len(chosen)}.")
        return np.flatnonzero(chosen).tolist()
    if chosen.dtype.kind in "iu":
        if len(chosen) and not (-count <= chosen.min() and chosen.max() < count):
            raise ValueError(f"categorical_features must be numbers of the {count} columns; got {chosen.tolist()}.")
        return sorted({int(column) % count for column in chosen})
    unknown = [name for name in map(str, chosen) if name not in names]
    if unknown:
        raise ValueError(f"categorical_features must be columns of X; there are none with the names {unknown}.")
    return sorted({names.index(str(name)) for name in chosen})


def _holds_categories(column: Any) -> bool:
    return str(column.dtype).lower().split("(")[0] in _CATEGORIES
