"""Layers without arithmetic: the input layer, and layers that change the shape of rows."""

from __future__ import annotations

import math
from typing import Any

from lamina import config
from lamina._common.arguments import optional
from lamina._common.checks import KindError, NotBuiltError, flag, integer, integers, only_none, short
from lamina._engine.ops import Op, ReshapeOp, row_of
from lamina.layers.base import Layer, warn_of_older_name
from lamina.layers.settings import Setting, channels_last
from lamina.layers.symbols import KerasTensor, output_of

__all__ = ["Flatten", "Identity", "Input", "InputLayer", "Reshape"]


_INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


class InputLayer(Layer):
    """Declares the shape of one input row; returns its input unchanged. Not among the `layers` of a `Sequential`.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of one row, without the batch. None is any size, the same for all rows of a batch: a number of steps. What
        follows must not depend on it, as an `Embedding`, a `GlobalAveragePooling1D`, or a `Dense` at each step.
    batch_size : int, >= 1, optional
        Accepted as in Keras; batches of any size are taken.
    dtype : str, optional
        An integer type declares that rows are whole numbers: indices for an `Embedding`, or for the `call` of a layer
        that is written in functions of `lamina.ops`. Input of any type is converted.
    sparse : bool, optional
        Accepted as in Keras: sparse rows (SciPy's CSR) are taken either way.
    ragged : bool, optional
        True raises: all rows have one shape.
    batch_shape : tuple, optional
        Instead of `shape` and `batch_size`: shape with the batch, None for any number of rows.
    input_tensor : None
        Another value raises.
    optional : bool
        True raises: a model has one input.
    name : str, optional
    input_shape : tuple of int, optional
        An older name of `shape`.
    """

    batch_size = Setting(optional(integer))
    sparse = Setting(flag)

    def __init__(
        self,
        shape: Any = None,
        batch_size: int | None = None,
        dtype: Any = None,
        sparse: bool | None = None,
        ragged: bool | None = None,
        batch_shape: Any = None,
        input_tensor: None = None,
        optional: bool = False,
        name: str | None = None,
        **layer_arguments: Any,
    ) -> None:
        who = "InputLayer"
        ragged, sparse = (
            value is not None and flag(who, name, value) for name, value in (("ragged", ragged), ("sparse", sparse))
        )
        only_none(
            who, input_tensor=input_tensor, ragged=ragged or None, optional=flag(who, "optional", optional) or None
        )
        if "batch_input_shape" in layer_arguments:
            warn_of_older_name("InputLayer: batch_input_shape is an older name of batch_shape.")
            batch_shape = layer_arguments.pop("batch_input_shape")
        input_shape = layer_arguments.pop("input_shape", None)
        if input_shape is not None:
            warn_of_older_name("InputLayer: input_shape is an older name of shape.")
        shape = input_shape if shape is None else shape
        if batch_shape is not None:
            if shape is not None or batch_size is not None:
                raise ValueError(f"{who}: give batch_shape, or shape and batch_size, not both.")
            if not isinstance(batch_shape, (tuple, list)) or not batch_shape:
                raise KindError(f"{who}: batch_shape must be a tuple that begins with None; got {short(batch_shape)}.")
            batch_size, *shape = batch_shape
        if shape is None:
            raise ValueError(f"{who}: shape must be given.")
        dtype = config.any_dtype(who, dtype)
        self.integer_dtype = dtype if dtype in _INTEGERS else None
        # Input of any float type is converted to the model's.
        self._named = name is not None
        own = None if self.integer_dtype or dtype in ("float16", "bfloat16") else dtype
        super().__init__(input_shape=shape, dtype=own, name=name, **layer_arguments)
        self.batch_size, self.sparse = batch_size, sparse
        self.mark_built((None, *(self.wanted_input_shape or ())))

    open_last = True

    @property
    def open_axes(self) -> bool:
        """Whether rows may differ in their sizes: True; the layers that follow say whether they can."""
        return True

    @property
    def batch_shape(self) -> tuple[int | None, ...]:
        """Shape with the batch, its size None where any number of rows is taken."""
        return (self.batch_size, *(self.input_row_shape or ()))

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The same as `batch_shape`."""
        return self.batch_shape

    def symbol(self) -> KerasTensor:
        """Return the symbolic tensor that stands for the input."""
        try:
            return self.called.first(self.name, "output")
        except NotBuiltError:
            dtype = self.integer_dtype or self.dtype
            name = self.name if self._named else None
            return self.called.note(output_of(self, (), self.batch_shape, dtype, name=name))

    @property
    def input(self) -> KerasTensor:
        """The symbolic tensor that stands for the input."""
        return self.symbol()

    @property
    def output(self) -> KerasTensor:
        """The symbolic tensor that stands for the input."""
        return self.symbol()

    def ops(self) -> list[Op]:
        """Return no ops: the rows are not changed."""
        return []

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "batch_shape": list(self.batch_shape),
            "dtype": self.integer_dtype or self.dtype,
            "sparse": self.sparse,
            "ragged": False,
            "name": self.name,
            "optional": False,
        }


def Input(
    shape: Any = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    ragged: bool | None = None,
    batch_shape: Any = None,
    name: str | None = None,
    tensor: None = None,
    optional: bool = False,
) -> KerasTensor:
    """Return a symbolic tensor that stands for a model's input: to begin a `Sequential` with, or to call layers with.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of one row, without the batch. None is any size, the same for all rows of a batch: a number of steps. What
        follows must not depend on it, as an `Embedding`, a `GlobalAveragePooling1D`, or a `Dense` at each step.
    batch_size, dtype, sparse, ragged, batch_shape, name, tensor, optional
        As in `InputLayer`.

    Examples
    --------
    >>> from lamina.layers import Dense
    >>> Dense(2)(Input((3,))).shape
    (None, 2)
    """
    return InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name).symbol()


class Flatten(Layer):
    """Flattens each row: ``(n, a, b, ...)`` becomes ``(n, a * b * ...)``, without copying.

    Parameters
    ----------
    data_format : {"channels_last", None}
        Channels come last; "channels_first" raises.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    data_format = Setting(channels_last)

    def __init__(self, data_format: str | None = None, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.data_format = data_format

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"data_format": self.data_format}

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return ``(n, product of the others)``."""
        batch, *sizes = self._input_shape(input_shape)
        return (batch, None if None in sizes else math.prod(size for size in sizes if size is not None))

    def ops(self) -> list[Op]:
        """Return the op that flattens the rows."""
        return [ReshapeOp((math.prod(self._built_input()),))]


def _row_shape(who: str, name: str, value: Any) -> tuple[int, ...]:
    found = integers(who, name, value, -1, 2**59)
    if found.count(-1) > 1 or not found or 0 in found:
        raise ValueError(f"{who}: {name} must have sizes >= 1, at most one of them -1; got {short(value)}.")
    return found


class Reshape(Layer):
    """Gives each row another shape, without copying where that is possible.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch; one size may be -1, and is computed from the others.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> Reshape((-1, 2))(np.zeros((3, 6))).shape
    (3, 3, 2)
    """

    target_shape = Setting(_row_shape, fixed=True)

    def __init__(self, target_shape: Any, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.target_shape = target_shape

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the target shape, with the batch."""
        batch, *row = self._input_shape(input_shape)
        if None in row:
            return (batch, *(None if size == -1 else size for size in self.target_shape))
        total = math.prod(size for size in row if size is not None)
        known = math.prod(size for size in self.target_shape if size != -1)
        sizes = tuple(total // known if size == -1 else size for size in self.target_shape)
        if math.prod(sizes) != total:
            raise ValueError(f"Reshape {self.name!r}: rows of shape {tuple(row)} cannot become {self.target_shape}.")
        return (batch, *sizes)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make sure that the rows fit."""
        self.compute_output_shape(input_shape)
        self.mark_built(input_shape)

    def ops(self) -> list[Op]:
        """Return the op that gives the rows their new shape."""
        return [ReshapeOp(row_of(self.output_shape))]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"target_shape": list(self.target_shape)}


class Identity(Layer):
    """Passes its input on."""

    any_rank = True
    supports_masking = True

    def ops(self) -> list[Op]:
        """Return no ops."""
        return []
