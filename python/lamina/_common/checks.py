"""Checks of scalar arguments, and the errors for a missing build or compile."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "KindError", "NotBuiltError", "NotCompiledError", "arguments", "choice", "flag", "function", "integer", "integers",
    "is_sparse", "listed", "mapping", "number", "numbers", "only_none", "short", "sizes", "store_arrays",
    "stored_arrays", "text",
]  # fmt: skip


class KindError(TypeError, ValueError):
    """An argument of the wrong kind. A ValueError too: that is what Keras raises, and code written for it catches."""


class NotBuiltError(ValueError, AttributeError):
    """The attribute exists only once a layer or model is built. An AttributeError too, so that hasattr works."""


class NotCompiledError(RuntimeError, AttributeError, ValueError):
    """The model is not compiled. An AttributeError too, so that hasattr works, and a ValueError, as in Keras."""


def integer(who: str, name: str, value: Any, least: int = 1, most: int = 2**63 - 1) -> int:
    """Return `value` as an int from `least` to `most`, or raise."""
    if isinstance(value, (bool, np.bool_)):
        raise KindError(f"{who}: {name} must be an int; got bool.")
    try:
        whole = operator.index(value)
    except TypeError:
        raise KindError(f"{who}: {name} must be an int; got {type(value).__name__}.") from None
    if whole < least:
        raise ValueError(f"{who}: {name} must be >= {least}; got {short(whole)}.")
    if whole > most:
        raise ValueError(f"{who}: {name} must be <= {most}; got {short(whole)}.")
    return whole


def number(
    who: str,
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> float:
    """Return a finite number in [`least`, `most`], > `above` and < `below`, as a float; or raise."""
    if isinstance(value, bool) or not _is_number(value):
        raise KindError(f"{who}: {name} must be a number; got {type(value).__name__}.")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf if value > 0 else -math.inf
    if not (math.isfinite(result) and least <= result <= most and above < result < below):
        low = f">= {least:g}" if least > above else f"> {above:g}"
        if min(most, below) != math.inf:
            first = f"[{least:g}" if least > above else f"({above:g}"
            wanted = f"in {first}, {most:g}]" if most < below else f"in {first}, {below:g})"
        else:
            wanted = "finite" if max(least, above) == -math.inf else f"{low} and finite"
        raise ValueError(f"{who}: {name} must be {wanted}; got {short(value)}.")
    return result


def _is_number(value: Any) -> bool:
    """Return whether a value is one real number, of Python or NumPy; a timedelta is not."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.ndim == 0 and value.dtype.kind in "iuf"
    return isinstance(value, (int, float))


def flag(who: str, name: str, value: Any) -> bool:
    """Return True or False, or raise."""
    if not isinstance(value, (bool, np.bool_)) and not (isinstance(value, (int, float)) and value in (0, 1)):
        raise KindError(f"{who}: {name} must be True or False; got {short(value)}.")
    return bool(value)


def choice(who: str, name: str, value: Any, choices: Sequence[Any]) -> Any:
    """Return `value` if it is one of `choices` (names, numbers or None); or raise."""
    for known in choices:
        if value is known or (type(value) is type(known) and isinstance(value, (str, int)) and value == known):
            return known
    wanted = ", ".join(repr(known) for known in choices)
    raise (ValueError if isinstance(value, (str, int)) else KindError)(
        f"{who}: {name} must be one of {wanted}; got {short(value)}."
    )


def text(who: str, name: str, value: Any) -> str:
    """Return a str that UTF-8 can encode, or raise."""
    if not isinstance(value, str):
        raise KindError(f"{who}: {name} must be a str; got {type(value).__name__}.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{who}: {name} must be text that can be encoded; got {value!a}.") from None
    return value


def function(who: str, name: str, value: Any) -> Any:
    """Return `value` if it is callable, or raise."""
    if not callable(value):
        raise KindError(f"{who}: {name} must be callable; got {type(value).__name__}.")
    return value


def is_sparse(value: Any) -> bool:
    """Return whether `value` is one of SciPy's sparse matrices or arrays."""
    return type(value).__module__.startswith("scipy.sparse")


def listed(who: str, name: str, value: Any) -> list[Any]:
    """Return the items of an iterable that is no text, mapping or sparse matrix as a list, or raise."""
    single = isinstance(value, (str, bytes, Mapping)) or (isinstance(value, np.ndarray) and not value.ndim)
    if single or not isinstance(value, Iterable) or is_sparse(value):
        raise KindError(f"{who}: {name} must be a list; got {short(value)}.")
    return list(value)


def mapping(who: str, name: str, value: Any) -> dict[str, Any]:
    """Return a mapping with str keys as a dict, or raise."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise KindError(f"{who}: {name} must be a dict by names; got {short(value)}.")
    return dict(value)


def store_arrays(who: str, store: Any, arrays: Sequence[Any]) -> None:
    """Put arrays into a mapping under the keys ``"0"``, ``"1"``, …; raise if `store` is no mutable mapping."""
    if not isinstance(store, MutableMapping):
        raise KindError(f"{who}: store must be a dict; got {type(store).__name__}.")
    store.update({str(index): array for index, array in enumerate(arrays)})


def stored_arrays(who: str, store: Any, count: int) -> list[Any]:
    """Return the `count` arrays that `store_arrays` has put into a mapping, or raise if its keys differ."""
    if not isinstance(store, Mapping):
        raise KindError(f"{who}: store must be a dict; got {type(store).__name__}.")
    if set(store) != {str(index) for index in range(count)}:
        raise ValueError(f"{who}: store must hold {count} arrays, '0', '1', …; got {short(list(store))}.")
    return [store[str(index)] for index in range(count)]


def sizes(who: str, name: str, value: Any, least: int = 0) -> tuple[int, ...]:
    """Return a shape as a tuple of ints; one int is the shape of a vector. Raise if no array can have it."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_)):
        value = (value,)
    if not isinstance(value, (tuple, list)) and not (isinstance(value, np.ndarray) and value.ndim == 1):
        raise KindError(f"{who}: {name} must be a tuple of ints; got {short(value)}.")
    found = tuple(integer(who, f"a size in {name}", size, least) for size in value)
    if math.prod(found) >= 2**59:  # numbers of up to 16 bytes
        raise ValueError(f"{who}: {name} must be the shape of an array that memory can hold; got {short(found)}.")
    return found


def integers(who: str, name: str, value: Any, least: int = 1, most: int = 2**31 - 1) -> tuple[int, ...]:
    """Return an int, or several of them, as a tuple of ints from `least` to `most`; or raise."""
    return tuple(integer(who, name, one, least, most) for one in _several(who, name, "int", value))


def numbers(who: str, name: str, value: Any, least: float = -math.inf, most: float = math.inf) -> list[float]:
    """Return a number, or several of them, as a list of floats from `least` to `most`; or raise."""
    return [number(who, name, one, least, most) for one in _several(who, name, "number", value)]


def _several(who: str, name: str, kind: str, value: Any) -> Iterable[Any]:
    if isinstance(value, (tuple, list, range)) or (isinstance(value, np.ndarray) and value.ndim == 1):
        return value
    if _is_number(value):
        return (value,)
    raise KindError(f"{who}: {name} must be one {kind} or a list of them; got {short(value)}.")


def arguments(kind: type, config: Any) -> dict[str, Any]:
    """Return a configuration as a dict of keyword arguments, or raise if `kind` does not accept them."""
    who = f"{kind.__name__}.from_config"
    if not isinstance(config, Mapping) or not all(isinstance(name, str) for name in config):
        raise KindError(f"{who}: config must be a dict of arguments by name; got {short(config)}.")
    try:
        inspect.signature(kind).bind(**config)
    except TypeError as error:
        raise KindError(f"{who}: config must hold the arguments of {kind.__name__}; {error}.") from None
    return dict(config)


def short(value: Any) -> str:
    """Return the text of a value for an error message, at most 80 characters."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 256:
        return f"an int of {value.bit_length()} bits"
    found = repr(value) if not isinstance(value, np.generic) else str(value)
    return found if len(found) <= 80 else f"{found[:77]}..."


def only_none(who: str, **arguments: Any) -> None:
    """Raise if an argument that only Keras supports is given (is not None)."""
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(f"{who}: {name} must be None: lamina has nothing that it could choose; got {value!r}.")
