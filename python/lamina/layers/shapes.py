"""Checks of the shapes that are given to layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina._common.checks import KindError, integer, short, sizes
from lamina._engine.ops import OpenShape, Shape

__all__ = ["batch_shape", "check_open_shape", "check_row_shape", "with_steps"]


def batch_shape(who: str, shape: Any) -> tuple[int | None, ...]:
    """Return the shape of a batch, whose sizes may be None, as a tuple; or raise."""
    if not isinstance(shape, (tuple, list)) or not shape:
        raise KindError(f"{who}: input_shape must be a tuple, batch first; got {short(shape)}.")
    batch, *row = (None if size is None else integer(who, "a size in input_shape", size, -(2**63)) for size in shape)
    if (batch or 0) < 0 or any(size is not None and size < 1 for size in row):
        raise ValueError(f"{who}: input shape must hold positive ints, or None; got {short(shape)}.")
    return (batch, *row)


def check_open_shape(who: str, shape: Any, last: bool = True) -> OpenShape:
    """Return the shape of rows as `check_row_shape` does; None stands for any size, in the last axis only if `last`."""
    if isinstance(shape, (tuple, list)) and None in shape:
        check_row_shape(who, [1 if size is None else size for size in shape])
        if not last and shape[-1] is None:
            raise ValueError(f"{who}: the last size of input rows must be known; got {tuple(shape)}.")
        return tuple(None if size is None else int(size) for size in shape)
    return check_row_shape(who, shape)


def check_row_shape(who: str, shape: Any) -> Shape:
    """Return the shape of one row as a tuple of positive ints, or raise."""
    if isinstance(shape, (int, np.integer)):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)) and not (isinstance(shape, np.ndarray) and shape.ndim == 1):
        raise KindError(f"{who}: input shape must be a tuple of ints; got {short(shape)}.")
    found = tuple(shape)
    if not found or any(
        isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1 for size in found
    ):
        raise ValueError(f"{who}: input shape must hold positive ints, without the batch; got {short(found)}.")
    return sizes(who, "input shape", found)


def with_steps(who: str, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    """Return the shape of a batch whose rows have steps and features, or raise if they have other axes."""
    if len(shape) != 3:
        raise ValueError(f"{who}: input must have shape (n, steps, features); got {shape}.")
    return shape
