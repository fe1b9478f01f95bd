"""Callbacks: what happens between batches and epochs of training."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lamina.models import Sequential

__all__ = ["Callback", "CallbackList", "History", "ProgbarLogger"]

Logs = dict[str, float]

# A progress bar moves about this often.
_BAR_SECONDS = 0.1

_HOOKS = frozenset(
    f"on_{when}"
    for when in (
        "train_begin", "train_end", "test_begin", "test_end", "predict_begin", "predict_end",
        "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end",
        "test_batch_begin", "test_batch_end", "predict_batch_begin", "predict_batch_end",
    )
)  # fmt: skip


class Callback:
    """Base class of callbacks; override the hooks that are wanted.

    Attributes
    ----------
    model : Sequential
        The model that is trained.
    params : dict
        ``epochs``, ``steps`` and ``verbose`` of the call.
    """

    def __init__(self) -> None:
        self.model: Sequential | None = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Sequential) -> None:
        """Remember the model."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Remember the call's parameters."""
        self.params = params

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, also where training was interrupted."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before each epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after each epoch, with its loss and metrics, validation included."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before each batch."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after each batch, with the epoch's means so far."""

    def on_test_begin(self, logs: Logs | None = None) -> None:
        """Run before an evaluation."""

    def on_test_end(self, logs: Logs | None = None) -> None:
        """Run after an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before each batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after each batch of an evaluation."""

    def on_predict_begin(self, logs: Logs | None = None) -> None:
        """Run before a prediction."""

    def on_predict_end(self, logs: Logs | None = None) -> None:
        """Run after a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before each batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after each batch of a prediction."""


class CallbackList:
    """Calls the hooks of several callbacks, each hook only where a callback overrides it.

    Parameters
    ----------
    callbacks : iterable of Callback
    model : Sequential
    params : dict
    """

    def __init__(self, callbacks: Iterable[Callback], model: Any, params: dict[str, Any]) -> None:
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            callback.set_model(model)
            callback.set_params(params)
        self._listeners: dict[str, list[Callable[..., None]]] = {}
        for callback in self.callbacks:
            for hook in _hooks_of(type(callback)) | (vars(callback).keys() & _HOOKS):
                self._listeners.setdefault(hook, []).append(getattr(callback, hook))
        self._bars = [c for c in self.callbacks if isinstance(c, ProgbarLogger) and c.verbose == 1]

    def wants_batches(self, kind: str) -> bool:
        """Return whether anybody listens between batches: of kind "train", "test" or "predict"."""
        return any(f"on_{kind}_batch_{when}" in self._listeners for when in ("begin", "end"))

    def stretches(self, rows: int, size: int) -> Iterator[tuple[int, int]]:
        """Yield (first row, rows) of stretches of whole batches; short ones where a progress bar follows them."""
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

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of everybody who listens."""
        for listener in self._listeners.get(hook, ()):
            listener(*arguments)


_known_hooks: dict[type, frozenset[str]] = {}


def _hooks_of(kind: type[Callback]) -> frozenset[str]:
    """Return the hooks that a class of callbacks overrides."""
    if kind not in _known_hooks:
        _known_hooks[kind] = frozenset(hook for hook in _HOOKS if getattr(kind, hook) is not getattr(Callback, hook))
    return _known_hooks[kind]


class History(Callback):
    """Losses and metrics of all epochs; what `fit` returns.

    Attributes
    ----------
    history : dict of str to list of float
    epoch : list of int
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin anew."""
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Keep the epoch's values."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)


class ProgbarLogger(Callback):
    """A progress bar for each epoch (`tqdm`, in consoles and notebooks), or one line an epoch.

    Parameters
    ----------
    verbose : {1, 2}
        1 for bars, 2 for lines.
    """

    def __init__(self, verbose: int = 1) -> None:
        super().__init__()
        self.verbose = verbose
        self._bar: Any = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the epoch's bar."""
        if self.verbose == 1:
            from tqdm.auto import tqdm

            label = f"Epoch {epoch + 1}/{self.params['epochs']}"
            self._bar = tqdm(total=self.params["steps"], desc=label, unit="batch", leave=True, mininterval=0.1)

    def advance(self, batches: int, logs: Logs) -> None:
        """Move the bar, and now and then its numbers."""
        if self._bar is not None and self._bar.update(batches):
            self._bar.set_postfix(_spell(logs), refresh=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Close the bar with the epoch's numbers, or print the line."""
        if self._bar is not None:
            self._bar.set_postfix(_spell(logs or {}), refresh=True)
            self._bar.close()
            self._bar = None
        elif self.verbose == 2:
            numbers = " - ".join(f"{name}: {value}" for name, value in _spell(logs or {}).items())
            print(f"Epoch {epoch + 1}/{self.params['epochs']} - {numbers}", flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close a bar that an interruption left open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def checked(who: str, callbacks: Any) -> list[Callback]:
    """Return what the argument `callbacks` holds as a list, or raise."""
    if callbacks is None:
        return []
    found = list(callbacks) if isinstance(callbacks, (list, tuple)) else [callbacks]
    for callback in found:
        if not isinstance(callback, Callback):
            raise TypeError(f"{who}: callbacks must be lamina.callbacks.Callback; got {type(callback).__name__}.")
    return found


def resolve_verbose(who: str, verbose: Any) -> int:
    """Return 0, 1 or 2: "auto" is 1 on a terminal and in a notebook, else 2."""
    if isinstance(verbose, str) and verbose == "auto":
        return 1 if sys.stderr.isatty() or "ipykernel" in sys.modules else 2
    if isinstance(verbose, str) or verbose not in (0, 1, 2):
        raise ValueError(f"{who}: verbose must be 'auto', 0, 1 or 2; got {verbose!r}.")
    return int(verbose)


def _spell(logs: Logs) -> dict[str, str]:
    return {
        name: f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}" for name, value in logs.items()
    }
