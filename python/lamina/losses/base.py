"""Loss: the base class of losses."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina import _core, config
from lamina._common.arguments import Argument, one_of
from lamina._common.checks import KindError, short, text
from lamina._common.names import redefines, snake_case
from lamina._common.objects import Configurable
from lamina._data.arrays import float_array, of_one_rank, real_array, row_weights, scored_batch, target_array
from lamina._data.autodiff import array_module, constant, differentiable, is_traced, pullback, returned
from lamina._data.tensors import tensor

__all__ = ["Loss", "RowLosses"]

Array = npt.NDArray[Any]

# The divisor of the sum of the rows' losses, by its name in the engine.
_DIVISORS = {
    "sum_over_batch_size": "rows",
    "mean": "rows",
    "mean_with_sample_weight": "weights",
    "sum": "one",
    "none": "one",
    None: "one",
}


def _dtype(who: str, name: str, value: Any) -> str:
    return config.any_dtype(who, value) or config.floatx()


class RowLosses(NamedTuple):
    """Weighted loss of each row, and the gradient with respect to the predictions or logits that were given."""

    values: Array
    gradient: Array | None


class Loss(Configurable):
    """Base class of losses.

    One written in Python defines `call`, in functions of `lamina.ops`, or `value_and_gradient`.

    Parameters
    ----------
    name : str, optional
    reduction : {"sum_over_batch_size", "mean", "mean_with_sample_weight", "sum", "none", None}
        The result of a call: the mean over rows (the first two), the sum divided by the sum of the weights, the sum, or
        each row's loss (the last two).
    dtype : str, optional
        Accepted as in Keras: losses are computed in the dtype of the predictions.
    """

    # Whether `targets` changes values, so that metrics cannot share the loss's targets.
    converts_targets = False

    # Whether it reads targets.
    needs_targets = True

    # Name of the compiled loss, None if the loss is written in Python; and name of the compiled loss that takes logits.
    kernel: str | None = None
    logits_kernel: str | None = None
    # The output activation that the logits kernel includes.
    logits_activation: str | None = None

    # Whether predictions are logits, to which the output activation would be applied.
    from_logits: Any = False

    name = Argument(text)
    reduction = Argument(one_of(*_DIVISORS))
    dtype = Argument(_dtype)

    def __init__(
        self, name: str | None = None, reduction: str | None = "sum_over_batch_size", dtype: Any = None
    ) -> None:
        self.dtype, self.reduction = dtype, reduction
        self.name = name if name is not None else snake_case(type(self).__name__)

    def parameters(self) -> dict[str, float]:
        """Return the kernel's parameters by name."""
        return {}

    def columns(self) -> list[float]:
        """Return the parameter of each column of the output, if they differ."""
        return []

    def divisor(self) -> str:
        """Return the divisor of the sum of the rows' losses, by its name in the engine."""
        return _DIVISORS[self.reduction]

    def value_and_gradient(self, y_true: Array, y_pred: Array) -> tuple[Array, Array]:
        """Return each row's loss, shape (n,), and its gradient with respect to `y_pred`, shape (n, c).

        For losses written in Python. Weights and the reduction are applied afterwards.
        """
        raise NotImplementedError(f"{type(self).__name__}: a loss defines value_and_gradient.")

    @property
    def by_call(self) -> bool:
        """Whether the loss is a user's `call`, which gets targets as they were given."""
        kind = type(self)
        return redefines(kind, "call", "kernel") and redefines(kind, "call", "value_and_gradient")

    @property
    def in_python(self) -> bool:
        """Whether the loss is written in Python, by itself or in a subclass of a compiled loss."""
        return self.by_call or self._by_value_and_gradient

    @property
    def _by_value_and_gradient(self) -> bool:
        return self.kernel is None or redefines(type(self), "value_and_gradient", "kernel")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row, without weights and reduction.

        A subclass may override it, in functions of `lamina.ops`, and call this one of the class that it derives from.

        Parameters
        ----------
        y_true, y_pred : array_like
            As in `__call__`.

        Returns
        -------
        Tensor, shape of the rows
        """
        return self.row_losses(y_true, y_pred)

    def row_losses(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row along the last axis, computed by the kernel or by `value_and_gradient`."""
        who = type(self).__name__
        if is_traced(y_true):
            raise KindError(f"{who}: y_true must be an array: the derivative with respect to targets is not known.")
        if not is_traced(y_pred):
            return tensor(_losses_of_rows(y_pred, self, y_true))
        if not _traced:
            _traced.append(differentiable(_losses_of_rows, _gradients_of_rows))
        return _traced[0](y_pred, self, np.asarray(y_true))

    def check_trainable(self) -> None:
        """Raise if the loss overrides `__call__`, which training does not call."""
        kind = type(self)
        if redefines(kind, "__call__", "kernel"):
            raise KindError(
                f"{kind.__name__}: its __call__ would not be called while training; a loss of one's own defines "
                "value_and_gradient."
            )

    def check_rank(self, who: str, rank: int) -> None:
        """Raise if the loss cannot be used for an output of `rank` axes."""

    def targets(self, who: str, y: Any, columns: int, dtype: str | None) -> Array:
        """Return targets in the form that the kernel takes, or raise; nothing is broadcast.

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
        need_gradient: bool = False,
    ) -> RowLosses:
        """Return the rows' losses and gradients, for arrays in the form that kernels take."""
        by = self._evaluate_call if self.by_call else self.evaluate_own
        return by(y_true, y_pred, sample_weight, need_gradient)

    def evaluate_own(self, y_true: Array, y_pred: Array, sample_weight: Array | None, need_gradient: bool) -> RowLosses:
        """Return the rows' losses and gradients by the kernel or by `value_and_gradient`, whatever `call` is."""
        if self._by_value_and_gradient:
            values, gradient = self._checked_values(*self._found(y_true, y_pred), y_pred)
            if sample_weight is not None:
                values, gradient = values * sample_weight, gradient * sample_weight[:, np.newaxis]
            return RowLosses(values, gradient if need_gradient else None)
        kernel = self.logits_kernel if self.from_logits else self.kernel
        assert kernel is not None
        values, gradient = _core.evaluate_loss(
            kernel, y_pred, y_true, sample_weight, self.parameters(), None, None, need_gradient, self.columns()
        )
        return RowLosses(values, gradient)

    def _evaluate_call(self, y_true: Array, y_pred: Array, weights: Array | None, need_gradient: bool) -> RowLosses:
        """Return the rows' losses by the user's `call`, and gradients by autograd; predictions have any rank."""
        who = f"{type(self).__name__} {self.name!r}: call"
        call = self.call
        true, rows = of_one_rank(y_true.astype(y_pred.dtype, copy=False), y_pred)
        if need_gradient:
            found, back = pullback(who, lambda predictions: call(returned(true), predictions), [rows])
        else:
            found = constant(call(returned(true), returned(rows)), checked=False)
        found = real_array(who, "what it returns", found)
        if found.ndim and found.shape[0] != len(rows):
            raise ValueError(f"{who} must return a value for each of {len(rows)} rows; got shape {found.shape}.")
        weight = np.ones(len(rows), y_pred.dtype) if weights is None else weights.reshape(len(rows), -1).mean(axis=1)
        sums = self.divisor() == "one"
        if found.ndim:
            own = found.reshape(len(rows), -1)
            values = (own.sum(axis=1) if sums else own.mean(axis=1)) * weight
        else:  # one number for the batch, of which each row has its share
            share = weight.mean() / (len(rows) if sums else 1) if len(rows) else 0.0
            weight = np.full(len(rows), share, y_pred.dtype)
            values = found * weight
        if not need_gradient:
            return RowLosses(values.astype(y_pred.dtype), None)
        if found.ndim:
            share = weight if sums else weight / max(1, found.size // max(1, len(rows)))
            upstream = np.broadcast_to(share.reshape(-1, *(1,) * (found.ndim - 1)), found.shape)
        else:
            upstream = np.asarray(weight.sum())
        (gradient,) = back(upstream.astype(found.dtype))
        return RowLosses(values.astype(y_pred.dtype), gradient.astype(y_pred.dtype, copy=False))

    def _found(self, y_true: Array, y_pred: Array) -> tuple[Any, Any]:
        found: Any = self.value_and_gradient(y_true, y_pred)
        if not isinstance(found, tuple) or len(found) != 2:
            raise KindError(f"{type(self).__name__}: value_and_gradient must return two arrays; got {short(found)}.")
        return found[0], found[1]

    def _checked_values(self, values: Any, gradient: Any, y_pred: Array) -> tuple[Array, Array]:
        """Return the results of a loss written in Python, or raise if their shapes are wrong."""
        who = f"{type(self).__name__}: value_and_gradient"
        values, gradient = real_array(who, "the values", values), real_array(who, "the gradient", gradient)
        for what, array, shape in (("values", values, y_pred.shape[:1]), ("gradient", gradient, y_pred.shape)):
            if array.shape != shape:
                raise ValueError(f"{who}: the {what} must have shape {shape}; got {array.shape}.")
        return values, gradient

    def rows_counted(self, y_true: Array, sample_weight: Array | None) -> float:
        """Return the divisor of the sum of the rows' losses."""
        if self.divisor() == "weights" and sample_weight is not None:
            return _core.sum(sample_weight, None)
        return 1.0 if self.divisor() == "one" else float(len(y_true))

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Return the loss of a batch.

        Parameters
        ----------
        y_true : array_like, shape (..., c), or (...) where c is 1 or labels are class numbers
        y_pred : array_like, shape (..., c)
            A single row may have shape (c,).
        sample_weight : array_like, optional
            Of the shape of the rows, or broadcast to it.

        Returns
        -------
        Tensor
            An array, without axes (it stands for a number), or of the rows' shape for reduction None.

        Raises
        ------
        TypeError, ValueError
            Shapes or dtypes do not fit.
        """
        who = type(self).__name__
        if is_traced(y_true) or is_traced(y_pred):
            return self._differentiated(who, y_true, y_pred, sample_weight)
        if self.by_call:
            return self._reduced_call(y_true, y_pred, sample_weight)
        targets, predictions, weights, shape = scored_batch(who, y_true, y_pred, sample_weight, self.targets)
        values = self.evaluate(targets, predictions, weights).values
        if self.reduction in ("none", None):
            return tensor(values.reshape(shape))
        counted = self.rows_counted(targets, weights)
        return tensor(_core.sum(np.ascontiguousarray(values), None) / counted if counted else 0.0)

    def _differentiated(self, who: str, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Return the loss in a function that is differentiated with respect to the predictions."""
        rows = self.call(y_true, y_pred) if self.by_call else self.row_losses(y_true, y_pred)
        shape, module = np.shape(rows), array_module()
        weights = None
        if sample_weight is not None:
            weights = row_weights(who, sample_weight, (*shape, 1), "float64").reshape(shape)
            rows = rows * weights
        if self.reduction in ("none", None):
            return rows
        counted = float(math.prod(shape))
        if self.divisor() == "weights" and weights is not None:
            counted = float(weights.sum())
        return module.sum(rows) / (1.0 if self.divisor() == "one" else counted or 1.0)

    def _reduced_call(self, y_true: Any, y_pred: Any, sample_weight: Any) -> Any:
        """Return the result of the user's `call`, weighted and reduced; for use without a model."""
        who = type(self).__name__
        true, predictions = of_one_rank(real_array(who, "y_true", y_true), float_array(who, "y_pred", y_pred))
        values = real_array(who, "what call returns", self.call(true.astype(predictions.dtype), predictions))
        values = values.astype(np.float64)
        weights = None
        if sample_weight is not None:
            weights = row_weights(who, sample_weight, (*values.shape, 1), "float64").reshape(values.shape)
            values = values * weights
        if self.reduction in ("none", None):
            return tensor(values)
        counted = {"one": 1.0, "rows": float(values.size)}.get(self.divisor())
        if counted is None:
            counted = float(values.size if weights is None else weights.sum())
        return tensor(float(values.sum()) / counted if counted else 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same loss."""
        return {"reduction": self.reduction, "name": self.name}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, reduction={self.reduction}>"


class NamedLoss(Loss):
    """Base class of the library's losses; arguments as of `Loss`, the reduction first, as in Keras."""

    def __init__(
        self, reduction: str | None = "sum_over_batch_size", name: str | None = None, dtype: Any = None
    ) -> None:
        super().__init__(name, reduction, dtype)


class AlongAxis(NamedLoss):
    """A loss of the vectors along an axis: the last axis in training, any axis in calls."""

    axis: int

    def __call__(self, y_true: npt.ArrayLike, y_pred: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Any:
        """Return the loss of a batch, as `Loss`."""
        if not self.by_call:
            y_true, y_pred = self._moved(y_true, y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row, as `Loss`."""
        return self.row_losses(*self._moved(y_true, y_pred))

    def _moved(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Return targets and predictions with the axis moved to the end."""
        who = type(self).__name__
        if is_traced(y_pred):
            rank = np.ndim(y_pred)
            check_axis(who, self.axis, rank)
            return along_last(who, y_true, self.axis, rank), array_module().moveaxis(y_pred, self.axis, -1)
        y_true, y_pred = real_array(who, "y_true", y_true), real_array(who, "y_pred", y_pred)
        return along_last(who, y_true, self.axis, y_pred.ndim), along_last(who, y_pred, self.axis, y_pred.ndim)

    def check_rank(self, who: str, rank: int) -> None:
        """Raise unless the axis is the last one of a model's output; a `call` gets the output as it is."""
        if not self.by_call and self.axis not in (-1, rank - 1):
            raise ValueError(
                f"{who}: axis of the loss {self.name!r} must be the last of the output's {rank} axes; got {self.axis}."
            )


def _losses_of_rows(y_pred: Array, loss: Loss, y_true: Array) -> Array:
    """Return the losses of rows, shape of the predictions without their last axis."""
    targets, predictions, _weights, shape = scored_batch(type(loss).__name__, y_true, y_pred, None, loss.targets)
    return loss.evaluate_own(targets, predictions, None, False).values.reshape(shape)


def _gradients_of_rows(dy: Array, _values: Array, y_pred: Array, loss: Loss, y_true: Array) -> Array:
    """Return the gradient of the predictions, given that of the losses of rows, which are their weights."""
    targets, predictions, _weights, _shape = scored_batch(type(loss).__name__, y_true, y_pred, None, loss.targets)
    weights = np.ascontiguousarray(np.reshape(dy, -1), predictions.dtype)
    gradient = loss.evaluate_own(targets, predictions, weights, True).gradient
    assert gradient is not None
    return gradient.reshape(np.shape(y_pred))


# The two as one function; made on first use.
_traced: list[Any] = []


def check_axis(who: str, axis: int, rank: int) -> None:
    """Raise unless an axis is one of the predictions'."""
    if not -rank <= axis < rank:
        raise ValueError(f"{who}: axis must be one of the {rank} axes of y_pred; got {axis}.")


def along_last(who: str, y: Any, axis: int, rank: int) -> Any:
    """Return an array with an axis moved to the end, unchanged if it has another rank than the predictions."""
    if rank == 0:
        return y
    check_axis(who, axis, rank)
    if axis in (-1, rank - 1) or np.ndim(y) != rank:
        return y
    return np.ascontiguousarray(np.moveaxis(np.asarray(y), axis, -1))
