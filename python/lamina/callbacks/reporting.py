"""Callbacks that record and show the logs."""

from __future__ import annotations

import sys
import time
from typing import Any

from lamina._common.arguments import Argument, one_of, optional
from lamina._common.output import say
from lamina.callbacks.base import Callback, FinishedEpochs, Logs, shows_bars, spell, spell_steps

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

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with copies of the lists, which grow while another thread trains."""
        history = {name: list(values) for name, values in dict(self.history).items()}
        return self.__dict__ | {"history": history, "epoch": list(self.epoch)}

    def get_state(self) -> dict[str, Any]:
        """Return the values of all epochs."""
        return {"history": self.history, "epoch": self.epoch}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on after these epochs."""
        self.history, self.epoch = state["history"], state["epoch"]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Clear the history."""
        self.history, self.epoch = {}, []

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Append the epoch's values."""
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(value)

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Append the values of several epochs."""
        self.epoch.extend(range(epochs.first, epochs.first + len(epochs.validated)))
        for columns in (epochs.columns, epochs.held_out):
            for name, values in columns.items():
                if values:
                    self.history.setdefault(name, []).extend(values)


class ProgbarLogger(Callback):
    """Shows a progress bar for each epoch (`tqdm`, on terminals and in notebooks), or prints one line per epoch.

    Both go to the standard output. Where that is no terminal, an epoch is one line.

    Parameters
    ----------
    verbose : {0, 1, 2}, optional
        0 for nothing, 1 for bars, 2 for a heading and a line, as in Keras; that of `fit` if omitted.
    """

    verbose = Argument(optional(one_of(0, 1, 2)))

    def __init__(self, verbose: int | None = None) -> None:
        super().__init__()
        self.verbose = verbose
        self._bar: Any = None
        self._begun = 0.0

    @property
    def _level(self) -> int:
        return int(self.params.get("verbose", 1) if self.verbose is None else self.verbose)

    @property
    def follows_batches(self) -> bool:  # type: ignore[override]  # depends on the instance
        """Whether there is a bar."""
        return self._level == 1 and shows_bars()

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Open the epoch's bar, or print its heading."""
        self._begun = time.perf_counter()
        if self.follows_batches:
            from tqdm.auto import tqdm

            heading, steps = self._heading(epoch), self.params["steps"]
            self._bar = tqdm(
                total=steps, desc=heading, unit="batch", leave=False, mininterval=0.1, dynamic_ncols=True,
                file=sys.stdout,
            )  # fmt: skip
        elif self._level == 2:
            say(self._heading(epoch))

    def _heading(self, epoch: int) -> str:
        return f"Epoch {epoch + 1}/{self.params['epochs']}"

    def advance(self, batches: int, logs: Logs) -> None:
        """Move the bar, and update its numbers when it was redrawn."""
        if self._bar is not None and self._bar.update(batches):
            self._bar.set_postfix(spell(logs), refresh=False)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Print the line with the epoch's numbers, in place of a bar."""
        if not self._level:
            return
        self.on_train_end()  # close the bar, whose text would be cut off at the terminal's edge
        self._print(epoch, logs or {}, time.perf_counter() - self._begun)

    def _print(self, epoch: int, logs: Logs, seconds: float) -> None:
        """Print the line of an epoch."""
        heading = f"{self._heading(epoch)}: " if self._level == 1 else ""
        numbers = "".join(f" - {name}: {value}" for name, value in spell(logs).items())
        say(f"{heading}{spell_steps(self.params['steps'], seconds)}{numbers}")

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Print the lines of several epochs, which were too short for bars."""
        if not self._level:
            return
        for epoch, logs in epochs.each():
            if self._level == 2:
                say(self._heading(epoch))
            self._print(epoch, logs, epochs.seconds)

    def release(self) -> None:
        """Close a bar that is open."""
        self.on_train_end()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close a bar that is open."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
