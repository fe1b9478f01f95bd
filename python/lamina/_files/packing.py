"""Nested values with arrays in them, as JSON and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["pack", "unpack"]

Array = npt.NDArray[Any]


def pack(who: str, value: Any, name: str, tensors: dict[str, Array]) -> Any:
    """Return a value as JSON; arrays, and numbers of NumPy, are added to `tensors` by names that begin with `name`.

    Raises
    ------
    TypeError
        There is something else in it than numbers, texts, None, arrays, and lists, tuples and dicts of these.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "biuf":
        tensors[name] = np.asarray(value)
        return {"tensor": name, "number": isinstance(value, np.generic)}
    if isinstance(value, (list, tuple)):
        parts = [pack(who, one, f"{name}/{i}", tensors) for i, one in enumerate(value)]
        return {"tuple": parts} if isinstance(value, tuple) else parts
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: pack(who, one, f"{name}/{key}", tensors) for key, one in value.items()}}
    raise TypeError(
        f"{who}: a state must hold numbers, texts, None, arrays, and lists, tuples and dicts with texts as keys; "
        f"{name} is {type(value).__name__}."
    )


def unpack(value: Any, tensors: dict[str, Array]) -> Any:
    """Return what `pack` was given; the tensors that are used are removed from `tensors`."""
    if isinstance(value, list):
        return [unpack(one, tensors) for one in value]
    if not isinstance(value, dict):
        return value
    if "tensor" in value:
        array = tensors.pop(value["tensor"])
        return array[()] if value["number"] else array
    if "tuple" in value:
        return tuple(unpack(one, tensors) for one in value["tuple"])
    return {key: unpack(one, tensors) for key, one in value["dict"].items()}
