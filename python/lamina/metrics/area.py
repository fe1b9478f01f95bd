"""AUC: the area under the ROC or the precision-recall curve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import activations, config
from lamina._common.arguments import Argument, optional
from lamina._common.checks import choice, flag, integer, numbers, text
from lamina._data.arrays import scored_batch
from lamina._data.tensors import tensor
from lamina.metrics.base import divide
from lamina.metrics.thresholds import MOST_THRESHOLDS, ThresholdCounts, evenly

__all__ = ["AUC"]

Array = npt.NDArray[Any]


def _in_any_case(who: str, name: str, value: Any, case: Callable[[str], str], choices: tuple[str, ...]) -> str:
    return str(choice(who, name, case(text(who, name, value)), choices))


class AUC(ThresholdCounts):
    """Area under the ROC or the precision-recall curve, from counts at thresholds.

    Parameters
    ----------
    num_thresholds : int, > 1
        Number of thresholds, evenly spaced from 0 to 1, both ends included.
    curve : {"ROC", "PR", "PRGAIN"}
    summation_method : {"interpolation", "minoring", "majoring"}
        Middle, lower or upper sums; for "PR" interpolation is that of Davis & Goadrich 2006. "PRGAIN" is the
        precision-recall-gain curve of Flach & Kull 2015.
    name : str, optional
    dtype : None
    thresholds : sequence of float in [0, 1], optional
        Used instead of evenly spaced thresholds; both ends are added.
    multi_label : bool
        Compute the area of each column and return the mean.
    num_labels : int, optional
        With `multi_label`: the number of columns.
    label_weights : sequence of float, optional
        Weights of the columns' areas with `multi_label`, else of the columns' outputs.
    from_logits : bool
        Whether `y_pred` holds logits, to which a sigmoid would be applied.

    Examples
    --------
    >>> AUC()([[0], [0], [1], [1]], [[0.0], [0.5], [0.3], [0.9]])
    Tensor(0.75)
    """

    direction = "up"

    curve = Argument(_in_any_case, str.upper, ("ROC", "PR", "PRGAIN"))
    summation_method = Argument(_in_any_case, str.lower, ("interpolation", "minoring", "majoring"))
    multi_label = Argument(flag)
    num_labels = Argument(optional(integer))
    label_weights = Argument(optional(numbers), least=0)
    from_logits = Argument(flag)

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: Any = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
    ) -> None:
        who = "AUC"
        self._given = None if thresholds is None else numbers(who, "thresholds", thresholds, 0, 1)
        inner = (
            evenly(integer(who, "num_thresholds", num_thresholds, 2, MOST_THRESHOLDS))
            if self._given is None
            else self._given
        )
        margin = config.epsilon()
        super().__init__([-margin, *sorted(inner), 1 + margin], name, dtype)
        self.curve, self.summation_method = curve, summation_method
        self.multi_label, self.num_labels, self.label_weights = multi_label, num_labels, label_weights
        self.from_logits = from_logits
        self.check_together()

    def check_together(self) -> None:
        """Raise if the arguments contradict each other."""
        if self.num_labels is not None and not self.multi_label:
            raise ValueError("AUC: num_labels belongs to multi_label=True.")

    @property
    def num_thresholds(self) -> int:
        """The number of thresholds, both ends included; fixed, as the counts belong to them."""
        return len(self._ascending)

    @property
    def thresholds(self) -> list[float]:
        """All thresholds, ascending."""
        return [float(t) for t in self._ascending]

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch: y_true and y_pred of shape (..., c)."""
        targets, predictions, weights, _ = scored_batch(
            "AUC", y_true, y_pred, sample_weight, self.targets, elements=True
        )
        columns = predictions.shape[1]
        if self.num_labels not in (None, columns):
            raise ValueError(f"AUC: y_pred must have num_labels columns, {self.num_labels}; got {columns}.")
        if self.label_weights is not None and len(self.label_weights) != columns:
            raise ValueError(f"AUC: label_weights must be one a column, {columns}; got {len(self.label_weights)}.")
        if self.from_logits:
            predictions = activations.sigmoid(predictions)
        if self.label_weights is not None and not self.multi_label:
            own = np.ones_like(predictions) if weights is None else weights
            weights = own * np.asarray(self.label_weights, predictions.dtype)
        self._take(targets, predictions, weights, self.multi_label)

    def result(self) -> Any:
        """Return the area so far."""
        tp, fp, tn, fn = self._above(1), self._above(0), self._below(0), self._below(1)
        areas = self._area(tp, fp, tn, fn)
        if not self.multi_label:
            return tensor(areas[0])
        if self.label_weights is None:
            return tensor(areas.mean())
        weights = np.asarray(self.label_weights)
        return tensor(divide((areas * weights).sum(), weights.sum()))

    def _area(self, tp: Array, fp: Array, tn: Array, fn: Array) -> Array:
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_area(tp, fp, fn)
        if self.curve == "ROC":
            x, y = divide(fp, fp + tn), divide(tp, tp + fn)
        elif self.curve == "PR":
            x, y = divide(tp, tp + fn), divide(tp, tp + fp)
        else:
            x, y = _gains(tp, fp, tn, fn)
        left, right = y[:, :-1], y[:, 1:]
        heights = {
            "interpolation": (left + right) / 2,
            "minoring": np.minimum(left, right),
            "majoring": np.maximum(left, right),
        }[self.summation_method]
        found: Array = ((x[:, :-1] - x[:, 1:]) * heights).sum(axis=1)
        return found

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        own = super().get_config() | {
            "num_thresholds": self.num_thresholds,
            "curve": self.curve,
            "summation_method": self.summation_method,
            "multi_label": self.multi_label,
            "num_labels": self.num_labels,
            "label_weights": self.label_weights,
            "from_logits": self.from_logits,
        }
        return own if self._given is None else own | {"thresholds": self._given}


def _gains(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
    """Recall and precision gain, ``1 - P/N FN/TP`` and ``1 - P/N FP/TP`` (Flach & Kull 2015, definition 1).

    Recall gain is at least 0. Without true positives it is 0, and precision gain is 1.
    """
    ratio = divide(tp + fn, tn + fp)
    recall = np.where(tp > 0, np.maximum(1 - ratio * divide(fn, tp), 0), 0)
    return recall, 1 - ratio * divide(fp, tp)


def _interpolated_area(tp: Array, fp: Array, fn: Array) -> Array:
    """Area under the precision-recall curve, both counts interpolated linearly (Davis & Goadrich 2006, 3.2)."""
    positive = tp + fp
    slope = divide(tp[:, :-1] - tp[:, 1:], np.maximum(positive[:, :-1] - positive[:, 1:], 0))
    intercept = tp[:, 1:] - slope * positive[:, 1:]
    both = (positive[:, :-1] > 0) & (positive[:, 1:] > 0)
    ratio = np.where(both, divide(positive[:, :-1], np.maximum(positive[:, 1:], 0)), 1.0)
    terms = divide(slope * (tp[:, :-1] - tp[:, 1:] + intercept * np.log(ratio)), np.maximum(tp[:, 1:] + fn[:, 1:], 0))
    found: Array = terms.sum(axis=1)
    return found
