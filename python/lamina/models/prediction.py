"""Prediction: what `predict`, `predict_on_batch` and calls of a model do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import integer
from lamina._common.names import required
from lamina._common.warn import warn
from lamina._data.compact import Rows
from lamina._data.rows import input_rows, row_shape_of
from lamina._data.streams import Stream, is_stream
from lamina._engine.ops import HostOp, row_of
from lamina._engine.variables import one_moment
from lamina.callbacks import CallbackList
from lamina.callbacks import base as callbacks_module
from lamina.callbacks.lists import checked as checked_callbacks
from lamina.models.base import BaseModel

__all__ = [
    "network_of", "outputs_of", "predict", "predict_as_in_training", "predict_call", "predict_each", "predict_on_batch",
    "rows_for_each",
]  # fmt: skip

Array = npt.NDArray[Any]


def predict(model: BaseModel, x: Any, batch_size: Any, verbose: Any, steps: Any, callbacks: Any) -> Array:
    """Return the output for rows; see `lamina.models.trainer.Trainer.predict`."""
    who = model.stack.who("predict")
    limit = None if steps is None else integer(who, "steps", steps)
    size = 32 if batch_size is None else integer(who, "batch_size", batch_size)
    level = callbacks_module.resolve_verbose(who, verbose)
    listeners = checked_callbacks(who, callbacks)
    if is_stream(x):
        stream = Stream(who, x, limit)
        events = CallbackList(listeners, model=model, verbose=level, epochs=1, steps=len(stream) or None)
        found = (_rows_for(model, who, batch.x) for batch in stream.epoch())
        return np.concatenate(list(_of_one_shape(who, _predict_batches(model, events, found))))
    rows = _rows_for(model, who, x)
    if limit is not None:
        size = size if batch_size is not None else -(-len(rows) // limit)
        if len(rows) and -(-len(rows) // size) < limit:
            warn(f"{who}: the rows ran out after {-(-len(rows) // size)} of {limit} batches.")
        rows = rows[: limit * size]
    if not listeners and (len(rows) <= size or not _has_host_ops(model)):
        return model.executor.predict(rows)
    events = CallbackList(listeners, model=model, verbose=level, epochs=1, steps=-(-len(rows) // size))
    batches = (rows[first : first + size] for first in range(0, len(rows), size))
    compiled = model.executor.network(rows)
    empty = np.empty((0, *compiled.output_shape), model.stack.dtype)
    with nullcontext() if listeners else one_moment(model.stack.weights):  # all rows see the same weights
        return np.concatenate([empty, *_predict_batches(model, events, batches)])


def _of_one_shape(who: str, outputs: Iterable[Array]) -> Iterator[Array]:
    """Yield outputs, or raise at the first whose rows have another shape."""
    shape = None
    for output in outputs:
        shape = output.shape[1:] if shape is None else shape
        if output.shape[1:] != shape:
            raise ValueError(
                f"{who}: the outputs of all batches must have one shape, to be one array; got rows of shape {shape}, "
                f"then {output.shape[1:]}. predict_on_batch returns them batch by batch."
            )
        yield output


def _has_host_ops(model: BaseModel) -> bool:
    """Return whether there are layers that compute in Python."""
    return any(isinstance(op, HostOp) for layer in model.stack.layers for op in layer.all_ops())


def _predict_batches(model: BaseModel, events: CallbackList, batches: Iterable[Rows]) -> Iterator[Array]:
    """Yield the outputs of batches, and call the callbacks."""
    model.stop_predicting = False
    events.call("on_predict_begin", {})
    for index, rows in enumerate(batches):
        events.call("on_predict_batch_begin", index, {})
        outputs = model.executor.predict(rows)
        events.call("on_predict_batch_end", index, {"outputs": outputs})
        yield outputs
        if model.stop_predicting:
            break
    events.call("on_predict_end", {})


def predict_on_batch(model: BaseModel, x: Any, out: Any) -> Array:
    """Return the output for one batch; see `lamina.models.trainer.Trainer.predict_on_batch`."""
    who = model.stack.who("predict_on_batch")
    was_built = model.stack.built
    rows = _rows_for(model, who, x)
    try:
        _check_out(model, who, rows, out)
    except (TypeError, ValueError):
        if not was_built:
            model.executor.undo_build()
        raise
    return model.executor.predict(rows, out)


def network_of(who: str, model: BaseModel) -> _core.Network:
    """Return the engine's network that predicts rows of a model, which must be built."""
    stack = model.stack
    stack.require_built(who)
    row_shape = row_of((None, *required(who, "the shape of a row", stack.row_shape)))
    dtype = stack.dtype if stack.vocabulary is None else np.int64
    return model.executor.network(_rows_for(model, who, np.zeros((0, *row_shape), dtype))).network


def predict_each(who: str, models: Sequence[BaseModel], x: Any) -> Array:
    """Return the outputs of models for the same rows, one after the other along a new first axis."""
    built = [model.stack.built for model in models]
    try:
        return outputs_of(who, models, rows_for_each(who, models, x))
    except (TypeError, ValueError):
        for model, was_built in zip(models, built, strict=True):
            if model.stack.built and not was_built:
                model.executor.undo_build()
        raise


def rows_for_each(who: str, models: Sequence[BaseModel], x: Any) -> list[Rows]:
    """Return a batch as rows for each of the models, converted once; build those that are not built."""
    rows: list[Rows] = []
    for i, model in enumerate(models):
        rows.append(_rows_for(model, f"{who}: models[{i}]", rows[0] if rows else x))
    return rows


def outputs_of(who: str, models: Sequence[BaseModel], rows: Sequence[Rows]) -> Array:
    """Return the outputs of models, each for its own checked rows; raise where their shapes differ."""
    shapes = [(len(own), *model.executor.network(own).output_shape) for model, own in zip(models, rows, strict=True)]
    for i, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"{who}: outputs must have one shape; that of models[{i}] is {shape}, that of models[0] {shapes[0]}."
            )
    found = np.empty((len(models), *shapes[0]), np.result_type(*(model.stack.dtype for model in models)))
    for model, own, out in zip(models, rows, found, strict=True):
        if model.stack.dtype == found.dtype:
            model.executor.predict(own, out)
        else:
            out[...] = model.executor.predict(own)
    return found


def _check_out(model: BaseModel, who: str, rows: Rows, out: Any) -> None:
    if out is None:
        return
    shape = (len(rows), *model.executor.network(rows).output_shape)
    if not isinstance(out, np.ndarray) or out.dtype != model.stack.dtype:
        raise TypeError(f"{who}: out must be an array of dtype {model.stack.dtype}.")
    if out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
        raise ValueError(f"{who}: out must be writeable, C-contiguous, of shape {shape}; got shape {out.shape}.")
    if isinstance(rows, np.ndarray) and np.may_share_memory(rows, out):
        raise ValueError(f"{who}: out must not share memory with x.")


def predict_call(model: BaseModel, x: Any) -> Array:
    """Return the output for one batch, as a call of the model does."""
    return model.executor.predict(_rows_for(model, model.stack.who("call"), x))


def predict_as_in_training(model: BaseModel, x: Any) -> Array:
    """Return the output for one batch, as a call of the model with ``training=True`` does."""
    return model.executor.predict_as_in_training(_rows_for(model, model.stack.who("call"), x))


def _rows_for(model: BaseModel, who: str, x: Any) -> Rows:
    """Return a batch as rows; build the model for them if it is not built."""
    stack = model.stack
    with stack.composing(row_shape_of(x)) if stack.composed else nullcontext():
        rows = input_rows(who, x, stack.taken_shape, stack.vocabulary)
        if not stack.built:
            model.build((None, *rows.shape[1:]))  # raises where another thread has built it for other rows
        return rows
