"""Layers that scale and shift their input by given constants or by moments of data."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError, flag, integers, short
from lamina._data.arrays import real_array
from lamina._data.streams import Stream, is_stream
from lamina._data.tensors import tensor
from lamina._engine.ops import BatchNormOp, Op, ReshapeOp, ScaleOp
from lamina._engine.variable import Variable
from lamina._engine.variables import assign_together
from lamina.layers.base import Layer
from lamina.layers.settings import Setting

__all__ = ["Normalization", "Rescaling"]

Array = npt.NDArray[Any]

# Number of rows whose moments are computed at a time.
_ROWS_TOGETHER = 8192

# Lower bound of the standard deviation, as in Keras.
_LEAST_DEVIATION = 1e-7


def _constants(who: str, name: str, value: Any) -> Any:
    """Return a float, or nested lists of them."""
    array = real_array(who, name, value)
    if not np.isfinite(array).all():
        raise ValueError(f"{who}: {name} must be finite; got {value!r}.")
    return array.astype(np.float64).tolist()


class Rescaling(Layer):
    """``x * scale + offset``.

    Parameters
    ----------
    scale, offset : float, or array_like that is broadcast to rows of the input
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> Rescaling(1 / 255)([[0, 255]])
    Tensor([[0., 1.]], dtype=float32)
    """

    supports_masking = True

    scale = Setting(_constants)
    offset = Setting(_constants)

    def __init__(self, scale: Any, offset: Any = 0.0, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.scale, self.offset = scale, offset

    @property
    def any_rank(self) -> bool:  # type: ignore[override]  # of each layer, instead of all
        """Whether both constants are single numbers."""
        return isinstance(self.scale, float) and isinstance(self.offset, float)

    def ops(self) -> list[Op]:
        """Return the scaling."""
        row = tuple(size or 1 for size in self._built_input())  # None only where both constants are numbers
        return _scaled(f"Rescaling {self.name!r}", row, self.scale, self.offset, 0.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"scale": self.scale, "offset": self.offset}


def _axes(who: str, name: str, value: Any) -> tuple[int, ...]:
    return () if value is None else integers(who, name, value, -(2**31))


class Normalization(Layer):
    """``(x - mean) / sqrt(variance)``, with moments that are given or taken from data by `adapt`.

    A deviation below 1e-7 counts as 1e-7. Before `adapt` the mean is 0 and the variance 1, as in Keras.

    Parameters
    ----------
    axis : int, sequence of int, or None
        Axes (0 is the batch) that keep moments of their own for each index; None: one mean and variance for all.
    mean, variance : array_like, optional
        Both or none; of the input's shape along `axis`, or broadcast to it.
    invert : bool
        ``x * sqrt(variance) + mean`` instead.
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    mean, variance : ndarray
        Of the input's shape along `axis`, 1 along the other axes.

    Examples
    --------
    >>> layer = Normalization()
    >>> layer.adapt([[1.0], [3.0]])
    >>> layer([[5.0]])
    Tensor([[3.]], dtype=float32)
    """

    supports_masking = True

    axis = Setting(_axes, fixed=True)
    invert = Setting(flag)

    def __init__(
        self,
        axis: Any = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        who = f"Normalization {self.name!r}"
        self.axis = axis
        self.invert = invert
        if (mean is None) != (variance is None):
            raise ValueError(f"{who}: mean and variance must be given together.")
        self.input_mean = None if mean is None else _constants(who, "mean", mean)
        self.input_variance = None if variance is None else _constants(who, "variance", variance)
        if variance is not None and np.min(np.asarray(self.input_variance), initial=0) < 0:
            raise ValueError(f"{who}: variance must be >= 0; got {short(variance)}.")
        shapes = [np.shape([] if value is None else value) for value in (self.input_mean, self.input_variance)]
        if mean is not None and (shapes[0] != shapes[1] or len(shapes[0]) > len(self.axis)):
            raise ValueError(
                f"{who}: mean and variance must have one shape, of at most as many axes as axis names; got "
                f"{np.shape(mean)} and {np.shape(variance)} for axis {axis}."
            )
        self._moments: list[Variable] = []

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make mean, variance and count, unless mean and variance were given."""
        self.mark_built(input_shape)
        kept = self._kept()
        if self.input_mean is None:
            shape = tuple(self._shape()[axis] for axis in kept)
            self._moments = [
                self.add_weight(shape, start, trainable=False, name=name)
                for name, start in (("mean", "zeros"), ("variance", "ones"))
            ]
            for variable in self._moments:
                variable.on_assign = self.note_change
            self.add_weight((), "zeros", trainable=False, name="count")

    def _shape(self) -> tuple[int, ...]:
        return (1, *self._built_input())

    def _kept(self) -> list[int]:
        """Return `axis` as sorted indices >= 0; raise unless they are axes of the input other than the batch."""
        rank = len(self._shape())
        kept = sorted({axis + rank if axis < 0 else axis for axis in self.axis})
        if any(not 0 < axis < rank for axis in kept):
            raise ValueError(
                f"Normalization {self.name!r}: axis must name axes of input of shape (n, "
                f"{', '.join(map(str, self._built_input()))}), other than that of the batch; got {self.axis}."
            )
        return kept

    def adapt(self, data: Any) -> None:
        """Compute mean and variance from data.

        Parameters
        ----------
        data : array_like, shape (n, ...), or iterable of batches
            If a batch is a tuple, its first item is used.

        Raises
        ------
        TypeError, ValueError
            Mean and variance were given, there are no data, or they have another shape.
        """
        who = f"Normalization {self.name!r}: adapt"
        if self.input_mean is not None:
            raise ValueError(f"{who}: the layer has mean and variance already, from its arguments.")
        total, mean, square = 0.0, np.zeros(()), np.zeros(())
        for batch in _batches(who, data):
            if not self.placed:
                self.build_or_discard((None, *batch.shape[1:]))
            fits = len(batch.shape) == len(self._shape()) and all(
                batch.shape[axis] == self._shape()[axis] for axis in self._kept()
            )
            if not fits:
                raise ValueError(f"{who}: rows must have shape {self._built_input()}; got {batch.shape[1:]}.")
            if batch.size == 0:
                continue
            others = tuple(axis for axis in range(batch.ndim) if axis not in self._kept())
            for first in range(0, len(batch), _ROWS_TOGETHER):
                rows = batch[first : first + _ROWS_TOGETHER]
                # Combine the moments of the parts (Chan et al. 1979). Those of a part are computed from the
                # differences between its rows and its first row.
                size = float(math.prod(rows.shape[axis] for axis in others))
                one = rows[tuple(slice(0, 1) if axis in others else slice(None) for axis in range(rows.ndim))]
                apart_from_one = np.subtract(rows, one, dtype=np.float64)
                part = apart_from_one.mean(axis=others) + one.astype(np.float64).squeeze(others)
                spread = apart_from_one.var(axis=others)
                total += size
                apart = part - mean
                square = square + spread * size + apart**2 * (size * (total - size) / total)
                mean = mean + apart * (size / total)
        if not total:
            raise ValueError(f"{who}: there must be data; got none.")
        assign_together(self._moments, (mean, square / total))

    def _values(self) -> tuple[Array, Array]:
        """Return mean and variance, of the input's shape along the kept axes, 1 along the others."""
        shape, kept = self._shape(), self._kept()
        wide = tuple(size if axis in kept else 1 for axis, size in enumerate(shape))
        if self.input_mean is None:
            mean, variance = (variable.value.reshape(wide) for variable in self._moments)
            return mean, variance
        inner = tuple(shape[axis] for axis in kept)
        mean, variance = (
            np.broadcast_to(np.asarray(value, self.dtype), inner).reshape(wide)
            for value in (self.input_mean, self.input_variance)
        )
        return mean, variance

    @property
    def mean(self) -> Array:
        """Mean; for built layers."""
        return tensor(self._values()[0].copy())

    @property
    def variance(self) -> Array:
        """Variance; for built layers."""
        return tensor(self._values()[1].copy())

    def _rows_of(self, who: str, array: Array) -> Array:
        fits = self.placed and array.ndim >= 2 and (not self.axis or self.axis == (-1,))
        if fits and (not self.axis or array.shape[-1] == self._built_input()[-1]):
            return array
        return super()._rows_of(who, array)

    def ops(self) -> list[Op]:
        """Return the scaling; moments along the last axis are read as parameters, others are baked in as constants."""
        row, kept = self._built_input(), self._kept()
        if self._moments and not self.invert and kept == [len(row)]:
            return [BatchNormOp(self, [-1, -1, 0, 1], 1.0, 0.0, always_frozen=True, least=_LEAST_DEVIATION)]
        mean, variance = (value[0].astype(np.float64) for value in self._values())
        deviation, zero = np.maximum(np.sqrt(variance), _LEAST_DEVIATION), np.zeros_like(mean)
        constants = (deviation, mean, zero) if self.invert else (1 / deviation, zero, mean)
        return _scaled(f"Normalization {self.name!r}", row, *constants)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "axis": list(self.axis),
            "mean": self.input_mean,
            "variance": self.input_variance,
            "invert": self.invert,
        }


def _batches(who: str, data: Any) -> Iterable[Array]:
    """Yield the batches of `data`, which may be a single array; a vector becomes a column."""

    def read(batch: Any) -> Array:
        array = real_array(who, "data", batch)
        return array if array.ndim > 1 else array.reshape(-1, 1)

    several = isinstance(data, (list, tuple)) and (not data or hasattr(_first_part(data[0]), "shape"))
    if not several and not is_stream(data):
        yield read(data)
        return
    batches = data if several else (batch.x for batch in Stream(who, data, None).epoch())
    for batch in batches:
        part = _first_part(batch)
        if not hasattr(part, "shape"):
            raise KindError(f"{who}: what data yields must be arrays; got {type(part).__name__}.")
        yield read(part)


def _first_part(batch: Any) -> Any:
    return batch[0] if isinstance(batch, tuple) and batch else batch


def _scaled(who: str, row: tuple[int, ...], scale: Any, shift: Any, centre: Any) -> list[Op]:
    """Return ``(x - centre) * scale + shift`` for rows of a shape: by columns if possible, else by elements."""
    constants = [np.asarray(values) for values in (scale, shift, centre)]
    try:
        wide = [np.broadcast_to(values, row) for values in constants]
    except ValueError:
        raise ValueError(
            f"{who}: constants of shapes {constants[0].shape} and {constants[1].shape} must be broadcast to rows of "
            f"shape {row}."
        ) from None
    if all(values.size == values.shape[-1] if values.ndim else True for values in constants):
        first = (0,) * (len(row) - 1)
        return [ScaleOp(*(values[first].tolist() for values in wide))]
    return [
        ReshapeOp((math.prod(row),)),
        ScaleOp(*(values.reshape(-1).tolist() for values in wide)),
        ReshapeOp(row),
    ]
