"""Registries: the public names of the library's classes and functions.

Each public package (`lamina.losses`, `lamina.layers`, …), called a room here, registers its classes under their names.
Configurations and files hold these names, never the path of a class in the source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from lamina._common import custom
from lamina._common.checks import KindError, short, text
from lamina._common.names import unknown_name

__all__ = [
    "LAMBDA", "ConfigurationError", "Registry", "find_function", "find_item", "function_names", "is_public",
    "made_from", "module_of", "register_functions", "registries", "unknown_item",
]  # fmt: skip

T = TypeVar("T")

registries: dict[str, Registry[Any]] = {}  # by room
_functions: dict[str, dict[str, Callable[..., Any]]] = {}  # by room, then by name
_modules: dict[Any, str] = {}  # class or function → its "module" in configurations
# Name of all functions that are lambda expressions.
LAMBDA = "<lambda>"
# First parts of "module" in configurations of Keras's classes and functions, and of lamina's.
_LIBRARIES = ("lamina", "keras", "tensorflow", "tf_keras", "builtins")


class ConfigurationError(KindError):
    """The class or function that a configuration names is not known, or does not fit the configuration.

    Where a file holds the configuration, the file is whole: what is missing or has changed is code.
    """


class Registry(Generic[T]):
    """The classes of one room, by their names and aliases.

    Parameters
    ----------
    room : str
        ``"losses"`` for `lamina.losses`.
    noun : str
        Word for an instance in error messages.
    kind : type
        Base class of the instances.
    *entries : tuple of (class, str)
        A class and its aliases, separated by blanks.
    own : iterable of class
        Classes that Keras does not have. Configurations of the others name Keras's module, so that Keras can read them.
    fold_case : bool
        Whether names are case-insensitive.
    from_function : callable, optional
        Converts a user's function to an instance; if omitted, functions are refused.
    """

    def __init__(
        self,
        room: str,
        noun: str,
        kind: type[T],
        *entries: tuple[type[Any], str],
        own: Iterable[type] = (),
        fold_case: bool = False,
        from_function: Callable[[Any], T] | None = None,
    ) -> None:
        self._room, self._noun, self._kind = room, noun, kind
        self._fold_case, self._from_function = fold_case, from_function
        self._kinds: tuple[type, ...] = (kind,)
        self._by_name: dict[str, type[Any]] = {}
        for entry, aliases in entries:
            self.add(entry, aliases, "lamina" if entry in own else "keras")
        registries[room] = self

    def add(self, kind: type, aliases: str = "", package: str = "keras", room: str | None = None) -> None:
        """Register a class, by default in this room; its instances are accepted even if `kind` is not its base."""
        if not issubclass(kind, self._kinds):
            self._kinds = (*self._kinds, kind)
        for name in (*aliases.split(), kind.__name__):
            self._by_name[self._key(name)] = kind
        room = self._room if room is None else room
        _modules[kind] = f"{package}.{room}" if room else package

    def accept(self, kind: type) -> None:
        """Accept instances of a class that is no subclass of the room's, and of its subclasses; it gets no name."""
        self._kinds = (*self._kinds, kind)

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._key(name) in self._by_name

    def class_named(self, name: str) -> type[Any] | None:
        """Return the class of a name or alias, None if there is none."""
        return self._by_name.get(self._key(name))

    def classes(self) -> dict[str, type[Any]]:
        """Return the classes by the name that configurations hold."""
        return {kind.__name__: kind for kind in self._by_name.values()}

    def _key(self, name: str) -> str:
        return name.lower() if self._fold_case else name

    def get(self, identifier: object, who: str | None = None, what: str | None = None) -> T | None:
        """Return an instance from a name, a configuration, a class, an instance or a function; None for None.

        Parameters
        ----------
        identifier : str, dict, class, instance, function or None
            A dict has ``"class_name"`` and ``"config"``.
        who, what : str, optional
            The caller and the argument, for messages.

        Raises
        ------
        ValueError
            The name is not known; the message suggests the nearest.
        TypeError
            `identifier` is of none of these kinds.
        """
        if identifier is None:
            return None
        who, what = f"{self._room}.get" if who is None else who, what or self._noun
        found = self._resolve(who, what, identifier)
        if isinstance(found, self._kinds):
            return found  # type: ignore[return-value]  # T, or another class that `add` has registered
        if self._from_function is not None and callable(found) and not isinstance(found, type):
            return self._from_function(found)
        if isinstance(identifier, (str, dict)):
            raise self._of_another_kind(who, what, found)
        raise KindError(f"{who}: {what} must be a name or a {self._kind.__name__}; got {type(found).__name__}.")

    def _checked(self, who: str, what: str, made: Any) -> Any:
        """Return an object that was made by name, or raise if it is of the wrong kind."""
        if not isinstance(made, self._kinds):
            raise self._of_another_kind(who, what, made)
        return made

    def _of_another_kind(self, who: str, what: str, made: Any) -> KindError:
        return KindError(f"{who}: {what} must be a {self._kind.__name__}; the name stands for {short(made)}.")

    def _resolve(self, who: str, what: str, identifier: object) -> Any:
        """Return the object or function that an identifier stands for; the caller checks its kind."""
        if isinstance(identifier, str):
            return self._named(who, what, identifier, {})
        if isinstance(identifier, dict) and "class_name" in identifier:
            name = text(who, f"'class_name' of {what}", identifier["class_name"])
            if name == "function":
                function = identifier.get("config") or identifier.get("registered_name")
                if not isinstance(function, str):
                    raise KindError(f"{who}: {what} must name its function in 'config'; got {short(function)}.")
                return self._named(who, what, function, identifier)
            found = find_item(name, identifier, self.class_named)
            if found is None:
                raise unknown_item(who, what, name, identifier, self)
            return self._checked(who, what, made_from(who, what, found, identifier))
        if isinstance(identifier, type) and issubclass(identifier, self._kinds):
            return identifier()
        return identifier

    def _named(self, who: str, what: str, name: str, config: Mapping[str, Any]) -> Any:
        """Return an object of the class, or the function, that a name stands for, or a configuration of that name."""
        found = find_item(name, config, self.class_named)
        if found is None:
            raise unknown_item(who, what, name, config, self)
        return self._checked(who, what, found()) if isinstance(found, type) else found


def find_item(name: str, config: Mapping[str, Any], library: Callable[[str], Any]) -> Any:
    """Return the class or function that a configuration names, None if there is none.

    Searched in this order: objects that users registered under this full name (``"package>name"``) or put in scope,
    the library's, objects that users registered under this name in any package, and at last objects in scope under the
    name without its package. Where ``"registered_name"`` is another one, or ``"module"`` is neither lamina's nor
    Keras's, a user's is meant: neither the library's class or function of the same name stands for it, nor one that is
    registered for another package.

    Parameters
    ----------
    name : str
        The configuration's ``"class_name"``, or the name of its function.
    config : mapping
        Only ``"registered_name"`` and ``"module"`` are read; both may be missing.
    library : callable
        Returns the library's class or function of a name, or None.
    """
    registered = str(config.get("registered_name") or name)
    found = custom.get_registered_object(registered)
    if found is None and not _is_users(name, config):
        found = library(name)
        found = custom.find(registered) if found is None else found
    return custom.get_registered_object(name) if found is None else found


def _is_users(name: str, config: Mapping[str, Any]) -> bool:
    """Return whether a configuration says that its class or function is a user's."""
    registered, module = config.get("registered_name"), str(config.get("module") or "lamina")
    if registered is not None and "module" in config and config["module"] is None:  # as Keras writes user's classes
        return True
    return (registered or name) != name or module.split(".")[0] not in _LIBRARIES


def unknown_item(who: str, what: str, name: str, config: Mapping[str, Any], choices: Iterable[str]) -> ValueError:
    """Return the error for a configuration whose class or function `find_item` has not found among `choices`."""
    if not _is_users(name, config):
        unknown = unknown_name(who, what, name, choices)
        return ConfigurationError(str(unknown)) if config else unknown
    registered, module = config.get("registered_name") or name, config.get("module")
    if name == LAMBDA:
        return ConfigurationError(
            f"{who}: {what} is a lambda expression, and a configuration holds no code. Write it with def; or give "
            f"custom_objects={{{LAMBDA!r}: ...}}; or, where it is a loss or metric, load with compile=False."
        )
    of_module = f" of the module {module!r}" if registered == name else ""
    return ConfigurationError(
        f"{who}: {what} {registered!r}{of_module} must be registered, with "
        "lamina.saving.register_keras_serializable, or be in custom_objects."
    )


def made_from(who: str, what: str, kind: Any, config: Mapping[str, Any]) -> Any:
    """Return an object of a class from a configuration that names the class.

    Raises
    ------
    ConfigurationError
        The class is a user's, and cannot be made from it.
    """
    if not hasattr(kind, "from_config"):
        raise KindError(f"{who}: {what} must be a class with from_config; {config['class_name']!r} is {kind!r}.")
    inner = config.get("config", {})
    if is_public(kind):
        return kind.from_config(inner)
    try:
        return kind.from_config(inner)
    except ConfigurationError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        said = str(error).removesuffix(".")
        raise ConfigurationError(
            f"{who}: {what} could not be made: {kind.__name__}: {said}. Its from_config, or else its constructor, must "
            "take what its get_config returns."
        ) from error


def register_functions(room: str, functions: Mapping[str, Callable[..., Any]]) -> None:
    """Register the functions of a room under their names."""
    _functions.setdefault(room, {}).update(functions)
    for function in functions.values():
        _modules.setdefault(function, f"keras.{room}")


def function_names() -> list[str]:
    """Return the names of the library's functions."""
    return [name for known in _functions.values() for name in known]


def find_function(name: str) -> Callable[..., Any] | None:
    """Return the library's function of that name, None if there is none."""
    return next((known[name] for known in _functions.values() if name in known), None)


def module_of(item: Any) -> str | None:
    """Return the "module" of a class or function of the library in configurations; None for others."""
    return _modules.get(item)


def is_public(item: Any) -> bool:
    """Return whether a class or function belongs to the library and is registered."""
    return item in _modules
