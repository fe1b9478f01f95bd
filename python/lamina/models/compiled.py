"""Compiled: the resolved arguments of `compile`; the metrics and their names in logs."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy.typing as npt

from lamina import _core, losses, metrics, optimizers
from lamina._common.checks import number, short
from lamina._common.names import required
from lamina._common.objects import serialize_keras_object
from lamina._data.arrays import real_array
from lamina.losses import Loss
from lamina.losses.absent import NoLoss
from lamina.metrics import Metric
from lamina.optimizers import Optimizer

__all__ = ["Compiled", "MetricUse"]


class MetricUse(NamedTuple):
    """A metric and whether it takes sample weights."""

    metric: Metric
    weighted: bool


class Compiled:
    """Optimizer, loss and metrics of a model.

    Parameters
    ----------
    who : str
        For messages.
    optimizer, loss, loss_weights, metrics, weighted_metrics
        As `lamina.Sequential.compile` takes them.

    Attributes
    ----------
    optimizer : Optimizer
    loss : Loss
    given_loss : object
        The loss as it was given.
    loss_weight : float
        Factor of the loss.
    loss_tracker : Mean
        The loss, as a mean over batches.
    uses : list of MetricUse or None
        None until data are seen: which metric a name like "accuracy" stands for depends on the targets.
    plain : object
        What `prepared` knows of the plain arrays that it has seen last, or None.
    """

    def __init__(self, who: str, optimizer: Any, loss: Any, loss_weights: Any, given: Any, weighted: Any) -> None:
        weight = _only(who, "loss_weights", loss_weights)
        self.optimizer: Optimizer = required(who, "optimizer", optimizers.get(optimizer))
        self.loss: Loss = losses.loss_of(_only(who, "loss", loss)) or NoLoss()
        self.given_loss = loss
        self.metrics = [_checked_metric(who, one) for one in _as_list(_of_output(who, "metrics", given))]
        self.weighted_metrics = [
            _checked_metric(who, one) for one in _as_list(_of_output(who, "weighted_metrics", weighted))
        ]
        self.loss_weight = 1.0 if weight is None else number(who, "loss_weights", weight, least=0)
        self.optimizer.check_trainable()
        self.loss.check_trainable()
        self.loss_tracker = metrics.Mean("loss")
        self.uses: list[MetricUse] | None = None
        self.plain: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is found again."""
        return self.__dict__ | {"plain": None}

    def config(self) -> dict[str, Any]:
        """Return the arguments of `compile`, as plain values; without the optimizer's state."""
        return {
            "optimizer": serialize_keras_object(self.optimizer),
            "loss": None if isinstance(self.loss, NoLoss) else serialize_keras_object(self.loss),
            "loss_weights": self.loss_weight,
            "metrics": [_metric_config(one) for one in self.metrics],
            "weighted_metrics": [_metric_config(one) for one in self.weighted_metrics],
        }

    def copied_arguments(self) -> dict[str, Any]:
        """Return the arguments of `compile` for another model: copies, with a new optimizer of the same arguments."""
        optimizer = type(self.optimizer).from_config(self.optimizer.get_config())
        optimizer.without_decay = self.optimizer.without_decay
        return {
            "optimizer": optimizer,
            "loss": None if isinstance(self.loss, NoLoss) else copy.deepcopy(self.loss),
            "loss_weights": self.loss_weight,
            "metrics": copy.deepcopy(self.metrics),
            "weighted_metrics": copy.deepcopy(self.weighted_metrics),
        }

    # Metrics.

    def resolved(self, targets: npt.NDArray[Any], columns: int) -> list[MetricUse]:
        """Return the metrics, names like "accuracy" resolved for these targets (of the loss) and output columns."""
        class_numbers = targets.ndim == 1
        return [
            MetricUse(metrics.metric_for(one, columns, class_numbers) if isinstance(one, str) else one, weighted)
            for weighted, wanted in ((False, self.metrics), (True, self.weighted_metrics))
            for one in wanted
        ]

    @property
    def trackers(self) -> list[Metric]:
        """The loss as a running mean, and the metrics that are known so far."""
        return [self.loss_tracker, *(use.metric for use in self.uses or [])]

    @property
    def knows_metrics(self) -> bool:
        """Whether all metrics are resolved: targets have been seen, or no metric's name depends on them."""
        return self.uses is not None or not any(isinstance(one, str) for one in (*self.metrics, *self.weighted_metrics))

    def direction_of(self, name: str) -> str | None:
        """Return "up" if larger values of the metric `name` in logs are better, "down" if smaller; None: unknown."""
        if self.uses is None:
            return None
        for count in range(len(self.uses)):  # the metric with which the name appears
            if name in self.results(self.uses[: count + 1]):
                return self.uses[count].metric.direction
        return None

    def reset_metrics(self) -> None:
        """Reset all running means."""
        for metric in self.trackers:
            metric.reset_state()

    def new_totals(self) -> _core.Totals:
        """Return an object in which a run of the engine sums the loss and each metric."""
        return _core.Totals(len(self.uses or []))

    def add_totals(self, totals: _core.Totals) -> None:
        """Add the sums of a run of the engine to the running means."""
        for tracker, total, count in zip(self.trackers, totals.sums, totals.counts, strict=True):
            if tracker is self.loss_tracker or not tracker.takes_batches:
                tracker.total += total
                tracker.count += count

    def logs(self) -> dict[str, Any]:
        """Return loss and metrics so far, names in alphabetical order as in Keras."""
        return dict(sorted(self.results().items()))

    def results(self, uses: list[MetricUse] | None = None) -> dict[str, Any]:
        """Return the loss, then the metrics; a name that is taken becomes ``weighted_name`` or ``name_1``."""
        logs: dict[str, Any] = {"loss": float(self.loss_tracker.result())}
        for metric, weighted in self.uses or [] if uses is None else uses:
            result = metric.result()
            if isinstance(result, dict):  # several values, by their names
                logs |= {str(name): _plain(metric.name, value) for name, value in result.items()}
                continue
            name = metric.name
            if name in logs and weighted:
                name = f"weighted_{name}"
            count = 0
            while name in logs:
                count += 1
                name = f"{metric.name}_{count}"
            logs[name] = _plain(name, result)
        return logs


def _plain(name: str, result: Any) -> Any:
    """Return a metric's result as a float, or as a copy of the array if it has several values."""
    array = real_array(f"metric {name!r}", "its result", result)
    return float(array.reshape(())) if array.size == 1 else array.copy()


def _metric_config(metric: Any) -> Any:
    """Return the configuration of a metric, as Keras writes it: of a function that was given alone, the function."""
    function = metric.function if isinstance(metric, metrics.MeanMetricWrapper) else None
    return serialize_keras_object(metric if function is None else function)


def _as_list(value: Any) -> list[Any]:
    """Return metrics as a list; Keras's list of lists (one list for each output) is flattened."""
    if value is None:
        return []
    items = list(value) if isinstance(value, (list, tuple)) else [value]
    return [item for part in items for item in (part if isinstance(part, (list, tuple)) else [part])]


def _of_output(who: str, name: str, value: Any) -> Any:
    """Return metrics; from a dict by output name, those of the only output."""
    if not isinstance(value, dict) or "class_name" in value:
        return value
    if len(value) > 1:
        raise ValueError(f"{who}: {name} must be those of one output: a model has one; got {short(list(value))}.")
    return next(iter(value.values()), None)


def _only(who: str, name: str, value: Any) -> Any:
    """Return the value for the model's only output: `value` itself, or the item of a list or dict of one."""
    values = list(value.values()) if isinstance(value, dict) and "class_name" not in value else value
    if not isinstance(values, (list, tuple)):
        return values
    if len(values) != 1:
        raise ValueError(f"{who}: {name} must be one: a model has one output; got {len(values)}.")
    return values[0]


def _checked_metric(who: str, metric: Any) -> Any:
    """Return a name that depends on targets, like "accuracy", unchanged, everything else as a Metric; or raise."""
    if metrics.depends_on_shape(metric):
        return metric
    found = required(who, "a metric", metrics.get(metric))
    if isinstance(metric, str):
        found.name = metric
    if not found.compares:
        raise ValueError(f"{who}: a metric must compare targets and predictions; {type(found).__name__} takes numbers.")
    return found
