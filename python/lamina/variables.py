"""Variable: a named array of parameters or state."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Variable"]


class Variable:
    """An array that belongs to a layer or an optimizer.

    Parameters
    ----------
    value : ndarray
        Taken over as it is.
    name : str
    path : str
        Owner and name, as ``"dense/kernel"``.
    trainable : bool
        Whether a gradient step may change it.
    """

    def __init__(self, value: npt.NDArray[Any], name: str, path: str, trainable: bool = True) -> None:
        self.value = value
        self.name = name
        self.path = path
        self.trainable = trainable

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.value.shape)

    @property
    def dtype(self) -> str:
        """Name of the dtype."""
        return str(self.value.dtype)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(self.value.size)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return int(self.value.ndim)

    def numpy(self) -> npt.NDArray[Any]:
        """Return a copy of the array."""
        return self.value.copy()

    def assign(self, value: npt.ArrayLike) -> Variable:
        """Write `value` into the array.

        Parameters
        ----------
        value : array_like
            Of the variable's shape; converted to its dtype.

        Returns
        -------
        Variable
            This variable.

        Raises
        ------
        TypeError, ValueError
            The values are not real numbers, or the shape differs. Nothing is written then.
        """
        array = np.asarray(value)
        if array.shape != self.shape:
            raise ValueError(f"Variable {self.path!r}: value must have shape {self.shape}; got {array.shape}.")
        if array.dtype.kind not in "biuf":
            raise TypeError(f"Variable {self.path!r}: value must be real numbers; got dtype {array.dtype}.")
        self.value[...] = array
        return self

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Copy out, as `numpy` does."""
        if copy is False:
            raise ValueError(f"Variable {self.path!r}: an array of a variable is always a copy; got copy=False.")
        return np.array(self.value, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        """Return a copy of a part."""
        return self.value[index].copy()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore from a pickle, whose buffers may be read-only."""
        self.__dict__.update(state)
        self.value = np.require(self.value, None, ["C_CONTIGUOUS", "ALIGNED", "WRITEABLE"])

    def __len__(self) -> int:
        return len(self.value)

    def __repr__(self) -> str:
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}, value={self.value!r}>"
