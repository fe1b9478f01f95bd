"""Configurations: converts objects to plain values, which JSON can hold, and back.

A configuration is a dict of ``"module"``, ``"class_name"``, ``"config"`` and ``"registered_name"``, as Keras writes it.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from lamina._common import custom
from lamina._common.checks import KindError, arguments, flag, short, text
from lamina._common.registry import (
    find_function,
    find_item,
    function_names,
    is_public,
    made_from,
    module_of,
    registries,
    unknown_item,
)

__all__ = [
    "Configurable", "OfFunction", "deserialize_keras_object", "name_of", "restored", "serialize",
    "serialize_keras_object",
]  # fmt: skip


class Configurable:
    """An object that can be recreated from its constructor's arguments."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same object."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return an object made from what `get_config` returned."""
        return cls(**arguments(cls, config))


class OfFunction:
    """Base of objects that wrap a user's function: their configuration is the function's name, as in Keras."""

    function: Callable[..., Any]


def serialize(item: Any) -> Any:
    """Return the configuration of an object that has ``get_config``.

    Returns
    -------
    dict
        ``"module"``, ``"class_name"``, ``"config"``, and ``"registered_name"``, which is None for lamina's classes.
        ``"module"`` is Keras's module if Keras has the class too. None for None.
    """
    if item is None:
        return None
    if isinstance(item, (OfFunction, types.FunctionType)):
        return _function_config(item.function if isinstance(item, OfFunction) else item)
    kind = type(item)
    if not hasattr(item, "get_config") or isinstance(item, type):
        raise KindError(f"serialize: the object must have get_config; got {short(item)}.")
    registered: str | None = custom.get_registered_name(kind)
    module = kind.__module__
    if is_public(kind) and registered == kind.__name__:
        module, registered = str(module_of(kind)), None
    config = item.get_config()
    if not is_public(kind):  # of the user's, which may hold objects
        config = serialize_keras_object(config)
    return {"module": module, "class_name": kind.__name__, "config": config, "registered_name": registered}


def _function_config(function: Any) -> dict[str, Any]:
    module = module_of(function) or getattr(function, "__module__", None)
    name, registered = name_of(function), custom.get_registered_name(function)
    if registered != name:  # as Keras spells it
        return {"module": "builtins", "class_name": "function", "config": registered, "registered_name": "function"}
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def name_of(function: Any) -> str:
    """Return a function's name, by which it can be found again; raise if it has none.

    That of a lambda expression is ``"<lambda>"``.
    """
    name = getattr(function, "__name__", None)
    if not isinstance(name, str):
        raise KindError(f"serialize: {short(function)} must have a name, to be found again; write it with def.")
    return name


def serialize_keras_object(obj: Any) -> Any:
    """Return an object as plain values.

    Parameters
    ----------
    obj : object
        A number, text or array; a list, tuple or dict of supported objects; a function that has a name; or an object
        that has ``get_config``, as layers, losses and optimizers do. Functions and classes of the user's are found
        again by their names, if they are registered, or in `custom_objects`.

    Returns
    -------
    object
        For an object with ``get_config``: a dict of ``"module"``, ``"class_name"``, ``"config"`` and
        ``"registered_name"``, as Keras writes it.

    Raises
    ------
    TypeError
        The object is not supported.

    Examples
    --------
    >>> import lamina
    >>> serialize_keras_object(lamina.regularizers.L2(0.5))["config"]
    {'l2': 0.5}
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, (list, tuple)):
        return type(obj)(serialize_keras_object(item) for item in obj)
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, bytes):
        try:
            return {"class_name": "__bytes__", "config": {"value": obj.decode()}}
        except UnicodeDecodeError:
            raise ValueError("serialize_keras_object: bytes must be UTF-8, for JSON; these are not.") from None
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, slice):
        ends = {"start": obj.start, "stop": obj.stop, "step": obj.step}
        return {"class_name": "__slice__", "config": serialize_keras_object(ends)}
    if isinstance(obj, types.FunctionType) or (hasattr(obj, "get_config") and not isinstance(obj, type)):
        return serialize(obj)
    raise TypeError(f"serialize_keras_object: obj must be plain or have get_config; got {type(obj).__name__}.")


def deserialize_keras_object(
    config: Any,
    custom_objects: dict[str, Any] | None = None,
    safe_mode: bool = True,
    module_objects: dict[str, Any] | None = None,
) -> Any:
    """Return the object of a configuration that `serialize_keras_object`, lamina's or Keras's, returned.

    Parameters
    ----------
    config : object
    custom_objects, module_objects : dict, optional
        Name → class or function, for user-defined ones; `custom_objects` come first.
    safe_mode : bool
        Accepted as in Keras: a configuration never holds code here.

    Raises
    ------
    TypeError, ValueError
        A class or function is not known.
    """
    flag("deserialize_keras_object", "safe_mode", safe_mode)
    with custom.custom_object_scope(module_objects), custom.custom_object_scope(custom_objects):
        return restored(config)


def restored(config: Any, room: str = "") -> Any:
    """Return the object of a configuration, as `deserialize_keras_object` does.

    Where the configuration of an object, or of one in a list or dict, names no module, it is one of `room`
    (``"losses"``).
    """
    if isinstance(config, str):
        return custom.get_registered_object(config) or config
    if isinstance(config, (list, tuple)):
        return type(config)(restored(item, room) for item in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {key: restored(value, room) for key, value in config.items()}
    name, inner = config["class_name"], config["config"]
    if name == "__tuple__":
        return tuple(restored(item, room) for item in inner["value"])
    if isinstance(name, str) and name in _PLAIN:
        return _PLAIN[name](inner)
    return _function(config) if name == "function" else _object(config, room)


_PLAIN: dict[str, Any] = {
    "__bytes__": lambda inner: inner["value"].encode(),
    **dict.fromkeys(("__numpy__", "__tensor__"), lambda inner: np.array(inner["value"], inner["dtype"])),
    "__ellipsis__": lambda inner: Ellipsis,
    "__slice__": lambda inner: slice(inner["start"], inner["stop"], inner["step"]),
}


def _function(config: dict[str, Any]) -> Any:
    """Return the function that a configuration names: a registered one, or one of the library."""
    who = "deserialize_keras_object"
    name = text(who, "'config' of a function", config["config"])
    found = find_item(name, config, find_function)
    if found is None:
        raise unknown_item(who, "function", name, config, function_names())
    return found


def _object(config: dict[str, Any], room: str) -> Any:
    """Return an object of a user-defined class, or of the library's class in the module that `config` names."""
    who = "deserialize_keras_object"
    name = text(who, "'class_name'", config["class_name"])
    rooms = _rooms(str(config.get("module") or f"lamina.{room}"))
    found = find_item(name, config, lambda known: _only_class(who, known, rooms))
    if found is None:
        raise unknown_item(who, "class", name, config, {kind for one in rooms for kind in registries[one].classes()})
    return made_from(who, "object", found, config)


def _rooms(module: str) -> list[str]:
    """Return the room that a module of lamina or Keras names; all rooms where it names none."""
    return [room for room in registries if f".{room}." in f".{module}."] or list(registries)


def _only_class(who: str, name: str, rooms: list[str]) -> Any:
    """Return the library's class of a name in some rooms (of one room: or alias), None if there is none.

    Raises
    ------
    ValueError
        Several rooms have different classes of that name.
    """
    if len(rooms) == 1:
        return registries[rooms[0]].class_named(name)
    found = {registries[room].classes().get(name): None for room in rooms}
    found.pop(None, None)
    if len(found) > 1:
        modules = sorted(str(module_of(kind)) for kind in found)
        raise ValueError(f"{who}: 'module' must say which {name} is meant: that of {' or '.join(modules)}.")
    return next(iter(found), None)
