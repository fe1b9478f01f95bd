"""Losses as functions: each row's loss, unreduced, with the arguments of the class of the same name."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina.losses import probabilistic, regression
from lamina.losses.base import Loss

__all__ = [
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]


def mean_squared_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `MeanSquaredError`."""
    return regression.MeanSquaredError(None)(y_true, y_pred)


def mean_absolute_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `MeanAbsoluteError`."""
    return regression.MeanAbsoluteError(None)(y_true, y_pred)


def mean_absolute_percentage_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `MeanAbsolutePercentageError`."""
    return regression.MeanAbsolutePercentageError(None)(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `MeanSquaredLogarithmicError`."""
    return regression.MeanSquaredLogarithmicError(None)(y_true, y_pred)


def huber(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, delta: float = 1.0) -> Any:
    """Return the rows' losses; see `Huber`."""
    return regression.Huber(delta, reduction=None)(y_true, y_pred)


def log_cosh(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `LogCosh`."""
    return regression.LogCosh(None)(y_true, y_pred)


def poisson(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `Poisson`."""
    return regression.Poisson(None)(y_true, y_pred)


def kl_divergence(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `KLDivergence`."""
    return regression.KLDivergence(None)(y_true, y_pred)


def hinge(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `Hinge`."""
    return regression.Hinge(None)(y_true, y_pred)


def squared_hinge(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `SquaredHinge`."""
    return regression.SquaredHinge(None)(y_true, y_pred)


def categorical_hinge(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> Any:
    """Return the rows' losses; see `CategoricalHinge`."""
    return regression.CategoricalHinge(None)(y_true, y_pred)


def cosine_similarity(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, axis: int = -1) -> Any:
    """Return the rows' losses; see `CosineSimilarity`."""
    return regression.CosineSimilarity(axis, reduction=None)(y_true, y_pred)


def binary_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Return the rows' losses; see `BinaryCrossentropy`."""
    return probabilistic.BinaryCrossentropy(from_logits, label_smoothing, axis, reduction=None)(y_true, y_pred)


def categorical_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Return the rows' losses; see `CategoricalCrossentropy`."""
    return probabilistic.CategoricalCrossentropy(from_logits, label_smoothing, axis, reduction=None)(y_true, y_pred)


def sparse_categorical_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    from_logits: bool = False,
    ignore_class: int | None = None,
    axis: int = -1,
) -> Any:
    """Return the rows' losses; see `SparseCategoricalCrossentropy`."""
    return probabilistic.SparseCategoricalCrossentropy(from_logits, ignore_class, axis=axis, reduction=None)(
        y_true, y_pred
    )


def binary_focal_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Return the rows' losses; see `BinaryFocalCrossentropy`."""
    return probabilistic.BinaryFocalCrossentropy(
        apply_class_balancing, alpha, gamma, from_logits, label_smoothing, axis, reduction=None
    )(y_true, y_pred)


def categorical_focal_crossentropy(
    y_true: npt.ArrayLike,
    y_pred: npt.ArrayLike,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
    axis: int = -1,
) -> Any:
    """Return the rows' losses; see `CategoricalFocalCrossentropy`."""
    return probabilistic.CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing, axis, reduction=None)(
        y_true, y_pred
    )


# The class that `compile(loss=function)` uses.
CLASS_OF: dict[Any, type[Loss]] = {
    mean_squared_error: regression.MeanSquaredError,
    mean_absolute_error: regression.MeanAbsoluteError,
    mean_absolute_percentage_error: regression.MeanAbsolutePercentageError,
    mean_squared_logarithmic_error: regression.MeanSquaredLogarithmicError,
    huber: regression.Huber,
    log_cosh: regression.LogCosh,
    poisson: regression.Poisson,
    kl_divergence: regression.KLDivergence,
    hinge: regression.Hinge,
    squared_hinge: regression.SquaredHinge,
    categorical_hinge: regression.CategoricalHinge,
    cosine_similarity: regression.CosineSimilarity,
    binary_crossentropy: probabilistic.BinaryCrossentropy,
    categorical_crossentropy: probabilistic.CategoricalCrossentropy,
    sparse_categorical_crossentropy: probabilistic.SparseCategoricalCrossentropy,
    binary_focal_crossentropy: probabilistic.BinaryFocalCrossentropy,
    categorical_focal_crossentropy: probabilistic.CategoricalFocalCrossentropy,
}
