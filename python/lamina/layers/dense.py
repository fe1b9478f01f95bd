"""Dense: the fully connected layer."""

from __future__ import annotations

from typing import Any

from lamina import activations, initializers
from lamina._common.checks import KindError, flag, integer, only_none
from lamina._common.objects import serialize
from lamina._engine.ops import DenseOp, Op
from lamina._engine.variable import Variable
from lamina.layers.base import Layer
from lamina.layers.function import activation_config, activation_of
from lamina.layers.settings import Rule, Setting

__all__ = ["Dense"]


class Dense(Layer):
    """``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int, > 0
        Number of outputs.
    activation : str, function, or layer without parameters, optional
        A function that `lamina.activations` lacks is computed in Python, like a `Lambda`.
        Default: linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer or dict
        Defaults as in Keras: Glorot uniform, zeros.
    kernel_regularizer, bias_regularizer : str, Regularizer or dict, optional
        Penalties; part of the loss.
    activity_regularizer : str, Regularizer or dict, optional
        Penalty on the output, divided by the number of rows in the batch; part of the loss.
    kernel_constraint, bias_constraint : str, Constraint or dict, optional
        Conditions that kernel and bias meet after every step.
    lora_rank, lora_alpha, quantization_config : None
        Kernels are neither quantized nor approximated; another value raises.
    input_dim, input_shape, name, dtype, trainable
        As in `Layer`.

    Attributes
    ----------
    kernel : Variable, shape (in, units)
    bias : Variable, shape (units,), or None

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong type or out of range, or a name is unknown.

    Notes
    -----
    Input of shape ``(n, ..., in)`` gives output of shape ``(n, ..., units)``. With ``dz = dy * activation'``:
    ``dkernel = x.T @ dz``, ``dbias = dz.sum(axis=0)``, ``dx = dz @ kernel.T``.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer(np.array([[1.0, 2.0, 3.0]]))
    Tensor([[6., 6.]], dtype=float32)
    """

    supports_masking = True

    units = Setting(integer, fixed=True)
    use_bias = Setting(flag, fixed=True)
    kernel_initializer = Rule()
    bias_initializer = Rule()
    kernel_regularizer = Rule()
    bias_regularizer = Rule()
    kernel_constraint = Rule()
    bias_constraint = Rule()

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        lora_rank: None = None,
        lora_alpha: None = None,
        quantization_config: None = None,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **layer_arguments)
        only_none("Dense", lora_rank=lora_rank, lora_alpha=lora_alpha, quantization_config=quantization_config)
        self.units = units
        self.activation = activation
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel_regularizer = kernel_regularizer
        self.bias_regularizer = bias_regularizer
        self.kernel_constraint = kernel_constraint
        self.bias_constraint = bias_constraint
        self._kernel: Variable | None = None
        self._bias: Variable | None = None

    @property
    def activation(self) -> Any:
        """The function that is applied, or the layer; may be assigned."""
        return self._activation

    @activation.setter
    def activation(self, value: Any) -> None:
        function, layer = activation_of(value)
        if layer is not None:
            layer.check_computable()
            if layer.holds_layers:
                raise KindError(
                    f"Dense {self.name!r}: activation must not hold layers; put {layer.name!r} after the layer."
                )
        self._kernel_of_activation = activations.kernel_of(function, f"Dense {self.name!r}")
        self.argument_layers = {} if layer is None else {"activation": layer}
        self._activation = layer if layer is not None else function
        if self.placed:
            self.build_parts(self.output_shape)
        self.note_change()

    @property
    def kernel(self) -> Variable:
        """The weights, shape (in, units); for built layers."""
        self._built_input()
        assert self._kernel is not None
        return self._kernel

    @property
    def bias(self) -> Variable | None:
        """The bias, shape (units,), or None where `use_bias` is False; for built layers."""
        self._built_input()
        return self._bias

    @property
    def last_axis_alone(self) -> bool:
        """Whether the parameters' shapes depend on the last axis of the input alone."""
        return not any(layer.own_weights for layer in self.argument_layers.values())

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make kernel and bias."""
        self.check_parts()
        self.mark_built(input_shape)
        inputs = self._built_input()[-1]
        shape = (inputs, self.units)
        self._kernel = self.add_weight(
            shape, self.kernel_initializer, regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
            name="kernel",
        )  # fmt: skip
        if self.use_bias:
            self._bias = self.add_weight(
                (self.units,), self.bias_initializer, regularizer=self.bias_regularizer,
                constraint=self.bias_constraint, name="bias",
            )  # fmt: skip
        self.build_parts(self.output_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape with `units` as its last axis."""
        return (*self._input_shape(input_shape)[:-1], self.units)

    _dense_block = True

    def ops(self) -> list[Op]:
        """Return the dense op, and the ops of the activation if that is a layer."""
        own: list[Op] = [DenseOp(self, self.units, self._kernel_of_activation)]
        layer = self.argument_layers.get("activation")
        if layer is None:
            return own
        if not layer.placed:
            self.build_parts(self.output_shape)
        return own + layer.all_ops()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "units": self.units,
            "activation": activation_config(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": serialize(self.kernel_regularizer),
            "bias_regularizer": serialize(self.bias_regularizer),
            "kernel_constraint": serialize(self.kernel_constraint),
            "bias_constraint": serialize(self.bias_constraint),
            "quantization_config": None,
        }
