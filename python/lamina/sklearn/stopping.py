"""StoppingRule: when scikit-learn's solvers stop, what they print and what they keep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lamina import _core
from lamina._common.output import say
from lamina.callbacks import EarlyStopping
from lamina.callbacks.base import FinishedEpochs, Logs

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
    """

    drifts = True

    def __init__(
        self, monitor: str, mode: str, tol: float, patience: float, *, keeps_weights: bool,
        score: Callable[[], float] | None, report: Callable[[Logs], None] | None,
    ) -> None:  # fmt: skip
        epochs = int(min(patience, 2**62))  # as many as the engine can count stand for infinity
        super().__init__(monitor, tol, epochs, mode=mode, restore_best_weights=keeps_weights)
        self._score, self._report = score, report

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Go on."""
        self.stopped_epoch = 0

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
            self.required_model().stop_training = True

    def watch(self, values: dict[str, tuple[int, bool]]) -> _core.Watch | None:
        """Return what watches in the engine; None if the score is computed here."""
        return None if self._score is not None else super().watch(values)

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Report epochs that the engine has trained together."""
        if self._report is not None:
            for _, logs in epochs.each():
                self._report(logs)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Leave the last weights: the solver may go on with another learning rate."""


def reporter(offset: float, score_name: str | None, score: Callable[[float], float]) -> Callable[[Logs], None]:
    """Return what prints the lines of an epoch.

    Parameters
    ----------
    offset : float
        To add to the loss.
    score_name : str, optional
        The name of the value from which `score` computes the score.
    score : callable
    """
    count = 0

    def report(logs: Logs) -> None:
        nonlocal count
        count += 1
        say(f"Iteration {count}, loss = {logs['loss'] + offset:.8f}")
        if score_name is not None:
            say(f"Validation score: {score(float(logs[score_name])):f}")

    return report
