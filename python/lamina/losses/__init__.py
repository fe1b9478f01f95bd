"""Losses with Keras's names and values.

A loss of ``n`` rows is the mean of the rows' losses (``"sum_over_batch_size"``); the formula of a row's loss is in each
class. Arguments come as in Keras: ``y_true`` first.
"""

from __future__ import annotations

from typing import Any

from lamina._names import lazily, look_up, registry
from lamina._names import serialize as serialize
from lamina.losses.base import Loss, RowLosses
from lamina.losses.functions import CLASS_OF
from lamina.losses.functions import (
    binary_crossentropy as binary_crossentropy,
)
from lamina.losses.functions import (
    binary_focal_crossentropy as binary_focal_crossentropy,
)
from lamina.losses.functions import (
    categorical_crossentropy as categorical_crossentropy,
)
from lamina.losses.functions import (
    categorical_focal_crossentropy as categorical_focal_crossentropy,
)
from lamina.losses.functions import (
    categorical_hinge as categorical_hinge,
)
from lamina.losses.functions import (
    cosine_similarity as cosine_similarity,
)
from lamina.losses.functions import (
    hinge as hinge,
)
from lamina.losses.functions import (
    huber as huber,
)
from lamina.losses.functions import (
    kl_divergence as kl_divergence,
)
from lamina.losses.functions import (
    log_cosh as log_cosh,
)
from lamina.losses.functions import (
    mean_absolute_error as mean_absolute_error,
)
from lamina.losses.functions import (
    mean_absolute_percentage_error as mean_absolute_percentage_error,
)
from lamina.losses.functions import (
    mean_squared_error as mean_squared_error,
)
from lamina.losses.functions import (
    mean_squared_logarithmic_error as mean_squared_logarithmic_error,
)
from lamina.losses.functions import (
    poisson as poisson,
)
from lamina.losses.functions import (
    sparse_categorical_crossentropy as sparse_categorical_crossentropy,
)
from lamina.losses.functions import (
    squared_hinge as squared_hinge,
)
from lamina.losses.probabilistic import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
from lamina.losses.regression import (
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    Huber,
    KLDivergence,
    L2Norm,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    Quantile,
    SquaredHinge,
)

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "Hinge",
    "Huber",
    "KLDivergence",
    "L2Norm",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "Quantile",
    "RowLosses",
    "SparseCategoricalCrossentropy",
    "SquaredHinge",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "deserialize",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

_CLASSES: dict[str, type[Loss]] = registry(
    (MeanSquaredError, "mse MSE mean_squared_error"),
    (MeanAbsoluteError, "mae MAE mean_absolute_error"),
    (MeanAbsolutePercentageError, "mape MAPE mean_absolute_percentage_error"),
    (MeanSquaredLogarithmicError, "msle MSLE mean_squared_logarithmic_error"),
    (Huber, "huber"),
    (LogCosh, "log_cosh logcosh"),
    (Poisson, "poisson"),
    (KLDivergence, "kl_divergence kld KLD kullback_leibler_divergence"),
    (Hinge, "hinge"),
    (SquaredHinge, "squared_hinge"),
    (CategoricalHinge, "categorical_hinge"),
    (CosineSimilarity, "cosine_similarity"),
    (L2Norm, "l2_norm"),
    (Quantile, "quantile"),
    (BinaryCrossentropy, "bce BCE binary_crossentropy"),
    (CategoricalCrossentropy, "categorical_crossentropy"),
    (SparseCategoricalCrossentropy, "sparse_categorical_crossentropy"),
    (BinaryFocalCrossentropy, "bfce BFCE binary_focal_crossentropy"),
    (CategoricalFocalCrossentropy, "categorical_focal_crossentropy"),
)


def get(identifier: object) -> Loss | None:
    """Return a loss from a name, a configuration, a class, an instance or one of the functions of this module.

    None stays None.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.
    TypeError
        A function of one's own, whose gradient is not known.

    Examples
    --------
    >>> get("mse").name
    'mean_squared_error'
    """
    if identifier is None:
        return None
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        if identifier in CLASS_OF:
            return CLASS_OF[identifier]()
        raise TypeError(
            "losses.get: loss must be a name or a Loss; got a function, whose gradient is not known. "
            "Subclass lamina.losses.Loss instead."
        )
    return look_up("losses.get", "loss", identifier, _CLASSES, Loss)


def deserialize(config: dict[str, Any]) -> Loss | None:
    """Return a loss from ``{"class_name", "config"}``."""
    return get(config)


_ABSENT = {
    **dict.fromkeys(
        ("CTC", "Dice", "Tversky", "Circle", "ctc", "dice", "tversky", "circle"), "losses here are of rows"
    ),
}


def __getattr__(name: str) -> Any:
    """Say what there is instead of Keras's others."""
    return lazily(__name__, name, {}, _ABSENT, globals())
