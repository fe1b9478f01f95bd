"""Losses for regression, counts, margins and directions; each class names its compiled kernel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.arguments import Argument
from lamina._common.checks import integer, number, numbers
from lamina._data.arrays import real_array, target_array
from lamina.losses.base import AlongAxis, NamedLoss

__all__ = [
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "L2Norm",
    "LogCosh",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "PoissonDeviance",
    "Quantile",
    "SquaredHinge",
]

Array = npt.NDArray[Any]


def _one_or_several(who: str, name: str, value: Any, least: float, most: float) -> float | list[float]:
    """Return a number, or a list of them, in [`least`, `most`]; or raise."""
    if not isinstance(value, (list, tuple)) and getattr(value, "ndim", 0) != 1:
        return number(who, name, value, least, most)
    found = numbers(who, name, value, least, most)
    if not found:
        raise ValueError(f"{who}: {name} must not be empty.")
    return found


class MeanSquaredError(NamedLoss):
    """``mean_j((y_pred_j - y_true_j)²)`` of a row; gradient ``2 (y_pred - y_true) / c``.

    Examples
    --------
    >>> MeanSquaredError()([[0.0, 0.0]], [[1.0, 2.0]])
    Tensor(2.5)
    """

    kernel = "mse"


class MeanAbsoluteError(NamedLoss):
    """``mean_j(|y_pred_j - y_true_j|)`` of a row; gradient ``sign(y_pred - y_true) / c``.

    Examples
    --------
    >>> MeanAbsoluteError()([[0.0, 0.0]], [[1.0, 2.0]])
    Tensor(1.5)
    """

    kernel = "mae"


class L2Norm(NamedLoss):
    """``‖y_pred - y_true‖₂`` of a row; gradient ``(y_pred - y_true) / ‖y_pred - y_true‖₂``, 0 where they are equal.

    Examples
    --------
    >>> L2Norm()([[0.0, 0.0]], [[3.0, 4.0]])
    Tensor(5.)
    """

    kernel = "l2_norm"


class MeanAbsolutePercentageError(NamedLoss):
    """``100 mean_j(|y_pred_j - y_true_j| / max(|y_true_j|, 1e-7))`` of a row.

    Examples
    --------
    >>> MeanAbsolutePercentageError()([[2.0, 4.0]], [[1.0, 5.0]])
    Tensor(37.5)
    """

    kernel = "mape"


class MeanSquaredLogarithmicError(NamedLoss):
    """``mean_j((log(1 + y_pred_j) - log(1 + y_true_j))²)`` of a row, both at least 1e-7.

    Examples
    --------
    >>> round(MeanSquaredLogarithmicError()([[0.0]], [[1.0]]), 6)
    0.480453
    """

    kernel = "msle"


class Huber(NamedLoss):
    """Mean over a row of ``e² / 2`` where ``|e| <= delta``, else ``delta |e| - delta² / 2``, ``e = y_pred - y_true``.

    Its gradient is ``e`` clipped to ``[-delta, delta]``, divided by ``c`` (Huber 1964).

    Parameters
    ----------
    delta : float, >= 0
    reduction, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> Huber(delta=1.0)([[0.0, 0.0]], [[0.5, 3.0]])
    Tensor(1.3125)
    """

    kernel = "huber"

    delta = Argument(number, least=0)

    def __init__(
        self,
        delta: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = "huber_loss",
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.delta = delta

    def parameters(self) -> dict[str, float]:
        """Return the kernel's parameters by name."""
        return {"delta": self.delta}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"delta": self.delta}


class LogCosh(NamedLoss):
    """``mean_j(log(cosh(y_pred_j - y_true_j)))`` of a row; gradient ``tanh(y_pred - y_true) / c``.

    Examples
    --------
    >>> round(LogCosh()([[0.0]], [[1.0]]), 6)
    0.433781
    """

    kernel = "log_cosh"


class Poisson(NamedLoss):
    """``mean_j(y_pred_j - y_true_j log(y_pred_j + 1e-7))`` of a row, for counts.

    Examples
    --------
    >>> Poisson()([[2.0]], [[1.0]]).__round__(5)
    1.0
    """

    kernel = "poisson"


class PoissonDeviance(NamedLoss):
    """``mean_j(y_pred_j - y_true_j + y_true_j log(y_true_j / y_pred_j))`` of a row: half the deviance, for counts.

    It is 0 for exact predictions. An exponential output activation is included in training: then the gradient is exact
    also where a prediction is too small for a floating-point number. Keras does not have this loss.

    Examples
    --------
    >>> PoissonDeviance()([[2.0], [0.0]], [[2.0], [0.5]])
    Tensor(0.25)
    """

    kernel = "poisson_deviance"
    logits_kernel = "log_poisson_deviance"
    logits_activation = "exponential"


class KLDivergence(NamedLoss):
    """``Σ_j y_true_j log(y_true_j / y_pred_j)`` of a row, both kept within ``[1e-7, 1]`` (Kullback & Leibler 1951).

    Examples
    --------
    >>> round(KLDivergence()([[0.5, 0.5]], [[0.25, 0.75]]), 6)
    0.143841
    """

    kernel = "kl_divergence"


class Quantile(NamedLoss):
    """Mean over a row of ``max(q e, (q - 1) e)``, ``e = y_true - y_pred``, also known as pinball loss.

    The ``q``-quantile minimizes it (Koenker & Bassett 1978); for 0.5 it is half the absolute error. Keras does not have
    this loss.

    Parameters
    ----------
    quantile : float in [0, 1], or sequence of them
        ``q``; of several, each column of the output has its own. Targets of one column then stand for all of them.
    reduction, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> Quantile(0.75)([[1.0, 0.0]], [[0.0, 1.0]])
    Tensor(0.5)
    >>> Quantile([0.25, 0.75])([[2.0], [3.0]], [[0.0, 4.0], [3.0, 3.0]])
    Tensor(0.25)
    """

    kernel = "quantile"

    quantile = Argument(_one_or_several, 0, 1)

    def __init__(
        self,
        quantile: float | Sequence[float] = 0.5,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.quantile = quantile

    def parameters(self) -> dict[str, float]:
        """Return the kernel's parameters by name."""
        return {} if isinstance(self.quantile, list) else {"quantile": self.quantile}

    def columns(self) -> list[float]:
        """Return the quantile of each column."""
        return self.quantile if isinstance(self.quantile, list) else []

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets for each column."""
        if isinstance(self.quantile, list):
            if len(self.quantile) != columns:
                raise ValueError(
                    f"{who}: the output must have {len(self.quantile)} columns, one for each quantile; got {columns}."
                )
            y = real_array(who, "y", y)
            if y.ndim == 1 or y.shape[1:] == (1,):
                y = np.repeat(y.reshape(-1, 1), columns, axis=1)
        return super().targets(who, y, columns, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"quantile": self.quantile}


class _SignLoss(NamedLoss):
    """Base class of losses of targets -1 and 1. If all targets are 0 or 1, 0 stands for -1."""

    converts_targets = True

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets -1 and 1."""
        array = target_array(who, "y", y, columns, dtype)
        if not np.isin(array, (0, 1)).all():
            return array
        return (2 * array.astype(np.int8) - 1).astype(array.dtype if dtype is not None else np.int8)


class Hinge(_SignLoss):
    """``mean_j(max(1 - y_true_j y_pred_j, 0))`` of a row, for targets -1 and 1 (or 0 and 1).

    Examples
    --------
    >>> Hinge()([[1.0, 0.0]], [[0.5, 0.5]])
    Tensor(1.)
    """

    kernel = "hinge"


class SquaredHinge(_SignLoss):
    """``mean_j(max(1 - y_true_j y_pred_j, 0)²)`` of a row, for targets -1 and 1 (or 0 and 1).

    Examples
    --------
    >>> SquaredHinge()([[1.0, 0.0]], [[0.5, 0.5]])
    Tensor(1.25)
    """

    kernel = "squared_hinge"


class CategoricalHinge(NamedLoss):
    """``max(max_j((1 - t_j) p_j) - Σ_j t_j p_j + 1, 0)`` of a row, for one-hot targets ``t``.

    Examples
    --------
    >>> CategoricalHinge()([[0.0, 1.0]], [[0.5, 0.25]])
    Tensor(1.25)
    """

    kernel = "categorical_hinge"


class CosineSimilarity(AlongAxis):
    """``-Σ_j n(t)_j n(p)_j`` of a row, with ``n(x) = x / ‖x‖₂``: -1 where both point the same way.

    Parameters
    ----------
    axis : int
        The axis of the vectors; the last axis in training.
    reduction, name, dtype
        As in `Loss`.

    Examples
    --------
    >>> round(CosineSimilarity()([[3.0, 4.0]], [[4.0, 3.0]]), 6)
    -0.96
    """

    kernel = "cosine_similarity"

    axis = Argument(integer, -(2**31))

    def __init__(
        self,
        axis: int = -1,
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(reduction, name, dtype)
        self.axis = axis

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"axis": self.axis}
