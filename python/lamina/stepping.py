"""What a model hands to the engine: checked data, the network, loss, metrics and optimizer."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina import _core, metrics
from lamina import data as data_module
from lamina._arrays import SparseRows, label_array, of_one_rank, output_lines, real_array
from lamina._checks import NotCompiledError
from lamina._counts import Count
from lamina._interrupts import interrupts_later
from lamina._locks import Once, Turn
from lamina.callbacks import History
from lamina.data import Data
from lamina.layers import Layer
from lamina.losses import Loss, RowLosses
from lamina.metrics import Metric
from lamina.optimizers import Optimizer
from lamina.optimizers.base import constrained
from lamina.plan import Plan, head_activation, make_plan
from lamina.regularizers import penalty_of
from lamina.variables import Variable, one_moment, put_back

__all__ = ["Compiled", "MetricUse", "Prepared", "Run", "Stepper"]

Array = npt.NDArray[Any]


class Compiled(NamedTuple):
    """What `compile` was given, resolved."""

    optimizer: Optimizer
    loss: Loss
    metrics: list[Any]
    weighted_metrics: list[Any]
    loss_weight: float = 1.0


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


class Prepared(NamedTuple):
    """The data of a call, checked; nothing of the model has changed yet."""

    data: Data
    metric_uses: list[MetricUse]
    metric_targets: list[Array | None]  # of each metric; None where they are those of the loss
    labels: list[bool]  # of each of `targets`: whether it is whole numbers, one for each row or line
    given: Array  # the targets as the user gave them

    def targets(self) -> list[Array]:
        """Return the loss's targets and those that metrics have of their own."""
        assert self.data.y is not None
        return [self.data.y, *(array for array in self.metric_targets if array is not None)]

    def take(self, rows: Any) -> Prepared:
        """Return some of the rows."""
        return Prepared(
            self.data.take(rows),
            self.metric_uses,
            [None if array is None else array[rows] for array in self.metric_targets],
            self.labels,
            self.given,  # rows are told by their numbers
        )


class MetricUse(NamedTuple):
    """A metric and whether it takes sample weights."""

    metric: Metric
    weighted: bool


class Run:
    """An epoch of training, or an evaluation, which takes turns: ``with run.turn(): run.take_over(); …``.

    Callbacks run between turns. Where another run, of another thread or of a callback, takes its turn there, each finds
    the metrics as it left them.
    """

    def __init__(self, model: Stepper, method: str) -> None:
        self._model, self._who = model, model._who(method)
        self._kept: dict[int, dict[str, Any]] = {}  # of each metric what it held when another run took over
        self._begun = False
        self.active = True

    def turn(self) -> Any:
        """Return a context manager that waits for the model's turn and holds it.

        Raises
        ------
        RuntimeError
            The thread is in a turn of another run of the model: code of the user's in a step, or the handler of a
            signal, calls this. Nothing has changed.
        """
        if self._model._running.held and self._model._run is not self:
            raise RuntimeError(
                f"{self._who}: a model cannot be trained or evaluated from inside a step that uses its layers."
            )
        return self._model._running.of(self._who)

    def take_over(self) -> None:
        """Have the metrics of this run; the first thing to do in a turn."""
        before = self._model._run
        if before is self:
            return
        metrics = self._model.metrics
        running = before is not None and before.active
        if before is not None and running:
            before._kept = {id(metric): dict(vars(metric)) for metric in metrics}
        self._model._run = self
        for metric in metrics:  # whose attributes others may read at any moment
            if id(metric) in self._kept:
                object.__setattr__(metric, "__dict__", self._kept[id(metric)])
            elif running:
                object.__setattr__(metric, "__dict__", copy.deepcopy(vars(metric)))
        if not self._begun:
            self._model.reset_metrics()
        self._begun = True

    def logs(self) -> dict[str, float]:
        """Return loss and metrics so far, names in alphabetical order as in Keras."""
        with self.turn():
            self.take_over()
            return self._model.get_metrics_result()

    def end(self) -> dict[str, float]:
        """Return loss and metrics at the end; they stay with the model until its next run."""
        logs = self.logs()
        self.active = False
        return logs


class Stepper:
    """The part of a model that takes steps; `lamina.training.Trainer` calls it."""

    name: str
    built: bool
    seed: int

    def __init__(self) -> None:
        self.once = Once()  # guards what is made on first use: parameters, networks, what takes steps
        self._fitting = Turn(1)  # of `fit`, from its begin to its end
        self._running = Turn(2)  # of steps and the metrics that they go into; callbacks run between turns
        self._given = Given()
        self._run: Run | None = None  # whose values the metrics hold
        self._compiled: Compiled | None = None
        self._metric_uses: list[MetricUse] | None = None
        self._loss_tracker = metrics.Mean("loss")
        self._shuffles = 0
        self._draws = Count()  # batches trained in the model's life, which noise depends on
        self._plans: dict[tuple[bool, bool], tuple[list[Any], Plan]] = {}
        self._trainer: tuple[list[Any], _core.Trainer] | None = None
        # What predicts, for as long as the layers are these and constants stay.
        self._predictor: tuple[list[Layer], _core.Network, object] | None = None
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        # What `compile` was given, for code that looks at it: there is one way to execute.
        self.run_eagerly: bool = False
        self.jit_compile: Any = "auto"
        self.steps_per_execution: int = 1
        self.fit_completed = False  # whether the last `fit` came to its end
        self.initial_epoch: int | None = None  # where a callback wants `fit` to begin
        self.history: History | None = None
        self.validates = False  # whether the last `fit` had validation data

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is compiled: it is made again when needed."""
        return self.__dict__ | {"_plans": {}, "_trainer": None, "_predictor": None, "_run": None}

    # What the other part defines.

    @property
    def flat_layers(self) -> list[Layer]:
        """The layers in the order in which they run, those of models among them in their place."""
        raise NotImplementedError

    @property
    def trainable_weights(self) -> list[Variable]:
        """Variables that training changes."""
        raise NotImplementedError

    @property
    def row_shape(self) -> tuple[int, ...] | None:
        """Shape of one row of input, or None before the model is built."""
        raise NotImplementedError

    def check_masks(self, who: str) -> None:
        """Raise where steps would have to be masked."""
        raise NotImplementedError

    def planned_output(self, row_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of one row of output for rows of that shape."""
        raise NotImplementedError

    @property
    def compute_dtype(self) -> str:
        """The model's dtype."""
        raise NotImplementedError

    def build(self, input_shape: Any = None) -> None:
        """Make the parameters."""
        raise NotImplementedError

    def undo_build(self) -> None:
        """Make the model as it was before the last `build`."""
        raise NotImplementedError

    def get_metrics_result(self) -> dict[str, float]:
        """Return the loss and the metrics so far, by name."""
        return self._logs()

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

    def direction_of(self, name: str) -> str | None:
        """Return "up" or "down" for the name of a metric in the logs: whether more or less is better; None: unknown."""
        if self._metric_uses is None:
            return None
        before = self._metric_uses
        for count in range(len(before)):  # the metric with which the name appears
            names = self._results(before[: count + 1])
            if name in names:
                return before[count].metric.direction
        return None

    @property
    def knows_metrics(self) -> bool:
        """Whether it is known which metrics there are: when targets have been seen, or no name depends on them."""
        return self._metric_uses is not None or (
            self._compiled is not None
            and not any(isinstance(m, str) for m in (*self._compiled.metrics, *self._compiled.weighted_metrics))
        )

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns."""
        return list(self._results())

    def reset_metrics(self) -> None:
        """Begin the running means anew."""
        for metric in self.metrics:
            metric.reset_state()

    @staticmethod
    def _in_use(who: str) -> str:
        return f"{who}: the model must not be in use; it is being trained or evaluated. Call it before or afterwards."

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
        head = head_activation(self.flat_layers)
        loss = self._require_compiled("loss").loss
        wanted = None if loss.in_python else loss.logits_activation
        return head is not None and wanted is not None and head.name == wanted

    # Preparing data.

    def _prepare(self, method: str, x: Any, y: Any, sample_weight: Any) -> Prepared:
        """Check the data of a call against the model, built or not, and change nothing."""
        compiled = self._require_compiled(method)
        who = self._who(method)
        rows = data_module.input_rows(who, x, self.row_shape, self.vocabulary)
        if len(rows) == 0:
            raise ValueError(f"{who}: x must have at least one row; got shape {rows.shape}.")
        if y is None:
            raise ValueError(f"{who}: y must be given; got None.")
        *lines, columns = self.planned_output(rows.shape[1:])
        compiled.loss.check_rank(who, len(lines) + 2)
        self.check_masks(who)
        y = given = real_array(who, "y", y)
        y = output_lines(who, y, tuple(lines), columns)
        targets = compiled.loss.targets(who, y, columns, None)
        data_module.same_length(who, rows, targets, math.prod(lines))
        weight = data_module.weights(who, sample_weight, len(rows), tuple(lines), self.compute_dtype)
        uses = self._metric_uses
        if uses is None:
            uses = self._resolve_metrics(targets, columns)
            for use in uses:
                use.metric.check_rank(who, len(lines) + 2)
        metric_targets = [
            np.repeat(np.arange(len(rows)), math.prod(lines))
            if use.metric.reads_given
            else self._metric_targets(who, use.metric, y, targets, columns)
            for use in uses
        ]
        found = [targets, *(array for array in metric_targets if array is not None)]
        labels = [array.ndim == 1 for array in found]
        if lines:
            targets, *others = (array.reshape(len(rows), -1) for array in found)
            remaining = iter(others)
            metric_targets = [None if array is None else next(remaining) for array in metric_targets]
        return Prepared(Data(rows, targets, weight), uses, metric_targets, labels, given)

    def _commit(self, prepared: Prepared) -> None:
        """Build the model for data that passed all checks, keep the metrics that were chosen, make what takes steps.

        Where that fails the model is as it was.
        """
        before, was_built = self._metric_uses, self.built
        with self.once:
            if not self.built:
                self.build((None, *prepared.data.x.shape[1:]))
            self._metric_uses = prepared.metric_uses
            try:
                self._engine(prepared)
            except BaseException:
                self._metric_uses = before
                if not was_built:
                    self.undo_build()
                raise
        optimizer, variables = self.optimizer, self.trainable_weights
        if not optimizer.built and self._has_host_rules():  # what the user's rules return is looked at before a step
            for variable in variables:
                if variable.regularizer is not None and variable.regularizer.compiled() is None:
                    penalty_of(variable.path, variable.regularizer, variable.value)
                if variable.constraint is not None and variable.constraint.compiled(variable.ndim) is None:
                    constrained(variable)
        optimizer.build(variables)

    def _resolve_metrics(self, targets: Array, columns: int) -> list[MetricUse]:
        compiled = self._require_compiled("compile")
        class_numbers = targets.ndim == 1
        uses = []
        for weighted, wanted in ((False, compiled.metrics), (True, compiled.weighted_metrics)):
            for metric in wanted:
                if isinstance(metric, str):
                    metric = metrics.metric_for(metric, columns, class_numbers)
                uses.append(MetricUse(metric, weighted))
        return uses

    def _metric_targets(self, who: str, metric: Metric, y: Any, targets: Array, columns: int) -> Array | None:
        """Return the targets as a metric takes them, or None where they are those of the loss."""
        if metric.wants_labels:
            return None if targets.ndim == 1 else label_array(who, "y", y, columns)
        shared = targets.ndim == 2 and not (metric.converts_targets or self.loss.converts_targets)
        return None if shared else metric.targets(who, y, columns, None)

    # The engine.

    def _plan(self, logits: bool, sparse: bool = False) -> Plan:
        """Return the compiled network, with or without the final activation, for sparse rows or others."""
        assert self.row_shape is not None
        key = self._structure()
        known = self._plans.get((logits, sparse))
        if known is None or known[0] != key:
            with self.once:
                known = self._plans.get((logits, sparse))
                if known is None or known[0] != key:
                    made = make_plan(self.flat_layers, self.row_shape, self.compute_dtype, logits=logits, sparse=sparse)
                    known = self._plans[logits, sparse] = (key, made)
        return known[1]

    @property
    def vocabulary(self) -> int | None:
        """Where the input is numbers of rows of a table: how many rows it has."""
        return self.flat_layers[0].vocabulary if self.flat_layers else None

    def _structure(self) -> list[Any]:
        """Return what a compiled network depends on: the layers, and what of them is trained."""
        structure: list[Any] = list(self.flat_layers)
        for layer in self.flat_layers:
            structure += [layer.trainable, layer.activity_regularizer, layer.changes]
            for variable in layer.weights:
                structure += [variable.trainable, variable.regularizer, variable.constraint]
        return structure

    def _engine(self, prepared: Prepared) -> _core.Trainer:
        """Return what takes steps on such data."""
        with self.once:
            return self._make_engine(prepared)

    def _make_engine(self, prepared: Prepared) -> _core.Trainer:
        compiled = self._require_compiled("fit")
        optimizer, loss = compiled.optimizer, compiled.loss
        labels = prepared.labels
        uses = prepared.metric_uses
        sparse = isinstance(prepared.data.x, SparseRows)
        kernels = [use.metric.kernel() for use in uses]
        key = [
            *self._structure(),
            *optimizer.plan_key(),
            labels,
            sparse,
            *uses,
            loss.parameters(),
            loss.divisor(),
            *kernels,
        ]
        if self._trainer is not None and self._trainer[0] == key:
            return self._trainer[1]
        fuses = self._fuses_head()
        plan = self._plan(fuses, sparse)
        kernel: Any = loss.logits_kernel if fuses or loss.from_logits else loss.kernel
        if loss.in_python or kernel is None:
            kernel = _host_loss(loss)
        head = head_activation(self.flat_layers) if fuses else None
        name, alpha = (head.name, head.alpha) if head is not None else ("linear", None)
        target_numbers = iter(range(1, len(labels)))
        metric_specs = [
            (
                *_metric_kind(use),
                0 if array is None else next(target_numbers),
                use.weighted,
                _host_metric(use, self._given, plan.output_shape),
            )
            for use, array in zip(uses, prepared.metric_targets, strict=True)
        ]
        blocks = [
            None if owner is None else (owner.block(), owner.weights, [layer_trains(owner, v) for v in owner.weights])
            for owner in plan.owners
        ]
        trainer = _core.Trainer(
            plan.network,
            (kernel, loss.parameters(), loss.divisor(), name, alpha, compiled.loss_weight),
            metric_specs,
            labels,
            optimizer.plan(blocks),
        )
        self._trainer = (key, trainer)
        return trainer

    def _train_rows(
        self, prepared: Prepared, order: npt.NDArray[np.int64] | None, first: int, rows: int, size: int
    ) -> None:
        """Take a step for each batch of `size` among `rows` rows of the order."""
        try:
            self._take_steps(prepared, order, first, rows, size)
        finally:
            self._given.release()

    def _take_steps(
        self, prepared: Prepared, order: npt.NDArray[np.int64] | None, first: int, rows: int, size: int
    ) -> None:
        trainer, optimizer, size = self._engine(prepared), self.optimizer, min(size, max(1, rows))
        if optimizer.in_python or self._has_host_rules():
            return self._train_rows_with(optimizer, trainer, prepared, order, first, rows, size)
        self._given.hold(prepared.given)
        totals, progress = self._new_totals(), np.zeros(1, np.int64)
        data = prepared.data
        rates = optimizer.rates(-(-rows // size))
        before = optimizer.batches, self._draws.value
        try:
            with self._draws.during(progress), optimizer.counting(progress if self.trainable_weights else None):
                trainer.train(
                    data.engine_input(), prepared.targets(), data.sample_weight, order, first, rows, size, rates,
                    *before, totals, progress,
                )  # fmt: skip
        finally:
            self._take_totals(totals)
        return None

    def _train_rows_with(
        self,
        optimizer: Optimizer,
        trainer: _core.Trainer,
        prepared: Prepared,
        order: npt.NDArray[np.int64] | None,
        first: int,
        rows: int,
        size: int,
    ) -> None:
        """Take the steps where the optimizer, a regularizer or a constraint is written in Python."""
        for begin in range(first, first + rows, size):
            end = min(begin + size, first + rows)
            batch = prepared.take(slice(begin, end) if order is None else order[begin:end])
            # What a forward pass moves: running moments, state of layers written in Python.
            moving = [v for layer in self.flat_layers if layer.trainable for v in layer.non_trainable_weights]
            kept, batches, draws = [(v, v.numpy()) for v in moving], optimizer.batches, self._draws.value
            taken = False
            try:
                gradients = self._gradients(trainer, batch)
                self._add_host_penalties(end - begin, gradients)
                # Ctrl-C comes between two steps, or while code of the user's runs.
                with one_moment(self.trainable_weights, write=True), interrupts_later():
                    optimizer.apply(gradients, self.trainable_weights)
                    taken = True
            except BaseException:
                taken = taken or optimizer.batches != batches
                if not taken:
                    put_back(kept)
                raise
            finally:
                self._draws.value = draws + taken

    def _has_host_rules(self) -> bool:
        """Return whether a regularizer or a constraint is written in Python."""
        return any(
            (v.regularizer is not None and v.regularizer.compiled() is None)
            or (v.constraint is not None and v.constraint.compiled(v.ndim) is None)
            for v in self.trainable_weights
        )

    def _add_host_penalties(self, rows: int, gradients: list[Array] | None = None) -> None:
        """Take the penalties of regularizers that are written in Python into a batch's loss, and their gradients."""
        for number, variable in enumerate(self.trainable_weights):
            regularizer = variable.regularizer
            if regularizer is None or regularizer.compiled() is not None:
                continue
            value, gradient = penalty_of(variable.path, regularizer, variable.value)
            self._loss_tracker.total += value * rows
            if gradients is not None:
                _core.add_to(np.require(gradient, variable.dtype, ["C", "A"]), gradients[number])

    def _gradients(self, trainer: _core.Trainer, batch: Prepared) -> list[Array]:
        """Return the gradients of `trainable_weights` for a batch, which goes into loss and metrics."""
        self._given.hold(batch.given)
        totals = self._new_totals()
        inputs, weight = batch.data.engine_input(), batch.data.sample_weight
        blocks = trainer.gradients(inputs, batch.targets(), weight, self._draws.value, totals)
        self._take_totals(totals)
        found = []
        plan = self._plan(self._fuses_head(), isinstance(batch.data.x, SparseRows))
        for owner, block in zip(plan.owners, blocks, strict=True):
            if owner is None or block is None:
                continue
            for tensor, variable in enumerate(owner.weights):
                if layer_trains(owner, variable):
                    gradient = np.empty(variable.shape, variable.dtype)
                    block.read(tensor, gradient)
                    found.append(gradient)
        return found

    def _evaluate_rows(self, prepared: Prepared, first: int, rows: int, size: int) -> None:
        """Take rows into loss and metrics."""
        try:
            self._test_rows_of(prepared, first, rows, size)
        finally:
            self._given.release()

    def _test_rows_of(self, prepared: Prepared, first: int, rows: int, size: int) -> None:
        self._given.hold(prepared.given)
        totals, progress = self._new_totals(), np.zeros(1, np.int64)
        data, size = prepared.data, min(size, max(1, rows))
        self._add_host_penalties(rows)
        try:
            self._engine(prepared).test(
                data_module.engine_input(data.x),
                prepared.targets(),
                data.sample_weight,
                first,
                rows,
                size,
                totals,
                progress,
            )
        finally:
            self._take_totals(totals)

    def _new_totals(self) -> Array:
        return np.zeros((2, 1 + len(self._metric_uses or [])))

    def _take_totals(self, totals: Array) -> None:
        trackers = [self._loss_tracker, *(use.metric for use in self._metric_uses or [])]
        for tracker, total, count in zip(trackers, *totals, strict=True):
            if tracker.takes_batches and tracker is not self._loss_tracker:
                continue
            tracker.total += float(total)
            tracker.count += float(count)

    def _logs(self) -> dict[str, float]:
        """Return loss and metrics, names in alphabetical order as in Keras."""
        return dict(sorted(self._results().items()))

    def _results(self, uses: list[MetricUse] | None = None) -> dict[str, float]:
        """Return the loss, then the metrics; a name that is taken becomes ``weighted_name`` or ``name_1``."""
        logs: dict[str, Any] = {"loss": self._loss_tracker.result()}
        for metric, weighted in self._metric_uses or [] if uses is None else uses:
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
    """Return a metric's result as a number, or as an array that does not change any more."""
    array = real_array(f"metric {name!r}", "its result", result)
    return float(array.reshape(())) if array.size == 1 else array.copy()


def layer_trains(layer: Layer, variable: Variable) -> bool:
    """Whether training changes a variable of a layer."""
    return layer.trainable and variable.trainable


def _host_loss(loss: Loss) -> Any:
    """Return a loss that is written in Python as the engine calls it."""

    def evaluate(y_true: Array, y_pred: Array, weight: Array | None, need_gradient: bool) -> RowLosses:
        return loss.evaluate(y_true, y_pred, weight, need_gradient=need_gradient)

    return evaluate


def _metric_kind(use: MetricUse) -> tuple[str, tuple[float, ...]]:
    kind = use.metric.kernel()
    return ("host", ()) if kind is None else kind


def _host_metric(use: MetricUse, given: Given, output: tuple[int, ...]) -> Any:
    """Return a metric as the engine calls it that is not one of its kernels, or None."""
    metric = use.metric
    if metric.kernel() is not None:
        return None
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
        metric.update_state(y_true, rows, sample_weight=weights if use.weighted else None)
        return np.zeros(len(y_pred), y_pred.dtype)

    return row_values
