"""Layers that are activations."""

from __future__ import annotations

from typing import Any

from lamina import activations, initializers
from lamina._common.arguments import optional
from lamina._common.checks import integer, integers, number
from lamina._common.objects import serialize
from lamina._engine.ops import ActivationOp, Kernel, Op, PreluOp, ReshapeOp, relu_op
from lamina._engine.variable import Variable
from lamina.layers.base import Layer, warn_of_older_name
from lamina.layers.function import activation_config, activation_of
from lamina.layers.settings import Rule, Setting

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


class _ActivationLayer(Layer):
    """Runs one compiled activation."""

    any_rank = True
    supports_masking = True

    def _kernel(self) -> Kernel:
        """Return the compiled activation with its parameter."""
        raise NotImplementedError(f"{type(self).__name__}: a layer of one activation defines _kernel.")

    def ops(self) -> list[Op]:
        """Return the activation."""
        return [ActivationOp(self._kernel())]


class Activation(_ActivationLayer):
    """An activation as a layer.

    Parameters
    ----------
    activation : str or function
        A function that `lamina.activations` lacks is computed in Python, like a `Lambda`.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Activation("relu")(np.array([[-1.0, 2.0]]))
    Tensor([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.activation = activation

    @property
    def activation(self) -> Any:
        """The function that is applied; may be assigned."""
        return self._activation

    @activation.setter
    def activation(self, value: Any) -> None:
        function, layer = activation_of(value)
        self._kernel_of_activation = activations.kernel_of(function, f"Activation {self.name!r}")
        self.argument_layers = {} if layer is None else {"activation": layer}
        self._activation = function if layer is None else layer
        if self.placed:
            self.build_parts(self.input_shape)
        self.note_change()

    @property
    def defines_build(self) -> bool:
        """Whether there is something to build: a layer that is the activation."""
        return bool(self.argument_layers)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Build the layer that is the activation, if there is one."""
        self.mark_built(input_shape)
        self.build_parts(self.input_shape)

    def ops(self) -> list[Op]:
        """Return the activation, or the ops of the layer that it is."""
        layer = self.argument_layers.get("activation")
        if layer is None:
            return super().ops()
        if not layer.placed:
            self.build_parts(self.input_shape)
        return layer.all_ops()

    def _kernel(self) -> Kernel:
        return self._kernel_of_activation

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"activation": activation_config(self.activation)}


class ReLU(Layer):
    """``max(x, 0)``; optionally with an upper limit, a threshold, and a slope below the threshold.

    ``x`` where ``x > threshold``, clipped to ``[0, max_value]``; elsewhere ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    max_value : float, >= 0, optional
    negative_slope : float, >= 0
    threshold : float, >= 0
    **layer_arguments
        As in `Layer`.
    """

    any_rank = True
    supports_masking = True

    max_value = Setting(optional(number), least=0)
    negative_slope = Setting(number, least=0)
    threshold = Setting(number, least=0)

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        self.max_value = max_value
        self.negative_slope = negative_slope
        self.threshold = threshold

    def ops(self) -> list[Op]:
        """Return the activation, in its simplest form."""
        return [relu_op(self.negative_slope, self.max_value, self.threshold)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "max_value": self.max_value,
            "negative_slope": self.negative_slope,
            "threshold": self.threshold,
        }


class ELU(_ActivationLayer):
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al. 2016).

    Parameters
    ----------
    alpha : float, >= 0
    **layer_arguments
        As in `Layer`.
    """

    alpha = Setting(number, least=0)

    def __init__(self, alpha: float = 1.0, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.alpha = alpha

    def _kernel(self) -> Kernel:
        return Kernel("elu", self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"alpha": self.alpha}


def _axes(who: str, name: str, value: Any) -> list[int]:
    return list(integers(who, name, value, -(2**31)))


class PReLU(Layer):
    """``x`` where it is positive, ``alpha * x`` elsewhere, with a trained `alpha` for each element (He et al. 2015).

    Parameters
    ----------
    alpha_initializer : str, Initializer or dict
    alpha_regularizer, alpha_constraint : optional
    shared_axes : sequence of int, optional
        Axes (0 is the batch) along which `alpha` is shared: none, or all but the last.
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    alpha : Variable
        Shape of a row, but 1 along shared axes.
    """

    supports_masking = True

    alpha_initializer = Rule()
    alpha_regularizer = Rule()
    alpha_constraint = Rule()
    shared_axes = Setting(optional(_axes), fixed=True)

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: Any = None,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        self.alpha_initializer = alpha_initializer
        self.alpha_regularizer = alpha_regularizer
        self.alpha_constraint = alpha_constraint
        self.shared_axes = shared_axes
        self._alpha: Variable | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make alpha."""
        self.mark_built(input_shape)
        row = self._built_input()
        if self.shared_axes and sorted(self.shared_axes) != list(range(1, len(row))):
            raise ValueError(
                f"PReLU {self.name!r}: shared_axes must be None or all but the last, {list(range(1, len(row)))}; got "
                f"{self.shared_axes}."
            )
        shared = self.shared_axes or []
        shape = tuple(1 if axis in shared else size for axis, size in enumerate(row, 1))
        self._alpha = self.add_weight(
            shape, self.alpha_initializer, regularizer=self.alpha_regularizer, constraint=self.alpha_constraint,
            name="alpha",
        )  # fmt: skip

    @property
    def alpha(self) -> Variable:
        """The slopes; for built layers."""
        self._built_input()
        assert self._alpha is not None
        return self._alpha

    def ops(self) -> list[Op]:
        """Return the activation, on flat rows if each element has its own slope."""
        row = self._built_input()
        if len(row) == 1 or self.shared_axes:
            return [PreluOp(self)]
        return [ReshapeOp((self.alpha.size,)), PreluOp(self), ReshapeOp(row)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "alpha_initializer": initializers.serialize(self.alpha_initializer),
            "alpha_regularizer": serialize(self.alpha_regularizer),
            "alpha_constraint": serialize(self.alpha_constraint),
            "shared_axes": self.shared_axes,
        }


class LeakyReLU(_ActivationLayer):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, >= 0
    **layer_arguments
        As in `Layer`.
    """

    negative_slope = Setting(number, least=0)

    def __init__(self, negative_slope: float = 0.3, **layer_arguments: Any) -> None:
        if "alpha" in layer_arguments:
            warn_of_older_name("LeakyReLU: alpha is an older name of negative_slope.")
            negative_slope = layer_arguments.pop("alpha")
        super().__init__(**layer_arguments)
        self.negative_slope = negative_slope

    def _kernel(self) -> Kernel:
        return Kernel("leaky_relu", self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"negative_slope": self.negative_slope}


class Softmax(_ActivationLayer):
    """Softmax along the last axis.

    Parameters
    ----------
    axis : int
        The last axis; another one raises: the output of a dense network has its classes last.
    **layer_arguments
        As in `Layer`.
    """

    axis = Setting(integer, -(2**31), fixed=True)

    def __init__(self, axis: int = -1, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.axis = axis

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make sure that the axis is the last one."""
        if self.axis not in (-1, len(input_shape) - 1):
            raise ValueError(
                f"Softmax {self.name!r}: axis must be the last axis of input of shape {input_shape}; got {self.axis}."
            )
        self.mark_built(input_shape)

    def _kernel(self) -> Kernel:
        return Kernel("softmax")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"axis": self.axis}
