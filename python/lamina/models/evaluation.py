"""Evaluation: what `evaluate` and `test_on_batch` of a model do."""

from __future__ import annotations

import time
from typing import Any

from lamina._common.checks import flag, integer
from lamina._common.output import say
from lamina._data.streams import Stream, is_stream
from lamina.callbacks import CallbackList
from lamina.callbacks import base as callbacks_module
from lamina.callbacks.lists import checked as checked_callbacks
from lamina.models.base import BaseModel
from lamina.models.loops import Loops
from lamina.models.prepared import Prepared, prepare
from lamina.models.run import Run

__all__ = ["as_result", "evaluate", "evaluate_prepared", "test_on_batch"]


def evaluate(
    model: BaseModel, x: Any, y: Any, sample_weight: Any, *, batch_size: Any, verbose: Any, steps: Any, callbacks: Any,
    return_dict: Any,
) -> float | list[float] | dict[str, float]:  # fmt: skip
    """Return loss and metrics on rows, without training; see `lamina.models.trainer.Trainer.evaluate`."""
    who = model.stack.who("evaluate")
    size = None if batch_size is None else integer(who, "batch_size", batch_size)
    limit = None if steps is None else integer(who, "steps", steps)
    return_dict = flag(who, "return_dict", return_dict)
    level = callbacks_module.resolve_verbose(who, verbose)
    listeners = checked_callbacks(who, callbacks)
    source: Prepared | Stream
    if is_stream(x):
        if y is not None or sample_weight is not None:
            raise ValueError(f"{who}: where x yields batches, y and sample_weight must be left out.")
        source = Stream(who, x, limit)
        total = len(source)
    else:
        source = _prepared(model, "evaluate", x, y, sample_weight)
        total = limit or -(-source.rows // (size or 32))
    events = CallbackList(listeners, model=model, verbose=level, epochs=1, steps=total or None)
    begin = time.perf_counter()
    logs = Loops(model, events).evaluate(source, size, limit, "evaluate")
    if level:
        numbers = "".join(f" - {name}: {value}" for name, value in callbacks_module.spell(logs).items())
        say(f"{callbacks_module.spell_steps(events.params['steps'], time.perf_counter() - begin)}{numbers}")
    return as_result(model, logs, return_dict)


def evaluate_prepared(model: BaseModel, rows: Prepared) -> dict[str, float]:
    """Return loss and metrics by name, of rows that are checked already; without callbacks."""
    events = CallbackList([], model=model, verbose=0, epochs=1, steps=None)
    return Loops(model, events).evaluate(rows, None, None, "evaluate")


def test_on_batch(
    model: BaseModel, x: Any, y: Any, sample_weight: Any, return_dict: Any
) -> float | list[float] | dict[str, float]:
    """Return loss and metrics of one batch; see `lamina.models.trainer.Trainer.test_on_batch`."""
    return_dict = flag(model.stack.who("test_on_batch"), "return_dict", return_dict)
    prepared = _prepared(model, "test_on_batch", x, y, sample_weight)
    run = Run(model.executor, "test_on_batch", model.get_metrics_result)
    with run.turn():
        run.take_over()
        model.executor.evaluate_rows(prepared, 0, prepared.rows, prepared.rows)
        logs = run.end()
    return as_result(model, logs, return_dict)


def _prepared(model: BaseModel, method: str, x: Any, y: Any, sample_weight: Any) -> Prepared:
    """Check the data of a call, build the model for them if need be, and return them."""
    prepared = prepare(method, model.stack, model.executor.require_compiled(method), x, y, sample_weight)
    model.executor.commit(prepared, model.build)
    return prepared


def as_result(model: BaseModel, logs: dict[str, float], return_dict: bool) -> float | list[float] | dict[str, float]:
    """Return loss and metrics as `evaluate` does: by name, or as a list that begins with the loss."""
    if return_dict:
        return logs
    values = [logs[name] for name in model.metrics_names]
    return values[0] if len(values) == 1 else values
