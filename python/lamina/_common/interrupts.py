"""Ctrl-C, put off while something must not be left half done."""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lamina import _core

__all__ = ["interrupts_later", "interrupts_now"]


def interrupts_later() -> AbstractContextManager[Any]:
    """Return a context manager that keeps SIGINT until its block ends, then delivers it.

    Elsewhere than on the main thread there are none. What handlers of other signals raise comes out of the block.
    """
    previous = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(previous):
        return nullcontext()
    return _core.InterruptsLater(previous)


def interrupts_now() -> AbstractContextManager[Any]:
    """Return a context manager for code of the user's inside such a block: there SIGINT comes at once."""
    return _core.InterruptsNow() if threading.current_thread() is threading.main_thread() else nullcontext()
