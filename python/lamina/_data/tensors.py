"""Tensor: what models, layers, losses and metrics return when they are called: an array with Keras's `numpy` method."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Tensor", "tensor"]


class Tensor(np.ndarray[Any, Any]):
    """A NumPy array that also has `numpy`.

    NumPy's functions and operators take it and give it as they do arrays. An array without axes stands for a number: it
    is formatted, rounded and hashed as one, and ``+=`` does not change it for others that hold it.

    Examples
    --------
    >>> loss = tensor(0.25)
    >>> loss.numpy() == 0.25, float(2 * loss), f"{loss:.1f}"
    (np.True_, 0.5, '0.2')
    """

    def numpy(self) -> Any:
        """Return a plain array with the same memory, or a NumPy number for an array without axes."""
        plain = self.view(np.ndarray)
        return plain if self.ndim else plain[()]

    def __getitem__(self, key: Any) -> Any:
        """Return a part of the array, as a tensor also if it is a single element."""
        found = super().__getitem__(key)
        return found if isinstance(found, np.ndarray) else np.asarray(found).view(Tensor)

    def __str__(self) -> str:
        return str(self.view(np.ndarray))

    def __repr__(self) -> str:
        return type(self).__name__ + repr(self.view(np.ndarray)).removeprefix("array").replace("\n", "\n ")

    def __round__(self, digits: int | None = None) -> Any:
        """Return the rounded number."""
        return round(self.item(), digits)

    def __hash__(self) -> int:  # type: ignore[override]  # arrays have none
        """Return the number's hash; arrays with axes have none."""
        if self.ndim:
            raise TypeError(f"unhashable type: {type(self).__name__!r}")
        return hash(self.item())


def _new_for_numbers(name: str) -> Callable[[Tensor, Any], Any]:
    """Return the method of an operator like ``+=`` that gives arrays without axes a new value."""
    in_place: Any = getattr(np.ndarray, name)
    plain: Any = getattr(operator, name.replace("__i", "__", 1))

    def method(self: Tensor, other: Any) -> Any:
        return in_place(self, other) if self.ndim else plain(self, other)

    method.__name__ = name
    return method


for _name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift"):
    setattr(Tensor, f"__i{_name}__", _new_for_numbers(f"__i{_name}__"))


def tensor(values: npt.ArrayLike) -> Tensor:
    """Return values as a tensor, without a copy if they are an array."""
    return np.asarray(values).view(Tensor)
