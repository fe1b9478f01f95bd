"""Locks of objects that several threads may use: first uses, and turns of training.

All are re-entrant, free in the child of a fork, and free in a copy or a pickle. Ctrl-C ends a wait for them. What the
handler of a signal raises never leaves one taken: a ``with`` calls compiled methods, so between taking a lock and
entering the block there is no Python code in which it could be raised.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from lamina import _core

__all__ = ["Once", "Turn"]


class _Fork:
    """How many forks lie between this process and the one that imported the module."""

    generation = 0
    renewing = threading.Lock()  # of locks that a fork has copied

    @classmethod
    def happened(cls) -> None:
        """Note it, in the child, before it has other threads."""
        cls.generation += 1
        cls.renewing = threading.Lock()


os.register_at_fork(after_in_child=_Fork.happened)


class _Lock:
    """A re-entrant lock that in the child of a fork nobody holds."""

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()
        self._generation = _Fork.generation

    @property
    def lock(self) -> Any:
        """Python's lock."""
        if self._generation != _Fork.generation:
            with _Fork.renewing:
                if self._generation != _Fork.generation:
                    self._lock = threading.RLock()
                    self._generation = _Fork.generation
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

    def of(self, who: str) -> Any:
        """Return a context manager that waits for the turn and holds it; `who` begins the message of a refusal."""
        if self._must_not_wait():
            return _core.TakenAtOnce(
                self.lock,
                f"{who}: the model must not be in use by another thread; that thread may be waiting for the model in "
                "whose step or callback this is called. Call it outside of these.",
            )
        return self.lock

    def if_free(self, refusal: str) -> _core.TakenAtOnce:
        """Return a context manager that holds a turn which nobody has, not even this thread; else this raises."""
        if self.held:
            raise RuntimeError(refusal)
        _held.turns.append(self)
        return _core.TakenAtOnce(self.lock, refusal)

    def taken_elsewhere(self) -> bool:
        """Return whether another thread has the turn."""
        return not self.held and not _core.is_free(self.lock)

    def _must_not_wait(self) -> bool:
        """Return whether the thread holds turns for whose end the holder of this one may be waiting."""
        _held.turns = [turn for turn in _held.turns if turn.held]
        found = any(turn.rank >= self.rank for turn in _held.turns)
        _held.turns.append(self)
        return found and not self.held

    def __reduce__(self) -> Any:
        return type(self), (self.rank,)
