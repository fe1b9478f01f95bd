"""Delays Ctrl-C (SIGINT) during code that must not be left half done."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lamina import _core

__all__ = ["interrupts_later", "interrupts_now"]


def interrupts_later() -> AbstractContextManager[Any]:
    """Return a context manager that delays SIGINT until its block ends, then delivers it.

    Does nothing outside the main thread: signal handlers do not run there. Exceptions that handlers of other signals
    raise are not delayed.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        return nullcontext()
    return _core.InterruptsLater(previous)


def interrupts_now() -> AbstractContextManager[Any]:
    """Return a context manager for user code inside `interrupts_later`: in its block SIGINT comes at once."""
    return _core.InterruptsNow() if threading.current_thread() is threading.main_thread() else nullcontext()
