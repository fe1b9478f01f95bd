"""Symbols stand for arrays before there are values. A function of one gives another one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar

__all__ = ["Symbol", "of_symbols", "symbols_in"]

P = ParamSpec("P")
R = TypeVar("R")


class Symbol:
    """Base class of what stands for an array.

    Attributes
    ----------
    shape : tuple
        With the axis of the rows, whose size is None.
    """

    shape: tuple[Any, ...]

    def applied(self, function: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> Any:
        """Return the symbol for the value of a function that has this one as an argument; defined by `KerasTensor`."""
        raise NotImplementedError(f"{type(self).__name__} has no functions.")


def symbols_in(values: Iterable[Any]) -> list[Symbol]:
    """Return the symbols among values, and in lists and tuples among them."""
    found: list[Symbol] = []
    for value in values:
        if isinstance(value, Symbol):
            found.append(value)
        elif type(value) in (list, tuple):
            found += symbols_in(value)
    return found


def of_symbols(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that also takes symbols."""

    @functools.wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> R:
        for value in (*arguments, *named.values()):
            if isinstance(value, (Symbol, list, tuple)) and (symbols := symbols_in((value,))):
                result: R = symbols[0].applied(call, arguments, named)
                return result
        return function(*arguments, **named)

    return call
