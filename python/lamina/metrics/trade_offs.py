"""Metrics: the best value of one rate among the thresholds at which another rate reaches a minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.arguments import Argument, optional
from lamina._common.checks import integer, number
from lamina._data.tensors import tensor
from lamina.metrics.base import divide
from lamina.metrics.thresholds import MOST_THRESHOLDS, ThresholdCounts, evenly

__all__ = ["PrecisionAtRecall", "RecallAtPrecision", "SensitivityAtSpecificity", "SpecificityAtSensitivity"]

Array = npt.NDArray[Any]


class _AtValue(ThresholdCounts):
    """Base class: the best value of one rate among the thresholds at which another rate reaches a minimum."""

    direction = "up"

    class_id = Argument(optional(integer), least=0)

    def __init__(
        self,
        value: float,
        num_thresholds: int = 200,
        class_id: int | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        count = integer(type(self).__name__, "num_thresholds", num_thresholds, 1, MOST_THRESHOLDS)
        super().__init__([0.5] if count == 1 else [0.0, *evenly(count), 1.0], name, dtype)
        setattr(self, self.argument, value)
        self.class_id = class_id

    # Name of the constructor's argument: the rate that must reach a minimum.
    argument: str

    @property
    def num_thresholds(self) -> int:
        """The number of thresholds; fixed, as the counts belong to them."""
        return len(self._ascending)

    def _rates(self) -> tuple[Array, Array]:
        """Return the rate that must reach a minimum, and the rate to maximize."""
        raise NotImplementedError(f"{type(self).__name__}: a trade-off between two rates defines _rates.")

    def result(self) -> Any:
        """Return the best value so far, 0 if no threshold reaches the minimum."""
        constrained, wanted = self._rates()
        return tensor(np.max(np.where(constrained >= getattr(self, self.argument), wanted, 0.0), initial=0.0))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            self.argument: getattr(self, self.argument),
            "num_thresholds": self.num_thresholds,
            "class_id": self.class_id,
        }

    def _sensitivity(self) -> Array:
        found: Array = divide(self.true_positives, self.true_positives + self.false_negatives)
        return found

    def _specificity(self) -> Array:
        found: Array = divide(self.true_negatives, self.true_negatives + self.false_positives)
        return found

    def _precision(self) -> Array:
        found: Array = divide(self.true_positives, self.true_positives + self.false_positives)
        return found


class SensitivityAtSpecificity(_AtValue):
    """Best sensitivity ``TP / (TP + FN)`` where the specificity ``TN / (TN + FP)`` is at least a value.

    Parameters
    ----------
    specificity : float in [0, 1]
    num_thresholds : int, >= 1
    class_id : int, optional
    name : str, optional
    dtype : None
    """

    argument = "specificity"
    specificity = Argument(number, 0, 1)

    def __init__(self, specificity: float, num_thresholds: int = 200, *others: Any, **named: Any) -> None:
        super().__init__(specificity, num_thresholds, *others, **named)

    def _rates(self) -> tuple[Array, Array]:
        return self._specificity(), self._sensitivity()


class SpecificityAtSensitivity(_AtValue):
    """Best specificity where the sensitivity is at least a value; arguments as `SensitivityAtSpecificity`."""

    argument = "sensitivity"
    sensitivity = Argument(number, 0, 1)

    def __init__(self, sensitivity: float, num_thresholds: int = 200, *others: Any, **named: Any) -> None:
        super().__init__(sensitivity, num_thresholds, *others, **named)

    def _rates(self) -> tuple[Array, Array]:
        return self._sensitivity(), self._specificity()


class PrecisionAtRecall(_AtValue):
    """Best precision where the recall is at least a value; arguments as `SensitivityAtSpecificity`."""

    argument = "recall"
    recall = Argument(number, 0, 1)

    def __init__(self, recall: float, num_thresholds: int = 200, *others: Any, **named: Any) -> None:
        super().__init__(recall, num_thresholds, *others, **named)

    def _rates(self) -> tuple[Array, Array]:
        return self._sensitivity(), self._precision()


class RecallAtPrecision(_AtValue):
    """Best recall where the precision is at least a value; arguments as `SensitivityAtSpecificity`."""

    argument = "precision"
    precision = Argument(number, 0, 1)

    def __init__(self, precision: float, num_thresholds: int = 200, *others: Any, **named: Any) -> None:
        super().__init__(precision, num_thresholds, *others, **named)

    def _rates(self) -> tuple[Array, Array]:
        return self._precision(), self._sensitivity()
