"""Refuses subinterpreters: the compiled core works only in the main interpreter of a process."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["refuse_subinterpreters"]

# CPython's private module for subinterpreters: its name up to 3.12, and since 3.13.
_MODULES = ("_xxsubinterpreters", "_interpreters")


def refuse_subinterpreters() -> None:
    """Raise ImportError in a subinterpreter, where importing the core would hang or share its state."""
    for name in _MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if _number(module.get_current()) != _number(module.get_main()):
            raise ImportError(
                "lamina: it can be imported only in the main interpreter of a process; this is a subinterpreter."
            )


def _number(interpreter: Any) -> int:
    """Return an interpreter's id; since 3.13 it is the first item of a tuple."""
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)


refuse_subinterpreters()
