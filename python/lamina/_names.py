"""Looking up things by their string names, with a suggestion where the name is unknown."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import chain, count
from typing import Any, Self, TypeVar

from lamina import _registration
from lamina._checks import KindError, arguments, short, text

T = TypeVar("T")

_uids: dict[str, count[int]] = {}


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
        return cls(**arguments(cls, config))


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


def look_up(
    who: str,
    what: str,
    identifier: object,
    classes: Mapping[str, Callable[..., T]],
    kind: type[T] | None,
    functions: bool = False,
) -> T:
    """Return an instance from a name, a ``{"class_name", "config"}`` dict, a class or an instance.

    Parameters
    ----------
    who, what : str
        For the message: the caller and what is looked for.
    identifier : str, dict, class or instance
    classes : mapping of str to class
        What names stand for.
    kind : type or None
        What an instance must be, if not of one of `classes`; None where a configuration may be of anything.
    functions : bool
        Whether a function of the user's own is returned, too.
    """
    if kind is not None and isinstance(identifier, kind):
        return identifier
    if isinstance(identifier, str):
        factory = _known(identifier, identifier, classes)
        if factory is None:
            raise unknown_name(who, what, identifier, classes)
        if functions and callable(factory) and not isinstance(factory, type):
            return factory  # type: ignore[no-any-return]  # for the caller to wrap
        return _of_kind(who, what, factory() if isinstance(factory, type) else factory, classes, kind)
    if isinstance(identifier, dict) and "class_name" in identifier:
        name = text(who, f"'class_name' of {what}", identifier["class_name"])
        if name == "function":  # by the name it is registered under, or the library's
            function = identifier.get("registered_name") or identifier.get("config")
            if not isinstance(function, str):
                raise KindError(f"{who}: {what} must name its function in 'config'; got {short(function)}.")
            return look_up(who, what, function, classes, kind, functions)
        factory = _known(str(identifier.get("registered_name") or name), name, classes)
        if factory is None:
            raise unknown_name(who, what, name, classes)
        if not hasattr(factory, "from_config"):
            raise KindError(f"{who}: {what} must be a class with from_config; {name!r} is {factory!r}.")
        return _of_kind(who, what, factory.from_config(identifier.get("config", {})), classes, kind)
    if kind is not None and isinstance(identifier, type) and issubclass(identifier, kind):
        return identifier()
    wanted = "configuration" if kind is None else kind.__name__
    raise KindError(f"{who}: {what} must be a name or a {wanted}; got {type(identifier).__name__}.")


def _of_kind(who: str, what: str, made: Any, classes: Mapping[str, Any], kind: type[T] | None) -> T:
    """Return what was made, or raise where it is of another kind."""
    own = tuple(known for known in classes.values() if isinstance(known, type))
    if kind is not None and not isinstance(made, (kind, *own)):
        raise KindError(f"{who}: {what} must be a {kind.__name__}; the name stands for {short(made)}.")
    return made  # type: ignore[no-any-return]  # T


def redefines(kind: type, method: str, reference: str) -> bool:
    """Return whether a class has a method of its own, further down than the one that says how it is compiled."""
    for base in kind.__mro__:
        if reference in base.__dict__:
            return False
        if method in base.__dict__:
            return True
    return False


def required(who: str, what: str, found: T | None) -> T:
    """Return what was found, or raise where it is None."""
    if found is None:
        raise KindError(f"{who}: {what} must be given; got None.")
    return found


def _known(registered: str, name: str, classes: Mapping[str, Callable[..., T]]) -> Any:
    """Return what a name stands for: the user's own under its full name, the library's, the user's without package."""
    return _registration.get_registered_object(registered) or classes.get(name) or _registration.find(registered)


def registry(*entries: tuple[type[T], str]) -> dict[str, type[T]]:
    """Return a table of classes by name, given (class, "further names separated by blanks")."""
    return {name: kind for kind, names in entries for name in (*names.split(), kind.__name__)}


# Classes that Keras does not have: their configurations name lamina's module, all others Keras's, which reads them.
_OWN = frozenset({"L2Norm", "Quantile"})


class OfFunction:
    """What stands for a function of the user's: its configuration is the function's name, as in Keras."""

    function: Callable[..., Any]


def serialize(item: Any) -> dict[str, Any]:
    """Return the configuration of an object that has ``get_config``, with where its class is found, as Keras spells it.

    Returns
    -------
    dict
        ``"module"``, ``"class_name"``, ``"config"``, and ``"registered_name"`` for classes of the user's own.
    """
    if isinstance(item, OfFunction):
        name = name_of(item.function)
        registered_name = _registration.get_registered_name(item.function)
        return {"module": "builtins", "class_name": "function", "config": name, "registered_name": registered_name}
    kind = type(item)
    if not hasattr(item, "get_config") or isinstance(item, type):
        raise KindError(f"serialize: the object must have get_config; got {short(item)}.")
    module = kind.__module__
    registered: str | None = _registration.get_registered_name(kind)
    if module.startswith("lamina.") and registered == kind.__name__:
        package = "keras" if kind.__name__ not in _OWN else "lamina"
        where = module.split(".")[1]
        if module.endswith(".schedules"):
            where = "optimizers.schedules"
        module = package if where in ("models", "sequential") else f"{package}.{where}"
        registered = None
    return {"module": module, "class_name": kind.__name__, "config": item.get_config(), "registered_name": registered}


def name_of(function: Any) -> str:
    """Return the name under which a function can be found again, or raise where it has none."""
    name = getattr(function, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise KindError(f"serialize: {short(function)} must have a name, to be found again; write it with def.")
    return name


def serialize_optional(item: Any) -> dict[str, Any] | None:
    """Return the same, and None for None."""
    return None if item is None else serialize(item)


def snake_case(name: str) -> str:
    """Return ``CamelCase`` as ``camel_case``."""
    partly = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix`, then `prefix_1`, `prefix_2`, … in this process."""
    before = next(_uids.setdefault(prefix, count()))
    return prefix if before == 0 else f"{prefix}_{before}"


def unique(name: str, taken: Container[str]) -> str:
    """Return a name, or where it is taken the first of ``name_1``, ``name_2``, … that is not."""
    return next(one for one in chain([name], (f"{name}_{i}" for i in count(1))) if one not in taken)


def reset_names() -> None:
    """Begin again to count names."""
    _uids.clear()
