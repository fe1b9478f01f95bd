"""Prediction: predict, predict_on_batch and calls of a model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import flag, integer
from lamina._data.compact import Rows, kind_of_rows
from lamina._data.rows import input_rows
from lamina._data.streams import Stream, is_stream
from lamina._engine.ops import HostOp
from lamina._engine.variable import one_moment
from lamina.callbacks import Callback, CallbackList
from lamina.callbacks import base as callbacks_module
from lamina.callbacks.lists import checked as checked_callbacks
from lamina.models.base import Model

__all__ = ["Predicting"]

Array = npt.NDArray[Any]


class Predicting(Model):
    """The methods of a model that run it, and the flag by which callbacks stop them."""

    def __init__(self) -> None:
        super().__init__()
        self.stop_predicting = False

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Sequence[Callback] | None = None,
    ) -> Array:
        """Return the output for rows.

        Parameters
        ----------
        x : array_like, shape (n, ...), or iterable of batches
            n may be 0. In batches ``(x, y)`` the targets are ignored.
        batch_size : int, >= 1, optional
            Number of rows that layers written in Python get at a time, and of a batch with callbacks; 32 if omitted. A
            row's prediction has the same bits for every batch size.
        verbose : {"auto", 0, 1, 2}
            Accepted as in Keras; nothing is printed.
        steps : int, >= 1, optional
            Predict this many batches only.
        callbacks : list of Callback, optional

        Returns
        -------
        ndarray, shape (n, ...), of the model's dtype

        Raises
        ------
        TypeError, ValueError
            `x` does not fit.
        """
        who = self.stack.who("predict")
        limit = None if steps is None else integer(who, "steps", steps)
        size = 32 if batch_size is None else integer(who, "batch_size", batch_size)
        level = callbacks_module.resolve_verbose(who, verbose)
        listeners = checked_callbacks(who, callbacks)
        if is_stream(x):
            stream = Stream(who, x, limit)
            events = CallbackList(listeners, model=self, verbose=level, epochs=1, steps=len(stream) or None)
            found = (self._rows_for(who, batch.x) for batch in stream.epoch())
            return np.concatenate(list(self._predict_batches(events, found)))
        rows = self._rows_for(who, x)
        if limit is not None:
            size = size if batch_size is not None else -(-len(rows) // limit)
            if len(rows) and -(-len(rows) // size) < limit:
                warnings.warn(
                    f"{who}: the rows ran out after {-(-len(rows) // size)} of {limit} batches.", stacklevel=2
                )
            rows = rows[: limit * size]
        if not listeners and (len(rows) <= size or not self._has_host_ops()):
            return self.executor.predict(rows)
        events = CallbackList(listeners, model=self, verbose=level, epochs=1, steps=-(-len(rows) // size))
        batches = (rows[first : first + size] for first in range(0, len(rows), size))
        compiled = self.executor.network(False, kind_of_rows(rows))
        empty = np.empty((0, *compiled.output_shape), self.stack.dtype)
        with nullcontext() if listeners else one_moment(self.stack.weights):  # all rows see the same weights
            return np.concatenate([empty, *self._predict_batches(events, batches)])

    def _has_host_ops(self) -> bool:
        """Return whether there are layers that compute in Python."""
        return any(isinstance(op, HostOp) for layer in self.stack.layers for op in layer.all_ops())

    def _predict_batches(self, events: CallbackList, batches: Iterable[Rows]) -> Iterator[Array]:
        """Yield the outputs of batches, and call the callbacks."""
        self.stop_predicting = False
        events.call("on_predict_begin", {})
        for index, rows in enumerate(batches):
            events.call("on_predict_batch_begin", index, {})
            outputs = self.executor.predict(rows)
            events.call("on_predict_batch_end", index, {"outputs": outputs})
            yield outputs
            if self.stop_predicting:
                break
        events.call("on_predict_end", {})

    def predict_on_batch(self, x: Any, out: Any = None) -> Array:
        """Return the output for one batch.

        Parameters
        ----------
        x : array_like, shape (n, ...)
        out : ndarray, shape (n, ...), of the model's dtype, optional
            C-contiguous; the output is written there and no array is allocated. It must not share memory with `x`.

        Raises
        ------
        TypeError, ValueError
            `x` or `out` does not fit.
        """
        found = self.executor.predict_plain(x, out)
        return self._predict_on_batch(x, out) if found is None else found

    def _predict_on_batch(self, x: Any, out: Any) -> Array:
        who = self.stack.who("predict_on_batch")
        was_built = self.stack.built
        rows = self._rows_for(who, x)
        try:
            self._check_out(who, rows, out)
        except (TypeError, ValueError):
            if not was_built:
                self.stack.undo_build()
            raise
        return self.executor.predict(rows, out)

    def _check_out(self, who: str, rows: Rows, out: Any) -> None:
        if out is not None:
            shape = (len(rows), *self.executor.network().output_shape)
            if not isinstance(out, np.ndarray) or out.dtype != self.stack.dtype:
                raise TypeError(f"{who}: out must be an array of dtype {self.stack.dtype}.")
            if out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
                raise ValueError(
                    f"{who}: out must be writeable, C-contiguous, of shape {shape}; got shape {out.shape}."
                )
            if isinstance(rows, np.ndarray) and np.may_share_memory(rows, out):
                raise ValueError(f"{who}: out must not share memory with x.")

    def _rows_for(self, who: str, x: Any) -> Rows:
        """Return a batch as rows; build the model for them if it is not built."""
        rows = input_rows(who, x, self.stack.row_shape, self.stack.vocabulary)
        if not self.stack.built:
            self.build((None, *rows.shape[1:]))  # raises where another thread has built it for other rows
        return rows

    def __call__(self, x: Any, training: bool | None = None) -> Array:
        """Return the output for one batch, as Keras's ``model(x)``.

        With `training`, noise is added, and batches are normalized by their own moments, which update the running
        means; nothing is trained.
        """
        if training is not None and flag(self.stack.who("call"), "training", training):
            return self.executor.predict_as_in_training(self._rows_for(self.stack.who("call"), x))
        found = self.executor.predict_plain(x, None)
        return self.executor.predict(self._rows_for(self.stack.who("call"), x)) if found is None else found
