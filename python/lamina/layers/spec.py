"""InputSpec: what a layer that users write demands of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lamina import config
from lamina._common.arguments import Argument, optional
from lamina._common.checks import KindError, arguments, flag, integer, short, text
from lamina.layers.shapes import batch_shape

__all__ = ["InputSpec", "check_inputs"]


def _dtype(who: str, name: str, value: Any) -> str | None:
    return config.any_dtype(who, value)


def _shape(who: str, name: str, value: Any) -> tuple[int | None, ...]:
    return batch_shape(who, value)


def _axes(who: str, name: str, value: Any) -> dict[int, int | None]:
    if value is not None and not isinstance(value, Mapping):
        raise KindError(f"{who}: {name} must be a dict of axes and sizes; got {short(value)}.")
    return {
        integer(who, "an axis", axis, -(2**31)): None if size is None else integer(who, "a size", size, 0)
        for axis, size in (value or {}).items()
    }


class InputSpec:
    """What a layer demands of one input; assigned to its attribute `input_spec`, in its constructor or in `build`.

    Parameters
    ----------
    dtype : optional
    shape : tuple of int or None, optional
        With the batch; None is any size. Without `ndim` it says the number of axes, too.
    ndim, min_ndim, max_ndim : int, optional
        Number of axes, with the batch.
    axes : dict of int to int or None, optional
        Axis → size.
    allow_last_axis_squeeze : bool
        Whether inputs may have a last axis of size 1 that `shape` has not, or the other way round.
    name : str, optional
        The key of the input, where inputs are a dict.
    optional : bool
        Whether the input may be None.

    Examples
    --------
    >>> InputSpec(ndim=2, axes={-1: 8})
    InputSpec(ndim=2, axes={-1: 8})
    """

    dtype = Argument(_dtype)
    shape = Argument(optional(_shape))
    ndim = Argument(optional(integer), 0)
    max_ndim = Argument(optional(integer), 0)
    min_ndim = Argument(optional(integer), 0)
    axes = Argument(_axes)
    allow_last_axis_squeeze = Argument(flag)
    name = Argument(optional(text))
    optional = Argument(flag)

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: Mapping[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ) -> None:
        self.dtype, self.shape, self.axes = dtype, shape, axes
        self.ndim = ndim if self.shape is None else len(self.shape)
        self.max_ndim, self.min_ndim = max_ndim, min_ndim
        self.allow_last_axis_squeeze, self.name, self.optional = allow_last_axis_squeeze, name, optional
        self.check_together()

    def check_together(self) -> None:
        """Raise if an axis is not one of those that there may be."""
        most = self.ndim if self.ndim is not None else self.max_ndim
        if self.axes and most is not None and not -most <= min(self.axes) <= max(self.axes) < most:
            raise ValueError(f"InputSpec: axes must be in [{-most}, {most}); got {sorted(self.axes)}.")

    def check(self, who: str, shape: tuple[int | None, ...], dtype: str) -> None:
        """Raise a ValueError unless an input of this shape, batch first, and dtype is what the layer demands."""
        if self.ndim is not None and len(shape) != self.ndim and not self.allow_last_axis_squeeze:
            raise ValueError(f"{who}: the input must have {self.ndim} axes; got shape {shape}.")
        if not (self.min_ndim or 0) <= len(shape) <= (len(shape) if self.max_ndim is None else self.max_ndim):
            most = "" if self.max_ndim is None else f" and at most {self.max_ndim}"
            raise ValueError(f"{who}: the input must have at least {self.min_ndim or 0}{most} axes; got shape {shape}.")
        if self.dtype is not None and dtype != self.dtype:
            raise ValueError(f"{who}: the input must be {self.dtype}; got {dtype}.")
        for axis, size in self.axes.items():
            found = shape[axis] if -len(shape) <= axis < len(shape) else -1
            if size is not None and found not in (None, size):
                raise ValueError(f"{who}: axis {axis} of the input must have size {size}; got shape {shape}.")
        if self.shape is not None:
            ours, its = (_squeezed(one) if self.allow_last_axis_squeeze else one for one in (self.shape, shape))
            fits = all(None in pair or pair[0] == pair[1] for pair in zip(ours, its, strict=False))
            if len(ours) != len(its) or not fits:
                raise ValueError(f"{who}: the input must have shape {self.shape}; got {shape}.")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "dtype": self.dtype, "shape": self.shape, "ndim": None if self.shape is not None else self.ndim,
            "max_ndim": self.max_ndim, "min_ndim": self.min_ndim, "axes": self.axes or None,
            "allow_last_axis_squeeze": self.allow_last_axis_squeeze, "name": self.name, "optional": self.optional,
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """Return a specification from `get_config`."""
        return cls(**arguments(cls, config))

    def __repr__(self) -> str:
        given = {name: value for name, value in self.get_config().items() if value not in (None, False)}
        return f"InputSpec({', '.join(f'{name}={value!r}' for name, value in given.items())})"


def _squeezed(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return shape[:-1] if shape and shape[-1] == 1 else shape


def check_inputs(who: str, specs: Any, inputs: Any, floats: str) -> None:
    """Raise unless inputs are what a layer's `input_spec` demands.

    Parameters
    ----------
    specs : InputSpec, list or dict of these, or None
    inputs : array_like or KerasTensor, or list or dict of these
    floats : str
        The dtype that inputs of floating-point numbers have for the layer.
    """
    wanted = list(_flat(specs))
    for spec in wanted:
        if not isinstance(spec, (InputSpec, type(None))):
            raise KindError(f"{who}: input_spec must be an InputSpec, or a list of these; got {short(spec)}.")
    if isinstance(inputs, dict) and wanted and all(spec is not None and spec.name in inputs for spec in wanted):
        inputs = [inputs[spec.name] for spec in wanted]
    found = list(_flat(inputs)) if isinstance(inputs, (dict, tuple)) or _several(inputs) else [inputs]
    if len(found) != len(wanted):
        raise ValueError(f"{who}: there must be {len(wanted)} inputs, as input_spec says; got {len(found)}.")
    for spec, one in zip(wanted, found, strict=True):
        if spec is None or (one is None and spec.optional):
            continue
        array = one if hasattr(one, "shape") and hasattr(one, "dtype") else np.asarray(one)
        dtype = np.dtype(array.dtype)
        spec.check(who, tuple(array.shape), floats if dtype.kind == "f" else dtype.name)


def _several(inputs: Any) -> bool:
    return isinstance(inputs, list) and any(hasattr(one, "shape") for one in inputs)


def _flat(value: Any) -> Iterator[Any]:
    """Yield the items of nested lists, tuples and dicts."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value
