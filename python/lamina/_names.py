"""Looking up things by their string names, with a suggestion where the name is unknown."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Self, TypeVar

T = TypeVar("T")

_uids: dict[str, int] = {}


def unknown_name(who: str, what: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for a name that is not known, with the nearest known one."""
    choices = sorted(known)
    near = difflib.get_close_matches(name.lower(), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"{who}: {what} must be one of {', '.join(choices)}; got {name!r}.{hint}")


class Configurable:
    """What can be made again from its arguments."""

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same object."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return an object from `get_config`."""
        return cls(**config)


def lazily(
    package: str, name: str, modules: Mapping[str, str], absent: Mapping[str, str], namespace: dict[str, Any]
) -> Any:
    """Return what a package offers under a name, importing it; what a package's ``__getattr__`` does.

    Parameters
    ----------
    modules : mapping
        Name → the package's module that holds it, or that it is.
    absent : mapping
        Names of Keras that are not there → what there is instead.
    namespace : dict
        The package's globals, where what was found is kept.
    """
    if name in modules:
        module = importlib.import_module(f"{package}.{modules[name]}")
        namespace[name] = module if modules[name] == name else getattr(module, name)
        return namespace[name]
    if name in absent:
        raise AttributeError(f"{package} has no {name!r}: {absent[name]}.")
    near = difflib.get_close_matches(name, [n for n in (*namespace, *modules) if not n.startswith("_")], n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise AttributeError(f"module {package!r} has no attribute {name!r}.{hint}")


def look_up(who: str, what: str, identifier: object, classes: Mapping[str, Callable[..., T]], kind: type[T]) -> T:
    """Return an instance from a name, a ``{"class_name", "config"}`` dict, a class or an instance.

    Parameters
    ----------
    who, what : str
        For the message: the caller and what is looked for.
    identifier : str, dict, class or instance
    classes : mapping of str to class
        What names stand for.
    kind : type
        What an instance must be.
    """
    if isinstance(identifier, kind):
        return identifier
    if isinstance(identifier, str):
        if identifier not in classes:
            raise unknown_name(who, what, identifier, classes)
        return classes[identifier]()
    if isinstance(identifier, dict) and "class_name" in identifier:
        name = identifier["class_name"]
        if name not in classes:
            raise unknown_name(who, what, str(name), classes)
        factory: Any = classes[name]
        made: T = factory.from_config(identifier.get("config", {}))
        return made
    if isinstance(identifier, type) and issubclass(identifier, kind):
        return identifier()
    raise TypeError(f"{who}: {what} must be a name or a {kind.__name__}; got {type(identifier).__name__}.")


def registry(*entries: tuple[type[T], str]) -> dict[str, type[T]]:
    """Return a table of classes by name, given (class, "further names separated by blanks")."""
    return {name: kind for kind, names in entries for name in (*names.split(), kind.__name__)}


def serialize(item: Any) -> dict[str, Any]:
    """Return ``{"class_name", "config"}`` of an object that has ``get_config``."""
    return {"class_name": type(item).__name__, "config": item.get_config()}


def serialize_optional(item: Any) -> dict[str, Any] | None:
    """Return the same, and None for None."""
    return None if item is None else serialize(item)


def snake_case(name: str) -> str:
    """Return ``CamelCase`` as ``camel_case``."""
    partly = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix`, then `prefix_1`, `prefix_2`, … in this process."""
    count = _uids.get(prefix, 0)
    _uids[prefix] = count + 1
    return prefix if count == 0 else f"{prefix}_{count}"


def reset_names() -> None:
    """Begin again to count names."""
    _uids.clear()
