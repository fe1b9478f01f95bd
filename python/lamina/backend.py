"""Functions of ``keras.backend`` that Keras code calls: names and precision. There is only one backend."""

from __future__ import annotations

import itertools
from typing import Any

from lamina._common.checks import flag, text
from lamina._common.names import reset_names
from lamina._data.arrays import any_array
from lamina.config import backend, epsilon, floatx, image_data_format, set_epsilon, set_floatx

__all__ = [
    "backend", "clear_session", "epsilon", "floatx", "get_uid", "get_value", "image_data_format", "set_epsilon",
    "set_floatx",
]  # fmt: skip

_uids: dict[str, itertools.count[int]] = {}


def clear_session(free_memory: bool = True) -> None:
    """Restart the numbering of automatic names. Models need no clearing: they are freed with their last reference.

    Parameters
    ----------
    free_memory : bool
        Accepted as in Keras, where it collects garbage.
    """
    flag("clear_session", "free_memory", free_memory)
    reset_names()
    _uids.clear()


def get_uid(prefix: str = "") -> int:
    """Return the next number of a prefix, counting from 1."""
    prefix = text("get_uid", "prefix", prefix)
    return next(_uids.setdefault(prefix, itertools.count(1)))


def get_value(x: Any) -> Any:
    """Return the values of a variable or an array."""
    return x.numpy() if hasattr(x, "numpy") else any_array("get_value", "x", x)
