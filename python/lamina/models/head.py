"""The head of a network in training: converts loss and metrics to the engine's form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._data.arrays import of_one_rank, real_array
from lamina._engine.ops import LINEAR, Kernel, Shape
from lamina._engine.specs import LossSpec, MetricSpec
from lamina.losses import Loss, RowLosses
from lamina.metrics import Metric

__all__ = ["Given", "loss_spec", "metric_spec"]

Array = npt.NDArray[Any]


class Given:
    """The targets as the user gave them, for user-defined metrics; the engine passes row indices into them."""

    def __init__(self) -> None:
        self._y: Array = np.empty(0)

    def hold(self, y: Array) -> None:
        """Store the targets of the run that begins."""
        self._y = y

    def release(self) -> None:
        """Drop the targets, so that the user's memory is not kept alive."""
        self._y = np.empty(0)

    def __reduce__(self) -> Any:
        return Given, ()

    def rows(self, numbers: Array) -> Array:
        """Return the rows of the targets with these indices, copied, in native byte order."""
        found = self._y[numbers]
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def loss_spec(loss: Loss, weight: float, head: Kernel | None, given: Given, output: Shape) -> LossSpec:
    """Return the engine's form of a loss; with `head` it includes the network's final activation."""
    kernel: Any = loss.logits_kernel if head is not None or loss.from_logits else loss.kernel
    if loss.in_python or kernel is None:
        kernel = _host_loss(loss, given, output)
    return LossSpec(kernel, loss.parameters(), loss.divisor(), LINEAR if head is None else head, weight, loss.columns())


def _host_loss(loss: Loss, given: Given, output: Shape) -> Any:
    """Return the function that the engine calls for a loss that no kernel computes."""
    lines = math.prod(output[:-1])

    def evaluate(y_true: Array, y_pred: Array, weight: Array | None, need_gradient: bool) -> RowLosses:
        if not loss.by_call:
            return loss.evaluate(y_true, y_pred, weight, need_gradient=need_gradient)
        rows = y_pred.reshape(-1, *output)
        found = loss.evaluate(given.rows(y_true[::lines]), rows, weight, need_gradient=need_gradient)
        gradient = None if found.gradient is None else found.gradient.reshape(y_pred.shape)
        if lines == 1:
            return RowLosses(found.values, gradient)
        # The engine sums over lines, or takes their mean; a row's loss is the sum or the mean already.
        shared = (1 / lines, 1.0) if loss.divisor() == "one" else (1.0, float(lines))
        return RowLosses(
            np.repeat(found.values, lines) * y_pred.dtype.type(shared[0]),
            None if gradient is None else gradient * y_pred.dtype.type(shared[1]),
        )

    return evaluate


def metric_spec(metric: Metric, weighted: bool, target: int, given: Given, output: Shape) -> MetricSpec:
    """Return the engine's form of a metric.

    Parameters
    ----------
    target : int
        Index into the trainer's targets; 0 for those of the loss.
    output : tuple of int
        Shape of a row of the model's output.
    """
    kernel = metric.kernel()
    if kernel is not None:
        return MetricSpec(*kernel, target, weighted)
    return MetricSpec("host", {}, target, weighted, _host_metric(metric, weighted, given, output))


def _host_metric(metric: Metric, weighted: bool, given: Given, output: Shape) -> Any:
    """Return the function that the engine calls for a metric written in Python; it returns a value for each row."""
    who = f"{type(metric).__name__} {metric.name!r}"
    lines = math.prod(output[:-1])

    def row_values(y_true: Array, y_pred: Array, weights: Array | None) -> Array:
        if not metric.takes_batches:
            found = real_array(who, "what row_values returns", metric.row_values(y_true, y_pred))
            if found.shape != (len(y_pred),):
                raise ValueError(f"{who}: what row_values returns must have shape ({len(y_pred)},); got {found.shape}.")
            return found
        rows = y_pred
        if metric.reads_given:
            rows = y_pred.reshape(-1, *output)
            y_true, rows = of_one_rank(given.rows(y_true[::lines]), rows)
            weights = None if weights is None else weights.reshape(-1, *output[:-1])
        metric.update_state(y_true, rows, sample_weight=weights if weighted else None)
        return np.zeros(len(y_pred), y_pred.dtype)

    return row_values
