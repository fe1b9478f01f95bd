"""Checks of scalar arguments, and the errors that say that something is not there yet."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

__all__ = ["KindError", "NotBuiltError", "NotCompiledError", "flag", "integer", "number", "only_none"]


class KindError(TypeError, ValueError):
    """An argument of the wrong kind. A ValueError too: that is what Keras raises, and code written for it catches."""


class NotBuiltError(ValueError, AttributeError):
    """What was asked for exists only once a layer or model is built. An AttributeError too, so that hasattr works."""


class NotCompiledError(RuntimeError, AttributeError):
    """What was asked for exists only once a model is compiled. An AttributeError too, so that hasattr works."""


def integer(who: str, name: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int of at least `least`, or raise."""
    if isinstance(value, (bool, np.bool_)):
        raise KindError(f"{who}: {name} must be an int; got bool.")
    try:
        whole = operator.index(value)
    except TypeError:
        raise KindError(f"{who}: {name} must be an int; got {type(value).__name__}.") from None
    if whole < least:
        raise ValueError(f"{who}: {name} must be >= {least}; got {whole}.")
    return whole


def number(who: str, name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> float:
    """Return a real number as a float: finite, from `least` to `most`; or raise."""
    scalar = isinstance(value, (int, float, np.integer, np.floating)) or (
        isinstance(value, np.ndarray) and value.ndim == 0 and value.dtype.kind in "iuf"
    )
    if isinstance(value, bool) or not scalar:
        raise KindError(f"{who}: {name} must be a number; got {type(value).__name__}.")
    result = float(value)
    if not (math.isfinite(result) and least <= result <= most):
        if most != math.inf:
            wanted = f"in [{least:g}, {most:g}]"
        else:
            wanted = "finite" if least == -math.inf else f">= {least:g} and finite"
        raise ValueError(f"{who}: {name} must be {wanted}; got {value}.")
    return result


def flag(who: str, name: str, value: Any) -> bool:
    """Return True or False, or raise."""
    if not isinstance(value, (bool, np.bool_)) and value not in (0, 1):
        raise KindError(f"{who}: {name} must be True or False; got {value!r}.")
    return bool(value)


def only_none(who: str, **arguments: Any) -> None:
    """Raise where an argument of Keras that has no meaning here is given."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{who}: {name} must be None: lamina has nothing that it could choose; got {value!r}.")
