"""Labels as one-hot rows, and vectors of norm 1."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import integer
from lamina._data.arrays import real_array, whole_numbers

__all__ = ["normalize", "to_categorical"]


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> npt.NDArray[Any]:
    """Return one-hot rows.

    Parameters
    ----------
    x : array_like of int, any shape
        Class numbers; a last axis of size 1 is dropped.
    num_classes : int, optional
        ``max(x) + 1`` if omitted.

    Returns
    -------
    ndarray, shape (..., num_classes), dtype float64
        As Keras returns it.

    Raises
    ------
    TypeError, ValueError
        `x` holds values that are not class numbers in ``[0, num_classes)``.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = whole_numbers("to_categorical", "x", real_array("to_categorical", "x", x), "whole class numbers")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    labels = labels.astype(np.int64)
    classes = (
        integer("to_categorical", "the largest class number", labels.max(initial=-1), -1, 2**31 - 2) + 1
        if num_classes is None
        else integer("to_categorical", "num_classes", num_classes, 0, 2**31 - 1)
    )
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"to_categorical: x must be in [0, {classes}); got values from {labels.min()} to {labels.max()}."
        )
    rows = np.zeros((labels.size, classes))
    rows[np.arange(labels.size), labels.ravel()] = 1
    return rows.reshape(*labels.shape, classes)


def normalize(x: npt.ArrayLike, axis: int = -1, order: int = 2) -> npt.NDArray[Any]:
    """Return `x` divided by its norms along an axis; vectors of norm 0 stay unchanged.

    Parameters
    ----------
    x : array_like
    axis : int
    order : int
        Order of the norm; 2 is the Euclidean norm.

    Examples
    --------
    >>> normalize([[3.0, 4.0]])
    array([[0.6, 0.8]])
    """
    array = np.atleast_1d(real_array("normalize", "x", x))
    axis = integer("normalize", "axis", axis, -array.ndim, array.ndim - 1)
    order = integer("normalize", "order", order)
    norms = np.atleast_1d(
        np.linalg.norm(array.astype(np.float64), order, axis)
    )  # in float64 the squares of float32 neither overflow nor vanish
    norms[norms == 0] = 1
    found: npt.NDArray[Any] = array / np.expand_dims(norms, axis)
    return found.astype(array.dtype) if array.dtype.kind == "f" else found
