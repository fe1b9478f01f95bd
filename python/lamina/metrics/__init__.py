"""Metrics: the quality of predictions over all batches of an epoch, accumulated in float64."""

from __future__ import annotations

from typing import Any

from lamina._common.custom import custom_object_scope
from lamina._common.names import absences
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry, register_functions
from lamina.losses.functions import (
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
from lamina.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
)
from lamina.metrics.area import AUC
from lamina.metrics.base import (
    Mean,
    MeanMetricWrapper,
    Metric,
    Sum,
)
from lamina.metrics.confusion import FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives
from lamina.metrics.functions import (
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from lamina.metrics.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from lamina.metrics.scores import (
    F1Score,
    FBetaScore,
    R2Score,
)
from lamina.metrics.trade_offs import (
    PrecisionAtRecall,
    RecallAtPrecision,
    SensitivityAtSpecificity,
    SpecificityAtSensitivity,
)

__all__ = [
    "AUC",
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "F1Score",
    "FBetaScore",
    "FalseNegatives",
    "FalsePositives",
    "Hinge",
    "KLDivergence",
    "LogCoshError",
    "Mean",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanMetricWrapper",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Metric",
    "Poisson",
    "Precision",
    "PrecisionAtRecall",
    "R2Score",
    "Recall",
    "RecallAtPrecision",
    "RootMeanSquaredError",
    "SensitivityAtSpecificity",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "SpecificityAtSensitivity",
    "SquaredHinge",
    "Sum",
    "TopKCategoricalAccuracy",
    "TrueNegatives",
    "TruePositives",
    "binary_accuracy",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_accuracy",
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
    "sparse_categorical_accuracy",
    "sparse_categorical_crossentropy",
    "sparse_top_k_categorical_accuracy",
    "squared_hinge",
    "top_k_categorical_accuracy",
]

REGISTRY = Registry(
    "metrics",
    "metric",
    Metric,
    (AUC, "auc"),
    (Accuracy, "accuracy"),
    (BinaryAccuracy, "binary_accuracy"),
    (BinaryCrossentropy, "bce BCE binary_crossentropy"),
    (CategoricalAccuracy, "categorical_accuracy"),
    (CategoricalCrossentropy, "categorical_crossentropy"),
    (CategoricalHinge, "categorical_hinge"),
    (CosineSimilarity, "cosine_similarity"),
    (F1Score, "f1_score"),
    (FBetaScore, "fbeta_score"),
    (FalseNegatives, "false_negatives"),
    (FalsePositives, "false_positives"),
    (Hinge, "hinge"),
    (KLDivergence, "kl_divergence kld KLD"),
    (LogCoshError, "log_cosh_error logcosh log_cosh"),
    (Mean, "mean"),
    (MeanAbsoluteError, "mae MAE mean_absolute_error"),
    (MeanAbsolutePercentageError, "mape MAPE mean_absolute_percentage_error"),
    (MeanSquaredError, "mse MSE mean_squared_error"),
    (MeanSquaredLogarithmicError, "msle MSLE mean_squared_logarithmic_error"),
    (Poisson, "poisson"),
    (Precision, "precision"),
    (R2Score, "r2_score"),
    (Recall, "recall"),
    (RootMeanSquaredError, "root_mean_squared_error rmse"),
    (SparseCategoricalAccuracy, "sparse_categorical_accuracy"),
    (SparseCategoricalCrossentropy, "sparse_categorical_crossentropy"),
    (SparseTopKCategoricalAccuracy, "sparse_top_k_categorical_accuracy"),
    (SquaredHinge, "squared_hinge"),
    (Sum, "sum"),
    (TopKCategoricalAccuracy, "top_k_categorical_accuracy"),
    (TrueNegatives, "true_negatives"),
    (TruePositives, "true_positives"),
    (PrecisionAtRecall, ""),
    (RecallAtPrecision, ""),
    (SensitivityAtSpecificity, ""),
    (SpecificityAtSensitivity, ""),
    (MeanMetricWrapper, ""),
    from_function=MeanMetricWrapper,
)

# Names whose meaning depends on output and targets.
_BY_SHAPE: dict[str, tuple[type[Metric], type[Metric], type[Metric]]] = {
    "accuracy": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "acc": (BinaryAccuracy, SparseCategoricalAccuracy, CategoricalAccuracy),
    "crossentropy": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
    "ce": (BinaryCrossentropy, SparseCategoricalCrossentropy, CategoricalCrossentropy),
}


def depends_on_shape(identifier: object) -> bool:
    """Return whether a name stands for one of several metrics, chosen by output and targets."""
    return isinstance(identifier, str) and identifier in _BY_SHAPE


def metric_for(name: str, columns: int, class_numbers: bool) -> Metric:
    """Return the metric of a name that depends on shape: binary for one column, else sparse or categorical."""
    binary, sparse, categorical = _BY_SHAPE[name]
    kind: Any = binary if columns == 1 else sparse if class_numbers else categorical
    found: Metric = kind(name)
    return found


def get(identifier: object) -> Metric | None:
    """Return a metric from a name, a configuration, a class, an instance or a function of `y_true` and `y_pred`.

    None stays None. ``"accuracy"`` is `Accuracy` here, as there is no model whose output would choose another.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.
    """
    if depends_on_shape(identifier) and identifier not in REGISTRY:
        raise ValueError(
            f"metrics.get: {identifier!r} depends on the model's output; name binary_, categorical_ or "
            "sparse_categorical_ accuracy or crossentropy."
        )
    return REGISTRY.get(identifier)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Metric | None:
    """Return a metric from ``{"class_name", "config"}``; `custom_objects` are by name."""
    with custom_object_scope(custom_objects):
        return get(config)


_FUNCTIONS = (
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
register_functions("metrics", {function.__name__: function for function in _FUNCTIONS})

__getattr__ = absences(__name__, globals(), {})
