"""Losses: classes with Keras's names and values.

A loss of ``n`` rows is the mean of the rows' losses (``"sum_over_batch_size"``); the formula of a row's loss is
in each class. Arguments come as in Keras: ``y_true`` first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._arrays import label_array, scored_batch, target_array
from lamina._checks import flag, number
from lamina._names import look_up, registry, snake_case
from lamina._names import serialize as serialize

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "L2Norm",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "get",
    "serialize",
]

Array = npt.NDArray[Any]

REDUCTIONS = ("sum_over_batch_size", "sum", "none", None)


class RowLosses(NamedTuple):
    """Loss of each row, weighted, and the gradient with respect to what the loss was given."""

    values: Array
    gradient: Array | None


class Loss:
    """Base class of losses. One written in Python defines `value_and_gradient`.

    Parameters
    ----------
    reduction : {"sum_over_batch_size", "sum", "none", None}
        What a call returns: the mean over rows, their sum, or each row's loss.
    name : str, optional
    """

    # Name of the compiled loss, None for one that is written in Python; and of the one that takes logits.
    kernel: str | None = None
    logits_kernel: str | None = None
    # The output activation that the logits kernel includes.
    logits_activation: str | None = None

    def __init__(self, reduction: str | None = "sum_over_batch_size", name: str | None = None) -> None:
        if reduction not in REDUCTIONS:
            raise ValueError(
                f"{type(self).__name__}: reduction must be 'sum_over_batch_size', 'sum', 'none' or None; "
                f"got {reduction!r}."
            )
        self.reduction = reduction
        self.name = name if name is not None else snake_case(type(self).__name__)
        self.from_logits = False

    def parameter(self) -> float | None:
        """Return the kernel's parameter: the label smoothing where there is one."""
        return None

    def value_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Return each row's loss, shape (n,), and its gradient with respect to `y_pred`, shape (n, c).

        For losses written in Python; neither takes weights or the reduction into account.
        """
        raise NotImplementedError(f"{type(self).__name__}: a loss defines value_and_gradient.")

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets as the kernel takes them, or raise: nothing is broadcast.

        Parameters
        ----------
        dtype : str or None
            None leaves numbers in their own dtype.
        """
        return target_array(who, "y", y, columns, dtype)

    def evaluate(
        self,
        y_true: Array,
        y_pred: Array,
        sample_weight: Array | None = None,
        *,
        logits: bool = False,
        need_gradient: bool = False,
        gradient_scale: float = 1.0,
    ) -> RowLosses:
        """Return the rows' losses and gradients for arrays that are already as kernels take them.

        Parameters
        ----------
        logits : bool
            Whether `y_pred` is what comes before the output activation.
        gradient_scale : float
            Factor of the gradient alone.
        """
        if self.kernel is None:
            values, gradient = self.value_and_gradient(y_true, y_pred)
            if sample_weight is not None:
                values, gradient = values * sample_weight, gradient * sample_weight[:, np.newaxis]
            return RowLosses(values, gradient * gradient_scale if need_gradient else None)
        kernel = self.logits_kernel if logits or self.from_logits else self.kernel
        assert kernel is not None
        values, gradient = _core.evaluate_loss(
            kernel, y_pred, y_true, sample_weight, self.parameter(), None, None, need_gradient, gradient_scale
        )
        return RowLosses(values, gradient)

    def gradient_scale(self, rows: int) -> float:
        """Return the factor that makes the rows' gradients those of the reduced loss."""
        return 1.0 / max(1, rows) if self.reduction == "sum_over_batch_size" else 1.0

    def reduce(self, values: Array) -> float:
        """Return mean or sum of the rows' losses, accumulated in float64."""
        return _core.sum(np.ascontiguousarray(values), None) * self.gradient_scale(len(values))

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Return the loss of a batch.

        Parameters
        ----------
        y_true : array_like, shape (n, c), or (n,) where c is 1 or labels are class numbers
        y_pred : array_like, shape (n, c)
        sample_weight : array_like, shape (n,), optional

        Returns
        -------
        float, or ndarray of shape (n,) for reduction None

        Raises
        ------
        TypeError, ValueError
            Shapes or dtypes do not fit.
        """
        targets, predictions, weights = scored_batch(type(self).__name__, y_true, y_pred, sample_weight, self.targets)
        values = self.evaluate(targets, predictions, weights).values
        return values if self.reduction in ("none", None) else self.reduce(values)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same loss."""
        return {"reduction": self.reduction, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Loss:
        """Return a loss from `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, reduction={self.reduction}>"


class MeanSquaredError(Loss):
    """``mean_j((y_pred_j - y_true_j)²)`` of a row; gradient ``2 (y_pred - y_true) / c``.

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 2.0]])
    2.5
    """

    kernel = "mse"


class MeanAbsoluteError(Loss):
    """``mean_j(|y_pred_j - y_true_j|)`` of a row; gradient ``sign(y_pred - y_true) / c``.

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, 2.0]])
    1.5
    """

    kernel = "mae"


class L2Norm(Loss):
    """``‖y_pred - y_true‖₂`` of a row; gradient ``(y_pred - y_true) / ‖y_pred - y_true‖₂``, 0 where they are equal.

    Examples
    --------
    >>> L2Norm()([[0.0, 0.0]], [[3.0, 4.0]])
    5.0
    """

    kernel = "l2_norm"


class _ProbabilityLoss(Loss):
    """A loss of probabilities, or with `from_logits` of what becomes probabilities."""

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        who = type(self).__name__
        self.from_logits = flag(who, "from_logits", from_logits)
        self.label_smoothing = number(who, "label_smoothing", label_smoothing, 0, 1)

    def parameter(self) -> float | None:
        """Return the label smoothing."""
        return self.label_smoothing

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return target probabilities."""
        array = super().targets(who, y, columns, dtype)
        if array.size and (array.min() < 0 or array.max() > 1):
            raise ValueError(
                f"{who}: y must be probabilities in [0, 1] for {self.name!r}; got values from {array.min():g} to "
                f"{array.max():g}."
            )
        return array

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"from_logits": self.from_logits, "label_smoothing": self.label_smoothing}


class BinaryCrossentropy(_ProbabilityLoss):
    """``mean_j(-t_j log(p_j) - (1 - t_j) log(1 - p_j))`` of a row, for probabilities ``p`` and targets ``t``.

    After a sigmoid output, and with `from_logits`, it is computed from the logits and exact; else ``p`` is kept within
    ``[1e-7, 1 - 1e-7]``.

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` is what a sigmoid would be applied to.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / 2``.
    reduction, name
        As in `Loss`.

    Examples
    --------
    >>> round(BinaryCrossentropy()([[1.0]], [[0.5]]), 6)
    0.693147
    """

    kernel = "binary_cross_entropy"
    logits_kernel = "sigmoid_cross_entropy"
    logits_activation = "sigmoid"


class CategoricalCrossentropy(_ProbabilityLoss):
    """``-Σ_j t_j log(p_j)`` of a row, for probabilities ``p`` and a target distribution ``t`` (one-hot, say).

    After a softmax output, and with `from_logits`, it is computed from the logits and exact; else ``p`` is divided by
    its sum and kept within ``[1e-7, 1 - 1e-7]``.

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` is what a softmax would be applied to.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / c``.
    reduction, name
        As in `Loss`.

    Examples
    --------
    >>> round(CategoricalCrossentropy(from_logits=True)([[0, 1, 0, 0]], [[2.0, -1.0, 5.0, 0.0]]), 6)
    6.057329
    """

    kernel = "categorical_cross_entropy"
    logits_kernel = "softmax_cross_entropy"
    logits_activation = "softmax"


class SparseCategoricalCrossentropy(Loss):
    """``-log(p_y)`` of a row, for probabilities ``p`` and a class number ``y``.

    Targets are whole numbers in ``[0, c)`` of shape ``(n,)`` or ``(n, 1)``. Otherwise as `CategoricalCrossentropy`.

    Parameters
    ----------
    from_logits : bool
    reduction, name
        As in `Loss`.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy(from_logits=True)([1], [[2.0, -1.0, 5.0, 0.0]]), 6)
    6.057329
    """

    kernel = "categorical_cross_entropy"
    logits_kernel = "softmax_cross_entropy"
    logits_activation = "softmax"

    def __init__(
        self,
        from_logits: bool = False,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
    ) -> None:
        super().__init__(reduction, name)
        self.from_logits = flag(type(self).__name__, "from_logits", from_logits)

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return class numbers."""
        return label_array(who, "y", y, columns)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"from_logits": self.from_logits}


_CLASSES: dict[str, type[Loss]] = registry(
    (MeanSquaredError, "mse MSE mean_squared_error"),
    (MeanAbsoluteError, "mae MAE mean_absolute_error"),
    (L2Norm, "l2_norm"),
    (BinaryCrossentropy, "bce BCE binary_crossentropy"),
    (CategoricalCrossentropy, "categorical_crossentropy"),
    (SparseCategoricalCrossentropy, "sparse_categorical_crossentropy"),
)


def get(identifier: object) -> Loss:
    """Return a loss from a name, a configuration, a class or an instance.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.

    Examples
    --------
    >>> get("mse").name
    'mean_squared_error'
    """
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        raise TypeError(
            "losses.get: loss must be a name or a Loss; got a function, whose gradient is not known. "
            "Subclass lamina.losses.Loss instead."
        )
    return look_up("losses.get", "loss", identifier, _CLASSES, Loss)
