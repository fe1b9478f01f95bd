"""CalledLayer: calls of a layer with a symbolic tensor, and those that a `call` of the user's computes."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from lamina import regularizers
from lamina._common.checks import KindError, flag, short
from lamina._common.names import redefines
from lamina._common.parameters import parameters_of
from lamina._data.arrays import real_array
from lamina.layers.composition import mode_noted
from lamina.layers.holding import HoldingLayer
from lamina.layers.mode import mode_of_caller
from lamina.layers.settings import Setting
from lamina.layers.shapes import batch_shape, check_open_shape
from lamina.layers.spec import check_inputs
from lamina.layers.symbols import Called, KerasTensor, holds_symbols, one_symbol, output_of
from lamina.layers.written import arrays_in, direct_call, holds_arrays

__all__ = ["CalledLayer"]


def _compiled_regularizer(who: str, name: str, value: Any) -> regularizers.Regularizer | None:
    found = regularizers.argument(who, name, value)
    if found is not None and found.engine_factors() is None:
        raise ValueError(
            f"{who}: {name} must be one of lamina.regularizers, L1, L2 or L1L2, not written in Python; got "
            f"{short(found)}."
        )
    return found


class CalledLayer(HoldingLayer):
    """Base class of `Layer`; arguments as there.

    Attributes
    ----------
    called : Called
        What it returned for symbolic tensors.
    """

    activity_regularizer = Setting(_compiled_regularizer)

    # In which integer dtype a `call` gets the rows of a model whose `Input` says so; None for the layer's dtype.
    integer_dtype: str | None = None
    _kind_known = False  # whether it is in a model

    def __init__(self, trainable: bool, dtype: Any, name: str | None) -> None:
        super().__init__(trainable, dtype, name)
        self.called = Called()

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the output for a batch; defined by `Layer`."""
        raise NotImplementedError(f"{type(self).__name__} has no call.")

    def check_computable(self) -> None:
        """Raise if the layer cannot be computed as it is; defined by `Layer`."""
        raise NotImplementedError(f"{type(self).__name__} cannot be computed.")

    def note_change(self) -> None:
        """Invalidate what was made for the layer as it was; defined by `Layer`."""
        raise NotImplementedError(f"{type(self).__name__} does not change.")

    # Whether a layer that differs in training can run as in training also in predictions (all can run as in predictions
    # also in training), and which way it runs in both.
    can_fix_training = True
    fixed_training: bool | None = None

    # What a user's layer demands of its inputs: an `InputSpec`, or a list of these.
    input_spec: Any = None

    def check_input_shape(self, input_shape: tuple[int | None, ...]) -> None:
        """Raise unless `input_spec` allows rows of a shape; for layers that are built."""
        if self.input_spec is not None:
            symbol = KerasTensor(batch_shape(self._who(), input_shape), self.integer_dtype or self.dtype)
            check_inputs(self._who(), self.input_spec, symbol, self.dtype)

    @property
    def call_parameters(self) -> Mapping[str, inspect.Parameter]:
        """The parameters of `call`."""
        return parameters_of(self.call)

    def checked_call(self, inputs: Any) -> tuple[Any, bool]:
        """Return what the layer is called with, and whether it is a symbolic tensor; or raise."""
        who = self._who()
        if isinstance(inputs, CalledLayer):
            raise TypeError(f"{who}: a layer is called with an array or an Input; got a {type(inputs).__name__}.")
        self.check_computable()
        symbolic = isinstance(inputs, KerasTensor) or holds_symbols(inputs)
        return (one_symbol(who, inputs) if symbolic else inputs), symbolic

    def _called_by_call(
        self, inputs: Any, values: tuple[Any, ...], named: dict[str, Any], training: Any, mask: Any
    ) -> Any:
        """Return the output of a layer that is written as a `call`."""
        who, parameters = self._who(), self.call_parameters
        inputs, named = self._first_argument(inputs, named)
        inputs, symbolic = self.checked_call(inputs)
        if mask is not None and "mask" not in parameters:
            raise ValueError(f"{who}: mask must be None: the layer does not read one.")
        training = None if training is None else flag(who, "training", training)
        if symbolic:
            self._check_alone(values, named, mask)
            row = tuple(inputs.shape[1:])
            if not row or not self.composes(row):
                return self._called_with(inputs, training)
            model = self.as_model(row)
            self.called.precede()
            return self.called.note(model(inputs, training))
        training = mode_of_caller() if training is None else training
        inputs = inputs if holds_arrays(inputs) else real_array(who, "inputs", inputs)
        if self.input_spec is not None:
            check_inputs(who, self.input_spec, inputs, self.dtype)
        if not holds_arrays(inputs) and inputs.ndim > 1 and not (values or named or mask is not None):
            chain = self.as_chain(inputs.shape[1:])
            if chain is not None:
                return chain(inputs, training)
        modes = {name: value for name, value in (("training", training), ("mask", mask)) if value is not None}
        modes = {name: value for name, value in modes.items() if name in parameters}
        if training is None and "training" in parameters:  # its default is also the mode of layers that it calls
            default = parameters["training"].default
            training = default if isinstance(default, bool) else None
        output = direct_call(cast(Any, self), inputs, values, modes | named, training)
        if self.activity_regularizer is not None:
            penalties = [
                self.activity_regularizer(one) / max(1, len(one) if one.ndim else 1) for one in arrays_in(output)
            ]
            self._activity_loss = float(sum(penalties))
        return output

    def _first_argument(self, inputs: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the first argument of `call`, which may be given by its name, and the named ones that follow."""
        if inputs is not None:
            return inputs, named
        first = next(iter(self.call_parameters.values()), None)
        takes_all = first is None or first.kind is first.VAR_POSITIONAL
        name = next(iter(named), "inputs") if first is None or takes_all else first.name
        name = name if name in named else "inputs"
        return named.get(name), {other: value for other, value in named.items() if other != name}

    def _check_alone(self, values: Any, named: dict[str, Any], mask: Any) -> None:
        """Raise if there are further arguments than the input, and not those that `call` takes without them."""
        given = inspect.signature(self.call).bind(None, *values, **named).arguments
        defaults = {name: parameter.default for name, parameter in self.call_parameters.items()}
        further = [name for name, value in list(given.items())[1:] if value is not defaults[name]]
        if further or mask is not None:
            raise KindError(
                f"{self._who()}: {', '.join([*further, *(['mask'] if mask is not None else [])])} must be given to the "
                "constructor: models call their layers with the input alone."
            )

    def as_model(self, row_shape: tuple[int | None, ...]) -> Any:
        """Return the model of the layers that `call` calls, made for the first shape of rows."""
        if self.activity_regularizer is not None:
            raise KindError(
                f"{self._who()}: activity_regularizer must be that of a layer; what calls layers that it holds is none."
            )
        return super().as_model(row_shape)

    def check_training(self, training: bool) -> None:
        """Raise if the layer cannot run as in training, or not, in training and in predictions alike."""
        if self.by_call or (self.differs_in_training and (self.can_fix_training or training is False)):
            return
        if self.differs_in_training or redefines(type(self), "forward", "ops"):
            raise ValueError(
                f"{self._who()}: training must be None in a call with a symbolic tensor, or for layers that change "
                "nothing else False: fit and predict choose it."
            )

    def fix_training(self, training: bool) -> None:
        """Run as in training, or not, in training and in predictions alike."""
        self.check_training(training)
        modes = self.by_call and "training" in self.call_parameters
        if (self.differs_in_training or modes) and self.fixed_training != training:
            self.fixed_training = training
            self.note_change()

    def _called_with(self, x: KerasTensor, training: bool | None) -> KerasTensor:
        """Return the output of a call with a symbolic tensor; builds the layer if need be."""
        who = self._who()
        if not mode_noted(self, training) and training is not None:
            self.fix_training(training)
        self.called.precede()
        self.take_integers(x.dtype)
        row = check_open_shape(who, x.shape[1:])
        if not self.build_or_discard((None, *row)):
            self.check_row(who, row)
        return self.called.note(output_of(self, (x,), self.compute_output_shape((None, *row)), self.dtype))

    def take_integers(self, dtype: str | None) -> None:
        """Let a `call` get rows in the dtype of a model's input, if that is one of integers.

        Raises
        ------
        ValueError
            In another model it gets rows of another kind.
        """
        if not self.by_call:
            return
        found = dtype if dtype is not None and np.issubdtype(dtype, np.integer) else None
        if self._kind_known and found != self.integer_dtype:
            wanted, got = self.integer_dtype or self.dtype, found or self.dtype
            raise ValueError(f"{self._who()}: rows must be {wanted}, as in another model that has it; got {got}.")
        self._kind_known, self.integer_dtype = True, found

    # Whether the layer computes something else in training.
    differs_in_training = False

    @property
    def input(self) -> KerasTensor:
        """The symbolic tensor that the layer was first called with; in a built model, that of the model."""
        call = self.called.first(self._who(), "input").call
        assert call is not None
        return call.inputs[0]

    @property
    def output(self) -> KerasTensor:
        """The symbolic tensor that the layer's first call returned; in a built model, that of the model."""
        return self.called.first(self._who(), "output")
