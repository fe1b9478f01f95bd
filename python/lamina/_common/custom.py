"""User-defined classes and functions that configurations may name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from lamina._common.checks import KindError, mapping, short, text

__all__ = [
    "CustomObjectScope", "custom_object_scope", "find", "get_custom_objects", "get_registered_name",
    "get_registered_object", "is_registered", "register_keras_serializable",
]  # fmt: skip

T = TypeVar("T")

_objects: dict[str, Any] = {}  # registered name → class or function
_names: dict[Any, str] = {}  # class or function → registered name
_scope: ContextVar[dict[str, Any]] = ContextVar("custom objects", default={})  # noqa: B039  (never changed)


def register_keras_serializable(package: str = "Custom", name: str | None = None) -> Callable[[T], T]:
    """Return a decorator that makes a class or function known to configurations and files.

    Parameters
    ----------
    package : str
        First part of the registered name, ``"package>name"``.
    name : str, optional
        Second part; default: the name of the class or function.

    Examples
    --------
    >>> @register_keras_serializable("mine")
    ... class Cube:
    ...     def get_config(self):
    ...         return {}
    >>> get_registered_name(Cube)
    'mine>Cube'
    """
    package = text("register_keras_serializable", "package", package)
    if name is not None:
        name = text("register_keras_serializable", "name", name)

    def register(item: T) -> T:
        own: Any = getattr(item, "__name__", None)
        if own is None:
            raise KindError(f"register_keras_serializable: it takes a class or a function; got {short(item)}.")
        if inspect.isclass(item) and not hasattr(item, "get_config"):
            raise ValueError(f"register_keras_serializable: {own} must define get_config.")
        registered = f"{package}>{own if name is None else name}"
        _objects[registered] = item
        _names[item] = registered
        return item

    return register


def get_registered_name(obj: Any) -> str:
    """Return the name under which a class or function is registered; its own name if it is not."""
    if not callable(obj):
        raise KindError(f"get_registered_name: obj must be a class or a function; got {short(obj)}.")
    assigned = (name for name, known in _objects.items() if known is obj)  # through `get_custom_objects`
    return _names.get(obj) or next(assigned, None) or str(getattr(obj, "__name__", obj))


def is_registered(item: Any) -> bool:
    """Return whether a class or function is registered, or in scope."""
    return item in _names or any(item is known for known in (*_objects.values(), *_scope.get().values()))


def get_registered_object(
    name: str, custom_objects: dict[str, Any] | None = None, module_objects: dict[str, Any] | None = None
) -> Any:
    """Return the class or function of a name, or None.

    Parameters
    ----------
    name : str
    custom_objects, module_objects : dict, optional
        Searched last, after the objects in scope and the registered ones.
    """
    who = "get_registered_object"
    name = text(who, "name", name)
    given = (
        {} if objects is None else mapping(who, argument, objects)
        for argument, objects in (("custom_objects", custom_objects), ("module_objects", module_objects))
    )
    for known in (_scope.get(), _objects, *given):
        if name in known:
            return known[name]
    return None


def find(name: str) -> Any:
    """Return the class or function of a name, given with or without its package, or None."""
    found = get_registered_object(name)
    if found is None and ">" not in name:
        found = next((item for key, item in _objects.items() if key.rsplit(">", 1)[-1] == name), None)
    return found


def get_custom_objects() -> dict[str, Any]:
    """Return the dict of registered objects by name; objects put into it can be named by configurations."""
    return _objects


@contextmanager
def custom_object_scope(custom_objects: dict[str, Any] | None) -> Iterator[None]:
    """Let configurations name these objects within a ``with`` block.

    Parameters
    ----------
    custom_objects : dict
        Name → class or function.
    """
    own = {} if custom_objects is None else mapping("custom_object_scope", "custom_objects", custom_objects)
    before = _scope.get()
    try:  # set inside `try`: Ctrl-C may come right after it
        _scope.set(before | own)
        yield
    finally:
        _scope.set(before)


CustomObjectScope = custom_object_scope
