"""Metric: what every metric is, and means and sums of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config, initializers
from lamina._arrays import float_array, scored_batch, target_array
from lamina._names import Configurable, snake_case, unique_name
from lamina.variables import Variable

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]

Array = npt.NDArray[Any]


class Metric(Configurable):
    """Base class of metrics: a weighted mean of row values.

    One of one's own defines `row_values`, whose mean it becomes; or, as in Keras, `update_state`, `result` and
    `reset_state`, its state in variables from `add_variable`.

    Parameters
    ----------
    name : str, optional
    dtype : None
        Accepted as in Keras: row values come in the dtype of the predictions, sums are float64.
    """

    # Whether a second one without a name is called ``name_1``, as Keras does for some, and for those of one's own.
    numbered = True

    # "up" where more is better, "down" where less is; None where nobody knows.
    direction: str | None = None

    # Whether targets are class numbers, shape (n,); and whether `targets` changes values.
    wants_labels = False
    converts_targets = False

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        if dtype is not None:
            config.check_float_type(type(self).__name__, dtype)
        self._variables: list[Variable] = []
        own = snake_case(type(self).__name__)
        self.name = name if name is not None else unique_name(own) if self.numbered else own
        self.total = 0.0
        self.count = 0.0

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets as `row_values` takes them, or raise."""
        return target_array(who, "y_true", y, columns, dtype)

    # What the engine runs for `row_values`: the name of a match or of a loss.
    engine_kernel: str | None = None

    def kernel(self) -> tuple[str, tuple[float, ...]] | None:
        """Return the compiled kernel's name and parameters, None where `row_values` is written in Python."""
        own = self.takes_batches or not type(self).row_values.__module__.startswith("lamina.metrics.")
        return None if own or self.engine_kernel is None else (self.engine_kernel, self.parameters())

    def parameters(self) -> tuple[float, ...]:
        """Return the compiled kernel's parameters."""
        return ()

    @property
    def takes_batches(self) -> bool:
        """Whether it wants batches whole, in `update_state`, and is no mean of row values."""
        return type(self).update_state is not Metric.update_state

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
        y_true : array_like, shape (..., c), or (...) where c is 1 or targets are class numbers
        y_pred : array_like, shape (..., c)
        sample_weight : array_like, optional
            Of the rows' shape, or broadcast to it.

        Raises
        ------
        TypeError, ValueError
            Shapes or dtypes do not fit.
        """
        who = type(self).__name__
        targets, predictions, weights, _ = scored_batch(who, y_true, y_pred, sample_weight, self.targets)
        self.add_rows(self.row_values(targets, predictions), weights)

    def result(self) -> Any:
        """Return the mean so far; 0 where nothing was taken in."""
        return self.total / self.count if self.count else 0.0

    def reset_state(self) -> None:
        """Forget everything."""
        self.total = self.count = 0.0
        for variable in self._variables:
            variable.assign(np.zeros(variable.shape))

    def add_variable(
        self, shape: tuple[int, ...], initializer: Any = "zeros", dtype: Any = None, name: str | None = None
    ) -> Variable:
        """Return a variable for state of one's own; `reset_state` makes it zero.

        Parameters
        ----------
        shape : tuple of int
        initializer : str, Initializer or dict
        dtype : {"float32", "float64"}, optional
        name : str, optional
        """
        name = name or f"variable_{len(self._variables)}"
        value = initializers.get(initializer)(tuple(shape), config.check_float_type(name, dtype or config.floatx()))
        variable = Variable(np.array(value), name, f"{self.name}/{name}", False)
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: tuple[int, ...] = (), initializer: Any = "zeros", dtype: Any = None, name: str | None = None
    ) -> Variable:
        """Return a variable, as `add_variable`."""
        return self.add_variable(shape, initializer, dtype, name)

    @property
    def variables(self) -> list[Variable]:
        """Variables of `add_variable`."""
        return list(self._variables)

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Take a batch in and return the result so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same metric."""
        return {"name": self.name}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class _OfNumbers(Metric):
    """A metric of numbers instead of predictions."""

    numbered = False

    def _read(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None) -> tuple[Array, Array | None]:
        who = type(self).__name__
        array = float_array(who, "values", values, "float64")
        if sample_weight is None:
            return array.reshape(-1), None
        weights = float_array(who, "sample_weight", sample_weight, "float64")
        if weights.ndim < array.ndim and weights.shape == array.shape[: weights.ndim]:
            weights = weights.reshape(weights.shape + (1,) * (array.ndim - weights.ndim))
        return array.reshape(-1), np.ascontiguousarray(np.broadcast_to(weights, array.shape)).reshape(-1)

    def update_state(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> None:  # type: ignore[override]  # Keras's signature
        """Take numbers in, each with its weight where weights are given."""
        self.add_rows(*self._read(values, sample_weight))

    def __call__(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:  # type: ignore[override]  # Keras's signature
        """Take numbers in and return the result so far."""
        self.update_state(values, sample_weight)
        return float(self.result())


class Mean(_OfNumbers):
    """Weighted mean of numbers.

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.result()
    2.0
    """


class Sum(_OfNumbers):
    """Weighted sum of numbers.

    Examples
    --------
    >>> Sum()([1.0, 3.0])
    4.0
    """

    def result(self) -> float:
        """Return the sum so far."""
        return self.total


class MeanMetricWrapper(Metric):
    """Mean of what a function returns for each row.

    Parameters
    ----------
    fn : callable
        Called with `y_true` and `y_pred`, arrays of shape (n, c); returns an array of shape (n,).
    name : str, optional
    dtype : None
    **kwargs
        Passed on to `fn`.

    Examples
    --------
    >>> MeanMetricWrapper(lambda y_true, y_pred: abs(y_true - y_pred).max(axis=1), name="worst")([[0, 1]], [[0, 3]])
    2.0
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        super().__init__(name if name is not None else getattr(fn, "__name__", None), dtype)
        self._fn, self._kwargs = fn, kwargs

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets as they fit: rows of the output's width, or one number a row."""
        array = np.asarray(y)
        if array.ndim == 2 and array.shape[1] == columns:
            return target_array(who, "y_true", y, columns, dtype)
        return target_array(who, "y_true", y, 1, dtype)

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return what the function returns."""
        found = np.asarray(self._fn(y_true, y_pred, **self._kwargs), y_pred.dtype)
        while found.ndim > 1:
            found = found.mean(axis=-1)
        return np.ascontiguousarray(found)

    # The class lies in lamina.metrics, the row values do not come from a kernel.
    engine_kernel = None


def divide(a: Any, b: Any) -> Any:
    """Return ``a / b``, 0 where `b` is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=np.asarray(b) != 0)


def scalar_or_array(values: Array) -> Any:
    """Return the number where there is one, else the array."""
    return float(values[0]) if values.size == 1 else values
