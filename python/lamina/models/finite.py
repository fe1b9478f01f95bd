"""Steps that are undone, and explained, if they give numbers that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._data.compact import CompactRows, kind_of_rows
from lamina._data.rows import engine_input
from lamina._engine.network import compile_network
from lamina._engine.variable import Variable
from lamina._engine.variables import Kept, all_finite
from lamina.layers import Layer
from lamina.models.compilation import split
from lamina.models.executor import Executor
from lamina.models.place import Order, Place
from lamina.models.prepared import Prepared

__all__ = ["FiniteSteps", "NotFiniteError"]

Array = npt.NDArray[Any]

# How many rows a message names.
_MOST_NAMED = 10


class NotFiniteError(FloatingPointError):
    """A step of training that met NaN or infinity; it was undone.

    Attributes
    ----------
    epoch, batch : int
        Where it was, counting from 0.
    layer : str or None
        Name of the layer; None for data, loss and weights that no layer owns.
    tensor : str
        What was not finite first: "x", "y", "sample_weight", the path of a weight (``"dense/kernel"``), "output",
        "loss", ``"gradient of dense/kernel"`` or ``"step of dense/kernel"``.
    rows : list of int
        Positions in the batch of the rows that it came from; empty if it came from no row alone.
    data_rows : list of int
        The same rows, as they are numbered in the data that `fit` was given; empty for batches of a generator.
    """

    def __init__(
        self, message: str, epoch: int = 0, batch: int = 0, layer: str | None = None, tensor: str = "",
        rows: Sequence[int] = (), data_rows: Sequence[int] = (),
    ) -> None:  # fmt: skip
        super().__init__(message, epoch, batch, layer, tensor, list(rows), list(data_rows))
        self.epoch, self.batch, self.layer, self.tensor = epoch, batch, layer, tensor
        self.rows, self.data_rows = list(rows), list(data_rows)

    def __str__(self) -> str:
        return str(self.args[0])


class FiniteSteps:
    """Takes steps of training, for ``fit(on_nan="raise")``.

    After each step loss and weights must be finite. Else the model gets back what it had before the step, which is
    computed once more, part by part, to find out where the first such number came from.

    Parameters
    ----------
    executor : Executor
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._kept = Kept()

    def train_rows(
        self, prepared: Prepared, order: Order | None, first: int, rows: int, place: Place, index: int
    ) -> None:
        """Take one step on rows [first, first + rows) of the order, batch number `index` of the epoch.

        Raises
        ------
        NotFiniteError
            Loss or weights are not finite after it. The step is undone.
        """
        executor = self._executor
        optimizer, before = executor.require_compiled("fit").optimizer, executor.state()
        kept, numbers = self._kept, optimizer.numbers()
        kept.keep(self._changing())
        executor.train_rows(prepared, order, first, rows, rows, place)
        total = executor.require_compiled("fit").loss_tracker.total
        weights = executor.stack.weights
        if math.isfinite(total) and all_finite(weights):
            return
        after = [variable.path for variable in weights if not _is_finite(variable)]
        kept.put_back()
        optimizer.take_numbers(numbers)
        executor.restore(before)
        numbered = slice(first, first + rows) if order is None else order[first : first + rows]
        layer, tensor, bad = self._first(prepared.take(numbered), numbered, after)
        kept.put_back()  # moving statistics of the layers that were run again
        executor.restore(before)
        in_data = [] if place.streams[:1] != [None] else np.arange(prepared.rows)[numbered][bad].tolist()
        raise NotFiniteError(
            _message(executor.stack.who("fit"), place.epoch, index, layer, tensor, bad, in_data), place.epoch, index,
            layer, tensor, bad, in_data,
        )  # fmt: skip

    def _changing(self) -> list[Variable]:
        """Return all that a step changes: weights, moving statistics and the state of the optimizer."""
        optimizer, trained = self._executor.require_compiled("fit").optimizer, self._executor.stack.trainable_weights
        slots = [optimizer.slot(name, one) for name in optimizer.state_names() for one in trained]
        return [*self._executor.stack.weights, *slots]

    def _first(self, batch: Prepared, numbered: Any, after: list[str]) -> tuple[str | None, str, list[int]]:
        """Return layer, tensor and rows of the first numbers that are not finite."""
        data = batch.data
        for name, values in (("x", data.x), ("y", data.y), ("sample_weight", data.sample_weight)):
            if found := _rows_not_finite(values):
                return None, name, found
        layers = self._executor.stack.layers
        for layer in layers:
            for variable in layer.weights:
                if not _is_finite(variable):
                    return layer.name, variable.path, []
        outputs = None
        for name, outputs in self._outputs(batch):
            if found := _rows_not_finite(outputs):
                return name, "output", found
        loss, vector, variables = self._executor.value_and_gradients(batch, self._executor.draws.value)
        if not math.isfinite(loss):
            return None, "loss", self._rows_of_loss(batch, numbered, outputs)
        owners = {id(variable): layer.name for layer in layers for variable in layer.weights}
        gradients = list(zip(variables, split(vector, variables), strict=True))
        for variable, gradient in reversed(gradients):
            if not np.isfinite(gradient).all():
                return owners.get(id(variable)), f"gradient of {variable.path}", self._rows_of_gradient(batch)
        return None, f"step of {after[0]}" if after else "loss", []

    def _outputs(self, batch: Prepared) -> Iterator[tuple[str, Array]]:
        """Return the name of each layer and what it gives for the batch, with the noise of the step."""
        stack, rows = self._executor.stack, batch.data.x
        for count in range(1, len(stack.layers) + 1):
            layers: list[Layer] = stack.layers[:count]
            network = compile_network(layers, rows.shape[1:], stack.dtype, reads=kind_of_rows(rows))
            outputs = network.network.predict(engine_input(rows), None, self._executor.draws.value)
            yield layers[-1].name, outputs.reshape(len(rows), *network.output_shape)

    def _rows_of_loss(self, batch: Prepared, numbered: Any, outputs: Array | None) -> list[int]:
        """Return the rows whose losses alone are not finite."""
        assert outputs is not None
        loss = self._executor.require_compiled("fit").loss
        if not loss.needs_targets:
            return []
        given = batch.given[numbered]
        return [
            i for i in range(batch.rows) if not math.isfinite(float(loss(given[i : i + 1], outputs[i : i + 1])))
        ]  # fmt: skip

    def _rows_of_gradient(self, batch: Prepared) -> list[int]:
        """Return the rows that alone give gradients that are not finite."""
        executor = self._executor
        return [
            i for i in range(batch.rows)
            if not np.isfinite(executor.value_and_gradients(batch.take(slice(i, i + 1)), executor.draws.value)[1]).all()
        ]  # fmt: skip


def _is_finite(variable: Variable) -> bool:
    return not variable.is_float or bool(np.isfinite(variable.value).all())


def _rows_not_finite(values: Any) -> list[int]:
    """Return the numbers of the rows with a value that is not finite."""
    if isinstance(values, CompactRows):
        return values.rows_not_finite()
    if values is None or values.dtype.kind != "f":
        return []
    found: list[int] = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(1)).tolist()
    return found


def _message(
    who: str, epoch: int, batch: int, layer: str | None, tensor: str, rows: list[int], data_rows: list[int]
) -> str:
    where = f" of layer {layer!r}" if layer is not None and tensor == "output" else ""
    said = (
        f"{who}: the numbers of training must be finite; in batch {batch} of epoch {epoch} the first that was not is "
    )
    said += f"in {tensor}{where}"
    if rows:
        said += f", of {_listed(rows)} of the batch"
        if data_rows:
            said += f" ({_listed(data_rows)} of the data)"
    return f"{said}. The step was undone."


def _listed(rows: list[int]) -> str:
    named = ", ".join(map(str, rows[:_MOST_NAMED])) + (", …" if len(rows) > _MOST_NAMED else "")
    return f"row{'s' * (len(rows) > 1)} {named}"
