"""Losses as metrics: the mean over all rows seen, with the formulas of `lamina.losses`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import losses
from lamina._common.names import redefines
from lamina._data.arrays import real_array, scored_batch
from lamina._data.tensors import tensor
from lamina.losses import Loss
from lamina.losses.base import along_last
from lamina.metrics.base import Metric

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
]

Array = npt.NDArray[Any]


class _LossMetric(Metric):
    """Base class: the mean of a loss over rows."""

    numbered = False
    direction: str | None = "down"
    engine_kernel: str | None = None  # set for each instance
    loss_class: type[Loss]

    def __init__(self, name: str | None = None, dtype: Any = None, **loss_arguments: Any) -> None:
        super().__init__(name, dtype)
        self._loss = self.loss_class(**loss_arguments)
        self._loss_arguments = loss_arguments
        self.converts_targets = self._loss.converts_targets
        self.engine_kernel = self._loss.logits_kernel if self._loss.from_logits else self._loss.kernel

    def parameters(self) -> dict[str, float]:
        """Return the loss's parameters."""
        return self._loss.parameters()

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch to the mean; arguments as `Metric.update_state`."""
        who, axis = type(self).__name__, getattr(self._loss, "axis", -1)
        y_true, y_pred = real_array(who, "y_true", y_true), real_array(who, "y_pred", y_pred)
        y_true, y_pred = (along_last(who, y, axis, y_pred.ndim) for y in (y_true, y_pred))
        super().update_state(y_true, y_pred, sample_weight)

    def check_rank(self, who: str, rank: int) -> None:
        """Raise unless the loss's axis, if it has one, is the last axis of a model's output."""
        axis = getattr(self._loss, "axis", -1)
        if axis not in (-1, rank - 1):
            raise ValueError(
                f"{who}: axis of the metric {self.name!r} must be the last of the output's {rank} axes; got {axis}."
            )

    @property
    def takes_batches(self) -> bool:
        """Whether a subclass overrides `update_state`: the one of this class only moves an axis to the end."""
        return redefines(type(self), "update_state", "takes_engine_targets")

    takes_engine_targets = True

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets in the form that the loss takes."""
        return self._loss.targets(who, y, columns, dtype)

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the rows' losses."""
        return self._loss.evaluate(y_true, y_pred).values

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | self._loss_arguments


class MeanSquaredError(_LossMetric):
    """Mean over rows of ``mean_j((y_pred_j - y_true_j)²)``."""

    loss_class = losses.MeanSquaredError


class RootMeanSquaredError(_LossMetric):
    """Root of the mean over rows of ``mean_j((y_pred_j - y_true_j)²)``.

    Examples
    --------
    >>> RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [4.0]]).__round__(6)
    3.535534
    """

    loss_class = losses.MeanSquaredError
    by_element = True

    def result(self) -> Any:
        """Return the root of the mean so far."""
        mean = float(super().result())
        return tensor(math.sqrt(mean) if mean >= 0 else math.nan)


class MeanAbsoluteError(_LossMetric):
    """Mean over rows of ``mean_j(|y_pred_j - y_true_j|)``."""

    loss_class = losses.MeanAbsoluteError


class MeanAbsolutePercentageError(_LossMetric):
    """Mean over rows of `lamina.losses.MeanAbsolutePercentageError`."""

    loss_class = losses.MeanAbsolutePercentageError


class MeanSquaredLogarithmicError(_LossMetric):
    """Mean over rows of `lamina.losses.MeanSquaredLogarithmicError`."""

    loss_class = losses.MeanSquaredLogarithmicError


class LogCoshError(_LossMetric):
    """Mean over rows of `lamina.losses.LogCosh`."""

    loss_class = losses.LogCosh

    def __init__(self, name: str | None = "logcosh", dtype: Any = None) -> None:
        super().__init__(name, dtype)


class Poisson(_LossMetric):
    """Mean over rows of `lamina.losses.Poisson`."""

    loss_class = losses.Poisson


class KLDivergence(_LossMetric):
    """Mean over rows of `lamina.losses.KLDivergence`."""

    loss_class = losses.KLDivergence


class Hinge(_LossMetric):
    """Mean over rows of `lamina.losses.Hinge`."""

    loss_class = losses.Hinge


class SquaredHinge(_LossMetric):
    """Mean over rows of `lamina.losses.SquaredHinge`."""

    loss_class = losses.SquaredHinge


class CategoricalHinge(_LossMetric):
    """Mean over rows of `lamina.losses.CategoricalHinge`."""

    loss_class = losses.CategoricalHinge


class CosineSimilarity(_LossMetric):
    """Mean over rows of the cosine of the angle between output and target: 1 where both point the same way.

    Parameters
    ----------
    name : str, optional
    dtype : None
    axis : int
    """

    loss_class = losses.CosineSimilarity
    direction = "up"

    def __init__(self, name: str | None = None, dtype: Any = None, axis: int = -1) -> None:
        super().__init__(name, dtype, axis=axis)

    def result(self) -> Any:
        """Return the mean so far."""
        return -super().result() if self.count else tensor(0.0)


class BinaryCrossentropy(_LossMetric):
    """Mean over rows of `lamina.losses.BinaryCrossentropy`.

    Parameters
    ----------
    name : str, optional
    dtype : None
    from_logits : bool
    label_smoothing : float in [0, 1]
    """

    loss_class = losses.BinaryCrossentropy

    def __init__(
        self, name: str | None = None, dtype: Any = None, from_logits: bool = False, label_smoothing: float = 0.0
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing)


class CategoricalCrossentropy(_LossMetric):
    """Mean over rows of `lamina.losses.CategoricalCrossentropy`.

    Parameters
    ----------
    name : str, optional
    dtype : None
    from_logits : bool
    label_smoothing : float in [0, 1]
    axis : int
    """

    loss_class = losses.CategoricalCrossentropy

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(_LossMetric):
    """Mean over rows of `lamina.losses.SparseCategoricalCrossentropy`.

    Parameters
    ----------
    name : str, optional
    dtype : None
    from_logits : bool
    ignore_class : int, optional
        Rows of this class have loss 0; with sample weights they do not count at all. Both as in Keras.
    axis : int
    """

    loss_class = losses.SparseCategoricalCrossentropy
    wants_labels = True

    def __init__(
        self,
        name: str | None = None,
        dtype: Any = None,
        from_logits: bool = False,
        ignore_class: int | None = None,
        axis: int = -1,
    ) -> None:
        super().__init__(name, dtype, from_logits=from_logits, ignore_class=ignore_class, axis=axis)

    @property
    def ignore_class(self) -> int | None:
        """The class whose rows have loss 0."""
        found: Any = self._loss
        ignored: int | None = found.ignore_class
        return ignored

    @property
    def takes_batches(self) -> bool:
        """Whether a class is ignored, which `update_state` does, or a subclass overrides `update_state`."""
        return self.ignore_class is not None or super().takes_batches

    takes_engine_targets = True

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch to the mean; arguments as `Metric.update_state`."""
        if self.ignore_class is None or sample_weight is None:
            return super().update_state(y_true, y_pred, sample_weight)
        targets, predictions, weights, _ = scored_batch(
            type(self).__name__, y_true, y_pred, sample_weight, self.targets
        )
        assert weights is not None
        return self.add_rows(self.row_values(targets, predictions), np.where(targets == self.ignore_class, 0, weights))
