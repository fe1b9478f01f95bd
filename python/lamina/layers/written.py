"""Layers that users write as a `call` in functions of `lamina.ops`: their output, its shape and its gradients."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lamina import random
from lamina._common.checks import KindError
from lamina._data.autodiff import array_module, constant, given, is_traced, pullback, returned, standing_for
from lamina._engine.host import Pass
from lamina._engine.ops import Shape
from lamina._engine.variable import Variable, only_tries, values_kept
from lamina.layers.added import adding, note_added

__all__ = ["Probe", "call_pass", "direct_call", "gradients_of_call", "modes_of_call", "shape_of_call"]

Array = npt.NDArray[Any]


class WrittenLayer(Protocol):
    """A layer with a `call`."""

    call: Any
    fixed_training: bool | None
    added_losses: list[float]

    @property
    def name(self) -> str:
        """Unique in a model."""

    @property
    def dtype(self) -> str:
        """The dtype in which the layer computes."""

    @property
    def placed(self) -> bool:
        """Whether it is built."""

    @property
    def trainable_weights(self) -> list[Variable]:
        """The variables that training changes."""

    def build_or_discard(self, input_shape: tuple[int | None, ...]) -> bool:
        """Build the layer."""


def call_pass(layer: WrittenLayer, x: Array, training: bool) -> Pass:
    """Return the output for a batch, and in training what gives the gradients."""
    mode = training if layer.fixed_training is None else layer.fixed_training
    named = {"training": mode} if "training" in inspect.signature(layer.call).parameters else {}
    if not training:
        with adding() as added:
            output = constant(_one(layer, layer.call(returned(x), **named)))
        _note(layer, [constant(loss) for loss in added], len(x))
        return Pass(output)
    variables, who = layer.trainable_weights, f"{type(layer).__name__} {layer.name!r}: call"
    shape: list[int] = []

    def function(inputs: Any, *values: Any) -> Any:
        """Return the output; if there are added losses, flat and followed by their sum."""
        with standing_for(variables, values):
            output = given(_with_values(layer, variables, values).call(inputs, **named))
        shape[:] = np.shape(output)
        if not added:
            return output
        module = array_module()
        extra = sum((module.sum(given(loss)) for loss in added), start=0.0)
        return module.concatenate([module.ravel(output), module.reshape(extra, (1,))])

    with adding() as added:
        found, back = pullback(who, function, [x, *(variable.value for variable in variables)])
    if not added:
        return Pass(found, back)
    _note(layer, [constant(loss) for loss in added], len(x))
    output = found[:-1].reshape(shape)
    return Pass(output, lambda dy: back(np.append(dy.ravel(), 1).astype(found.dtype)))


def _note(layer: WrittenLayer, losses: list[Array], rows: int) -> None:
    """Note what a layer has added to the loss in a pass of that many rows."""
    if not only_tries():
        layer.added_losses = [float(np.sum(loss)) for loss in losses]
        note_added(layer.added_losses, rows)


def direct_call(
    layer: WrittenLayer, x: Array, values: tuple[Any, ...], named: dict[str, Any], training: bool, mask: Any
) -> Array:
    """Return what the `call` of a layer returns for a batch and further arguments, outside of a model."""
    parameters = inspect.signature(layer.call).parameters
    modes = {name: value for name, value in (("training", training), ("mask", mask)) if name in parameters}
    with adding() as added:
        output: Array = constant(layer.call(returned(x), *values, **(modes | named)))
    _note(layer, [constant(loss) for loss in added], len(x))
    return output.astype(layer.dtype, copy=False) if output.dtype.kind == "f" else output


def _one(layer: WrittenLayer, output: Any) -> Any:
    """Return an output, or raise if there are several."""
    if isinstance(output, (list, tuple)) and any(np.ndim(one) for one in output if not is_traced(one)):
        raise KindError(
            f"{type(layer).__name__} {layer.name!r}: call must return one array; it returned {len(output)}. Models "
            "have one output here."
        )
    return output


def gradients_of_call(dy: Array, forward_pass: Pass) -> tuple[Array, list[Array]]:
    """Return the gradients of the input and of the trainable variables of a pass in training."""
    back: Callable[[Array], Any] = forward_pass.saved
    dx, *gradients = back(dy.astype(np.asarray(forward_pass.output).dtype, copy=False))
    return dx, list(gradients)


def _with_values(layer: Any, variables: list[Variable], values: tuple[Any, ...]) -> Any:
    """Return a view of a layer whose attributes have values in place of variables."""
    by_variable = {id(variable): value for variable, value in zip(variables, values, strict=True)}

    def replaced(item: Any) -> Any:
        if isinstance(item, Variable):
            return by_variable.get(id(item), item)
        if type(item) in (list, tuple):
            return type(item)(replaced(one) for one in item)
        if type(item) is dict:
            return {name: replaced(one) for name, one in item.items()}
        return item

    view = object.__new__(type(layer))
    attributes: Mapping[str, Any] = vars(layer)
    vars(view).update({name: replaced(item) for name, item in attributes.items()})
    return view


def shape_of_call(layer: WrittenLayer, row_shape: Shape) -> Shape:
    """Return the shape of a row of the output, by calling the layer with ones; a layer that is not built stays so."""
    if not layer.placed:
        seeds = random.global_seeds.counter
        layer = copy.copy(layer)
        layer.build_or_discard((None, *row_shape))
        random.global_seeds.counter = seeds  # undo the copy's draws
    shapes = []
    for rows in (2, 3):
        with np.errstate(all="ignore"), values_kept():
            output = call_pass(layer, np.ones((rows, *row_shape), layer.dtype), False).output
        if output.ndim < 2 or output.shape[0] != rows:
            raise ValueError(
                f"{type(layer).__name__} {layer.name!r}: call must return a row for each row of its input, with at "
                f"least one axis; for {rows} rows it returned shape {output.shape}."
            )
        shapes.append(tuple(int(size) for size in output.shape[1:]))
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r}: call must return rows of one shape for any number of rows; got "
            f"{shapes[0]} for 2 rows and {shapes[1]} for 3."
        )
    return shapes[0]


class Probe:
    """Stands for the input of a `call` that a subclass of a built-in layer overrides.

    The built-in `call` notes with which `training` it was called, and returns the probe's result.
    """

    def __init__(self) -> None:
        self.result = object()
        self.training: bool | None = None


def modes_of_call(layer: WrittenLayer) -> tuple[bool, bool] | None:
    """Return how an overridden `call` runs the built-in layer in predictions and in training: as in training, or not.

    None if it does anything but return what ``super().call(inputs)`` returns.
    """
    names = inspect.signature(layer.call).parameters
    found = []
    for training in (False, True):
        probe = Probe()
        try:
            output = layer.call(probe, **({"training": training} if "training" in names else {}))
        except (TypeError, AttributeError, ValueError):  # it computes with its input
            return None
        if output is not probe.result:
            return None
        found.append(training if probe.training is None else bool(probe.training))
    return found[0], found[1]
