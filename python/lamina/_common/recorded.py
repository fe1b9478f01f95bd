"""Configurations of classes that define no `get_config`: the plain arguments of their constructors, as in Keras."""

from __future__ import annotations

import copy
import inspect
from typing import Any

__all__ = ["plain_arguments", "recorded_config"]

_PLAIN = (str, int, float, bool, type(None))


def plain_arguments(kind: type, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of a constructor's call by their names, defaults included.

    None if they do not fit, if some have no name, or if one is more than numbers, text, None, and lists, tuples and
    dicts of these.
    """
    try:
        signature = inspect.signature(kind)
        bound = signature.bind(*values, **named)
    except (TypeError, ValueError):
        return None
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        value = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= value
        elif parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.POSITIONAL_ONLY:
            if parameter.kind is parameter.POSITIONAL_ONLY or value:
                return None
        else:
            found[parameter.name] = value
    return copy.deepcopy(found) if _is_plain(found) else None


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(isinstance(name, str) and _is_plain(one) for name, one in value.items())
    return isinstance(value, _PLAIN)


def recorded_config(who: str, kind: type, recorded: dict[str, Any] | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of an object from its recorded arguments and the settings that all of its kind have.

    Raises
    ------
    NotImplementedError
        Its arguments were not recorded, because they are not plain.
    """
    if recorded is None:
        raise NotImplementedError(
            f"{who}: {kind.__name__} must define get_config: its arguments are not plain numbers, text, and lists of "
            "these, which could be written down without it."
        )
    parameters = inspect.signature(kind).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return copy.deepcopy(recorded) | {
        name: value for name, value in settings.items() if takes_all or name in parameters
    }
