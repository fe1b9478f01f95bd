"""What makes scikit-learn's searches run twice alike: once to collect the fits, once to score them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils.metadata_routing import get_routing_for_object

__all__ = ["KeptFolds", "Unscored"]


class KeptFolds:
    """The folds of a cross-validator, which divides the rows in the first pass only.

    Parameters
    ----------
    divider : cross-validator
    """

    def __init__(self, divider: Any) -> None:
        self.divider = divider
        self._folds: list[Any] | None = None

    def split(self, X: Any, y: Any = None, groups: Any = None, **parameters: Any) -> Iterator[Any]:
        """Yield the rows to train on and to test on."""
        if self._folds is None:
            more = parameters if groups is None else parameters | {"groups": groups}
            self._folds = list(self.divider.split(X, y, **more))
        return iter(self._folds)

    def trained_on(self, number: int) -> Any:
        """Return the rows that a fit is trained on, of fits that go through the folds again and again."""
        assert self._folds is not None
        rows = np.asarray(self._folds[number % len(self._folds)][0])
        return np.flatnonzero(rows) if rows.dtype == bool else rows

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None, **parameters: Any) -> int:
        """Return the number of folds."""
        more = parameters if groups is None else parameters | {"groups": groups}
        found: int = self.divider.get_n_splits(X, y, **more)
        return found

    def forget(self) -> None:
        """Drop the folds."""
        self._folds = None

    def get_metadata_routing(self) -> Any:
        """Return which arguments the cross-validator asks for."""
        return get_routing_for_object(self.divider)


class Unscored:
    """Stands for scorers in the first pass, in which nothing is scored.

    Parameters
    ----------
    scorers : callable
    """

    def __init__(self, scorers: Any) -> None:
        self.scorers = scorers

    def __call__(self, estimator: Any, X: Any, y: Any = None, sample_weight: Any = None, **parameters: Any) -> float:
        """Return no score."""
        return 0.0

    def get_metadata_routing(self) -> Any:
        """Return which arguments the scorers ask for."""
        return get_routing_for_object(self.scorers)
