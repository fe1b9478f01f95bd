"""Differentiator: computes derivatives of a model's outputs and of its loss; the model is not changed."""

from __future__ import annotations

import itertools
import math
import operator
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
from lamina._engine.network import Constants
from lamina._engine.variable import Variable
from lamina.layers import Layer
from lamina.models.compilation import Compilation, CompiledDerivatives, split
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
    return split(values, variables)


def _same(variables: Sequence[Variable], others: Sequence[Variable]) -> bool:
    return len(variables) == len(others) and all(map(operator.is_, variables, others))


def _begins(variables: Sequence[Variable]) -> list[int]:
    """Return where each variable begins in a vector of all of them."""
    return [0, *itertools.accumulate(variable.size for variable in variables[:-1])] if variables else []


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
        # By whether `dx` is wanted: derivatives for plain arrays, and the layers and constants they are valid for.
        self._plain: dict[bool, tuple[list[Layer], object, CompiledDerivatives]] = {}
        # What computes the loss alone, without metrics and optimizer, and the model's `Compiled` whose loss it is.
        self._of_loss: tuple[Compiled, Executor] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is made again when needed."""
        return self.__dict__ | {"_of_loss": None, "_plain": {}}

    def value_and_gradients(
        self, method: str, compiled: Compiled, x: Any, y: Any, sample_weight: Any, draw: int | None, flat: bool
    ) -> tuple[float, Any]:
        """Return the loss of rows, with penalties, and its gradients in the order of the trainable weights.

        With a draw of noise it runs as in training. `flat`: as one vector.
        """
        self._stack.require_built(method)
        who = self._stack.who(method)
        with self._once.taken():
            if self._of_loss is None or self._of_loss[0] is not compiled:
                executor = Executor(self._stack)
                loss = Compiled(who, "sgd", compiled.loss, compiled.loss_weight, None, None)
                executor.compile(loss)
                self._of_loss = compiled, executor
            executor = self._of_loss[1]
            alone = executor.require_compiled(method)
            batch = prepare(method, self._stack, alone, x, y, sample_weight)
            alone.uses = batch.uses
            value, vector, variables = executor.value_and_gradients(batch, draw)
        return value, self._in_order(variables, vector, flat)

    def _in_order(self, variables: list[Variable], vector: Array, as_vector: bool) -> Any:
        """Return gradients in the order of the trainable weights; zeros for those that the output does not use."""
        wanted = self._stack.trainable_weights
        if _same(variables, wanted):
            return vector if as_vector else split(vector, variables)
        by_variable = {id(v): part for v, part in zip(variables, split(vector, variables), strict=True)}
        found = [by_variable[id(v)] if id(v) in by_variable else np.zeros(v.shape, v.dtype) for v in wanted]
        return flat(found, self._stack.dtype) if as_vector else found

    def pull_back(
        self, method: str, x: Any, dy: Any, draw: int | None, need_dx: bool, need_gradients: bool, flat: bool
    ) -> tuple[Array, Array | None, Any]:
        """Return the outputs, and the products of `dy` with the Jacobians by the input and by the parameters."""
        found = None if draw is not None else self._pull_back_plain(x, dy, need_dx, need_gradients, flat)
        if found is not None:
            return found
        who = self._stack.who(method)
        changes = Constants.changes  # read before compiling, as a change meanwhile makes it invalid
        rows, compiled = self._for_rows(method, x, need_dx)
        if not compiled.engine.host and kind_of_rows(rows) == "dense":
            self._plain[need_dx] = list(self._stack.layers), changes, compiled
        shape, dtype = (len(rows), *compiled.output_shape), self._stack.dtype
        given = float_array(who, "dy", real_array(who, "dy", dy), dtype)
        if given.shape != shape and (given.shape, shape[1:]) != ((len(rows),), (1,)):
            raise ValueError(f"{who}: dy must have the output's shape, {shape}; got {given.shape}.")
        y = np.empty(shape, dtype)
        dx = np.empty(rows.shape, dtype) if need_dx else None
        gradients = np.empty(compiled.size, dtype) if need_gradients else None
        with self._alone(compiled):
            compiled.engine.pull_back(
                x=engine_input(rows), dy=np.ascontiguousarray(given), draw=draw, y=y, dx=dx, gradients=gradients
            )
        dx = None if dx is None else tensor(dx)
        return tensor(y), dx, None if gradients is None else self._in_order(compiled.variables, gradients, flat)

    def _pull_back_plain(
        self, x: Any, dy: Any, need_dx: bool, need_gradients: bool, flat: bool
    ) -> tuple[Array, Array | None, Any] | None:
        """Return the same for plain arrays, if nothing has to be checked or compiled; else None."""
        known = self._plain.get(need_dx)
        if known is None or known[1] is not Constants.changes or known[0] != self._stack.layers:
            return None
        variables = known[2].variables
        if need_gradients and not _same(variables, self._stack.trainable_weights):
            return None
        found = known[2].engine.pull_back_plain(x, dy, need_dx, need_gradients)
        if found is None:
            return None
        y, dx, vector = found
        gradients = vector if vector is None or flat else split(vector, variables)
        return tensor(y), None if dx is None else tensor(dx), gradients

    def jacobian(self, method: str, x: Any, out: Any) -> Array:
        """Return the derivatives of the outputs by the inputs of each row."""
        rows, compiled = self._for_rows(method, x, need_dx=True)
        outputs, inputs = math.prod(compiled.output_shape), math.prod(rows.shape[1:])
        found = self._out(method, (len(rows), *compiled.output_shape, *rows.shape[1:]), out)
        flat_found = found.reshape(len(rows) * outputs, inputs)
        with self._alone(compiled):
            compiled.engine.jacobian(x=engine_input(rows), inputs=flat_found, parameters=None)
        return found

    def parameter_jacobian(self, method: str, x: Any, out: Any) -> Array:
        """Return the derivatives of the outputs of all rows by the trainable weights, one after the other."""
        rows, compiled = self._for_rows(method, x, need_dx=False)
        count, wanted = len(rows) * math.prod(compiled.output_shape), self._stack.trainable_weights
        found = self._out(method, (count, sum(variable.size for variable in wanted)), out)
        in_order = _same(compiled.variables, wanted)
        columns = found if in_order else np.empty((count, compiled.size), found.dtype)
        with self._alone(compiled):
            compiled.engine.jacobian(x=engine_input(rows), inputs=None, parameters=columns)
        if not in_order:
            begins = dict(zip(map(id, compiled.variables), _begins(compiled.variables), strict=True))
            for variable, begin in zip(wanted, _begins(wanted), strict=True):
                part, at = found[:, begin : begin + variable.size], begins.get(id(variable))
                part[...] = 0 if at is None else columns[:, at : at + variable.size]
        return found

    def _alone(self, compiled: CompiledDerivatives) -> AbstractContextManager[Any]:
        """Return a context in which code written in Python, which keeps its last pass, computes one pass at a time."""
        return self._once.taken() if compiled.engine.host else nullcontext()

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
