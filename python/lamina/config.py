"""Global settings: the default dtype, and the epsilon of the probability losses."""

from __future__ import annotations

import numpy as np

from lamina._common.checks import KindError, number, short
from lamina._common.output import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)

__all__ = [
    "backend",
    "disable_interactive_logging",
    "disable_traceback_filtering",
    "enable_interactive_logging",
    "enable_traceback_filtering",
    "epsilon",
    "floatx",
    "image_data_format",
    "is_interactive_logging_enabled",
    "set_epsilon",
    "set_floatx",
]  # fmt: skip

_FLOAT_TYPES = ("float32", "float64")
_floatx = "float32"
_epsilon = 1e-7


def floatx() -> str:
    """Return the default dtype of layers: ``"float32"`` or ``"float64"``.

    Examples
    --------
    >>> floatx()
    'float32'
    """
    return _floatx


def set_floatx(value: str) -> None:
    """Set the default dtype of layers that are created from now on.

    Parameters
    ----------
    value : {"float32", "float64"}

    Raises
    ------
    ValueError
        Any other dtype.
    """
    global _floatx
    _floatx = check_float_type("set_floatx", value)


def epsilon() -> float:
    """Return the small number that keeps probabilities away from 0 and 1, ``1e-7``."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Refuse to change `epsilon`: the compiled losses have it built in.

    Raises
    ------
    ValueError
        Any value but ``1e-7``.
    """
    if number("set_epsilon", "value", value) != _epsilon:
        raise ValueError(f"set_epsilon: value must be {_epsilon}, as the compiled losses have it; got {value}.")


def backend() -> str:
    """Return ``"lamina"``."""
    return "lamina"


def image_data_format() -> str:
    """Return ``"channels_last"``: the channels of a pixel lie along the last axis."""
    return "channels_last"


def enable_traceback_filtering() -> None:
    """Do nothing: tracebacks are never filtered."""


def disable_traceback_filtering() -> None:
    """Do nothing: tracebacks are never filtered."""


def any_dtype(who: str, value: object) -> str | None:
    """Return the name of a dtype of real numbers, None for None; raise for anything else."""
    if value is None:
        return None
    name = dtype_name(value)
    try:
        kind = "f" if name == "bfloat16" else np.dtype(name).kind if name is not None else ""
    except (TypeError, UnicodeError):
        kind = ""
    if kind not in tuple("iufb"):
        raise KindError(f"{who}: dtype must be one of real numbers; got {short(value)}.")
    return name


def dtype_name(value: object) -> str | None:
    """Return the name of a dtype: a string, a type, a NumPy dtype or the configuration of a Keras dtype policy."""
    if isinstance(value, dict):
        inner = value.get("config")
        return dtype_name(inner.get("name")) if isinstance(inner, dict) else None
    if isinstance(value, str):
        return value
    found = getattr(value, "name", None) or getattr(value, "__name__", None)
    return None if found is None else str(found)


def dtype_config(name: str) -> dict[str, object]:
    """Return a layer's dtype in the form of Keras's configurations."""
    return {"module": "keras", "class_name": "DTypePolicy", "config": {"name": name}, "registered_name": None}


def check_float_type(who: str, value: object) -> str:
    """Return the name of a float dtype that lamina computes in, or raise."""
    name = dtype_name(value)
    if name not in _FLOAT_TYPES:
        raise ValueError(f"{who}: dtype must be 'float32' or 'float64'; got {short(value)}.")
    return str(name)
