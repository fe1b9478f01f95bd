"""Lambda: a function as a layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina import activations
from lamina._common.checks import KindError, mapping, only_none
from lamina._common.checks import function as check_function
from lamina._common.custom import find as find_custom
from lamina._common.objects import deserialize_keras_object, serialize, serialize_keras_object
from lamina.layers.base import Layer
from lamina.layers.settings import Setting
from lamina.layers.shapes import check_row_shape

__all__ = ["Lambda", "activation_config", "activation_of"]


class Lambda(Layer):
    """A function as a layer. It computes in Python; its derivative comes from autograd (extra ``ops``).

    Parameters
    ----------
    function : callable
        From the input ``(n, ...)`` to the output, in functions of `lamina.ops` and operators.
    output_shape : tuple of int, optional
        Shape of a row of the output; if omitted the function is called once to find out.
    mask : None
        Masks are not supported.
    arguments : dict, optional
        More arguments of the function, by name.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Lambda(lambda x: 2 * x)(np.array([[1.0, -3.0]]))
    Tensor([[ 2., -6.]], dtype=float32)
    """

    function = Setting(check_function)
    arguments = Setting(mapping)

    def __init__(
        self,
        function: Callable[..., Any],
        output_shape: Any = None,
        mask: None = None,
        arguments: dict[str, Any] | None = None,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        self.function = function
        only_none(self._who(), mask=mask)
        self.arguments = {} if arguments is None else arguments
        self._output_row = None if output_shape is None else check_row_shape(self._who(), output_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Return the function's value."""
        return self.function(inputs, **self.arguments)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the output shape, batch first, for an input shape."""
        if self._output_row is not None:
            return (self._input_shape(input_shape)[0], *self._output_row)
        return super().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, the function by its name: a configuration holds no code."""
        return super().get_config() | {
            "function": serialize_keras_object(self.function),
            "output_shape": None if self._output_row is None else list(self._output_row),
            "arguments": self.arguments,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Lambda:
        """Return a layer from `get_config`; code in a configuration of Keras's is refused."""
        held = config.get("function")
        if isinstance(held, (list, tuple)) or (isinstance(held, dict) and held.get("class_name") == "__lambda__"):
            raise KindError("Lambda: the function must be registered; this one is code, which is not executed.")
        return cls(**(config | {"function": deserialize_keras_object(held)}))


def activation_of(value: Any) -> tuple[Any, Layer | None]:
    """Return the function of `lamina.activations` that an argument stands for, or `linear` and the layer that it is.

    Parameters
    ----------
    value : str, function, Layer, dict or None
        A name may be that of a function or layer in the custom objects; a dict is a configuration of either.
    """
    if isinstance(value, dict) and value.get("class_name") == "function":
        value = _function_of(value)
    elif isinstance(value, dict) and "class_name" in value:
        value = deserialize_keras_object(value)
    elif isinstance(value, str):
        value = find_custom(value) or value
    if not isinstance(value, Layer):
        function = activations.get(value)
        if activations.is_known(function):
            return function, None
        value = Lambda(function)
    return activations.linear, value


def _function_of(config: dict[str, Any]) -> Any:
    """Return the function that Keras has written: one of the user's, or one of the activations."""
    name = config.get("config")
    if ">" in str(config.get("registered_name")) or not activations.is_name(name):
        return deserialize_keras_object(config)
    return find_custom(str(name)) or activations.get(name)


def activation_config(activation: Any) -> Any:
    """Return the configuration of an activation: a name, or that of a layer or of a user's function."""
    if not isinstance(activation, Layer):
        return activations.serialize(activation)
    if type(activation) is Lambda and not activation.arguments:
        return serialize_keras_object(activation.function)
    config = serialize(activation)
    return config | {"build_config": activation.get_build_config()} if activation.own_weights else config
