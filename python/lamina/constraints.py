"""Constraints: projections that are applied to parameters after every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.arguments import Argument
from lamina._common.checks import integer, number
from lamina._common.names import redefines
from lamina._common.objects import Configurable, OfFunction
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry
from lamina._data.arrays import float_array, float_dtype_of, real_array

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "get", "serialize"]

Array = npt.NDArray[Any]


class Projection(NamedTuple):
    """A compiled constraint: its kind, the bounds of the norms, and how far a norm moves to its bound."""

    kind: str
    least: float = 0.0
    most: float = 0.0
    rate: float = 1.0


class Constraint(Configurable):
    """Base class of constraints, which changes nothing. One written in Python defines `__call__`."""

    def projection(self, ndim: int) -> Projection | None:
        """Return the compiled constraint for a parameter of `ndim` axes; None if it is written in Python."""
        return None

    def engine_projection(self, ndim: int) -> Projection | None:
        """Return `projection`, or None if a subclass overrides `__call__`, which is called instead."""
        return None if redefines(type(self), "__call__", "projection") else self.projection(ndim)

    def __call__(self, w: npt.ArrayLike) -> Array:
        """Return the constrained array.

        Parameters
        ----------
        w : array_like
            One or two axes; `NonNeg` takes any number of axes.

        Returns
        -------
        ndarray
            A new array of the same shape.
        """
        given = real_array(type(self).__name__, "w", w)
        array = np.array(float_array(type(self).__name__, "w", given, float_dtype_of(given)))
        projection = self.projection(array.ndim)
        if projection is None:
            return array
        matrix = array if array.ndim == 2 else array.reshape(1, -1)
        _core.constrain(matrix, *projection)
        return array


class NonNeg(Constraint):
    """``max(w, 0)``.

    Examples
    --------
    >>> NonNeg()([1.0, -2.0])
    array([1., 0.])
    """

    def projection(self, ndim: int) -> Projection:
        """Return the compiled constraint."""
        return Projection("not_negative")


class _NormConstraint(Constraint):
    """Base class of constraints of the norms along an axis."""

    axis = Argument(integer, -2)

    def __init__(self, axis: Any) -> None:
        if isinstance(axis, (list, tuple)) and len(axis) == 1:
            axis = axis[0]
        self.axis = axis

    def _along(self, ndim: int, least: float, most: float, rate: float) -> Projection:
        if not -ndim <= self.axis < ndim or ndim > 2:
            raise ValueError(
                f"{type(self).__name__}: axis must be one of the parameter's {ndim} axes, of which there may be two; "
                f"got {self.axis}."
            )
        # A vector is one row of a matrix.
        rows = ndim == 1 or self.axis % ndim == 1
        return Projection("row_norms" if rows else "column_norms", least, most, rate)


class MaxNorm(_NormConstraint):
    """``w · min(‖w‖, max_value) / (‖w‖ + 1e-7)`` for each vector along `axis`, such as the weights of one unit.

    Parameters
    ----------
    max_value : float, >= 0
    axis : int

    Examples
    --------
    >>> MaxNorm(1.0)([[3.0], [4.0]]).round(4).tolist()
    [[0.6], [0.8]]
    """

    max_value = Argument(number, least=0)

    def __init__(self, max_value: float = 2, axis: int = 0) -> None:
        super().__init__(axis)
        self.max_value = max_value

    def projection(self, ndim: int) -> Projection:
        """Return the compiled constraint."""
        return self._along(ndim, 0.0, self.max_value, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"max_value": self.max_value, "axis": self.axis}


class UnitNorm(_NormConstraint):
    """``w / (‖w‖ + 1e-7)`` for each vector along `axis`.

    Parameters
    ----------
    axis : int

    Examples
    --------
    >>> UnitNorm()([[3.0], [4.0]]).round(4).tolist()
    [[0.6], [0.8]]
    """

    def __init__(self, axis: int = 0) -> None:
        super().__init__(axis)

    def projection(self, ndim: int) -> Projection:
        """Return the compiled constraint."""
        return self._along(ndim, 1.0, 1.0, 1.0)

    def get_config(self) -> dict[str, Any]:
        """Return the argument."""
        return {"axis": self.axis}


class MinMaxNorm(_NormConstraint):
    """``w · d / (‖w‖ + 1e-7)``, ``d = rate · clip(‖w‖, min_value, max_value) + (1 - rate) ‖w‖``, along `axis`.

    Parameters
    ----------
    min_value, max_value : float, >= 0
    rate : float in [0, 1]
        1 enforces the bounds at every step; less moves the norms only part of the way.
    axis : int

    Examples
    --------
    >>> MinMaxNorm(0.0, 1.0)([[3.0], [4.0]]).round(4).tolist()
    [[0.6], [0.8]]
    """

    min_value = Argument(number, least=0)
    max_value = Argument(number, least=0)
    rate = Argument(number, 0, 1)

    def __init__(self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: int = 0) -> None:
        super().__init__(axis)
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.check_together()

    def check_together(self) -> None:
        """Raise if the arguments contradict each other."""
        if self.min_value > self.max_value:
            raise ValueError(f"MinMaxNorm: max_value must be >= min_value, {self.min_value:g}; got {self.max_value:g}.")

    def projection(self, ndim: int) -> Projection:
        """Return the compiled constraint."""
        return self._along(ndim, self.min_value, self.max_value, self.rate)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis}


class _Function(Constraint, OfFunction):
    """A user-defined function, from values to new values."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self.function = function

    def __call__(self, w: npt.ArrayLike) -> Array:
        """Return the function's result as an array."""
        return np.asarray(self.function(np.asarray(w)))


REGISTRY = Registry(
    "constraints",
    "constraint",
    Constraint,
    (MaxNorm, "max_norm"),
    (NonNeg, "non_neg"),
    (UnitNorm, "unit_norm"),
    (MinMaxNorm, "min_max_norm"),
    from_function=_Function,
)


def get(identifier: object) -> Constraint | None:
    """Return a constraint from a name, a configuration, a class, an instance or a function; None stays None.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.

    Examples
    --------
    >>> get("max_norm").get_config()
    {'max_value': 2.0, 'axis': 0}
    """
    return argument("constraints.get", "constraint", identifier)


def argument(who: str, name: str, identifier: object) -> Constraint | None:
    """Return a constraint as `get` does; error messages begin with `who` and `name`."""
    return REGISTRY.get(identifier, who, name)


# Keras's lower-case aliases.
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


def deserialize(config: dict[str, Any]) -> Constraint | None:
    """Return a constraint from ``{"class_name", "config"}``."""
    return get(config)
