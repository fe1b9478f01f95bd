"""Metrics: running means over batches, accumulated in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._arrays import float_array, label_array, scored_batch, target_array
from lamina._checks import number
from lamina._names import look_up, registry, snake_case
from lamina._names import serialize as serialize

__all__ = [
    "BinaryAccuracy",
    "CategoricalAccuracy",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "get",
    "serialize",
]

Array = npt.NDArray[Any]


class Metric:
    """Base class of metrics: a weighted mean of row values.

    Parameters
    ----------
    name : str, optional
    """

    def __init__(self, name: str | None = None) -> None:
        self.name = name if name is not None else snake_case(type(self).__name__)
        self.total = 0.0
        self.count = 0.0

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets as `row_values` takes them, or raise."""
        return target_array(who, "y_true", y, columns, dtype)

    # What the engine runs for `row_values`: the name of a match or of a loss.
    engine_kernel: str | None = None

    def kernel(self) -> tuple[str, float] | None:
        """Return the compiled kernel's name and parameter, None where `row_values` is written in Python."""
        own = type(self).row_values.__module__ != __name__
        return None if own or self.engine_kernel is None else (self.engine_kernel, self.kernel_parameter())

    def kernel_parameter(self) -> float:
        """Return the compiled kernel's parameter."""
        return 0.0

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one value a row, shape (n,), for arrays that are already as kernels take them."""
        raise NotImplementedError(f"{type(self).__name__}: a metric defines row_values.")

    def add_rows(self, values: Array, sample_weight: Array | None = None) -> None:
        """Take rows into the mean."""
        self.total += _core.sum(values, sample_weight)
        self.count += len(values) if sample_weight is None else _core.sum(sample_weight, None)

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Take a batch into the mean.

        Parameters
        ----------
        y_true : array_like, shape (n, c), or (n,) where c is 1 or targets are class numbers
        y_pred : array_like, shape (n, c)
        sample_weight : array_like, shape (n,), optional

        Raises
        ------
        TypeError, ValueError
            Shapes or dtypes do not fit.
        """
        targets, predictions, weights = scored_batch(type(self).__name__, y_true, y_pred, sample_weight, self.targets)
        self.add_rows(self.row_values(targets, predictions), weights)

    def result(self) -> float:
        """Return the mean so far; 0 where nothing was taken in."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forget everything."""
        self.total = self.count = 0.0

    def __call__(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> float:
        """Take a batch in and return the mean so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same metric."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """Return a metric from `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class Mean(Metric):
    """Weighted mean of numbers.

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.result()
    2.0
    """

    def update_state(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> None:  # type: ignore[override]  # Keras's signature
        """Take numbers in, each with its weight where weights are given."""
        numbers = np.ravel(float_array("Mean", "values", values, "float64"))
        weights = None
        if sample_weight is not None:
            raw = float_array("Mean", "sample_weight", sample_weight, "float64")
            weights = np.ascontiguousarray(np.broadcast_to(raw, numbers.shape))
        self.add_rows(numbers, weights)

    def __call__(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:  # type: ignore[override]  # Keras's signature
        """Take numbers in and return the mean so far."""
        self.update_state(values, sample_weight)
        return self.result()


class MeanSquaredError(Metric):
    """Mean over rows of ``mean_j((y_pred_j - y_true_j)²)``."""

    engine_kernel = "mse"

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the squared error of each row."""
        return _core.evaluate_loss("mse", y_pred, y_true, None, None, None, None, False, 1.0)[0]


class MeanAbsoluteError(Metric):
    """Mean over rows of ``mean_j(|y_pred_j - y_true_j|)``."""

    engine_kernel = "mae"

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the absolute error of each row."""
        return _core.evaluate_loss("mae", y_pred, y_true, None, None, None, None, False, 1.0)[0]


class BinaryAccuracy(Metric):
    """Share of outputs on the right side of a threshold: ``(y_pred > threshold) == y_true``.

    Parameters
    ----------
    name : str, optional
    threshold : float
    """

    engine_kernel = "binary_matches"

    def __init__(self, name: str | None = None, threshold: float = 0.5) -> None:
        super().__init__(name)
        self.threshold = number(type(self).__name__, "threshold", threshold)

    def kernel_parameter(self) -> float:
        """Return the threshold."""
        return self.threshold

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return the share of right columns of each row."""
        return _core.binary_matches(y_true, y_pred, self.threshold, None)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"threshold": self.threshold}


class CategoricalAccuracy(Metric):
    """Share of rows whose largest output is where the target's is; one-hot targets, say."""

    engine_kernel = "categorical_matches"

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 or 0 for each row."""
        return _core.categorical_matches(y_true, y_pred, None)


class SparseCategoricalAccuracy(Metric):
    """Share of rows whose largest output is at the target's class number.

    Examples
    --------
    >>> SparseCategoricalAccuracy()([1, 0], [[0.1, 0.9], [0.2, 0.8]])
    0.5
    """

    engine_kernel = "sparse_matches"

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return class numbers."""
        return label_array(who, "y_true", y, columns)

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return 1 or 0 for each row."""
        return _core.sparse_matches(y_true, y_pred, None)


_CLASSES: dict[str, type[Metric]] = registry(
    (MeanSquaredError, "mse MSE mean_squared_error"),
    (MeanAbsoluteError, "mae MAE mean_absolute_error"),
    (BinaryAccuracy, "binary_accuracy"),
    (CategoricalAccuracy, "categorical_accuracy"),
    (SparseCategoricalAccuracy, "sparse_categorical_accuracy"),
    (Mean, "mean"),
)

# Names that stand for the accuracy that fits output and targets.
ACCURACY_NAMES = ("accuracy", "acc")


def accuracy_for(name: str, columns: int, class_numbers: bool) -> Metric:
    """Return the accuracy for an output of `columns` units: binary for one, else sparse or categorical."""
    if columns == 1:
        return BinaryAccuracy(name)
    return SparseCategoricalAccuracy(name) if class_numbers else CategoricalAccuracy(name)


def get(identifier: object) -> Metric:
    """Return a metric from a name, a configuration, a class or an instance.

    ``"accuracy"`` needs a model to know which one is meant, and raises here.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.
    """
    if isinstance(identifier, str) and identifier in ACCURACY_NAMES:
        raise ValueError(
            "metrics.get: 'accuracy' depends on the model's output; name binary_accuracy, categorical_accuracy or "
            "sparse_categorical_accuracy."
        )
    metric = look_up("metrics.get", "metric", identifier, _CLASSES, Metric)
    if isinstance(identifier, str):
        metric.name = identifier
    return metric
