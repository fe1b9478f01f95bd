"""Layers that users write as a `call` in functions of `lamina.ops`: their output, its shape and its gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError
from lamina._common.parameters import parameters_of
from lamina._common.tries import only_tries, trying
from lamina._data.arrays import real_array
from lamina._data.autodiff import array_module, constant, given, is_traced, pullback, returned, standing_for
from lamina._engine.host import Pass
from lamina._engine.ops import Shape
from lamina._engine.variable import Variable
from lamina.layers.added import adding, note_added
from lamina.layers.mode import calling

__all__ = [
    "Probe", "arrays_in", "call_pass", "direct_call", "gradients_of_call", "holds_arrays", "modes_of_call",
    "shape_of_call",
]  # fmt: skip

Array = npt.NDArray[Any]


class WrittenLayer(Protocol):
    """A layer with a `call`."""

    call: Any
    build: Any
    fixed_training: bool | None
    added_losses: list[float]
    once: object
    called_row_shape: Any
    integer_dtype: str | None

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

    @property
    def defines_build(self) -> bool:
        """Whether its class defines `build`."""

    @property
    def built(self) -> bool:
        """Whether its parameters exist."""

    def build_once(self, shapes: dict[str, Any]) -> None:
        """Build the layer if it is not."""

    def build_or_discard(self, input_shape: tuple[int | None, ...]) -> bool:
        """Build the layer."""


def call_pass(layer: WrittenLayer, x: Array, training: bool, differentiated: bool) -> Pass:
    """Return the output for a batch, and what gives the gradients if it will be `differentiated`."""
    mode = training if layer.fixed_training is None else layer.fixed_training
    named = {"training": mode} if "training" in parameters_of(layer.call) else {}
    whole = None if layer.integer_dtype is None else returned(x.astype(layer.integer_dtype))
    if not differentiated:
        with calling(layer.once, mode):
            output = _called(layer, len(x), returned(x) if whole is None else whole, **named)
            return Pass(constant(_one(layer, output), checked=False))
    variables, who = layer.trainable_weights, f"{layer_name(layer)}: call"
    shape: list[int] = []

    def function(inputs: Any, *values: Any) -> Any:
        """Return the output; if there are added losses, flat and followed by their sum."""
        with standing_for(variables, values):
            output = _with_values(layer, variables, values).call(inputs if whole is None else whole, **named)
            output = given(output, checked=False)
        shape[:] = np.shape(output)
        if not added:
            return output
        module = array_module()
        extra = sum((module.sum(given(loss, checked=False)) for loss in added), start=0.0)
        return module.concatenate([module.ravel(output), module.reshape(extra, (1,))])

    with adding() as added, calling(layer.once, mode):
        found, back = pullback(who, function, [x, *(variable.value for variable in variables)])
    if not added:
        return Pass(found, back)
    _note(layer, added, len(x))
    output = found[:-1].reshape(shape)
    return Pass(output, lambda dy: back(np.append(dy.ravel(), 1).astype(found.dtype)))


def _called(layer: WrittenLayer, rows: int, *values: Any, **named: Any) -> Any:
    """Return what the `call` of a layer returns, and note what it adds to the loss for that many rows."""
    with adding() as added:
        output = layer.call(*values, **named)
    _note(layer, added, rows)
    return output


def _note(layer: WrittenLayer, added: list[Any], rows: int) -> None:
    if not only_tries():
        layer.added_losses = [float(np.sum(constant(loss, checked=False))) for loss in added]
        note_added(layer.added_losses, rows)


def direct_call(
    layer: WrittenLayer, inputs: Any, values: tuple[Any, ...], named: dict[str, Any], training: bool | None
) -> Any:
    """Return what the `call` of a layer returns, outside of a model: an array, or several in lists, tuples and dicts.

    Arrays among the arguments become tensors; those of floats are converted to the layer's dtype, others keep theirs.

    Parameters
    ----------
    inputs : array_like, or list, tuple or dict of arrays
        The first argument.
    values, named
        Further arguments.
    training : bool or None
        What layers that it calls take for their mode, if they are not given one.
    """

    def converted(item: Any) -> Any:
        if not (is_array(item) or isinstance(item, np.generic | Variable) or is_traced(item)):
            return item
        array = constant(item, checked=False)
        return returned(array.astype(layer.dtype, copy=False) if array.dtype.kind == "f" else array)

    several = holds_arrays(inputs)
    inputs = mapped(converted, inputs if several else real_array(layer_name(layer), "inputs", inputs))
    if layer.defines_build and not layer.built:
        layer.build_once(_shapes_for_build(layer, (inputs, *values), named))
    elif not several and inputs.ndim > 1 and not layer.defines_build:
        layer.called_row_shape = inputs.shape[1:]
    rows = 1 if several or not inputs.ndim else len(inputs)
    with calling(layer.once, training):
        output = _called(layer, rows, inputs, *mapped(converted, values), **mapped(converted, named))
    return mapped(converted, output)


def _shapes_for_build(layer: WrittenLayer, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a layer's `build`: the shape of the first argument of `call`, or those of several."""

    def shape_of(item: Any) -> Any:
        return mapped(lambda one: tuple(np.shape(one)), item)

    wanted, taken = list(parameters_of(layer.build)), list(parameters_of(layer.call))
    if len(wanted) == 1:
        return {wanted[0]: shape_of(values[0])}
    given = dict(zip(taken, values, strict=False)) | named
    found = {}
    for name in wanted:
        argument = name.removesuffix("_shape")
        if argument == name:
            raise ValueError(f"{layer_name(layer)}: build has the argument `{name}`, which does not end in `_shape`.")
        if argument not in taken:
            raise ValueError(
                f"{layer_name(layer)}: build has the argument `{name}`, but `call()` does not have argument "
                f"`{argument}`."
            )
        found[name] = None if given.get(argument) is None else shape_of(given[argument])
    return found


def layer_name(layer: WrittenLayer) -> str:
    """Return how messages about a layer begin."""
    return f"{type(layer).__name__} {layer.name!r}"


def is_array(item: Any) -> bool:
    """Return whether something is an array with axes: of NumPy, a variable, or of another library."""
    shape = getattr(item, "shape", None)
    return isinstance(shape, tuple) and len(shape) > 0 and hasattr(item, "__array__")


def holds_arrays(x: Any) -> bool:
    """Return whether something is a dict, or a list or tuple of arrays, not of numbers."""
    if isinstance(x, dict):
        return True
    return isinstance(x, (list, tuple)) and any(is_array(one) or holds_arrays(one) for one in x)


def arrays_in(item: Any) -> list[Array]:
    """Return the arrays in what a `call` has returned."""
    found: list[Array] = []
    mapped(lambda one: found.append(one) if isinstance(one, np.ndarray) else None, item)
    return found


def mapped(function: Callable[[Any], Any], item: Any) -> Any:
    """Return lists, tuples and dicts with what a function returns in place of each item; of anything else that."""
    if isinstance(item, dict):
        found = {name: mapped(function, one) for name, one in item.items()}
        if type(item) is dict:
            return found
        other = copy.copy(item)
        other.update(found)
        return other
    if type(item) in (list, tuple):
        return type(item)(mapped(function, one) for one in item)
    if isinstance(item, tuple) and hasattr(item, "_make"):  # a named one
        return item._make(mapped(function, one) for one in item)
    return function(item)


def _one(layer: WrittenLayer, output: Any) -> Any:
    """Return an output, or raise if there are several."""
    if isinstance(output, (list, tuple)) and any(np.ndim(one) for one in output if not is_traced(one)):
        raise KindError(
            f"{layer_name(layer)}: call must return one array; it returned {len(output)}. Models have one output here."
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
        return by_variable.get(id(item), item) if isinstance(item, Variable) else item

    view = object.__new__(type(layer))
    attributes: Mapping[str, Any] = vars(layer)
    vars(view).update({name: mapped(replaced, item) for name, item in attributes.items()})
    return view


def shape_of_call(layer: WrittenLayer, row_shape: Shape) -> Shape:
    """Return the shape of a row of the output, by calling the layer with ones; a layer that is not built stays so."""
    if not layer.placed:
        layer = copy.copy(layer)
        with trying():
            layer.build_or_discard((None, *row_shape))
    shapes = []
    for rows in (2, 3):
        with np.errstate(all="ignore"), trying():
            output = call_pass(layer, np.ones((rows, *row_shape), layer.dtype), False, False).output
        if output.ndim < 2 or output.shape[0] != rows:
            raise ValueError(
                f"{layer_name(layer)}: call must return a row for each row of its input, with at "
                f"least one axis; for {rows} rows it returned shape {output.shape}."
            )
        shapes.append(tuple(int(size) for size in output.shape[1:]))
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"{layer_name(layer)}: call must return rows of one shape for any number of rows; got "
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
    names = parameters_of(layer.call)
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
