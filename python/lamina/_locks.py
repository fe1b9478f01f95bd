"""Locks of objects that several threads may use: first uses, and turns of training.

All are re-entrant, free in the child of a fork, and free in a copy or a pickle. Ctrl-C ends a wait for them, and never
leaves one taken: a ``with`` calls the methods of Python's own lock, so between taking the lock and entering the block
there is no Python code in which KeyboardInterrupt could be raised.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from lamina._interrupts import interrupts_later

__all__ = ["Once", "Turn"]


class _Lock:
    """A re-entrant lock that in the child of a fork nobody holds."""

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._lock, self._process = threading.RLock(), os.getpid()

    @property
    def lock(self) -> Any:
        """Python's lock."""
        if self._process != os.getpid():
            self._renew()
        return self._lock

    @property
    def held(self) -> bool:
        """Whether the calling thread has it."""
        return bool(self.lock._is_owned())

    def __reduce__(self) -> Any:
        return type(self), ()


class Once(_Lock):
    """Guards what an object makes on first use, so that it is made once, whoever comes first.

    ``with once: …`` and, inside, look again whether it is there. Making it may run code of the user's, while other
    threads that need the same thing wait.
    """

    @property
    def __enter__(self) -> Any:
        return self.lock.__enter__

    @property
    def __exit__(self) -> Any:
        return self.lock.__exit__


class _Held(threading.local):
    """The turns that the thread holds, of any model; some of them it may have given back, or not got."""

    def __init__(self) -> None:
        self.turns: list[Turn] = []


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
        self.rank = rank

    def of(self, who: str) -> _Taken:
        """Return a context manager that waits for the turn and holds it; `who` begins the message of a refusal."""
        return _Taken(self, who)

    def if_free(self, refusal: str) -> _TakenIfFree:
        """Return a context manager that holds a turn which nobody has, not even this thread; else it raises."""
        return _TakenIfFree(self, refusal)

    def taken_elsewhere(self) -> bool:
        """Return whether another thread has the turn."""
        if self.held:
            return False
        with interrupts_later():
            free = self.lock.acquire(False)
            if free:
                self.lock.release()
        return not free

    def must_not_wait(self) -> bool:
        """Return whether the thread holds turns for whose end the holder of this one may be waiting."""
        _held.turns = [turn for turn in _held.turns if turn.held]
        found = any(turn.rank >= self.rank for turn in _held.turns)
        _held.turns.append(self)
        return found and not self.held

    def __reduce__(self) -> Any:
        return type(self), (self.rank,)


class _Exit:
    """A context manager that gives a turn back."""

    def __init__(self, turn: Turn, words: str) -> None:
        self._turn, self._words = turn, words

    def _take_without_waiting(self, refusal: str) -> None:
        taken = False
        try:
            with interrupts_later():
                taken = self._turn.lock.acquire(False)
        except BaseException:
            if taken:
                self._turn.lock.release()
            raise
        if not taken:
            raise RuntimeError(refusal)

    @property
    def __exit__(self) -> Any:
        return self._turn.lock.__exit__


class _Taken(_Exit):
    @property
    def __enter__(self) -> Any:
        if self._turn.must_not_wait():
            return self._refuse_to_wait
        return self._turn.lock.__enter__

    def _refuse_to_wait(self) -> None:
        self._take_without_waiting(
            f"{self._words}: the model must not be in use by another thread; that thread may be waiting for the model "
            "in whose step or callback this is called. Call it outside of these."
        )


class _TakenIfFree(_Exit):
    def __enter__(self) -> None:
        if self._turn.held:
            raise RuntimeError(self._words)
        _held.turns.append(self._turn)
        self._take_without_waiting(self._words)
