"""Regularizers: penalties on parameters that are added to the loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.arguments import Argument
from lamina._common.checks import KindError, flag, number, short
from lamina._common.names import absences, redefines
from lamina._common.objects import Configurable, OfFunction
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry
from lamina._data.arrays import float_array, float_dtype_of, real_array
from lamina._data.autodiff import pullback
from lamina._data.tensors import tensor

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get", "serialize"]

Array = npt.NDArray[Any]


class Regularizer(Configurable):
    """Base class of regularizers.

    One written in Python defines `__call__`, in functions of `lamina.ops`, or `value_and_gradient`.
    """

    per_row = False

    def factors(self) -> tuple[float, float] | None:
        """Return ``l1, l2`` of a penalty ``l1 Σ|w| + l2 Σ w²``; None if the penalty is written in Python."""
        return None

    def engine_factors(self) -> tuple[float, float] | None:
        """Return `factors`, or None if a subclass computes the penalty in Python."""
        kind = type(self)
        own = redefines(kind, "value_and_gradient", "factors") or redefines(kind, "__call__", "factors")
        return None if own else self.factors()

    def value_and_gradient(self, w: Array) -> tuple[float, Array]:
        """Return the penalty of a parameter and its gradient.

        Parameters
        ----------
        w : ndarray
            The parameter's values.
        """
        if not redefines(type(self), "__call__", "value_and_gradient"):
            raise NotImplementedError(f"{type(self).__name__}: a regularizer defines __call__, or value_and_gradient.")
        value, back = pullback(type(self).__name__, self, [w])
        if value.size != 1:
            raise ValueError(f"{type(self).__name__}: __call__ must return one number; got shape {value.shape}.")
        return float(value.reshape(())), back(np.ones_like(value))[0]

    def __call__(self, w: npt.ArrayLike) -> Any:
        """Return the penalty of an array."""
        return tensor(float(self.value_and_gradient(real_array(type(self).__name__, "w", w))[0]))


def penalty_of(who: str, regularizer: Regularizer, w: Array) -> tuple[float, Array]:
    """Return the checked penalty and gradient of a regularizer that is written in Python."""
    by_call = redefines(type(regularizer), "__call__", "value_and_gradient")
    found: Any = Regularizer.value_and_gradient(regularizer, w) if by_call else regularizer.value_and_gradient(w)
    who = f"{type(regularizer).__name__} of {who!r}: value_and_gradient"
    if regularizer.per_row:
        raise ValueError(f"{who} is called without the number of rows: per_row must be False.")
    if not isinstance(found, tuple) or len(found) != 2:
        raise KindError(f"{who} must return the penalty and its gradient; got {short(found)}.")
    value, gradient = real_array(who, "the penalty", found[0]), real_array(who, "the gradient", found[1])
    if value.size != 1 or gradient.shape != w.shape:
        raise ValueError(
            f"{who} must return one number and an array of shape {w.shape}; got shapes {value.shape} and "
            f"{gradient.shape}."
        )
    return float(value.reshape(())), gradient


class L1L2(Regularizer):
    """``l1 Σ|w| + l2 Σ w²``; gradient ``l1 sign(w) + 2 l2 w``, 0 at ``w = 0``.

    Parameters
    ----------
    l1, l2 : float, >= 0
        None is 0.
    per_row : bool
        Whether `fit` and `evaluate` divide the penalty of weights by the number of rows of a batch, or by the sum of
        their sample weights: as in scikit-learn, whose alpha is ``L2(alpha / 2, per_row=True)``. Calling the
        regularizer does not.

    Examples
    --------
    >>> L1L2(l1=0.5, l2=1.0)([[1.0, -2.0]])
    Tensor(6.5)
    """

    l1 = Argument(number, least=0)
    l2 = Argument(number, least=0)
    per_row: bool = Argument(flag)  # type: ignore[assignment]  # a descriptor, where the base class has a value

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0, per_row: bool = False) -> None:
        self.l1 = 0.0 if l1 is None else l1
        self.l2 = 0.0 if l2 is None else l2
        self.per_row = per_row

    def factors(self) -> tuple[float, float]:
        """Return both factors."""
        return self.l1, self.l2

    def value_and_gradient(self, w: Array) -> tuple[float, Array]:
        """Return the penalty and its gradient."""
        array = float_array(type(self).__name__, "w", np.asarray(w), float_dtype_of(w))
        gradient = np.zeros_like(array)
        return _core.penalty(array, self.l1, self.l2, gradient), gradient

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"l1": self.l1, "l2": self.l2} | self._if_per_row()

    def _if_per_row(self) -> dict[str, Any]:
        return {"per_row": True} if self.per_row else {}  # Keras reads configurations without it


class L1(L1L2):
    """``l1 Σ|w|``.

    Parameters
    ----------
    l1 : float, >= 0
    per_row : bool
        As in `L1L2`.

    Examples
    --------
    >>> L1(0.5)([1.0, -2.0])
    Tensor(1.5)
    """

    def __init__(self, l1: float = 0.01, per_row: bool = False) -> None:
        super().__init__(l1, 0.0, per_row)

    def get_config(self) -> dict[str, Any]:
        """Return the argument."""
        return {"l1": self.l1} | self._if_per_row()


class L2(L1L2):
    """``l2 Σ w²``: no half, as in Keras; the gradient is ``2 l2 w``.

    Parameters
    ----------
    l2 : float, >= 0
    per_row : bool
        As in `L1L2`.

    Examples
    --------
    >>> L2(0.5)([1.0, -2.0])
    Tensor(2.5)
    """

    def __init__(self, l2: float = 0.01, per_row: bool = False) -> None:
        super().__init__(0.0, l2, per_row)

    def get_config(self) -> dict[str, Any]:
        """Return the argument."""
        return {"l2": self.l2} | self._if_per_row()


class _Function(Regularizer, OfFunction):
    """A user-defined function, from values to a penalty."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, w: Any) -> Any:
        """Return the function's result."""
        return self.function(w)


REGISTRY = Registry(
    "regularizers",
    "regularizer",
    Regularizer,
    (L1L2, "l1_l2 l1l2"),
    (L1, "l1"),
    (L2, "l2"),
    from_function=_Function,
)


def get(identifier: object) -> Regularizer | None:
    """Return a regularizer from a name, a configuration, a class or an instance; None stays None.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.

    Examples
    --------
    >>> get("l2").get_config()
    {'l2': 0.01}
    """
    return argument("regularizers.get", "regularizer", identifier)


def argument(who: str, name: str, identifier: object) -> Regularizer | None:
    """Return a regularizer as `get` does; error messages begin with `who` and `name`."""
    return REGISTRY.get(identifier, who, name)


# Keras's lower-case aliases.
l1, l2, l1_l2 = L1, L2, L1L2


def deserialize(config: dict[str, Any]) -> Regularizer | None:
    """Return a regularizer from ``{"class_name", "config"}``."""
    return get(config)


_ABSENT = {
    **dict.fromkeys(
        ("OrthogonalRegularizer", "orthogonal_regularizer"),
        "there are L1, L2 and L1L2; subclass Regularizer and define value_and_gradient for another one",
    ),
}


__getattr__ = absences(__name__, globals(), _ABSENT)
