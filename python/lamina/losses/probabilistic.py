"""Losses of probabilities, and of the logits that become probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.arguments import Argument, optional
from lamina._common.checks import flag, integer, number
from lamina._common.warn import warn
from lamina._data.arrays import label_array
from lamina.losses.base import AlongAxis

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "SparseCategoricalCrossentropy",
]

Array = npt.NDArray[Any]


def warn_of_one_class(name: str, columns: int) -> None:
    """Warn, as Keras does, if a loss of several classes is given one column: it is 0 for any output."""
    if columns == 1:
        warn(
            f"{name}: the output has one column, and so one class, of which the loss is always 0. For two classes in "
            "one column take 'binary_crossentropy'."
        )


class _ProbabilityLoss(AlongAxis):
    """Base class of losses of probabilities, or of logits with `from_logits`."""

    axis = Argument(integer, -(2**31))
    from_logits = Argument(flag)
    label_smoothing = Argument(number, 0, 1)

    # Whether targets outside of [0, 1] are refused.
    only_probabilities = True

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis, self.from_logits, self.label_smoothing = axis, from_logits, label_smoothing

    def parameters(self) -> dict[str, float]:
        """Return the kernel's parameters by name."""
        return {"label_smoothing": self.label_smoothing}

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return target probabilities."""
        array = super().targets(who, y, columns, dtype)
        if not self.only_probabilities and not self.label_smoothing:
            if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
                raise ValueError(f"{who}: y must be finite for {self.name!r}; it holds NaN or infinite values.")
            return array
        if array.size and not (array.min() >= 0 and array.max() <= 1):  # NaN is no probability
            raise ValueError(
                f"{who}: y must be probabilities in [0, 1] for {self.name!r}; got values from {array.min():g} to "
                f"{array.max():g}."
            )
        return array

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "from_logits": self.from_logits,
            "label_smoothing": self.label_smoothing,
            "axis": self.axis,
        }


class BinaryCrossentropy(_ProbabilityLoss):
    """``mean_j(-t_j log(p_j) - (1 - t_j) log(1 - p_j))`` of a row, for probabilities ``p`` and targets ``t``.

    After a sigmoid output, and with `from_logits`, it is computed exactly from the logits; else ``p`` is clipped to
    ``[1e-7, 1 - 1e-7]``.

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits, to which a sigmoid would be applied.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / 2``.
    axis : int
    reduction, name, dtype
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
    """``-Σ_j t_j log(p_j)`` of a row, for probabilities ``p`` and a target distribution ``t``, such as one-hot.

    Targets may be any numbers, as a policy gradient has them: a one-hot row times an advantage.

    After a softmax output, and with `from_logits`, it is computed exactly from the logits; else ``p`` is divided by
    its sum and clipped to ``[1e-7, 1 - 1e-7]``.

    Parameters
    ----------
    from_logits : bool
        Whether `y_pred` holds logits, to which a softmax would be applied.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / c``.
    axis : int
    reduction, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> round(CategoricalCrossentropy(from_logits=True)([[0, 1, 0, 0]], [[2.0, -1.0, 5.0, 0.0]]), 6)
    6.057329
    """

    only_probabilities = False

    kernel = "categorical_cross_entropy"
    logits_kernel = "softmax_cross_entropy"
    logits_activation = "softmax"

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return target probabilities."""
        warn_of_one_class(self.name, columns)
        return super().targets(who, y, columns, dtype)


class SparseCategoricalCrossentropy(AlongAxis):
    """``-log(p_y)`` of a row, for probabilities ``p`` and a class number ``y``.

    Targets are whole numbers in ``[0, c)`` of shape ``(n,)`` or ``(n, 1)``. Otherwise as `CategoricalCrossentropy`.

    Parameters
    ----------
    from_logits : bool
    ignore_class : int, optional
        Rows of this class have loss 0 and do not count for the mean. It need not be one of the classes, such as -1.
    reduction, axis, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> round(SparseCategoricalCrossentropy(from_logits=True)([1], [[2.0, -1.0, 5.0, 0.0]]), 6)
    6.057329
    """

    kernel = "categorical_cross_entropy"
    logits_kernel = "softmax_cross_entropy"
    logits_activation = "softmax"

    from_logits = Argument(flag)
    ignore_class = Argument(optional(integer), -(2**24))
    axis = Argument(integer, -(2**31))

    def __init__(
        self,
        from_logits: bool = False,
        ignore_class: int | None = None,
        reduction: str | None = "sum_over_batch_size",
        axis: int = -1,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.from_logits, self.ignore_class, self.axis = from_logits, ignore_class, axis

    def parameters(self) -> dict[str, float]:
        """Return the kernel's parameters by name."""
        return {} if self.ignore_class is None else {"ignores": 1.0, "ignored_class": float(self.ignore_class)}

    def rows_counted(self, y_true: Array, sample_weight: Array | None) -> float:
        """Return the divisor of the sum of the rows' losses; rows of the ignored class do not count."""
        if self.ignore_class is None or self.divisor() == "one":
            return super().rows_counted(y_true, sample_weight)
        counted = y_true != self.ignore_class
        return super().rows_counted(y_true[counted], None if sample_weight is None else sample_weight[counted])

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return class numbers."""
        return label_array(who, "y", y, columns, self.ignore_class)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "from_logits": self.from_logits,
            "ignore_class": self.ignore_class,
            "axis": self.axis,
        }


class _FocalLoss(_ProbabilityLoss):
    """Base class of the focal losses."""

    alpha = Argument(number, least=0)
    gamma = Argument(number, least=0)

    def __init__(self, alpha: float, gamma: float, **others: Any) -> None:
        super().__init__(**others)
        self.alpha, self.gamma = alpha, gamma

    def parameters(self) -> dict[str, float]:
        """Return the kernel's parameters by name."""
        smoothing = super().parameters()
        return smoothing | {"gamma": self.gamma, "alpha": self.balance(), "from_logits": float(self.from_logits)}

    def balance(self) -> float:
        """Return alpha, or -1 for no class balancing."""
        return self.alpha

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"alpha": self.alpha, "gamma": self.gamma}


class BinaryFocalCrossentropy(_FocalLoss):
    """Binary cross-entropy, reduced for good predictions: ``mean_j(w_j (1 - q_j)^gamma BCE_j)`` of a row.

    ``q = t p + (1 - t)(1 - p)`` is the predicted probability of the target; ``w`` is 1, or with class balancing
    ``t alpha + (1 - t)(1 - alpha)`` (Lin et al. 2017).

    Parameters
    ----------
    apply_class_balancing : bool
    alpha : float, >= 0
    gamma : float, >= 0
    from_logits : bool
        Whether `y_pred` holds logits, to which a sigmoid would be applied.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / 2``.
    axis : int
    reduction, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> round(BinaryFocalCrossentropy(gamma=2)([[1.0]], [[0.5]]), 6)
    0.173287
    """

    kernel = logits_kernel = "binary_focal_cross_entropy"

    apply_class_balancing = Argument(flag)

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            alpha, gamma, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis, reduction=reduction,
            name=name, dtype=dtype,
        )  # fmt: skip
        self.apply_class_balancing = apply_class_balancing

    def balance(self) -> float:
        """Return alpha, or -1 for no class balancing."""
        return self.alpha if self.apply_class_balancing else -1.0

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"apply_class_balancing": self.apply_class_balancing}


class CategoricalFocalCrossentropy(_FocalLoss):
    """``-Σ_j alpha (1 - p_j)^gamma t_j log(p_j)`` of a row (Lin et al. 2017).

    Parameters
    ----------
    alpha : float, >= 0
    gamma : float, >= 0
    from_logits : bool
        Whether `y_pred` holds logits, to which a softmax would be applied.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / c``.
    axis : int
    reduction, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> round(CategoricalFocalCrossentropy()([[0.0, 1.0]], [[0.5, 0.5]]), 6)
    0.043322
    """

    kernel = logits_kernel = "categorical_focal_cross_entropy"

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return target probabilities."""
        warn_of_one_class(self.name, columns)
        return super().targets(who, y, columns, dtype)

    def __init__(
        self,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            alpha, gamma, from_logits=from_logits, label_smoothing=label_smoothing, axis=axis, reduction=reduction,
            name=name, dtype=dtype,
        )  # fmt: skip
