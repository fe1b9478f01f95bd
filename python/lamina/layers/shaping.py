"""Layers without arithmetic: where a model begins, and what shape its rows have."""

from __future__ import annotations

import math
from typing import Any

from lamina._checks import integer
from lamina.layers.base import Layer
from lamina.plan import ReshapeStep, Step

__all__ = ["Flatten", "Identity", "Input", "InputLayer", "Reshape"]


_INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


class InputLayer(Layer):
    """Gives the shape of one row of input; passes it on. Not among a model's `layers`.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row, without the batch.
    dtype : str, optional
        An integer type says that the rows are numbers which an `Embedding` looks up.
    name
        As in `Layer`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str | None = None, **layer_arguments: Any) -> None:
        layer_arguments.pop("input_shape", None)
        self.integer_dtype = dtype if dtype in _INTEGERS else None
        super().__init__(input_shape=shape, dtype=None if self.integer_dtype else dtype, **layer_arguments)
        self.mark_built((None, *(self.wanted_input_shape or ())))

    def steps(self) -> list[Step]:
        """Return nothing: rows go on as they are."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        settings = super().get_config()
        settings["shape"] = settings.pop("input_shape")
        settings["dtype"] = self.integer_dtype or self.dtype
        settings.pop("trainable")
        return settings


def Input(shape: tuple[int, ...], name: str | None = None, dtype: str | None = None) -> InputLayer:
    """Return an `InputLayer`, to begin a `Sequential` with.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row, without the batch.
    name, dtype : str, optional
    """
    return InputLayer(shape, name=name, dtype=dtype)


class Flatten(Layer):
    """Makes each row flat: ``(n, a, b, ...)`` becomes ``(n, a * b * ...)``, without copying.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return ``(n, product of the others)``."""
        return (input_shape[0], math.prod(size for size in input_shape[1:] if size is not None))

    def steps(self) -> list[Step]:
        """Return the rows' new shape."""
        return [ReshapeStep((math.prod(self._built_input()),))]


class Reshape(Layer):
    """Gives each row another shape, without copying where that is possible.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch; one size may be -1, and is found from the others.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((-1, 2))(np.zeros((3, 6))).shape
    (3, 3, 2)
    """

    def __init__(self, target_shape: Any, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        sizes = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        who = f"Reshape {self.name!r}"
        self.target_shape = tuple(size if size == -1 else integer(who, "target_shape", size) for size in sizes)
        if self.target_shape.count(-1) > 1 or not sizes:
            raise ValueError(f"{who}: target_shape must have sizes, at most one of them -1; got {target_shape}.")

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the target shape, with the batch."""
        total = math.prod(size for size in input_shape[1:] if size is not None)
        known = math.prod(size for size in self.target_shape if size != -1)
        sizes = tuple(total // known if size == -1 else size for size in self.target_shape)
        if math.prod(sizes) != total:
            raise ValueError(
                f"Reshape {self.name!r}: rows of shape {input_shape[1:]} cannot become {self.target_shape}."
            )
        return (input_shape[0], *sizes)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make sure that the rows fit."""
        self.compute_output_shape(input_shape)
        self.mark_built(input_shape)

    def steps(self) -> list[Step]:
        """Return the rows' new shape."""
        return [ReshapeStep(tuple(size for size in self.output_shape[1:] if size is not None))]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"target_shape": list(self.target_shape)}


class Identity(Layer):
    """Passes its input on."""

    def steps(self) -> list[Step]:
        """Return nothing."""
        return []
