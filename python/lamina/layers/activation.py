"""Layers that are activations."""

from __future__ import annotations

from typing import Any

from lamina import activations
from lamina._checks import number
from lamina.activations import Kernel
from lamina.layers.base import Layer
from lamina.plan import ActivationStep, Step

__all__ = ["Activation", "LeakyReLU", "ReLU", "Softmax"]


class _ActivationLayer(Layer):
    """Runs one compiled activation."""

    def _kernel(self) -> Kernel:
        raise NotImplementedError

    def steps(self) -> list[Step]:
        """Return the activation."""
        return [ActivationStep(self._kernel())]


class Activation(_ActivationLayer):
    """An activation of `lamina.activations` as a layer.

    Parameters
    ----------
    activation : str or function of `lamina.activations`
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Activation("relu")(np.array([[-1.0, 2.0]]))
    array([[0., 2.]], dtype=float32)
    """

    def __init__(self, activation: Any, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.activation = activations.get(activation)
        self._kernel_of_activation = activations.kernel_of(self.activation, f"Activation {self.name!r}")

    def _kernel(self) -> Kernel:
        return self._kernel_of_activation

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"activation": activations.serialize(self.activation)}


class ReLU(_ActivationLayer):
    """``max(x, 0)``; with ``max_value=6`` cut off at 6, with a slope below zero as `LeakyReLU`.

    Parameters
    ----------
    max_value : None or 6
    negative_slope : float, >= 0
        Only without `max_value`.
    **layer_arguments
        As in `Layer`.

    Raises
    ------
    ValueError
        Another combination.
    """

    def __init__(self, max_value: float | None = None, negative_slope: float = 0.0, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        slope = number(f"ReLU {self.name!r}", "negative_slope", negative_slope, least=0)
        if max_value is not None and (max_value != 6 or negative_slope != 0):
            raise ValueError(
                f"ReLU {self.name!r}: max_value must be None or 6, and 6 takes no negative_slope; "
                f"got max_value={max_value}, negative_slope={negative_slope}."
            )
        self.max_value, self.negative_slope = max_value, slope

    def _kernel(self) -> Kernel:
        if self.max_value is not None:
            return Kernel("relu6")
        return Kernel("leaky_relu", self.negative_slope) if self.negative_slope else Kernel("relu")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"max_value": self.max_value, "negative_slope": self.negative_slope}


class LeakyReLU(_ActivationLayer):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, >= 0
    **layer_arguments
        As in `Layer`.
    """

    def __init__(self, negative_slope: float = 0.3, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.negative_slope = number(f"LeakyReLU {self.name!r}", "negative_slope", negative_slope, least=0)

    def _kernel(self) -> Kernel:
        return Kernel("leaky_relu", self.negative_slope)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"negative_slope": self.negative_slope}


class Softmax(_ActivationLayer):
    """Softmax along the last axis.

    Parameters
    ----------
    axis : -1
        Another axis raises: the output of a dense network has its classes last.
    **layer_arguments
        As in `Layer`.
    """

    def __init__(self, axis: int = -1, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        if axis != -1:
            raise ValueError(f"Softmax {self.name!r}: axis must be -1, the last one; got {axis}.")
        self.axis = axis

    def _kernel(self) -> Kernel:
        return Kernel("softmax")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"axis": self.axis}
