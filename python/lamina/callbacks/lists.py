"""CallbackList: calls the hooks of several callbacks."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

from lamina._common.checks import KindError, flag
from lamina.callbacks.base import HOOKS, OLDER_NAMES, Callback, FinishedEpochs, Logs, hooks_of
from lamina.callbacks.reporting import History, ProgbarLogger

__all__ = ["CallbackList", "checked"]

# A progress bar moves about once in this time.
_BAR_SECONDS = 0.1

_HOOKS_BY_OLDER_NAMES = {new: old for old, new in OLDER_NAMES.items()}


class CallbackList:
    """Calls the hooks of several callbacks, of each callback only those that it overrides.

    It has a method for each hook of `Callback`, for custom loops: ``callbacks.on_epoch_end(epoch, logs)``.

    Parameters
    ----------
    callbacks : Callback, or iterable of Callback, optional
    add_history, add_progbar : bool
        Whether to add a `History` or a `ProgbarLogger` if there is none.
    model : Sequential, optional
    **params
        ``epochs``, ``steps`` and ``verbose`` of the call.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ) -> None:
        who = "CallbackList"
        self.callbacks = checked(who, callbacks)
        for wanted, kind in (
            (flag(who, "add_history", add_history), History),
            (flag(who, "add_progbar", add_progbar), ProgbarLogger),
        ):
            if wanted and not any(isinstance(callback, kind) for callback in self.callbacks):
                self.callbacks.append(kind())
        self.set_model(model)
        self.set_params(params)

    def append(self, callback: Callback) -> None:
        """Add a callback."""
        self.callbacks += checked("CallbackList", callback)

    def set_model(self, model: Any) -> None:
        """Pass the model to all callbacks."""
        for callback in self.callbacks:
            callback.set_model(model)

    def set_params(self, params: dict[str, Any]) -> None:
        """Pass the parameters of the call to all callbacks."""
        self.params = params
        for callback in self.callbacks:
            callback.set_params(params)

    def __getattr__(self, name: str) -> Callable[..., None]:
        if name in HOOKS or name in OLDER_NAMES:
            return functools.partial(self.call, OLDER_NAMES.get(name, name))
        raise AttributeError(f"CallbackList has no {name!r}.")

    @property
    def _bars(self) -> list[Callback]:
        return [callback for callback in self.callbacks if callback.follows_batches]

    def _listeners(self, hook: str) -> list[Callable[..., None]]:
        """Return one hook of all callbacks whose class overrides it or that were assigned one, at any time."""
        older = _HOOKS_BY_OLDER_NAMES.get(hook)
        return [
            getattr(callback, hook)
            for callback in self.callbacks
            if hook in hooks_of(type(callback)) or hook in vars(callback) or older in vars(callback)
        ]

    def wants_batches(self, kind: str) -> bool:
        """Return whether a callback has a hook for batches of a kind: "train", "test" or "predict"."""
        return any(self._listeners(f"on_{kind}_batch_{when}") for when in ("begin", "end"))

    def stretches(self, rows: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield (first row, number of rows) of stretches of whole batches, short ones if there is a progress bar."""
        first, batches = 0, 1 if self._bars else -(-rows // size)
        while first < rows:
            begun = time.perf_counter()
            here = min(rows - first, batches * size)
            yield first, here
            first += here
            if time.perf_counter() - begun < _BAR_SECONDS / 2:
                batches *= 2

    def advance(self, batches: int, logs: Callable[[], Logs]) -> None:
        """Move the progress bars."""
        for bar in self._bars:
            bar.advance(batches, logs())

    def take_epochs(self) -> bool:
        """Return whether all callbacks can receive finished epochs together (`Callback.receive_epochs`)."""
        return not any(
            "receive_epochs" not in vars(type(callback))
            or any(name in HOOKS or name in OLDER_NAMES for name in vars(callback))
            for callback in self.callbacks
        )

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Pass finished epochs to all callbacks."""
        for callback in self.callbacks:
            callback.receive_epochs(epochs)

    def release(self) -> None:
        """Make all callbacks close files and bars, when an error ends training."""
        for callback in self.callbacks:
            callback.release()

    def call(self, hook: str, *arguments: Any) -> None:
        """Call one hook of all callbacks that have it, and then `after` of those that define it."""
        for listener in self._listeners(hook):
            listener(*arguments)
        for callback in self.callbacks:
            if type(callback).after is not Callback.after:
                callback.after(hook, self.callbacks)


def checked(who: str, callbacks: Any) -> list[Callback]:
    """Return the argument `callbacks` as a list, or raise."""
    if callbacks is None:
        return []
    if isinstance(callbacks, CallbackList):
        return list(callbacks.callbacks)
    found = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    for callback in found:
        if not isinstance(callback, Callback):
            raise KindError(f"{who}: callbacks must be lamina.callbacks.Callback; got {type(callback).__name__}.")
    return found
