"""Layer: the base class of all layers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lamina import config, regularizers
from lamina._common.checks import (
    KindError,
    arguments,
    flag,
    short,
)
from lamina._common.names import redefines, unknown_argument
from lamina._common.recorded import recorded_config
from lamina._common.warn import warn
from lamina._data.arrays import batch_array, float_array, index_array, real_array
from lamina._data.tensors import Tensor
from lamina._engine.host import Functions, Pass
from lamina._engine.network import Constants
from lamina._engine.ops import ActivityOp, HostOp, Op, OpenShape, row_of
from lamina._engine.variable import Variable
from lamina.layers.added import remember
from lamina.layers.calls import CalledLayer
from lamina.layers.composition import held
from lamina.layers.mode import mode_of_caller
from lamina.layers.settings import Setting
from lamina.layers.shapes import batch_shape, check_open_shape, check_row_shape
from lamina.layers.symbols import Called
from lamina.layers.written import (
    Probe,
    call_pass,
    gradients_of_call,
    modes_of_call,
    shape_of_call,
)

__all__ = ["Layer", "Pass"]

Array = npt.NDArray[Any]


# Attributes whose assignment does not count as a change: networks do not hold them, or compare them separately.
_NOT_COMPILED = frozenset(
    {
        "added_losses",
        "built",
        "called",
        "called_row_shape",
        "changes",
        "input_row_shape",
        "once",
        "stored",
        "trainable",
        "wanted_input_shape",
    }
)


class Layer(CalledLayer):
    """Base class of layers.

    Parameters
    ----------
    activity_regularizer : str, Regularizer or dict, optional
        Penalty on the output, divided by the number of rows in the batch; part of the loss.
    trainable : bool
        Whether training changes its parameters.
    dtype : {"float32", "float64"}, optional
        Default: `lamina.config.floatx`. A model has one dtype.
    autocast : bool
        Accepted as in Keras: input is converted to the layer's dtype.
    name : str, optional
        Unique in a model; made from the class name if omitted.
    input_shape : tuple of int, optional
        Shape of one row, without the batch; a model that begins with this layer is built at once.
    input_dim : int, optional
        The same for flat rows.

    Attributes
    ----------
    argument_layers : mapping of str to Layer
        Layers that are arguments of this one, as the activation of a `Dense` can be, by the argument's name.
    """

    argument_layers: Mapping[str, Layer] = MappingProxyType({})
    autocast = Setting(flag)

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        input_shape: tuple[int, ...] | None = None,
        input_dim: int | None = None,
        **unknown: Any,
    ) -> None:
        kind = type(self).__name__
        if unknown:
            raise unknown_argument(kind, sorted(unknown)[0])
        super().__init__(trainable, dtype, name)
        self.autocast = autocast
        self.activity_regularizer = activity_regularizer
        if input_dim is not None and input_shape is not None:
            raise ValueError(f"{kind}: give input_dim or input_shape, not both.")
        self.wanted_input_shape: OpenShape | None = None
        if input_dim is not None:
            self.wanted_input_shape = check_row_shape(kind, (input_dim,))
        elif input_shape is not None:
            self.wanted_input_shape = check_open_shape(kind, input_shape)
        self._call_shapes: dict[OpenShape, Any] = {}  # shapes of rows that a `call` returns, by those of input rows
        self.changes = 0  # how often a value that is baked into compiled networks has changed

    def check_computable(self) -> None:
        """Raise if a subclass defines methods that fit and predict do not call, as Keras's `call` without `forward`."""
        self._call_shapes = {}  # what a call returns may depend on more than attributes that are assigned
        if self.by_own_call:
            self._check_call()
        for name in ("__call__", "compute_mask", "compute_output_spec"):
            if redefines(type(self), name, "forward") and redefines(type(self), name, "ops"):
                raise KindError(
                    f"{self._who()}: a layer written in Python defines forward and backward, and "
                    f"compute_output_shape where that differs; its {name} would not be called."
                )
        one, other = (redefines(type(self), name, "ops") for name in ("forward", "backward"))
        if type(self).ops is not Layer.ops and (one != other or (one and self.vocabulary is not None)):
            raise KindError(
                f"{self._who()}: a subclass that computes in Python must define both forward and "
                "backward, and its input be numbers to compute with."
            )

    def _check_call(self) -> None:
        """Take over how the `call` of a subclass runs the built-in layer, or raise if it does anything else."""
        modes = modes_of_call(cast(Any, self))
        fixed = None if modes is None or modes[0] != modes[1] else modes[0]
        if modes is None or (modes[0] and not modes[1]) or (fixed is not None and not self.can_fix_training):
            raise KindError(
                f"{self._who()}: call of a subclass of a built-in layer must return super().call(inputs), for layers "
                "with noise also with training=True or False; otherwise the layer would not be computed in the "
                "engine. Derive it from lamina.layers.Layer, and compute in functions of lamina.ops; or define "
                "forward and backward."
            )
        if self.differs_in_training and fixed != self.fixed_training:
            self.fixed_training = fixed

    @property
    def by_call(self) -> bool:
        """Whether the layer is computed by its `call`, which a user has written in functions of `lamina.ops`."""
        kind = type(self)
        return kind.call is not Layer.call and kind.ops is Layer.ops and kind.forward is Layer.forward

    @property
    def by_own_call(self) -> bool:
        """Whether a subclass of a built-in layer chooses in its `call` how that runs."""
        return redefines(type(self), "call", "ops") and not self.by_call

    def add_loss(self, loss: Any) -> None:
        """Add to the loss of the batch; for a `call` that is written in functions of `lamina.ops`.

        The model's loss is the mean over the rows plus what its layers add. It is differentiated together with the
        output.

        Parameters
        ----------
        loss : float or array_like, or list of these
            The sum of the elements is added.

        Raises
        ------
        TypeError
            It is not called inside of such a `call`.
        """
        remember(self._who(), loss)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the output for a batch.

        A subclass of `Layer` defines it in functions of `lamina.ops`. A subclass of a built-in layer may return what
        this method returns, and choose `training`: ``super().call(inputs, training=True)`` keeps noise in predictions.
        """
        if isinstance(inputs, Probe):
            inputs.training = training
            return inputs.result
        if self.by_call:  # super().call of a layer written as a call: there is nothing above it
            raise NotImplementedError(f"{type(self).__name__}: a subclass of Layer has no call but its own.")
        return self(inputs, training)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute, and invalidate compiled networks if it is an argument that they depend on."""
        if name.startswith("_"):
            super().__setattr__(name, value)
            self._adopt_value(value)
            return
        if name in ("call", "compute_mask"):
            raise KindError(
                f"{type(self).__name__}: {name} would not be called; a layer written in Python is a subclass that "
                "defines it."
            )
        if _holds_layer(value) and name != "activation" and not self.by_call:
            raise KindError(
                f"{type(self).__name__}: {name} must not be a layer: only a layer that defines call may hold others. "
                "Put it into the model, or into a Sequential that is a layer of the model."
            )
        known = self.__dict__.get(name, self)
        super().__setattr__(name, value)
        if name == "trainable":
            for part in self._parts():
                part.trainable = value
        self._adopt_value(value)
        # A public attribute that had another value before: an argument, which `ops` reads.
        if known is not self and known is not value and name not in _NOT_COMPILED:
            self.note_change()

    def _adopt_value(self, value: Any) -> None:
        """Make a variable, or those of a list, parameters of this layer."""
        if isinstance(value, (Variable, list, tuple)) and "_parameters" in self.__dict__:
            self.adopt([value] if isinstance(value, Variable) else [one for one in value if isinstance(one, Variable)])

    def note_change(self) -> None:
        """Invalidate compiled networks: a value baked into them has changed."""
        with self.once.taken():
            self.changes += 1
            self._call_shapes = {}
        Constants.changes = object()

    # What a subclass defines.

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape: the same, or that of what `call` returns."""
        shape = self._input_shape(input_shape)
        if not self.by_call:
            return shape
        known = self._call_shapes.get(shape[1:])
        if known is None:
            known = self._call_shapes[shape[1:]] = shape_of_call(cast(Any, self), row_of(shape))
        return (shape[0], *known)

    def _input_shape(self, shape: Any) -> tuple[int | None, ...]:
        return batch_shape(self._who(), shape)

    def ops(self) -> list[Op]:
        """Return the ops that the layer compiles to; by default one op that calls `forward` and `backward`."""
        shape = row_of(self.output_shape)
        return [HostOp(self, shape, Functions(self))]

    def all_ops(self) -> list[Op]:
        """Return `ops`, or the op that calls a subclass's `forward` and `backward`, and the activity penalty if any."""
        ops = Layer.ops(self) if redefines(type(self), "forward", "ops") else self.ops()
        if self.activity_regularizer is None:
            return ops
        factors = self.activity_regularizer.engine_factors()
        if factors is None:
            raise ValueError(
                f"{self._who()}: activity_regularizer must be one of lamina.regularizers, not "
                f"written in Python; it is {self.activity_regularizer!r}."
            )
        if self.activity_regularizer.per_row:
            raise ValueError(f"{self._who()}: activity_regularizer is always divided by rows: per_row must be False.")
        return [*ops, ActivityOp(*factors)]

    def forward(self, x: Array, *, training: bool) -> Pass:
        """Return the output for a batch, and what `backward` needs.

        For layers written in Python. Parameters are read as ``variable.value``.

        Parameters
        ----------
        x : ndarray, shape (n, ...)
        training : bool

        Examples
        --------
        >>> import numpy as np
        >>> class Square(Layer):
        ...     def forward(self, x, *, training):
        ...         return Pass(x**2, x)
        ...
        ...     def backward(self, dy, forward_pass, *, need_dx):
        ...         return 2 * forward_pass.saved * dy, []
        >>> Square()(np.array([[1.0, -3.0]]))
        Tensor([[1., 9.]], dtype=float32)
        """
        if self.by_call:
            return call_pass(cast(Any, self), x, training, training)
        raise NotImplementedError(f"{type(self).__name__}: a layer defines call, or forward and backward.")

    def pass_of(self, x: Array, training: bool, differentiated: bool) -> Pass:
        """Return the output for a batch, and what `backward` needs if it will be `differentiated`."""
        if self.by_call:
            return call_pass(cast(Any, self), x, training, differentiated)
        return self.forward(x, training=training)

    def backward(self, dy: Array, forward_pass: Pass, *, need_dx: bool) -> tuple[Array | None, list[Array]]:
        """Return the gradients with respect to the input and to each of the `trainable_weights`.

        For layers written in Python.

        Parameters
        ----------
        dy : ndarray
            Gradient with respect to the output.
        forward_pass : Pass
            What `forward` returned.
        need_dx : bool
            If False, the gradient with respect to the input may be None.
        """
        if self.by_call:
            return gradients_of_call(dy, forward_pass)
        raise NotImplementedError(f"{type(self).__name__}: a layer defines call, or forward and backward.")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same layer, without its parameters' values.

        A subclass whose constructor takes other arguments defines it, unless they are plain numbers, text, and lists,
        tuples and dicts of these.

        Raises
        ------
        NotImplementedError
            A subclass has other arguments than these, and does not define it.
        """
        dtype = config.dtype_config(self.dtype)
        settings: dict[str, Any] = {"name": self.name, "trainable": self.trainable, "dtype": dtype}
        if self.activity_regularizer is not None:
            settings["activity_regularizer"] = regularizers.serialize(self.activity_regularizer)
        if self.wanted_input_shape is not None:
            settings["input_shape"] = list(self.wanted_input_shape)
        kind = type(self)
        if kind.get_config is Layer.get_config and kind.__init__ is not Layer.__init__:
            return recorded_config(self._who(), kind, self.recorded, settings)
        return settings

    def own_state(self) -> dict[str, int]:
        """Return the ints that a file must hold besides parameters and arguments."""
        return {}

    def take_own_state(self, state: dict[str, int]) -> None:
        """Restore what `own_state` returned; an empty dict, from an older file, changes nothing."""

    # What all layers share.

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Layer:
        """Return a layer made from what `get_config` returned."""
        return cls(**arguments(cls, config))

    # Number of rows of the embedding table whose row indices are the input; None for other input.
    vocabulary: int | None = None

    def _parts(self) -> list[Any]:
        """Return the layers in it: those that are its arguments, and those that its `call` calls."""
        return held(self) if self.by_call else list(self.argument_layers.values())

    # Whether a mask of steps is passed on. Only GlobalAveragePooling1D reads it.
    supports_masking = False

    def passes_mask(self, masked: bool) -> bool:
        """Return whether the output has a mask of steps, given whether the input has one."""
        return masked and self.supports_masking

    # Whether a call also accepts input of rank 0 or 1, which then counts as one row.
    any_rank = False

    def __call__(
        self, inputs: Any = None, /, *values: Any, training: bool | None = None, mask: Any = None, **named: Any
    ) -> Any:
        """Return the output for a batch ``(n, ...)``; builds the layer on first use.

        Parameters
        ----------
        inputs : array_like, shape (n, ...), or KerasTensor
            A symbolic tensor, that of an `Input` or what a layer returned for one, gives another one.
            Must have the shape that the layer was built for; if the parameters depend on the last axis only, the last
            size must be the same. A layer that is written in functions of `lamina.ops` takes and returns what its
            `call` does, of any shape, also several arrays in lists, tuples and dicts; integers stay integers.
        *values, **named
            Further arguments of such a `call`; not in models, which call layers with their input alone. For other
            layers the first is `training`.
        training : bool, optional
            Run as in training: noise is added, and batches are normalized by their own moments, which update the
            running means. Default: as the `call` that calls the layer runs, otherwise not.
        mask : array_like, optional
            Passed to a `call` that takes it. Another value than None raises for other layers: these take no masks but
            that of an `Embedding` below them in a model.
        """
        who = self._who()
        if self.by_call:
            return self._called_by_call(inputs, values, named, training, mask)
        if inputs is None and "inputs" in named:
            inputs = named.pop("inputs")
        if len(values) > 2 or named:
            raise KindError(f"{who}: a call takes inputs, training and mask; got {short([*values[2:], *named])} too.")
        training = values[0] if values else training
        mask = values[1] if len(values) > 1 else mask
        inputs, symbolic = self.checked_call(inputs)
        if mask is not None:
            raise ValueError(f"{who}: mask must be None: the layer does not read one.")
        training = None if training is None else flag(who, "training", training)
        if symbolic:
            return self._called_with(inputs, training)
        training = mode_of_caller() if training is None else training
        array = real_array(who, "inputs", inputs)
        shape = array.shape
        if self.any_rank and array.ndim < 2:
            array = array.reshape(1, -1)
        elif self.vocabulary is not None and array.ndim == 1:  # row indices: a row of the table for each
            return self(array[:, np.newaxis], training)[:, 0]
        rows = self._rows_of(who, array)
        if self.vocabulary is not None:
            batch = index_array(who, "inputs", rows, None, self.vocabulary)
        else:
            batch = float_array(who, "inputs", rows, self.dtype)
        with self.once.taken():
            if not self.placed:
                self.build_or_discard((None, *batch.shape[1:]))
            compiled = self._alone.network(self, batch.shape[1:])
        output = compiled.network.predict(batch, None, self._alone.next_draw(self.once) if training else None)
        if self.activity_regularizer is not None:
            self._activity_loss = self.activity_regularizer(output) / max(1, len(output))
        if shape != batch.shape and compiled.output_shape == batch.shape[1:]:
            return output.reshape(shape).view(Tensor)
        return output.reshape(len(batch), *compiled.output_shape).view(Tensor)

    def _rows_of(self, who: str, array: Array) -> Array:
        """Return a batch whose shape fits the one that the layer was built for, or raise."""
        built = self.input_row_shape
        if built is None or not self._parameters.variables:
            return batch_array(who, "inputs", array, None)
        if self.last_axis_alone and array.ndim >= 2 and (self.vocabulary or array.shape[-1] == built[-1]):
            return array
        return batch_array(who, "inputs", array, built)

    @property
    def last_axis_alone(self) -> bool:
        """Whether the parameters' shapes depend at most on the last axis of the input."""
        return False

    @property
    def open_axes(self) -> bool:
        """Whether rows may differ in all sizes but the last: those of layers that compute along that, or by elements.

        Not those of layers in Python.
        """
        if redefines(type(self), "forward", "ops") or not (self.last_axis_alone or self.any_rank):
            return False
        return all(layer.open_axes for layer in self.argument_layers.values())

    def __copy__(self) -> Layer:
        """Copy the layer. Parameters are shared with the copy; if there are none yet, the copy is independent."""
        copied: Layer = super().__copy__()
        copied.called = Called()
        return copied

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def warn_of_older_name(text: str) -> None:
    """Warn, as Keras does, about an argument's older name; called by a constructor."""
    warn(text)


def _holds_layer(value: Any) -> bool:
    """Return whether a value is a layer, or a list with one."""
    return isinstance(value, Layer) or (
        isinstance(value, (list, tuple)) and any(isinstance(one, Layer) for one in value)
    )
