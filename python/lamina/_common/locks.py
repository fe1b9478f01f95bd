"""Locks of objects that several threads may use: `Once` for lazy initialization, `Turn` for training.

All are re-entrant. They are unlocked in the child of a fork, and in a copy or a pickle. Ctrl-C ends a wait for them. A
signal handler that raises never leaves one locked: what holds a lock is an object of its own, which releases it when
the block ends or, if a handler raised before the block began, when nobody has the object any more.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from lamina import _core

__all__ = ["Once", "Turn"]


class _Fork:
    """Counts the forks between this process and the one that imported the module."""

    generation = 0
    renewing = threading.Lock()  # held while a lock that a fork has copied is replaced

    @classmethod
    def happened(cls) -> None:
        """Count a fork; runs in the child, before it has other threads."""
        cls.generation += 1
        cls.renewing = threading.Lock()


if hasattr(os, "register_at_fork"):  # there is no fork on Windows
    os.register_at_fork(after_in_child=_Fork.happened)


class _Lock:
    """A re-entrant lock that is unlocked in the child of a fork."""

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self._generation = _Fork.generation

    @property
    def lock(self) -> Any:
        """The `threading.RLock`; replaced by a new one after a fork."""
        if self._generation != _Fork.generation:
            with _core.taking(_Fork.renewing):
                if self._generation != _Fork.generation:
                    self._lock = threading.RLock()
                    self._generation = _Fork.generation
        return self._lock

    @property
    def held(self) -> bool:
        """Whether the calling thread holds the lock."""
        return bool(self.lock._is_owned())  # Python has no public name for it; its Condition asks the same way

    def __reduce__(self) -> Any:
        return type(self), ()


class Once(_Lock):
    """Lock for an attribute that is created on first use, so that only one thread creates it.

    Use ``with once.taken(): …`` and check again inside whether the attribute exists. Creating it may run user code;
    other threads that need it wait meanwhile.
    """

    def taken(self) -> _core.Taking:
        """Return a context manager that waits for the lock and holds it."""
        return _core.taking(self.lock)


class _Held(threading.local):
    """Turns, of any model, that the thread may hold; it may have released some already, or failed to get them."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []


_held = _Held()


class Turn(_Lock):
    """Lock of a model, held by the thread that trains or evaluates it: ``with turn.of(who): …``.

    The holder runs user code (metrics, callbacks), which may need the turn of another model. To avoid deadlocks, a
    thread waits only for a turn of a higher rank than every turn that it holds. Otherwise `of` raises if another thread
    holds the turn.

    Parameters
    ----------
    rank : int
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def of(self, who: str) -> _core.Taking:
        """Return a context manager that waits for the turn and holds it; `who` begins the error message."""
        if self._must_not_wait():
            return _core.taking(
                self.lock,
                f"{who}: the model must not be in use by another thread; that thread may be waiting for the model in "
                "whose step or callback this is called. Call it outside of these.",
            )
        return _core.taking(self.lock)

    def if_free(self, refusal: str) -> _core.Taking:
        """Return a context manager that holds the turn, or raises if any thread, even this one, holds it already."""
        if self.held:
            raise RuntimeError(refusal)
        _held.turns.append(self)
        return _core.taking(self.lock, refusal)

    def taken_elsewhere(self) -> bool:
        """Return whether another thread holds the turn."""
        return not self.held and not _core.is_free(self.lock)

    def _must_not_wait(self) -> bool:
        """Return whether waiting could deadlock: this thread holds another turn of the same or a higher rank."""
        _held.turns = [turn for turn in _held.turns if turn.held]
        found = any(turn.rank >= self.rank for turn in _held.turns)
        _held.turns.append(self)
        return found and not self.held

    def __reduce__(self) -> Any:
        return type(self), (self.rank,)
