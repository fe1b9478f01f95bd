"""Parameters of the functions that users write: which of the arguments that there are they take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["parameters_of"]


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a function, those of a method without the first; quick for what was asked before."""
    own = getattr(function, "__func__", None)
    return inspect.signature(function).parameters if own is None else _of_method(own)


@lru_cache(256)
def _of_method(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function.__get__(object())).parameters
