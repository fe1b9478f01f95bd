"""The accuracy family: how often predictions are right."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.arguments import Argument
from lamina._common.checks import flag, integer, number
from lamina._data.arrays import label_array
from lamina.metrics.base import Metric

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "SparseCategoricalAccuracy",
    "SparseTopKCategoricalAccuracy",
    "TopKCategoricalAccuracy",
]

Array = npt.NDArray[Any]


class _Accuracy(Metric):
    """Base class of accuracies; the default name is that of the class, without a number."""

    numbered = False
    direction = "up"
    engine_kernel: str

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the value of each row: 1 or 0, or the share of right columns."""
        return _core.metric_values(self.engine_kernel, y_true, y_pred, self.parameters(), None)


class Accuracy(_Accuracy):
    """Share of outputs that equal the targets.

    Examples
    --------
    >>> Accuracy()([[1.0], [2.0]], [[1.0], [3.0]])
    Tensor(0.5)
    """

    engine_kernel = "equal_matches"
    by_element = True


class BinaryAccuracy(_Accuracy):
    """Share of outputs on the right side of a threshold: ``(y_pred > threshold) == y_true``.

    Parameters
    ----------
    name : str, optional
    dtype : None
    threshold : float
    """

    engine_kernel = "binary_matches"
    by_element = True

    threshold = Argument(number)

    def __init__(self, name: str | None = None, dtype: Any = None, threshold: float = 0.5) -> None:
        super().__init__(name, dtype)
        self.threshold = threshold

    def parameters(self) -> dict[str, float]:
        """Return the compiled kernel's parameters by name."""
        return {"threshold": self.threshold}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"threshold": self.threshold}


class CategoricalAccuracy(_Accuracy):
    """Share of rows whose largest output is in the column of the largest target, such as of one-hot targets."""

    engine_kernel = "categorical_matches"


class SparseCategoricalAccuracy(_Accuracy):
    """Share of rows whose largest output is in the column of the target's class number.

    Examples
    --------
    >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]])
    Tensor(0.5)
    """

    engine_kernel = "sparse_matches"
    wants_labels = True

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return class numbers."""
        return label_array(who, "y_true", y, columns)


class TopKCategoricalAccuracy(_Accuracy):
    """Share of rows where the target's largest column is among the `k` largest outputs.

    Parameters
    ----------
    k : int, >= 1
    name : str, optional
    dtype : None

    Examples
    --------
    >>> TopKCategoricalAccuracy(k=2)([[0, 0, 1]], [[0.5, 0.2, 0.3]])
    Tensor(1.)
    """

    engine_kernel = "categorical_top_matches"

    k = Argument(integer)

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None) -> None:
        super().__init__(name, dtype)
        self.k = k

    def parameters(self) -> dict[str, float]:
        """Return the compiled kernel's parameters by name."""
        return {"k": float(min(self.k, 2**53))}  # no row has as many columns

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"k": self.k}


class SparseTopKCategoricalAccuracy(TopKCategoricalAccuracy):
    """Share of rows where the output of the target's class number is among the `k` largest.

    Parameters
    ----------
    k : int, >= 1
    name : str, optional
    dtype : None
    from_sorted_ids : bool
        Predictions are class numbers, the best first, instead of outputs. For use without a model.

    Examples
    --------
    >>> SparseTopKCategoricalAccuracy(k=1)([2, 0], [[0.5, 0.2, 0.3], [0.5, 0.2, 0.3]])
    Tensor(0.5)
    """

    engine_kernel = "sparse_top_matches"
    wants_labels = True

    from_sorted_ids = Argument(flag)

    def __init__(self, k: int = 5, name: str | None = None, dtype: Any = None, from_sorted_ids: bool = False) -> None:
        super().__init__(k, name, dtype)
        self.from_sorted_ids = from_sorted_ids
        if self.from_sorted_ids:
            self.engine_kernel = None  # type: ignore[assignment]  # declared by a class that always has one

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return class numbers."""
        return label_array(who, "y_true", y, 2**62 if self.from_sorted_ids else columns)

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 or 0 for each row."""
        if self.from_sorted_ids:
            found: Array = (y_pred[:, : self.k] == y_true[:, np.newaxis]).any(axis=1).astype(y_pred.dtype)
            return found
        return super().row_values(y_true, y_pred)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = super().get_config()
        return own | {"from_sorted_ids": True} if self.from_sorted_ids else own
