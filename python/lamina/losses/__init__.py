"""Losses with Keras's names and values.

By default the loss of a batch is the mean of the rows' losses (``"sum_over_batch_size"``); the docstring of each class
states the formula of a row's loss. As in Keras, ``y_true`` is the first argument.
"""

from __future__ import annotations

from typing import Any

from lamina._common.custom import custom_object_scope
from lamina._common.names import absences
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry, register_functions
from lamina.losses.base import Loss, RowLosses
from lamina.losses.functions import (
    CLASS_OF,
    binary_crossentropy,
    binary_focal_crossentropy,
    categorical_crossentropy,
    categorical_focal_crossentropy,
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    kl_divergence,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
    poisson,
    sparse_categorical_crossentropy,
    squared_hinge,
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
    PoissonDeviance,
    Quantile,
    SquaredHinge,
)
from lamina.losses.written import FunctionLoss

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
    "PoissonDeviance",
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
    "loss_of",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "serialize",
    "sparse_categorical_crossentropy",
    "squared_hinge",
]

REGISTRY = Registry(
    "losses",
    "loss",
    Loss,
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
    (PoissonDeviance, "poisson_deviance"),
    (Quantile, "quantile"),
    (BinaryCrossentropy, "bce BCE binary_crossentropy"),
    (CategoricalCrossentropy, "categorical_crossentropy"),
    (SparseCategoricalCrossentropy, "sparse_categorical_crossentropy"),
    (BinaryFocalCrossentropy, "bfce BFCE binary_focal_crossentropy"),
    (CategoricalFocalCrossentropy, "categorical_focal_crossentropy"),
    own=(L2Norm, PoissonDeviance, Quantile),
    from_function=FunctionLoss,
)
FUNCTION_OF: dict[type, Any] = {kind: function for function, kind in CLASS_OF.items()}
register_functions("losses", {function.__name__: function for function in CLASS_OF})


def get(identifier: object) -> Any:
    """Return a loss: the function of a name of a function, an object of the name or configuration of a class.

    Functions and objects are returned as they are; None stays None.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.
    TypeError
        `identifier` is of another type.

    Examples
    --------
    >>> get("mse") is mean_squared_error
    True
    >>> get("MeanSquaredError").reduction
    'sum_over_batch_size'
    """
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        return identifier
    found = loss_of(identifier)
    if isinstance(found, FunctionLoss):
        return found.function
    if isinstance(identifier, dict) and identifier.get("class_name") == "function":
        identifier = identifier.get("config")
    by_class = not isinstance(identifier, str) or identifier == type(found).__name__
    return found if by_class else FUNCTION_OF.get(type(found), found)


def loss_of(identifier: object) -> Loss | None:
    """Return a loss object from a name, a configuration, a class, an instance or a function; None stays None.

    A function of targets and predictions, written in functions of `lamina.ops`, is differentiated by autograd (extra
    ``ops``).

    Raises
    ------
    ValueError, TypeError
        As with `get`.

    Examples
    --------
    >>> loss_of("mse").name
    'mean_squared_error'
    """
    if callable(identifier) and not isinstance(identifier, (type, Loss)):
        if identifier in CLASS_OF:
            return CLASS_OF[identifier]()
        return FunctionLoss(identifier)
    return REGISTRY.get(identifier)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """Return a loss from ``{"class_name", "config"}`` or a name, as `get` does; `custom_objects` are by name."""
    with custom_object_scope(custom_objects):
        return get(config)


_ABSENT = {
    **dict.fromkeys(
        ("CTC", "Dice", "Tversky", "Circle", "ctc", "dice", "tversky", "circle"), "losses here are of rows"
    ),
    **dict.fromkeys(
        ("CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"),
        "not there yet; subclass Loss and define value_and_gradient",
    ),
}


__getattr__ = absences(__name__, globals(), _ABSENT)
