"""Labels: classes as numbers for a network, and its outputs as classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

__all__ = ["Labels", "are_in_columns"]

Array = npt.NDArray[Any]


class Labels:
    """The classes of a classifier.

    Parameters
    ----------
    y : array_like, shape (n,) or (n, labels), or sparse matrix
        A label for each row, or 0 and 1 in columns.

    Attributes
    ----------
    classes : ndarray
        Sorted; the numbers of the columns for labels in columns.
    in_columns : bool
    several : bool
        Whether rows have one label of more than two classes.
    """

    def __init__(self, y: Any) -> None:
        if are_plain(y):
            self.classes: Array = np.unique(y)
            self.in_columns = False
        else:
            check_classification_targets(y)
            self.in_columns = are_in_columns(y)
            self.classes = unique_labels(y)
        self.several = not self.in_columns and len(self.classes) > 2
        self._sparse = scipy.sparse.issparse(y)

    def encoded(self, y: Any) -> Array:
        """Return the numbers of the classes, (n,), if there are several, else 0 and 1 in columns, (n, 1 or labels)."""
        if are_in_columns(y) != self.in_columns:
            what = "labels in columns" if self.in_columns else "one label for each row"
            raise ValueError(f"y must have {what}, as in the first call to fit or partial_fit.")
        if self.several:
            return np.asarray(np.searchsorted(self.classes, y))
        if self.in_columns:
            return np.asarray(y.toarray() if scipy.sparse.issparse(y) else y, np.float32)
        return np.asarray(y == self.classes[-1], np.float32).reshape(-1, 1) * (len(self.classes) > 1)

    def decided(self, outputs: Array) -> Any:
        """Return the classes for probabilities (n, classes or 1), or 0 and 1 in columns, as those that were given."""
        if self.several:
            return self.classes[outputs.argmax(axis=1)]
        if not self.in_columns:
            return self.classes[(outputs[:, 0] > 0.5) * (len(self.classes) - 1)]
        found = (outputs > 0.5).astype(int)
        return scipy.sparse.csr_matrix(found) if self._sparse else found


def are_plain(y: Any) -> bool:
    """Return whether y is an array of one whole number, bool or string for each row."""
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in "iubU" and len(y) > 0


def are_in_columns(y: Any) -> bool:
    """Return whether y has labels in columns."""
    return not are_plain(y) and bool(type_of_target(y).startswith("multilabel"))
