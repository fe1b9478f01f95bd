"""Names: errors for unknown ones, unique ones, and messages for Keras names that lamina lacks."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import chain, count
from typing import Any, TypeVar

from lamina._common.checks import KindError

T = TypeVar("T")

_uids: dict[str, count[int]] = {}


def unknown_name(who: str, what: str, name: str, known: Iterable[str]) -> ValueError:
    """Return the error for an unknown name; its message suggests the nearest known one."""
    choices = sorted(known)
    hint = _suggestion(name.lower(), choices, cutoff=0.5)
    return ValueError(f"{who}: {what} must be one of {', '.join(choices)}; got {name!r}.{hint}")


def _suggestion(name: str, choices: list[str], cutoff: float = 0.6) -> str:
    """Return " Did you mean …?" with the nearest of some names, "" where none is near."""
    import difflib  # when a name is wrong: `import lamina` need not load it

    near = difflib.get_close_matches(name, choices, n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


def absences(module: str, namespace: Mapping[str, Any], absent: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``, whose AttributeError names an alternative to a missing Keras name.

    Parameters
    ----------
    module : str
        The module's name.
    namespace : mapping
        The module's globals; the message suggests the nearest name among them.
    absent : mapping
        Keras name that lamina lacks → explanation or alternative.
    """

    def __getattr__(name: str) -> Any:
        if name in absent:
            raise AttributeError(f"{module} has no {name!r}: {absent[name]}.")
        # Python itself asks modules for names like __path__, also while it imports.
        public = [] if name.startswith("__") else [known for known in namespace if not known.startswith("_")]
        hint = _suggestion(name, public) if public else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}.{hint}")

    return __getattr__


def redefines(kind: type, method: str, reference: str) -> bool:
    """Return whether `method` is overridden in a more derived class than the one that defines `reference`.

    The library's class defines `reference` beside the method, so True means that a user has overridden it.
    """
    for base in kind.__mro__:
        if reference in base.__dict__:
            return False
        if method in base.__dict__:
            return True
    return False


def required(who: str, what: str, found: T | None) -> T:
    """Return `found`, or raise if it is None."""
    if found is None:
        raise KindError(f"{who}: {what} must be given; got None.")
    return found


def snake_case(name: str) -> str:
    """Return ``CamelCase`` as ``camel_case``."""
    partly = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix` on the first call in this process, then `prefix_1`, `prefix_2`, …."""
    before = next(_uids.setdefault(prefix, count()))
    return prefix if before == 0 else f"{prefix}_{before}"


def unique(name: str, taken: Container[str]) -> str:
    """Return `name`, or if it is taken the first of ``name_1``, ``name_2``, … that is not."""
    return next(one for one in chain([name], (f"{name}_{i}" for i in count(1))) if one not in taken)


def reset_names() -> None:
    """Restart the counters of `unique_name`."""
    _uids.clear()
