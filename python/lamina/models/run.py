"""Run: whose values the metrics of a model hold."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from lamina.metrics.sums import contents_of, replace_contents
from lamina.models.executor import Executor

__all__ = ["Run"]


class Run:
    """An epoch of training, or an evaluation, split into turns: ``with run.turn(): run.take_over(); …``.

    Callbacks run between turns. Another run, of another thread or of a callback, may take a turn there; each run finds
    the metrics as it left them.

    Parameters
    ----------
    executor : Executor
    method : str
        Name of the model's method, for messages.
    results : callable
        Returns loss and metrics so far, by name: the model's `get_metrics_result`, which users may override.
    begun : bool
        Whether the metrics hold the sums of its first batches, from a backup.
    """

    def __init__(
        self, executor: Executor, method: str, results: Callable[[], dict[str, Any]], *, begun: bool = False
    ) -> None:
        self._executor, self._who = executor, executor.stack.who(method)
        self._results = results
        self._kept: dict[int, dict[str, Any]] = {}  # id of a metric → its attributes when another run took over
        self._begun = begun
        self.active = True

    def turn(self) -> Any:
        """Return a context manager that waits for the model's turn and holds it.

        Raises
        ------
        RuntimeError
            The thread is in a turn of another run of the model: code of the user's in a step, or the handler of a
            signal, calls this. Nothing has changed.
        """
        executor = self._executor
        if executor.running.held and executor.run is not self:
            raise RuntimeError(
                f"{self._who}: a model cannot be trained or evaluated from inside a step that uses its layers."
            )
        return executor.running.of(self._who)

    def take_over(self) -> None:
        """Put this run's sums into the metrics; must be called first in each turn."""
        executor = self._executor
        before = executor.run
        if before is self:
            return
        compiled = executor.require_compiled("fit")
        metrics = compiled.trackers
        running = isinstance(before, Run) and before.active
        if isinstance(before, Run) and running:
            before._kept = {id(metric): contents_of(metric) for metric in metrics}
        executor.run = self
        for metric in metrics:
            if id(metric) in self._kept:
                replace_contents(metric, self._kept[id(metric)])
            elif running:
                replace_contents(metric, copy.deepcopy(contents_of(metric)))
        if not self._begun:
            compiled.reset_metrics()
        self._begun = True

    def logs(self) -> dict[str, Any]:
        """Return loss and metrics so far, names in alphabetical order as in Keras."""
        with self.turn():
            self.take_over()
            return self._results()

    def end(self) -> dict[str, Any]:
        """Return loss and metrics at the end; they stay with the model until its next run."""
        logs = self.logs()
        self.active = False
        return logs
