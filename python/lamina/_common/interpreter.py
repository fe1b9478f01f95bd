"""Refuses interpreters inside an interpreter: the compiled core serves the first one of a process."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["refuse_subinterpreters"]

# CPython's own module of interpreters: up to 3.12, and since 3.13.
_MODULES = ("_xxsubinterpreters", "_interpreters")


def refuse_subinterpreters() -> None:
    """Raise ImportError in a subinterpreter: there the import of the core would wait for ever, or share its state."""
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
    """Return an interpreter's number, which 3.13 and later give with who made it."""
    return int(interpreter[0] if isinstance(interpreter, tuple) else interpreter)


refuse_subinterpreters()
