"""Metric, the base class of metrics, and means and sums of numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config, initializers
from lamina._common.arguments import Argument
from lamina._common.checks import function, sizes, text
from lamina._common.names import redefines, required, snake_case, unique_name
from lamina._common.objects import Configurable, deserialize_keras_object, serialize_keras_object
from lamina._data.arrays import broadcast, float_array, of_one_rank, real_array, scored_batch, target_array
from lamina._data.tensors import tensor
from lamina._engine.variable import Variable, check_aggregation

__all__ = ["Mean", "MeanMetricWrapper", "Metric", "Sum"]

Array = npt.NDArray[Any]


class Metric(Configurable):
    """Base class of metrics: a weighted mean of row values.

    A custom metric defines `row_values`, whose mean it returns; or, as in Keras, `update_state`, `result` and
    `reset_state`, with its state in variables from `add_variable`.

    Parameters
    ----------
    name : str, optional
    dtype : str, optional
        Accepted as in Keras: row values have the dtype of the predictions, sums are float64.
    """

    # Whether the default name of a second instance is ``name_1``, as for custom metrics and for some of Keras's.
    numbered = True

    # "up" if more is better, "down" if less is; None if unknown.
    direction: str | None = None

    # Whether targets are class numbers, shape (n,); and whether `targets` changes values.
    wants_labels = False
    converts_targets = False

    name = Argument(text)

    def __init__(self, name: str | None = None, dtype: Any = None) -> None:
        self._dtype = config.any_dtype(type(self).__name__, dtype) or config.floatx()
        self._variables: list[Variable] = []
        own = snake_case(type(self).__name__)
        self.name = name if name is not None else unique_name(own) if self.numbered else own
        self.total = 0.0
        self.count = 0.0

    @property
    def dtype(self) -> str:
        """The dtype given to the constructor, `lamina.config.floatx` by default."""
        return self._dtype

    def check_rank(self, who: str, rank: int) -> None:
        """Raise if the metric cannot be used for an output of `rank` axes."""

    # Whether the metric compares targets with predictions; only then can a model use it.
    compares = True

    # Whether each prediction, not each row, is one observation, which may have its own weight.
    by_element = False

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets in the form that `row_values` takes, or raise."""
        return target_array(who, "y_true", y, columns, dtype)

    # Name of the compiled kernel, a match or a loss, that the engine runs instead of `row_values`.
    engine_kernel: str | None = None

    def kernel(self) -> tuple[str, dict[str, float]] | None:
        """Return the compiled kernel's name and parameters, None if the metric is computed in Python."""
        own = self.takes_batches or redefines(type(self), "row_values", "engine_kernel")
        return None if own or self.engine_kernel is None else (self.engine_kernel, self.parameters())

    def parameters(self) -> dict[str, float]:
        """Return the compiled kernel's parameters by name."""
        return {}

    @property
    def takes_batches(self) -> bool:
        """Whether `update_state` must see whole batches, as the metric is no mean of row values."""
        return redefines(type(self), "update_state", "takes_batches")

    # Marks the library's own `update_state` methods (see `redefines`): they take targets in the engine's form.
    takes_engine_targets = True

    @property
    def reads_given(self) -> bool:
        """Whether the user overrides `update_state`, which then gets targets as they were given."""
        return redefines(type(self), "update_state", "takes_engine_targets")

    def row_values(self, y_true: Array, y_pred: Array) -> Array:
        """Return one value per row, shape (n,), for arrays in the form that kernels take."""
        raise NotImplementedError(f"{type(self).__name__}: a metric defines row_values.")

    def add_rows(self, values: Array, sample_weight: Array | None = None) -> None:
        """Add rows to the mean."""
        self.total += _core.sum(values, sample_weight)
        self.count += len(values) if sample_weight is None else _core.sum(sample_weight, None)

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch to the mean.

        Parameters
        ----------
        y_true : array_like, shape (..., c), or (...) where c is 1 or targets are class numbers
        y_pred : array_like, shape (..., c)
        sample_weight : array_like, optional
            The rows' shape, or broadcast to it; with `by_element` also the predictions' shape.

        Raises
        ------
        TypeError, ValueError
            Shapes or dtypes do not fit.
        """
        who = type(self).__name__
        targets, predictions, weights, _ = scored_batch(
            who, y_true, y_pred, sample_weight, self.targets, self.by_element
        )
        if self.by_element:
            targets, predictions = targets.reshape(-1, 1), predictions.reshape(-1, 1)
            weights = None if weights is None else weights.reshape(-1)
        self.add_rows(self.row_values(targets, predictions), weights)

    def result(self) -> Any:
        """Return the mean so far, an array without axes; 0 if nothing was added."""
        return tensor(self.total / self.count if self.count else 0.0)

    def reset_state(self) -> None:
        """Set the state to zero."""
        for name in ("total", "count"):
            if not isinstance(vars(self).get(name), Variable):  # of a subclass, which has a use of its own for the name
                setattr(self, name, 0.0)
        for variable in self._variables:
            variable.assign(np.zeros(variable.shape))

    def add_variable(
        self,
        shape: tuple[int, ...],
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: str | None = "sum",
        name: str | None = None,
    ) -> Variable:
        """Return a new variable for the state of a custom metric; `reset_state` sets it to zero.

        Parameters
        ----------
        shape : tuple of int
        initializer : str, Initializer or dict
        dtype : str, optional
            A dtype of real numbers; `lamina.config.floatx` if omitted.
        aggregation
            Accepted as in Keras, where it chooses how variables are shared.
        name : str, optional
        """
        who = f"{type(self).__name__} {self.name!r}"
        name = text(who, "name", name) if name is not None else f"variable_{len(self._variables)}"
        made = required(who, "initializer", initializers.argument(who, "initializer", initializer))
        check_aggregation(who, aggregation)
        dtype = config.any_dtype(who, dtype) or config.floatx()
        value = made(sizes(who, "shape", shape), dtype)
        variable = Variable.holding(np.array(value), name, f"{self.name}/{name}", False)
        self._variables.append(variable)
        return variable

    def add_weight(
        self,
        shape: tuple[int, ...] = (),
        initializer: Any = "zeros",
        dtype: Any = None,
        name: str | None = None,
    ) -> Variable:
        """Return a variable, as `add_variable`."""
        return self.add_variable(shape, initializer, dtype, name=name)

    def state(self) -> dict[str, Any]:
        """Return the metric's own sums by name, without variables of `add_variable`."""
        return {} if self.takes_batches else {"total": self.total, "count": self.count}

    # Names of the attributes that sum up what was seen; see `lamina.metrics.sums`.
    summed_attributes: tuple[str, ...] = ("total", "count")

    @property
    def variables(self) -> list[Variable]:
        """The state: the values of `state`, of which total and count may be assigned, and those of `add_variable`."""
        return [self._as_variable(name, value) for name, value in self.state().items()] + self._variables

    def _as_variable(self, name: str, value: Any) -> Variable:
        variable = Variable.holding(np.array(value, np.float64), name, f"{self.name}/{name}", False)

        def assigned() -> None:
            if name not in ("total", "count"):
                raise ValueError(f"{type(self).__name__}: {name} must not be assigned: it follows from counts.")
            setattr(self, name, float(variable.value))

        variable.on_assign = assigned
        return variable

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Add a batch and return the result so far."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same metric."""
        return {"name": self.name, "dtype": self.dtype}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}>"


class _OfNumbers(Metric):
    """A metric of numbers instead of predictions."""

    @property
    def compares(self) -> bool:  # type: ignore[override]  # of each metric, instead of all
        """Whether a subclass has an `update_state` of its own, which takes targets and predictions."""
        return self.reads_given

    numbered = False

    def state(self) -> dict[str, Any]:
        """Return the sum and the total weight."""
        return {"total": self.total, "count": self.count}

    def _read(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None) -> tuple[Array, Array | None]:
        who = type(self).__name__
        array = float_array(who, "values", values, "float64")
        if sample_weight is None:
            return array.reshape(-1), None
        weights = float_array(who, "sample_weight", sample_weight, "float64")
        if weights.ndim < array.ndim and weights.shape == array.shape[: weights.ndim]:
            weights = weights.reshape(weights.shape + (1,) * (array.ndim - weights.ndim))
        wide = broadcast(who, "sample_weight", weights, array.shape)
        return array.reshape(-1), np.ascontiguousarray(wide).reshape(-1)

    takes_engine_targets = True

    def update_state(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> None:  # type: ignore[override]  # Keras's signature
        """Add numbers, each with its weight if weights are given."""
        self.add_rows(*self._read(values, sample_weight))

    def __call__(self, values: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:  # type: ignore[override]  # Keras's signature
        """Add numbers and return the result so far."""
        self.update_state(values, sample_weight)
        return self.result()


class Mean(_OfNumbers):
    """Weighted mean of numbers.

    Examples
    --------
    >>> mean = Mean()
    >>> mean.update_state([1.0, 3.0])
    >>> mean.result()
    Tensor(2.)
    """


class Sum(_OfNumbers):
    """Weighted sum of numbers.

    Examples
    --------
    >>> Sum()([1.0, 3.0])
    Tensor(4.)
    """

    def state(self) -> dict[str, Any]:
        """Return the sum."""
        return {"total": self.total}

    def result(self) -> Any:
        """Return the sum so far."""
        return tensor(self.total)


class MeanMetricWrapper(Metric):
    """Mean of the values that a function returns.

    Parameters
    ----------
    fn : callable
        Called with the targets as they were given, and the predictions; targets get or lose a last axis of size 1 if
        only one of the two has it. Returns values whose first axis is the rows (the mean is taken over the others), or
        one number for the batch, which then counts once.
    name : str, optional
    dtype : str, optional
    **kwargs
        Passed on to `fn`.

    Examples
    --------
    >>> import numpy as np
    >>> MeanMetricWrapper(lambda y_true, y_pred: np.abs(y_true - y_pred).max(axis=1), name="worst")([[0, 1]], [[0, 3]])
    Tensor(2.)
    """

    def __init__(self, fn: Callable[..., Any], name: str | None = None, dtype: Any = None, **kwargs: Any) -> None:
        fn = function(type(self).__name__, "fn", fn)
        super().__init__(name if name is not None else _name_for(fn), dtype)
        self._fn, self._kwargs = fn, kwargs

    def update_state(
        self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None
    ) -> None:
        """Add a batch to the mean; weights have the shape of the function's values, or of their first axes."""
        who = type(self).__name__
        true, predictions = of_one_rank(real_array(who, "y_true", y_true), real_array(who, "y_pred", y_pred))
        found = self._fn(true, predictions, **self._kwargs)
        values = real_array(who, f"what {name_of(self._fn)} returns", found).astype(np.float64)
        if sample_weight is None:
            self.total += float(_over_rows(values).sum())
            self.count += len(values) if values.ndim else 1
            return
        weights = real_array(who, "sample_weight", sample_weight).astype(np.float64)
        if weights.ndim == values.ndim + 1 and weights.shape[-1] == 1:
            weights = weights[..., 0]
        if values.ndim > weights.ndim:
            values = values.mean(axis=tuple(range(weights.ndim, values.ndim)))
        if values.ndim:
            weights = broadcast(who, "sample_weight", weights, values.shape)
        self.total += float(_over_rows(values * weights).sum())
        self.count += float(_over_rows(weights).sum())

    @property
    def function(self) -> Callable[..., Any] | None:
        """The function, if it is all that makes the metric: there are no other arguments, and the name is its own."""
        named = hasattr(self._fn, "__name__") and self.name == _name_for(self._fn)
        plain = type(self) is MeanMetricWrapper and not self._kwargs and named
        return self._fn if plain and self.dtype == config.floatx() else None

    reads_given = True

    def state(self) -> dict[str, Any]:
        """Return the sum and the total weight."""
        return {"total": self.total, "count": self.count}

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; the function must be registered or lamina's, so that `from_config` finds it."""
        return super().get_config() | {"fn": serialize_keras_object(self._fn), **self._kwargs}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MeanMetricWrapper:
        """Return a metric from `get_config`."""
        if "fn" not in config:  # of a subclass that has its own
            return super().from_config(config)
        return cls(**(config | {"fn": deserialize_keras_object(config["fn"])}))


def name_of(fn: Any) -> str | None:
    """Return the name of a function, or of an object that is called like one."""
    return getattr(fn, "__name__", None) or getattr(fn, "name", None)


def _name_for(fn: Any) -> str | None:
    """Return the name of a metric that is a function, as Keras spells it."""
    name = name_of(fn)
    return snake_case(name) if hasattr(fn, "__name__") and name is not None else name


def _over_rows(values: Array) -> Array:
    """Return the mean over all axes but the first."""
    found: Array = values.mean(axis=tuple(range(1, values.ndim))) if values.ndim > 1 else values
    return found


def divide(a: Any, b: Any) -> Any:
    """Return ``a / b``, 0 where `b` is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=np.asarray(b) != 0)


def scalar_or_array(values: Array) -> Any:
    """Return an array of one element as a float, any other as it is."""
    return float(values[0]) if values.size == 1 else values
