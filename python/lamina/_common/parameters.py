"""Parameters of the functions that users write: which of the arguments that there are they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["parameters_of"]

# Those of methods, by their functions.
_known: WeakKeyDictionary[Any, Mapping[str, inspect.Parameter]] = WeakKeyDictionary()


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function, those of a method without the first; quick for what was asked before."""
    own = getattr(function, "__func__", None)
    if own is None:
        return inspect.signature(function).parameters
    found = _known.get(own)
    if found is None:
        found = _known[own] = inspect.signature(function).parameters
    return found
