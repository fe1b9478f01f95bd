"""The head of a network in training: loss and metrics as the engine calls them."""

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
    """Targets as the user gave them, for metrics of the user's own, which the engine tells of rows by their numbers."""

    def __init__(self) -> None:
        self._y: Array = np.empty(0)

    def hold(self, y: Array) -> None:
        """Take the targets of the run that begins."""
        self._y = y

    def release(self) -> None:
        """Let go of them: they are the user's."""
        self._y = np.empty(0)

    def __reduce__(self) -> Any:
        return Given, ()

    def rows(self, numbers: Array) -> Array:
        """Return rows of the targets, a copy in native byte order."""
        found = self._y[numbers]
        return found if found.dtype.isnative else found.astype(found.dtype.newbyteorder("="))


def loss_spec(loss: Loss, weight: float, head: Kernel | None) -> LossSpec:
    """Return a loss as the engine takes it; with `head` it includes the network's final activation."""
    kernel: Any = loss.logits_kernel if head is not None or loss.from_logits else loss.kernel
    if loss.in_python or kernel is None:
        kernel = _host_loss(loss)
    return LossSpec(kernel, loss.parameters(), loss.divisor(), LINEAR if head is None else head, weight)


def _host_loss(loss: Loss) -> Any:
    """Return a loss that is written in Python as the engine calls it."""

    def evaluate(y_true: Array, y_pred: Array, weight: Array | None, need_gradient: bool) -> RowLosses:
        return loss.evaluate(y_true, y_pred, weight, need_gradient=need_gradient)

    return evaluate


def metric_spec(metric: Metric, weighted: bool, target: int, given: Given, output: Shape) -> MetricSpec:
    """Return a metric as the engine takes it.

    Parameters
    ----------
    target : int
        Number of its targets, 0 for those of the loss.
    output : tuple of int
        Shape of a row of the model's output.
    """
    kernel = metric.kernel()
    if kernel is not None:
        return MetricSpec(*kernel, target, weighted)
    return MetricSpec("host", (), target, weighted, _host_metric(metric, weighted, given, output))


def _host_metric(metric: Metric, weighted: bool, given: Given, output: Shape) -> Any:
    """Return a metric that is written in Python as the engine calls it: its values of rows."""
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
