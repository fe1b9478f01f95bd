"""Attributes that are checked whenever they are set: in the constructor, and in later assignments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from lamina._common.checks import choice

__all__ = ["Argument", "one_of", "optional"]

T = TypeVar("T")


class Argument(Generic[T]):
    """An attribute of a class that its constructor sets: ``rate = Argument(number, 0, 1)``.

    A class may define a method ``check_together`` that raises if its arguments do not fit together. Its constructor
    calls it at the end; this descriptor calls it after each later assignment, and undoes the assignment if it raises.

    Parameters
    ----------
    check : callable
        Called with the beginning of error messages, the attribute's name and the value; returns the value to store,
        or raises. The functions of `lamina._common.checks` can be used.
    *limits, **named_limits
        Passed on to `check`.
    """

    def __init__(self, check: Callable[..., T], *limits: Any, **named_limits: Any) -> None:
        self._check, self._limits, self._named_limits = check, limits, named_limits

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __set__(self, instance: Any, value: Any) -> None:
        found, kept = self.checked(instance, value), vars(instance)
        before = kept.get(self.name, self)
        kept[self.name] = found
        if before is not self and hasattr(instance, "check_together"):
            try:
                instance.check_together()
            except ValueError:
                kept[self.name] = before
                raise

    def checked(self, instance: Any, value: Any) -> T:
        """Return the checked value, or raise."""
        return self._check(self.who(instance), self.name, value, *self._limits, **self._named_limits)

    def who(self, instance: Any) -> str:
        """Return how messages begin."""
        return type(instance).__name__

    if TYPE_CHECKING:  # at run time the value is read from the instance's `__dict__`

        @overload
        def __get__(self, instance: None, owner: type) -> Self: ...
        @overload
        def __get__(self, instance: object, owner: type) -> T: ...
        def __get__(self, instance: Any, owner: type) -> Any: ...


def optional(check: Callable[..., T]) -> Callable[..., T | None]:
    """Return a check that lets None pass."""

    def checked(who: str, name: str, value: Any, *limits: Any, **named_limits: Any) -> T | None:
        return None if value is None else check(who, name, value, *limits, **named_limits)

    return checked


def one_of(*choices: Any) -> Callable[[str, str, Any], Any]:
    """Return a check that accepts only these names, numbers or None."""
    return lambda who, name, value: choice(who, name, value, choices)
