"""Differentiator: computes derivatives of a model's outputs and of its loss; the model is not changed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.locks import Once
from lamina._data.arrays import float_array, real_array
from lamina._data.compact import Rows, kind_of_rows
from lamina._data.rows import engine_input, input_rows
from lamina._data.tensors import tensor
from lamina._engine.variable import Variable
from lamina.models.compilation import Compilation, CompiledDerivatives, gradients_in
from lamina.models.compiled import Compiled
from lamina.models.executor import Executor
from lamina.models.head import Given
from lamina.models.prepared import prepare
from lamina.models.stack import Stack

__all__ = ["Differentiator", "flat", "of_flat"]

Array = npt.NDArray[Any]


def flat(arrays: Iterable[Array], dtype: str) -> Array:
    """Return arrays as one vector, one after the other."""
    parts = [np.ravel(array) for array in arrays]
    return np.concatenate(parts) if parts else np.empty(0, dtype)


def of_flat(who: str, variables: Sequence[Variable], vector: Any) -> list[Array]:
    """Return the values of variables from one vector, in their shapes; or raise."""
    values = real_array(who, "the vector", vector)
    size = sum(variable.size for variable in variables)
    if values.shape != (size,):
        raise ValueError(f"{who}: the vector must have shape ({size},); got {values.shape}.")
    ends = np.cumsum([variable.size for variable in variables])[:-1]
    return [part.reshape(v.shape) for part, v in zip(np.split(values, ends), variables, strict=True)]


class Differentiator:
    """Owns what derivatives of a model need: compiled networks, and a loss of their own.

    Parameters
    ----------
    stack : Stack
        The model's layers.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._once = Once()
        self._compilation = Compilation(stack, Given())
        # What computes the loss alone, without metrics and optimizer, and the model's `Compiled` whose loss it is.
        self._of_loss: tuple[Compiled, Executor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made again when needed."""
        return self.__dict__ | {"_of_loss": None}

    def value_and_gradients(
        self, method: str, compiled: Compiled, x: Any, y: Any, sample_weight: Any, draw: int | None
    ) -> tuple[float, list[Array]]:
        """Return the loss of rows, with penalties, and its gradients in the order of the trainable weights.

        With a draw of noise it runs as in training.
        """
        self._stack.require_built(method)
        who = self._stack.who(method)
        with self._once:
            if self._of_loss is None or self._of_loss[0] is not compiled:
                executor = Executor(self._stack)
                loss = Compiled(who, "sgd", compiled.loss, compiled.loss_weight, None, None)
                executor.compile(loss)
                self._of_loss = compiled, executor
            executor = self._of_loss[1]
            alone = executor.require_compiled(method)
            batch = prepare(method, self._stack, alone, x, y, sample_weight)
            alone.uses = batch.uses
            value, found = executor.value_and_gradients(batch, draw)
            variables = executor.trainer(batch).variables()
        return value, self._in_order(zip(variables, found, strict=True))

    def _in_order(self, pairs: Iterable[tuple[Variable, Array]]) -> list[Array]:
        """Return gradients in the order of the trainable weights; zeros for those that the output does not use."""
        by_variable = {id(variable): gradient for variable, gradient in pairs}
        wanted = self._stack.trainable_weights
        return [by_variable[id(v)] if id(v) in by_variable else np.zeros(v.shape, v.dtype) for v in wanted]

    def pull_back(
        self, method: str, x: Any, dy: Any, draw: int | None, need_dx: bool, need_gradients: bool
    ) -> tuple[Array, Array | None, list[Array] | None]:
        """Return the outputs, and the products of `dy` with the Jacobians by the input and by the parameters."""
        who = self._stack.who(method)
        rows, compiled = self._for_rows(method, x, need_dx)
        shape, dtype = (len(rows), *compiled.output_shape), self._stack.dtype
        given = float_array(who, "dy", real_array(who, "dy", dy), dtype)
        if given.shape != shape and (given.shape, shape[1:]) != ((len(rows),), (1,)):
            raise ValueError(f"{who}: dy must have the output's shape, {shape}; got {given.shape}.")
        y = np.empty(shape, dtype)
        dx = np.empty(rows.shape, dtype) if need_dx else None
        with self._alone(compiled):
            blocks = compiled.engine.pull_back(
                x=engine_input(rows), dy=np.ascontiguousarray(given), draw=draw, y=y, dx=dx, parameters=need_gradients
            )
        dx = None if dx is None else tensor(dx)
        if not need_gradients:
            return tensor(y), dx, None
        pairs = gradients_in(compiled.trained, blocks) if blocks else []  # there are none if nothing is trained
        return tensor(y), dx, self._in_order(pairs)

    def jacobian(self, method: str, x: Any, out: Any) -> Array:
        """Return the derivatives of the outputs by the inputs of each row."""
        rows, compiled = self._for_rows(method, x, need_dx=True)
        outputs, inputs = math.prod(compiled.output_shape), math.prod(rows.shape[1:])
        found = self._out(method, (len(rows), *compiled.output_shape, *rows.shape[1:]), out)
        flat_found = found.reshape(len(rows) * outputs, inputs)
        with self._alone(compiled):
            compiled.engine.jacobian(x=engine_input(rows), inputs=flat_found, parameters=None, places=[], width=0)
        return found

    def parameter_jacobian(self, method: str, x: Any, out: Any) -> Array:
        """Return the derivatives of the outputs of all rows by the trainable weights, one after the other."""
        rows, compiled = self._for_rows(method, x, need_dx=False)
        outputs = math.prod(compiled.output_shape)
        begins, width = {}, 0
        for variable in self._stack.trainable_weights:
            begins[id(variable)] = width
            width += variable.size
        places = [
            (op, index, begins[id(variable)])
            for op, trained in enumerate(compiled.trained)
            for index, variable in enumerate(trained)
            if variable is not None
        ]
        found = self._out(method, (len(rows) * outputs, width), out)
        reached = sum(v.size for trained in compiled.trained for v in trained if v is not None)
        if reached < width:
            found.fill(0)
        with self._alone(compiled):
            compiled.engine.jacobian(x=engine_input(rows), inputs=None, parameters=found, places=places, width=width)
        return found

    def _alone(self, compiled: CompiledDerivatives) -> AbstractContextManager[Any]:
        """Return a context in which code written in Python, which keeps its last pass, computes one pass at a time."""
        return self._once if compiled.engine.host else nullcontext()

    def _out(self, method: str, shape: tuple[int, ...], out: Any) -> Array:
        """Return the array that a result goes to."""
        who, dtype = self._stack.who(method), self._stack.dtype
        if out is None:
            return np.empty(shape, dtype)
        if not isinstance(out, np.ndarray) or out.dtype != dtype:
            raise TypeError(f"{who}: out must be an array of dtype {dtype}.")
        if out.shape != shape or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError(f"{who}: out must be writeable, C-contiguous, of shape {shape}; got shape {out.shape}.")
        return out

    def _for_rows(self, method: str, x: Any, need_dx: bool) -> tuple[Rows, CompiledDerivatives]:
        """Return checked rows, and the derivatives of the network that reads them."""
        stack = self._stack
        stack.require_built(method)
        who = stack.who(method)
        rows = input_rows(who, x, stack.taken_shape, stack.vocabulary)
        kind = kind_of_rows(rows)
        if need_dx and (kind != "dense" or stack.vocabulary is not None):
            what = "indices" if stack.vocabulary is not None else "sparse rows"
            raise ValueError(f"{who}: need_dx must be False for {what}: there are no derivatives with respect to them.")
        return rows, self._compilation.derivatives(rows.shape[1:], kind, need_dx)
