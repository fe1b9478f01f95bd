"""Arguments of layers, checked whenever they are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from lamina import constraints, initializers, regularizers
from lamina._common.arguments import Argument
from lamina._common.checks import choice, short

__all__ = ["Rule", "Setting", "channels_last"]

T = TypeVar("T")


def channels_last(who: str, name: str, value: Any) -> str:
    """Return "channels_last", also for None; or raise."""
    choice(who, name, value, (None, "channels_last"))
    return "channels_last"


class Setting(Argument[T]):
    """An argument that a layer keeps.

    Parameters
    ----------
    check, *limits, **named_limits
        As in `Argument`.
    fixed : bool
        Whether it cannot change once the layer is built, because parameters or other layers' shapes depend on it.
    """

    def __init__(self, check: Callable[..., T], *limits: Any, fixed: bool = False, **named_limits: Any) -> None:
        super().__init__(check, *limits, **named_limits)
        self._fixed = fixed

    def __set__(self, instance: Any, value: Any) -> None:
        found, before = self.checked(instance, value), vars(instance).get(self.name, self)
        if self._fixed and before is not self and before != found and instance.built:
            raise ValueError(
                f"{self.who(instance)}: {self.name} must stay {short(before)}: the layer was built with it; got "
                f"{short(value)}."
            )
        vars(instance)[self.name] = found

    def who(self, instance: Any) -> str:
        """Return how messages begin."""
        name = vars(instance).get("_name")  # missing if a subclass sets arguments before it calls Layer's constructor
        return type(instance).__name__ if name is None else f"{type(instance).__name__} {name!r}"


class Rule(Setting[Any]):
    """The initializer, regularizer or constraint of a parameter; its name says which one: ``kernel_regularizer``.

    Assigning a regularizer or constraint later replaces that of the parameter.
    """

    def __init__(self) -> None:
        super().__init__(self._look_up)

    def __set_name__(self, owner: type, name: str) -> None:
        super().__set_name__(owner, name)
        self._parameter, _, self._kind = name.rpartition("_")

    def _look_up(self, who: str, name: str, value: Any) -> Any:
        modules: dict[str, Any] = {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}
        return modules[self._kind].argument(who, name, value)

    def __set__(self, instance: Any, value: Any) -> None:
        super().__set__(instance, value)
        if self._kind != "initializer":
            made = vars(instance).get("_parameters")  # not there while the constructor runs
            for variable in () if made is None else made.variables:
                if variable.name == self._parameter:
                    setattr(variable, self._kind, vars(instance)[self.name])
