"""Metrics of right and wrong decisions: counts at thresholds, precision, recall, areas under curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, activations, config
from lamina._common.arguments import Argument, optional
from lamina._common.checks import choice, flag, integer, number, numbers, text
from lamina._data.arrays import scored_batch
from lamina.metrics.base import Metric, divide, scalar_or_array

__all__ = [
    "AUC",
    "FalseNegatives",
    "FalsePositives",
    "Precision",
    "PrecisionAtRecall",
    "Recall",
    "RecallAtPrecision",
    "SensitivityAtSpecificity",
    "SpecificityAtSensitivity",
    "TrueNegatives",
    "TruePositives",
]

Array = npt.NDArray[Any]


class _Counts(Metric):
    """True and false positives and negatives at ascending thresholds: an output is positive above the threshold."""

    def __init__(self, thresholds: Sequence[float], name: str | None, dtype: Any) -> None:
        super().__init__(name, dtype)
        self._ascending = np.asarray(thresholds, np.float64)
        # (2, columns, thresholds + 1), negative and positive targets
        self._counts: Array | None = None
        self.class_id: int | None = None
        self.top_k: int | None = None

    def _take(self, y_true: Array, y_pred: Array, weights: Array | None, each: bool = False) -> None:
        """Add a batch, all of shape (n, c); with `each` every column has counts of its own."""
        if self.top_k is not None:
            y_pred = _only_largest(y_pred, self.top_k)
        if self.class_id is not None:
            if self.class_id >= y_pred.shape[1]:
                raise ValueError(
                    f"{type(self).__name__}: class_id must be below {y_pred.shape[1]}, the number of columns; "
                    f"got {self.class_id}."
                )
            column = slice(self.class_id, self.class_id + 1)
            y_true, y_pred = y_true[:, column], y_pred[:, column]
            weights = None if weights is None else weights[:, column]
        columns = y_pred.shape[1] if each else 1
        shape = (2, columns, len(self._ascending) + 1)
        if self._counts is None:
            self._counts = np.zeros(shape)
        if self._counts.shape != shape and not self._counts.any():
            self._counts = np.zeros(shape)
        if self._counts.shape != shape:
            raise ValueError(f"{type(self).__name__}: batches must have the same columns.")
        # Scores are compared in their own precision, as Keras does.
        thresholds = self._ascending.astype(y_pred.dtype).astype(np.float64)
        arrays = [None if a is None else a.reshape(-1, columns) for a in (y_true, y_pred, weights)]
        for j in range(columns):
            counts = np.ascontiguousarray(self._counts[:, j : j + 1])
            true, scores, own = (None if a is None else np.ascontiguousarray(a[:, j : j + 1]) for a in arrays)
            _core.count_by_threshold(true, scores, None if own is None else own.reshape(-1), thresholds, counts)
            self._counts[:, j : j + 1] = counts

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take a batch in: y_true and y_pred of shape (..., c)."""
        targets, predictions, weights, _ = scored_batch(
            type(self).__name__, y_true, y_pred, sample_weight, self.targets, elements=True
        )
        if self.class_id is not None and np.ndim(y_pred) < 2:
            raise ValueError(
                f"{type(self).__name__}: with class_id y_pred must have shape (n, c); got {np.shape(y_pred)}."
            )
        self._take(targets, predictions, weights)

    def reset_state(self) -> None:
        """Forget everything."""
        super().reset_state()
        if self._counts is not None:
            self._counts = np.zeros_like(self._counts)

    # Which counts the metric is made of.
    _parts: tuple[str, ...] = ("true_positives", "true_negatives", "false_positives", "false_negatives")

    def state(self) -> dict[str, Array]:
        """Return the counts."""
        return {name: getattr(self, name) for name in self._parts}

    def _above(self, kind: int) -> Array:
        """Return the weight of targets of a kind (1: positive) above each threshold, shape (columns, thresholds)."""
        if self._counts is None:
            return np.zeros((1, len(self._ascending)))
        found: Array = np.cumsum(self._counts[kind][:, ::-1], axis=1)[:, ::-1]
        return found[:, 1:]

    def _below(self, kind: int) -> Array:
        if self._counts is None:
            return np.zeros((1, len(self._ascending)))
        found: Array = np.cumsum(self._counts[kind], axis=1)
        return found[:, :-1]

    @property
    def true_positives(self) -> Array:
        """Weight of positive targets above each threshold."""
        return _of_columns(self._above(1))

    @property
    def false_positives(self) -> Array:
        """Weight of negative targets above each threshold."""
        return _of_columns(self._above(0))

    @property
    def true_negatives(self) -> Array:
        """Weight of negative targets not above each threshold."""
        return _of_columns(self._below(0))

    @property
    def false_negatives(self) -> Array:
        """Weight of positive targets not above each threshold."""
        return _of_columns(self._below(1))


class _AtThresholds(_Counts):
    """A metric with one value a threshold, in the order in which thresholds were given."""

    def __init__(
        self,
        thresholds: float | Sequence[float] | None = None,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        who = type(self).__name__
        self._thresholds = _threshold_list(who, thresholds)
        single = thresholds is None or np.ndim(thresholds) == 0
        self._given: Any = None if thresholds is None else self._thresholds[0] if single else list(self._thresholds)
        order = np.argsort(self._thresholds, kind="stable")
        super().__init__([self._thresholds[i] for i in order], name, dtype)
        self._place = np.argsort(order, kind="stable")

    @property
    def thresholds(self) -> list[float]:
        """The thresholds, in the order in which they were given; counts were made with them, so they stay."""
        return list(self._thresholds)

    def _values(self) -> Array:
        raise NotImplementedError

    def result(self) -> Any:
        """Return the value, or one for each threshold."""
        return scalar_or_array(self._values()[self._place])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        given = self._given
        return super().get_config() | {"thresholds": list(given) if isinstance(given, (list, tuple)) else given}


class TruePositives(_AtThresholds):
    """Sum of the weights of positive targets whose output is above a threshold.

    Parameters
    ----------
    thresholds : float or sequence of float in [0, 1], optional
        0.5 if omitted; several give an array.
    name : str, optional
    dtype : None

    Examples
    --------
    >>> TruePositives()([[1], [1], [0]], [[0.9], [0.2], [0.8]])
    1.0
    """

    _parts = ("true_positives",)

    def _values(self) -> Array:
        return self.true_positives


class TrueNegatives(_AtThresholds):
    """Sum of the weights of negative targets whose output is not above a threshold; arguments as `TruePositives`."""

    _parts = ("true_negatives",)

    def _values(self) -> Array:
        return self.true_negatives


class FalsePositives(_AtThresholds):
    """Sum of the weights of negative targets whose output is above a threshold; arguments as `TruePositives`."""

    _parts = ("false_positives",)

    def _values(self) -> Array:
        return self.false_positives


class FalseNegatives(_AtThresholds):
    """Sum of the weights of positive targets whose output is not above a threshold; arguments as `TruePositives`."""

    _parts = ("false_negatives",)

    def _values(self) -> Array:
        return self.false_negatives


class _Retrieval(_AtThresholds):
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
        0.5 if omitted; several give an array.
    top_k : int, >= 1, optional
        Only the `top_k` largest outputs of a row can be positive; without thresholds they are.
    class_id : int, optional
        Only this column counts.
    name : str, optional
    dtype : None

    Examples
    --------
    >>> Precision()([[1], [1], [0]], [[0.9], [0.2], [0.8]])
    0.5
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
    0.5
    """

    _parts = ("true_positives", "false_negatives")

    def _values(self) -> Array:
        found: Array = divide(self.true_positives, self.true_positives + self.false_negatives)
        return found


# Thresholds that are counted at; a wider table than any targets fill.
_MOST_THRESHOLDS = 2**24


def _evenly(count: int) -> list[float]:
    return [(i + 1) / (count - 1) for i in range(count - 2)]


class _AtValue(_Counts):
    """The best value of one rate where another one is good enough."""

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
        count = integer(type(self).__name__, "num_thresholds", num_thresholds, 1, _MOST_THRESHOLDS)
        super().__init__([0.5] if count == 1 else [0.0, *_evenly(count), 1.0], name, dtype)
        setattr(self, self.argument, value)
        self.class_id = class_id

    # Which rate must be good enough.
    argument: str

    @property
    def num_thresholds(self) -> int:
        """The number of thresholds; counts were made at them, so it stays."""
        return len(self._ascending)

    def _rates(self) -> tuple[Array, Array]:
        """Return the rate that must be good enough, and the one that is wanted."""
        raise NotImplementedError

    def result(self) -> float:
        """Return the best value so far, 0 where there is none."""
        constrained, wanted = self._rates()
        return float(np.max(np.where(constrained >= getattr(self, self.argument), wanted, 0.0), initial=0.0))

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


def _in_any_case(who: str, name: str, value: Any, case: Callable[[str], str], choices: tuple[str, ...]) -> str:
    return str(choice(who, name, case(text(who, name, value)), choices))


class AUC(_Counts):
    """Area under the ROC or the precision-recall curve, from counts at thresholds.

    Parameters
    ----------
    num_thresholds : int, > 1
        Evenly from 0 to 1, both ends included.
    curve : {"ROC", "PR", "PRGAIN"}
    summation_method : {"interpolation", "minoring", "majoring"}
        Middle, lower or upper sums; for "PR" interpolation is that of Davis & Goadrich 2006. "PRGAIN" is the
        precision-recall-gain curve of Flach & Kull 2015.
    name : str, optional
    dtype : None
    thresholds : sequence of float in [0, 1], optional
        Instead of even ones; both ends are added.
    multi_label : bool
        Each column has an area, whose mean is returned.
    num_labels : int, optional
        With `multi_label`: the number of columns.
    label_weights : sequence of float, optional
        With `multi_label` of the columns' areas, else of the columns' outputs.
    from_logits : bool
        Whether `y_pred` is what a sigmoid would be applied to.

    Examples
    --------
    >>> AUC()([[0], [0], [1], [1]], [[0.0], [0.5], [0.3], [0.9]])
    0.75
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
            _evenly(integer(who, "num_thresholds", num_thresholds, 2, _MOST_THRESHOLDS))
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
        """Raise where arguments do not go with each other."""
        if self.num_labels is not None and not self.multi_label:
            raise ValueError("AUC: num_labels belongs to multi_label=True.")

    @property
    def num_thresholds(self) -> int:
        """The number of thresholds, both ends included; counts were made at them, so it stays."""
        return len(self._ascending)

    @property
    def thresholds(self) -> list[float]:
        """All thresholds, ascending."""
        return [float(t) for t in self._ascending]

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take a batch in: y_true and y_pred of shape (..., c)."""
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

    def result(self) -> float:
        """Return the area so far."""
        tp, fp, tn, fn = self._above(1), self._above(0), self._below(0), self._below(1)
        areas = self._area(tp, fp, tn, fn)
        if not self.multi_label:
            return float(areas[0])
        if self.label_weights is None:
            return float(areas.mean())
        weights = np.asarray(self.label_weights)
        return float(divide((areas * weights).sum(), weights.sum()))

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


def _of_columns(found: Array) -> Array:
    """Return one number a threshold, shape (thresholds,), or (thresholds, columns) where columns are counted apart."""
    own: Array = found[0] if len(found) == 1 else found.T
    return own


def _gains(tp: Array, fp: Array, tn: Array, fn: Array) -> tuple[Array, Array]:
    """Recall and precision gain, ``1 - P/N FN/TP`` and ``1 - P/N FP/TP`` (Flach & Kull 2015, definition 1).

    Recall gain is not below 0, and 0 where nothing is found; precision gain is 1 there.
    """
    ratio = divide(tp + fn, tn + fp)
    recall = np.where(tp > 0, np.maximum(1 - ratio * divide(fn, tp), 0), 0)
    return recall, 1 - ratio * divide(fp, tp)


def _interpolated_area(tp: Array, fp: Array, fn: Array) -> Array:
    """Area under the precision-recall curve, both counts linear between thresholds (Davis & Goadrich 2006, 3.2)."""
    positive = tp + fp
    slope = divide(tp[:, :-1] - tp[:, 1:], np.maximum(positive[:, :-1] - positive[:, 1:], 0))
    intercept = tp[:, 1:] - slope * positive[:, 1:]
    both = (positive[:, :-1] > 0) & (positive[:, 1:] > 0)
    ratio = np.where(both, divide(positive[:, :-1], np.maximum(positive[:, 1:], 0)), 1.0)
    terms = divide(slope * (tp[:, :-1] - tp[:, 1:] + intercept * np.log(ratio)), np.maximum(tp[:, 1:] + fn[:, 1:], 0))
    found: Array = terms.sum(axis=1)
    return found


def _threshold_list(who: str, thresholds: Any) -> list[float]:
    if thresholds is None:
        return [0.5]
    if isinstance(thresholds, float) and thresholds == -math.inf:
        return [-math.inf]
    found = numbers(who, "thresholds", thresholds, 0, 1)
    if not found:
        raise ValueError(f"{who}: thresholds must hold at least one number; got {thresholds!r}.")
    return found


def _only_largest(scores: Array, k: int) -> Array:
    """Return scores with all but the `k` largest of each row at -inf; of equal ones the first."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    kept = np.full_like(scores, -np.inf)
    np.put_along_axis(kept, order, np.take_along_axis(scores, order, axis=1), axis=1)
    return kept
