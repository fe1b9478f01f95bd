"""Names: errors for unknown ones, unique ones, and messages for Keras names that lamina lacks."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Container, Iterable, Mapping, MutableMapping
from itertools import chain, count
from typing import Any, NoReturn, TypeVar, cast

from lamina._common.checks import KindError, flag, text

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_uids: dict[str, count[int]] = {}  # of `unique_name`
_numbers: dict[str, count[int]] = {}  # of `get_uid`


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


# By module: Keras's names that it lacks, each with the reason or an alternative.
_absent: dict[str, Mapping[str, str]] = {}


def reason_for_absence(module: str, name: str) -> str | None:
    """Return why a module lacks a name of Keras's, None if nothing is known about the name."""
    return _absent.get(module, {}).get(name)


def absences(module: str, namespace: MutableMapping[str, Any], absent: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a module's ``__getattr__``, whose AttributeError names an alternative to a missing Keras name.

    Parameters
    ----------
    module : str
        The module's name.
    namespace : dict
        The module's globals; the message suggests the nearest name among them. They get an empty ``__path__``: Python
        then asks for a submodule of a missing name, and `lamina._common.imports` answers.
    absent : mapping
        Keras name that lamina lacks → explanation or alternative.
    """
    _absent[module] = absent
    namespace.setdefault("__path__", [])

    def __getattr__(name: str) -> Any:
        if name in absent:
            raise AttributeError(f"{module} has no {name!r}: {absent[name]}.")
        # Python itself asks modules for names like __path__, also while it imports.
        public = [] if name.startswith("__") else [known for known in namespace if not known.startswith("_")]
        hint = _suggestion(name, public) if public else ""
        raise AttributeError(f"module {module!r} has no attribute {name!r}.{hint}")

    return __getattr__


# Keras's names of arguments before version 2.3, and the present ones.
_OLD_ARGUMENTS = {
    "W_constraint": "kernel_constraint",
    "W_regularizer": "kernel_regularizer",
    "b_constraint": "bias_constraint",
    "b_regularizer": "bias_regularizer",
    "bias": "use_bias",
    "init": "kernel_initializer",
    "lr": "learning_rate",
    "nb_epoch": "epochs",
    "input": "inputs",
    "nb_val_samples": "validation_steps",
    "nb_words": "num_words",
    "output": "outputs",
    "output_dim": "units",
    "p": "rate",
    "period": "save_freq",
    "samples_per_epoch": "steps_per_epoch",
    "sigma": "stddev",
}


def unknown_argument(who: str, name: str) -> TypeError:
    """Return the error for an argument that does not exist; it says what an argument of older Keras is called now."""
    now = _OLD_ARGUMENTS.get(name)
    hint = "" if now is None else f" Keras calls it {now!r} now."
    return TypeError(f"{who}: unknown argument {name!r}.{hint}")


def with_present_names(method: F) -> F:
    """Return a method that raises `unknown_argument` for names of arguments of older Keras."""

    @functools.wraps(method)
    def checked(self: Any, *values: Any, **named: Any) -> Any:
        for name in _OLD_ARGUMENTS.keys() & named.keys():
            raise unknown_argument(f"{type(self).__name__}.{method.__name__}", name)
        return method(self, *values, **named)

    return cast(F, checked)


class Former:
    """A method of older Keras: reading it raises AttributeError, with what there is instead."""

    def __init__(self, instead: str) -> None:
        self._instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: Any, owner: type) -> NoReturn:
        raise AttributeError(f"{owner.__name__} has no {self._name!r}: {self._instead}.")


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
    partly = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix` on the first call in this process, then `prefix_1`, `prefix_2`, …."""
    before = next(_uids.setdefault(prefix, count()))
    return prefix if before == 0 else f"{prefix}_{before}"


def unique(name: str, taken: Container[str]) -> str:
    """Return `name`, or if it is taken the first of ``name_1``, ``name_2``, … that is not."""
    return next(one for one in chain([name], (f"{name}_{i}" for i in count(1))) if one not in taken)


def all_unique(names: Iterable[str]) -> list[str]:
    """Return names; of those that are the same all but the first become ``name_1``, ``name_2`` and so on."""
    found: dict[str, None] = {}
    for name in names:
        found[unique(name, found)] = None
    return list(found)


def get_uid(prefix: str = "") -> int:
    """Return the next number of a prefix, counting from 1."""
    return next(_numbers.setdefault(text("get_uid", "prefix", prefix), count(1)))


def clear_session(free_memory: bool = True) -> None:
    """Restart the numbering of automatic names. Models need no clearing: they are freed with their last reference.

    Parameters
    ----------
    free_memory : bool
        Accepted as in Keras, where it collects garbage.
    """
    flag("clear_session", "free_memory", free_memory)
    _uids.clear()
    _numbers.clear()
