"""What a step is: from checked data through the layers to loss, gradients and updated parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from lamina import _core, metrics
from lamina import data as data_module
from lamina._arrays import label_array
from lamina._checks import NotCompiledError
from lamina.callbacks import History
from lamina.data import Batch, Data
from lamina.layers import Layer
from lamina.layers.base import Pass
from lamina.losses import Loss
from lamina.metrics import Metric
from lamina.optimizers import Optimizer

if TYPE_CHECKING:
    from lamina.variables import Variable

__all__ = ["Compiled", "MetricUse", "Prepared", "Stepper"]

Array = npt.NDArray[Any]


class Compiled(NamedTuple):
    """What `compile` was given, resolved."""

    optimizer: Optimizer
    loss: Loss
    metrics: list[Any]
    weighted_metrics: list[Any]


class Prepared(NamedTuple):
    """The data of a call, checked; nothing of the model has changed yet."""

    data: Data
    metric_uses: list[MetricUse]
    metric_targets: list[Array | None]  # of each metric; None where they are those of the loss


class MetricUse(NamedTuple):
    """A metric and whether it takes sample weights."""

    metric: Metric
    weighted: bool


class Stepper:
    """The part of a model that takes steps; `lamina.training.Trainer` calls it."""

    name: str
    layers: list[Layer]
    built: bool
    seed: int

    def __init__(self) -> None:
        self._compiled: Compiled | None = None
        self._metric_uses: list[MetricUse] | None = None
        self._loss_tracker = metrics.Mean("loss")
        self._shuffles = 0
        self.stop_training = False
        self.history: History | None = None

    # What the other part defines.

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        raise NotImplementedError

    @property
    def row_shape(self) -> tuple[int, ...] | None:
        """Shape of one row of input, or None before the model is built."""
        raise NotImplementedError

    def planned_units(self, row_shape: tuple[int, ...]) -> int:
        """Return the number of columns of the output for rows of that shape; raises where the output is no matrix."""
        raise NotImplementedError

    @property
    def compute_dtype(self) -> str:
        """The model's dtype."""
        raise NotImplementedError

    def build(self, input_shape: Any = None) -> None:
        """Make the parameters."""
        raise NotImplementedError

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer; for compiled models."""
        return self._require_compiled("optimizer").optimizer

    @property
    def loss(self) -> Loss:
        """The loss; for compiled models."""
        return self._require_compiled("loss").loss

    @property
    def metrics(self) -> list[Metric]:
        """The loss as a running mean, and the metrics that were resolved so far."""
        uses = self._metric_uses or []
        return [self._loss_tracker, *(use.metric for use in uses)]

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns."""
        return list(self._logs())

    def reset_metrics(self) -> None:
        """Begin the running means anew."""
        for metric in self.metrics:
            metric.reset_state()

    def _who(self, method: str) -> str:
        return f"{type(self).__name__} {self.name!r}: {method}"

    def _require_compiled(self, method: str) -> Compiled:
        if self._compiled is None:
            raise NotCompiledError(
                f"{self._who(method)}: the model must be compiled first; call compile(optimizer, loss)."
            )
        return self._compiled

    def _fuses_head(self) -> bool:
        """Whether the loss takes over the last layer's activation: softmax or sigmoid before its cross-entropy."""
        head = self.layers[-1].head_activation()
        wanted = self._require_compiled("loss").loss.logits_activation
        return head is not None and wanted is not None and head.name == wanted

    # Preparing data.

    def _prepare(self, method: str, x: Any, y: Any, sample_weight: Any) -> Prepared:
        """Check the data of a call against the model, built or not, and change nothing."""
        compiled = self._require_compiled(method)
        who = self._who(method)
        rows = data_module.input_rows(who, x, self.row_shape)
        if len(rows) == 0:
            raise ValueError(f"{who}: x must have at least one row; got shape {rows.shape}.")
        if y is None:
            raise ValueError(f"{who}: y must be given; got None.")
        columns, dtype = self.planned_units(rows.shape[1:]), self.compute_dtype
        targets = compiled.loss.targets(who, y, columns, dtype)
        data_module.same_length(who, rows, targets)
        weight = data_module.weights(who, sample_weight, len(rows), dtype)
        uses = self._metric_uses
        if uses is None:
            uses = self._resolve_metrics(targets, columns)
        metric_targets = [self._metric_targets(who, use.metric, y, targets, columns) for use in uses]
        return Prepared(Data(rows, targets, weight), uses, metric_targets)

    def _commit(self, prepared: Prepared) -> None:
        """Build the model for data that passed all checks, and keep the metrics that were chosen for them."""
        if not self.built:
            self.build((None, *prepared.data.x.shape[1:]))
        self._metric_uses = prepared.metric_uses

    def _resolve_metrics(self, targets: Array, columns: int) -> list[MetricUse]:
        compiled = self._require_compiled("compile")
        class_numbers = targets.ndim == 1
        uses = []
        for weighted, wanted in ((False, compiled.metrics), (True, compiled.weighted_metrics)):
            for metric in wanted:
                if isinstance(metric, str):
                    metric = metrics.accuracy_for(metric, columns, class_numbers)
                uses.append(MetricUse(metric, weighted))
        return uses

    def _metric_targets(self, who: str, metric: Metric, y: Any, targets: Array, columns: int) -> Array | None:
        """Return the targets as a metric takes them, or None where they are those of the loss."""
        if isinstance(metric, metrics.SparseCategoricalAccuracy):
            return None if targets.ndim == 1 else label_array(who, "y", y, columns)
        return None if targets.ndim == 2 else metric.targets(who, y, columns, self.compute_dtype)

    # One step.

    def _forward(self, x: Array, training: bool) -> tuple[list[Pass], Array]:
        """Return every layer's pass, and the predictions; the last pass holds logits where the loss takes them."""
        steps: list[Pass] = []
        fuses = self._fuses_head()
        for layer in self.layers:
            last = layer is self.layers[-1]
            steps.append(layer.forward(x, training=training, logits=last and fuses))
            x = steps[-1].output
        if fuses:
            head = self.layers[-1].head_activation()
            assert head is not None
            x = _core.activation_forward(head.name, x, head.alpha, None)
        return steps, x

    def _measure(
        self, batch: Batch, steps: list[Pass], predictions: Array, extra: list[Array | None], training: bool
    ) -> Array | None:
        """Take a batch into loss and metrics; return the loss's gradient with respect to the last pass's output."""
        loss = self._require_compiled("loss").loss
        assert batch.y is not None
        rows = loss.evaluate(
            batch.y,
            steps[-1].output,
            batch.sample_weight,
            logits=self._fuses_head(),
            need_gradient=training,
            gradient_scale=loss.gradient_scale(len(batch.x)),
        )
        self._loss_tracker.total += loss.reduce(rows.values) * len(batch.x)
        self._loss_tracker.count += len(batch.x)
        for use, targets in zip(self._metric_uses or [], extra, strict=True):
            values = use.metric.row_values(batch.y if targets is None else targets, predictions)
            use.metric.add_rows(values, batch.sample_weight if use.weighted else None)
        return rows.gradient

    def _gradients(self, steps: list[Pass], gradient: Array) -> list[Array]:
        """Return the gradients of `trainable_weights`, in their order."""
        fuses = self._fuses_head()
        first = next((i for i, layer in enumerate(self.layers) if layer.trainable_weights), len(self.layers))
        found: list[list[Array]] = []
        for i in range(len(self.layers) - 1, first - 1, -1):
            last = i == len(self.layers) - 1
            dx, gradients = self.layers[i].backward(gradient, steps[i], need_dx=i > first, logits=last and fuses)
            found.append(gradients)
            if dx is not None:
                gradient = dx
        return [array for gradients in reversed(found) for array in gradients]

    def _train_step(self, batch: Batch, extra: list[Array | None]) -> None:
        steps, predictions = self._forward(batch.x, training=True)
        gradient = self._measure(batch, steps, predictions, extra, training=True)
        assert gradient is not None
        self._require_compiled("fit").optimizer.apply(self._gradients(steps, gradient), self.trainable_weights)

    def _test_step(self, batch: Batch, extra: list[Array | None]) -> None:
        steps, predictions = self._forward(batch.x, training=False)
        self._measure(batch, steps, predictions, extra, training=False)

    def _logs(self) -> dict[str, float]:
        """Return loss and metrics; a name that is taken becomes ``weighted_name`` or ``name_1``, as in Keras."""
        logs = {"loss": self._loss_tracker.result()}
        for metric, weighted in self._metric_uses or []:
            name = metric.name
            if name in logs and weighted:
                name = f"weighted_{name}"
            count = 0
            while name in logs:
                count += 1
                name = f"{metric.name}_{count}"
            logs[name] = metric.result()
        return logs

    def _as_batch(self, data: Data) -> Batch:
        return next(data_module.batches(data, len(data), self.compute_dtype))
