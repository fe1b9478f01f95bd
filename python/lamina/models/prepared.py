"""Prepared: the data of a call, checked against the model, which is not changed."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina._data import rows as data_module
from lamina._data.arrays import label_array, output_lines, real_array
from lamina._data.compact import Rows
from lamina._data.rows import Data
from lamina._engine.network import Constants
from lamina.losses import Loss
from lamina.metrics import Metric
from lamina.models.compiled import Compiled, MetricUse
from lamina.models.stack import Stack

__all__ = ["Prepared", "prepare", "rows_of", "split", "weighted_by_class"]

Array = npt.NDArray[Any]


class Prepared(NamedTuple):
    """The rows of a call.

    Attributes
    ----------
    data : Data
    uses : list of MetricUse
    metric_targets : list of ndarray or None
        For each metric the targets in the form that it reads; None if it shares those of the loss.
    labels : list of bool
        For each of `targets` whether it holds class numbers, one for each row or line of output.
    given : ndarray
        The targets as the user gave them.
    """

    data: Data
    uses: list[MetricUse]
    metric_targets: list[Array | None]
    labels: list[bool]
    given: Array

    def targets(self) -> list[Array]:
        """Return the targets of the loss, then those of the metrics that do not share them."""
        assert self.data.y is not None
        return [self.data.y, *(array for array in self.metric_targets if array is not None)]

    def arrays(self) -> dict[str, Any]:
        """Return inputs, targets and weights as arguments of the engine's trainer."""
        return {"x": self.data.engine_input(), "targets": self.targets(), "sample_weight": self.data.sample_weight}

    def take(self, rows: Any) -> Prepared:
        """Return some of the rows. `given` is kept whole: metrics that read it index it with original row indices."""
        targets = [None if array is None else array[rows] for array in self.metric_targets]
        return Prepared(self.data.take(rows), self.uses, targets, self.labels, self.given)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.data)


class _Plain(NamedTuple):
    """What plain arrays must be like for most checks to be the same as last time.

    Attributes
    ----------
    layers, changes : list of Layer, object
        The model's layers then, and `Constants.changes`.
    x, y : (dtype, tuple of int)
        Their dtypes, and the shapes of their rows.
    columns : int
        Of the output.
    """

    layers: list[Any]
    changes: object
    x: tuple[np.dtype[Any], tuple[int, ...]]
    y: tuple[np.dtype[Any], tuple[int, ...]]
    columns: int


def rows_of(who: str, stack: Stack, x: Any) -> Rows:
    """Return the input as rows that any number of models with such inputs take without converting them again."""
    return data_module.input_rows(who, x, stack.taken_shape, stack.vocabulary)


def prepare(method: str, stack: Stack, compiled: Compiled, x: Any, y: Any, sample_weight: Any) -> Prepared:
    """Check the data of a call against a model, built or not."""
    who, plain = stack.who(method), type(x) is np.ndarray and type(y) is np.ndarray and sample_weight is None
    known: _Plain | None = compiled.plain
    if (
        known is not None
        and plain
        and known.x == (x.dtype, x.shape[1:])
        and known.y == (y.dtype, y.shape[1:])
        and x.shape[:1] == y.shape[:1] != (0,)
        and known.changes is Constants.changes
        and known.layers == stack.layers
        and compiled.uses is not None
    ):
        targets = compiled.loss.targets(who, y, known.columns, None)
        labels = [targets.ndim == 1]
        return Prepared(Data(x, targets, None), compiled.uses, [None] * len(compiled.uses), labels, y)
    changes = Constants.changes
    with stack.composing(data_module.row_shape_of(x)) if stack.composed else nullcontext():
        found = _prepared(who, stack, compiled, x, y, sample_weight)
    shared = all(array is None for array in found.metric_targets) and not (compiled.loss.by_call or stack.composed)
    same = isinstance(x, np.ndarray) and found.data.x is x and found.data.y is y
    if plain and same and shared and stack.built and stack.vocabulary is None:  # indices are checked each time
        columns = stack.planned_output(x.shape[1:])[-1]
        compiled.plain = _Plain(list(stack.layers), changes, (x.dtype, x.shape[1:]), (y.dtype, y.shape[1:]), columns)
    return found


def _prepared(who: str, stack: Stack, compiled: Compiled, x: Any, y: Any, sample_weight: Any) -> Prepared:
    rows = data_module.input_rows(who, x, stack.taken_shape, stack.vocabulary)
    if len(rows) == 0:
        raise ValueError(f"{who}: x must have at least one row; got shape {rows.shape}.")
    if y is None:
        if compiled.loss.needs_targets or compiled.metrics or compiled.weighted_metrics:
            raise ValueError(f"{who}: y must be given; got None.")
        y = np.broadcast_to(np.zeros(1, stack.dtype), len(rows))
    *lines, columns = stack.planned_output(rows.shape[1:])
    compiled.loss.check_rank(who, len(lines) + 2)
    stack.check_masks(who)
    y = given = real_array(who, "y", data_module.only_target(y, len(rows)))

    def row_numbers() -> Array:
        """Return the index of each line's row."""
        return np.repeat(np.arange(len(rows)), math.prod(lines))

    if compiled.loss.by_call:  # the loss reads the targets as they were given, of any form
        if y.ndim == 0 or len(y) != len(rows):
            raise ValueError(f"{who}: y must have as many rows as x; got shape {y.shape} for {len(rows)}.")
        targets: Array = row_numbers()
        beside: _Beside | None = _Beside(who, given, tuple(lines), columns)
    else:
        y = output_lines(who, y, tuple(lines), columns)
        targets = compiled.loss.targets(who, y, columns, None)
        beside = None
        data_module.same_length(who, rows, targets, math.prod(lines))
    weight = data_module.weights(who, sample_weight, len(rows), tuple(lines), stack.dtype)
    uses = compiled.uses
    if uses is None:
        uses = compiled.resolved(targets if beside is None else beside.plain(), columns)
        for use in uses:
            use.metric.check_rank(who, len(lines) + 2)
    metric_targets = [
        row_numbers()
        if use.metric.reads_given
        else (
            _targets_of(who, use.metric, compiled.loss, y, targets, columns)
            if beside is None
            else beside.of(use.metric)
        )
        for use in uses
    ]
    found = [targets, *(array for array in metric_targets if array is not None)]
    labels = [array.ndim == 1 for array in found]
    if lines:
        targets, *others = (array.reshape(len(rows), -1) for array in found)
        remaining = iter(others)
        metric_targets = [None if array is None else next(remaining) for array in metric_targets]
    return Prepared(Data(rows, targets, weight), uses, metric_targets, labels, given)


class _Beside:
    """Targets for metrics beside a loss that reads targets as they were given.

    Parameters
    ----------
    who : str
        For messages.
    y : ndarray
        As it was given.
    lines, columns
        Of the output.
    """

    def __init__(self, who: str, y: Array, lines: tuple[int, ...], columns: int) -> None:
        self._who, self._y, self._lines, self._columns = who, y, lines, columns

    def plain(self) -> Array:
        """Return what says whether targets are class numbers: they are if they have an axis less than the output."""
        y = self._y
        single = y.ndim == len(self._lines) + 2 and y.shape[-1] == 1
        labels = self._columns > 1 and (y.ndim == len(self._lines) + 1 or single)
        return y.reshape(-1) if labels else y.reshape(len(y), -1)

    def of(self, metric: Metric) -> Array:
        """Return the targets in the form that a metric reads."""
        y = output_lines(self._who, self._y, self._lines, self._columns)
        if metric.wants_labels:
            return label_array(self._who, "y", y, self._columns)
        return metric.targets(self._who, y, self._columns, None)


def _targets_of(who: str, metric: Metric, loss: Loss, y: Any, targets: Array, columns: int) -> Array | None:
    """Return the targets in the form that a metric reads, None if it can share those of the loss."""
    if metric.wants_labels:
        return None if targets.ndim == 1 else label_array(who, "y", y, columns)
    shared = targets.ndim == 2 and not (metric.converts_targets or loss.converts_targets)
    return None if shared else metric.targets(who, y, columns, None)


def weighted_by_class(who: str, stack: Stack, prepared: Prepared, class_weight: Any) -> Prepared:
    """Return the rows with the weights of their classes; they are the first `prepared.rows` rows of `given`."""
    rows = prepared.rows
    columns = stack.planned_output(prepared.data.x.shape[1:])[-1]
    weights = data_module.class_weights(who, class_weight, prepared.given[:rows], columns)
    weight = data_module.weights(who, weights, rows, (), stack.dtype)
    return prepared._replace(data=Data(prepared.data.x, prepared.data.y, weight))


def split(who: str, prepared: Prepared, fraction: float) -> tuple[Prepared, Prepared]:
    """Return the rows without the last `fraction` of them, and that last part."""
    at = data_module.split_point(who, prepared.rows, fraction)
    return prepared.take(slice(0, at)), prepared.take(slice(at, None))
