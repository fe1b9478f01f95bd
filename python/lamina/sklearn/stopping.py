"""StoppingRule: when scikit-learn's solvers stop, what they print and what they keep."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import _core
from lamina._common.output import say
from lamina.callbacks import EarlyStopping
from lamina.callbacks.base import FinishedEpochs, Logs
from lamina.sklearn.objective import Watched

__all__ = ["StoppingRule", "reporter"]


class StoppingRule(EarlyStopping):
    """Stops when the loss, or a score of held-out rows, has not been better by `tol` for more than some epochs.

    It goes on counting in a second `fit`.

    Parameters
    ----------
    monitor : str
        The value that is watched.
    mode : {"min", "max"}
    tol : float
    patience : float
        Epochs; infinity for all.
    keeps_weights : bool
        Whether to keep the weights of the best epoch in `best_weights`.
    score : callable, optional
        Computes the value, which the model does not know, after each epoch.
    report : callable, optional
        Called with the logs of each epoch.

    Attributes
    ----------
    stopped : bool
        Whether it has stopped the last `fit`.
    """

    drifts = True

    def __init__(
        self, monitor: str, mode: str, tol: float, patience: float, *, keeps_weights: bool,
        score: Callable[[], float] | None, report: Callable[[Logs], None] | None,
    ) -> None:  # fmt: skip
        # As many as the engine can count stand for infinity.
        epochs, change = int(min(patience, 2**62)), min(tol, sys.float_info.max)
        super().__init__(monitor, change, epochs, mode=mode, restore_best_weights=keeps_weights)
        self._score, self._report = score, report
        self.stopped = False

    def __copy__(self) -> StoppingRule:
        """Return itself: a training has a rule of its own, and `fit_many` works on copies."""
        return self

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Go on."""
        self.stopped_epoch, self.stopped = 0, False

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Count."""
        assert logs is not None
        if self._score is not None:
            logs[self.monitor] = self._score()
        if self._report is not None:
            self._report(logs)
        more = self.monitor_op is np.greater
        found, sign = float(logs[self.monitor]), -1 if more else 1
        best = np.inf if self.best is None else sign * self.best
        self.wait = self.wait + 1 if sign * found > best - self.min_delta else 0
        if sign * found < best:
            self.best, self.best_epoch = found, epoch
            if self.restore_best_weights:
                self.best_weights = self.required_model().get_weights()
        if self.wait > self.patience:
            self.stopped_epoch = epoch
        self._stop()

    def _stop(self) -> None:
        """Stop training if it is time, which may be after the first epoch."""
        if self.wait > self.patience:
            self.stopped = self.required_model().stop_training = True

    def watch(self, values: dict[str, tuple[int, bool]]) -> _core.Watch | None:
        """Return what watches in the engine; None if the score is computed here."""
        return None if self._score is not None else super().watch(values)

    def after_watch(self, watched: _core.Watch, weights: list[Any] | None) -> None:
        """Take over what the engine has found."""
        super().after_watch(watched, weights)
        self._stop()

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Report epochs that the engine has trained together."""
        if self._report is not None:
            for _, logs in epochs.each():
                self._report(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leave the last weights: the solver may go on with another learning rate."""


def reporter(watched: Watched | None) -> Callable[[Logs], None]:
    """Return what prints the lines of an epoch: its loss, and the score of held-out rows if it is watched."""
    count = 0

    def report(logs: Logs) -> None:
        nonlocal count
        count += 1
        say(f"Iteration {count}, loss = {logs['loss']:.8f}")
        if watched is not None:
            say(f"Validation score: {watched.score(float(logs[watched.monitor])):f}")

    return report
