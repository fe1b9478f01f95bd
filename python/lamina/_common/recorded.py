"""Configurations of classes that define no `get_config`: the plain arguments of their constructors, as in Keras."""

from __future__ import annotations

import copy
import inspect
from typing import Any

__all__ = ["accepted_settings", "plain_arguments", "recorded_config"]

_PLAIN = (str, int, float, bool, type(None))


def plain_arguments(kind: type, values: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | str:
    """Return the arguments of a constructor's call by their names, defaults included.

    If they cannot be written down, return why: they do not fit, some have no name, or one is more than numbers, text,
    None, and lists, tuples and dicts of these.
    """
    try:
        signature = inspect.signature(kind)
        bound = signature.bind(*values, **named)
    except (TypeError, ValueError) as error:
        return str(error)
    bound.apply_defaults()
    found: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        value = bound.arguments[parameter.name]
        if parameter.kind is parameter.VAR_KEYWORD:
            found |= value
        elif parameter.kind is parameter.POSITIONAL_ONLY or (parameter.kind is parameter.VAR_POSITIONAL and value):
            return f"{parameter.name} has no name by which it could be given again"
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            found[parameter.name] = value
    for name, value in found.items():
        if not _is_plain(value):
            return f"{name} holds more ({type(value).__name__})"
    return copy.deepcopy(found)


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(isinstance(name, str) and _is_plain(one) for name, one in value.items())
    return isinstance(value, _PLAIN)


def recorded_config(who: str, kind: type, recorded: dict[str, Any] | str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of an object from its recorded arguments and the settings that all of its kind have.

    Raises
    ------
    NotImplementedError
        Its arguments were not recorded, because they are not plain.
    """
    if isinstance(recorded, str):
        raise NotImplementedError(
            f"{who}: {kind.__name__} must define get_config: without it only arguments that are numbers, text, and "
            f"lists of these can be written down; {recorded}."
        )
    return copy.deepcopy(recorded) | accepted_settings(kind, settings)


def accepted_settings(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Return those of the settings that a class's constructor takes."""
    parameters = inspect.signature(kind).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return {name: value for name, value in settings.items() if takes_all or name in parameters}
