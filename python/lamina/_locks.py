"""Locks of objects that several threads may use: first uses, and turns of training.

Both kinds are re-entrant, free in the child of a fork, and free in a copy or a pickle. Ctrl-C ends a wait for them.
"""

from __future__ import annotations

import os
import threading
from typing import Any

__all__ = ["Once", "Turn"]


class _Lock:
    """A re-entrant lock that in the child of a fork nobody holds."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock, self._process, self.depth = threading.RLock(), os.getpid(), 0

    def acquire(self, wait: bool = True) -> bool:
        """Take the lock; return whether the thread holds it now."""
        if self._process != os.getpid():
            self._renew()
        if not self._lock.acquire(wait):
            return False
        self.depth += 1
        return True

    def release(self) -> None:
        """Give it back; in the child of a fork, what its parent took is gone already."""
        if self._process != os.getpid() or not self.depth:
            return
        self.depth -= 1
        self._lock.release()

    def __reduce__(self) -> Any:
        return type(self), ()


class Once(_Lock):
    """Guards what an object makes on first use, so that it is made once, whoever comes first.

    ``with once: …`` and, inside, look again whether it is there. Making it may run code of the user's, while other
    threads that need the same thing wait.
    """

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Held(threading.local):
    """The ranks of the turns that the thread holds, of any model."""

    def __init__(self) -> None:
        self._ranks: list[int] = []
        self._process = os.getpid()

    @property
    def ranks(self) -> list[int]:
        if self._process != os.getpid():
            self._ranks, self._process = [], os.getpid()
        return self._ranks


_held = _Held()


class Turn(_Lock):
    """Whose turn it is, of the threads that use a model: ``with turn.of(who): …``.

    Who holds a turn runs code of the user's (metrics, callbacks), which may ask for the turn of another model. A thread
    waits only for turns of a higher rank than all that it holds, so no two threads wait for each other; where it must
    not wait, a turn that is taken is refused.

    Parameters
    ----------
    rank : int
    """

    def __init__(self, rank: int) -> None:
        super().__init__()
        self._rank = rank

    def of(self, who: str) -> _Taken:
        """Return a context manager that waits for the turn and holds it; `who` begins the message of a refusal."""
        return _Taken(self, who)

    def take(self, who: str) -> None:
        """Wait for the turn and take it; `give_back` ends it."""
        if not self.acquire(wait=False):
            if any(rank >= self._rank for rank in _held.ranks):
                raise RuntimeError(
                    f"{who}: the model must not be in use by another thread; that thread may be waiting for the model "
                    "in whose step or callback this is called. Call it outside of these."
                )
            self.acquire()
        _held.ranks.append(self._rank)

    def take_if_free(self) -> bool:
        """Take a turn that nobody holds, not even this thread; return whether it was free."""
        if not self.acquire(wait=False):
            return False
        if self.depth > 1:
            self.release()
            return False
        _held.ranks.append(self._rank)
        return True

    def taken_elsewhere(self) -> bool:
        """Return whether another thread has the turn."""
        free = self.acquire(wait=False)
        if free:
            self.release()
        return not free

    def give_back(self) -> None:
        """End a turn."""
        if self._rank in _held.ranks:  # else it was taken in the parent of a fork
            _held.ranks.remove(self._rank)
        self.release()

    def __reduce__(self) -> Any:
        return type(self), (self._rank,)


class _Taken:
    def __init__(self, turn: Turn, who: str) -> None:
        self._turn, self._who = turn, who

    def __enter__(self) -> None:
        self._turn.take(self._who)

    def __exit__(self, *_: object) -> None:
        self._turn.give_back()
