"""Callbacks that keep and show how training goes."""

from __future__ import annotations

import time
from typing import Any

from lamina.callbacks.base import Callback, Logs

__all__ = ["History", "ProgbarLogger"]


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
        self.follows_batches = verbose == 1
        self._bar: Any = None
        self._begun = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the epoch's bar, or print its heading."""
        heading = f"Epoch {epoch + 1}/{self.params['epochs']}"
        if self.verbose == 1:
            from tqdm.auto import tqdm

            self._bar = tqdm(total=self.params["steps"], desc=heading, unit="batch", leave=True, mininterval=0.1)
        elif self.verbose == 2:
            print(heading, flush=True)
            self._begun = time.perf_counter()

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
            seconds, steps = time.perf_counter() - self._begun, self.params["steps"]
            numbers = "".join(f" - {name}: {value}" for name, value in _spell(logs or {}).items())
            step = f" - {1e3 * seconds / steps:.0f}ms/step" if steps else ""
            done = f"{steps}/{steps}" if steps else "all"
            print(f"{done} - {seconds:.0f}s{step}{numbers}", flush=True)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close a bar that an interruption left open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _spell(logs: Logs) -> dict[str, str]:
    return {
        name: f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.2e}" for name, value in logs.items()
    }
