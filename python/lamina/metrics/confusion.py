"""Metrics of the confusion matrix: counts at thresholds, precision, recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.arguments import Argument, optional
from lamina._common.checks import integer
from lamina.metrics.base import divide
from lamina.metrics.thresholds import AtThresholds

__all__ = ["FalseNegatives", "FalsePositives", "Precision", "Recall", "TrueNegatives", "TruePositives"]

Array = npt.NDArray[Any]


class TruePositives(AtThresholds):
    """Sum of the weights of positive targets whose output is above a threshold.

    Parameters
    ----------
    thresholds : float or sequence of float in [0, 1], optional
        0.5 if omitted; the result for several is an array.
    name : str, optional
    dtype : None

    Examples
    --------
    >>> TruePositives()([[1], [1], [0]], [[0.9], [0.2], [0.8]])
    Tensor(1.)
    """

    _parts = ("true_positives",)

    def _values(self) -> Array:
        return self.true_positives


class TrueNegatives(AtThresholds):
    """Sum of the weights of negative targets whose output is not above a threshold; arguments as `TruePositives`."""

    _parts = ("true_negatives",)

    def _values(self) -> Array:
        return self.true_negatives


class FalsePositives(AtThresholds):
    """Sum of the weights of negative targets whose output is above a threshold; arguments as `TruePositives`."""

    _parts = ("false_positives",)

    def _values(self) -> Array:
        return self.false_positives


class FalseNegatives(AtThresholds):
    """Sum of the weights of positive targets whose output is not above a threshold; arguments as `TruePositives`."""

    _parts = ("false_negatives",)

    def _values(self) -> Array:
        return self.false_negatives


class _Retrieval(AtThresholds):
    direction = "up"

    top_k = Argument(optional(integer))
    class_id = Argument(optional(integer), least=0)

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        if thresholds is None and top_k is not None:
            thresholds = -np.inf
        super().__init__(thresholds, name, dtype)
        self.top_k, self.class_id = top_k, class_id

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = super().get_config() | {"top_k": self.top_k, "class_id": self.class_id}
        return own if own["thresholds"] != -np.inf else own | {"thresholds": None}


class Precision(_Retrieval):
    """Share of positive targets among outputs above a threshold: ``TP / (TP + FP)``, 0 where there are none.

    Parameters
    ----------
    thresholds : float or sequence of float in [0, 1], optional
        0.5 if omitted; the result for several is an array.
    top_k : int, >= 1, optional
        Only the `top_k` largest outputs of a row can be positive; without thresholds all of these are.
    class_id : int, optional
        Only this column counts.
    name : str, optional
    dtype : None

    Examples
    --------
    >>> Precision()([[1], [1], [0]], [[0.9], [0.2], [0.8]])
    Tensor(0.5)
    """

    _parts = ("true_positives", "false_positives")

    def _values(self) -> Array:
        found: Array = divide(self.true_positives, self.true_positives + self.false_positives)
        return found


class Recall(_Retrieval):
    """Share of positive targets that are found: ``TP / (TP + FN)``; arguments as `Precision`.

    Examples
    --------
    >>> Recall()([[1], [1], [0]], [[0.9], [0.2], [0.8]])
    Tensor(0.5)
    """

    _parts = ("true_positives", "false_negatives")

    def _values(self) -> Array:
        found: Array = divide(self.true_positives, self.true_positives + self.false_negatives)
        return found
