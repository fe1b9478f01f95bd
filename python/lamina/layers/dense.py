"""Dense: the fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import _core, activations, initializers
from lamina._checks import flag, integer
from lamina.activations import Kernel
from lamina.layers.base import Array, Layer, Pass
from lamina.variables import Variable

__all__ = ["Dense"]


class Dense(Layer):
    """``activation(x @ kernel + bias)``.

    Parameters
    ----------
    units : int, > 0
        Number of outputs.
    activation : str or function of `lamina.activations`, optional
        Default: linear.
    use_bias : bool
    kernel_initializer, bias_initializer : str, Initializer or dict
        Defaults as in Keras: Glorot uniform, zeros.
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
    >>> layer = Dense(2, kernel_initializer="ones")
    >>> layer(np.array([[1.0, 2.0, 3.0]]))
    array([[6., 6.]], dtype=float32)
    """

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        self.units = integer("Dense", "units", units)
        self.activation = activations.get(activation)
        self._kernel_of_activation = activations.kernel_of(self.activation, f"Dense {self.name!r}")
        self.use_bias = flag("Dense", "use_bias", use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self._kernel: Variable | None = None
        self._bias: Variable | None = None

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

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make kernel and bias."""
        self.mark_built(input_shape)
        inputs = self._built_input()[-1]
        shape = (inputs, self.units)
        self._kernel = self.add_weight("kernel", shape, self.kernel_initializer)
        if self.use_bias:
            self._bias = self.add_weight("bias", (self.units,), self.bias_initializer)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the input shape with `units` as its last axis."""
        return (*input_shape[:-1], self.units)

    def head_activation(self) -> Kernel | None:
        """Return the activation."""
        return self._kernel_of_activation

    def _activation(self, logits: bool) -> tuple[str, float | None]:
        kernel = Kernel("linear") if logits else self._kernel_of_activation
        return kernel.name, kernel.alpha

    def forward(self, x: Array, *, training: bool, logits: bool = False) -> Pass:
        """Return the output; keeps the input, and the pre-activation where its derivative is needed."""
        name, alpha = self._activation(logits)
        rows = x.reshape(-1, x.shape[-1])
        bias = None if self._bias is None else self._bias.value
        pre = None
        if training and not logits and self._kernel_of_activation.needs_input:
            pre = np.empty((len(rows), self.units), self.dtype)
        y = _core.dense_forward(rows, self.kernel.value, bias, name, alpha, None, pre)
        return Pass(y.reshape(*x.shape[:-1], self.units), (rows, pre))

    def backward(
        self, dy: Array, step: Pass, *, need_dx: bool, logits: bool = False
    ) -> tuple[Array | None, list[Array]]:
        """Return dx and the gradients of kernel and bias."""
        rows, pre = step.saved
        name, alpha = self._activation(logits)
        dx, dw, db = _core.dense_backward(
            rows, self.kernel.value, dy.reshape(-1, self.units), step.output.reshape(-1, self.units), pre, name, alpha,
            None, None, None, need_dx,
        )  # fmt: skip
        if need_dx:
            dx = dx.reshape(*dy.shape[:-1], rows.shape[1])
        found = {id(self._kernel): dw, id(self._bias): db}
        return dx, [found[id(variable)] for variable in self.trainable_weights]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "units": self.units,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
        }
