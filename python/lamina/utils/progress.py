"""Progbar: shows how far a loop has come."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lamina._common.checks import flag, integer, number, text
from lamina._common.output import say
from lamina.callbacks.base import shows_bars, spell, spell_steps

__all__ = ["Progbar"]


class Progbar:
    """A progress bar for loops of one's own; where output is no terminal, one line at the end.

    Parameters
    ----------
    target : int or None
        Number of steps, None if it is not known.
    width : int
        Of the bar, in characters.
    verbose : {0, 1, 2}
        0 for nothing, 1 for a bar, 2 for one line at the end.
    interval : float
        Seconds between two drawings of the bar, at least.
    stateful_metrics : sequence of str, optional
        Names of values that are shown as they are; others are averaged over the steps.
    unit_name : str

    Examples
    --------
    >>> bar = Progbar(3, verbose=0)
    >>> for step in range(3):
    ...     bar.update(step + 1, [("loss", 1.0 / (step + 1))])
    """

    def __init__(
        self,
        target: int | None,
        width: int = 20,
        verbose: int = 1,
        interval: float = 0.05,
        stateful_metrics: Sequence[str] | None = None,
        unit_name: str = "step",
    ) -> None:
        self.target = None if target is None else integer("Progbar", "target", target, 0)
        self.width = integer("Progbar", "width", width)
        self.verbose = integer("Progbar", "verbose", verbose, 0, 2)
        self.interval = number("Progbar", "interval", interval, least=0)
        self.stateful_metrics = set(() if stateful_metrics is None else stateful_metrics)
        self.unit_name = text("Progbar", "unit_name", unit_name)
        self._sums: dict[str, tuple[Any, int]] = {}  # by name: sum and number of steps
        self._seen, self._begun = 0, time.perf_counter()
        self._bar: Any = None

    def update(self, current: int, values: Iterable[tuple[str, Any]] | None = None, finalize: Any = None) -> None:
        """Show that `current` steps are done.

        Parameters
        ----------
        current : int
        values : iterable of (str, number or array_like)
            Averaged over the steps since the last call and before, but for `stateful_metrics`; those of the last call
            are shown as they are. Of an array its mean is taken.
        finalize : bool, optional
            Whether this is the last call; by default if `current` has reached the target.
        """
        current = integer("Progbar", "current", current, 0)
        if finalize is None:
            finalize = self.target is not None and current >= self.target
        else:
            finalize = flag("Progbar", "finalize", finalize)
        steps = max(1, current - self._seen)
        for name, value in values or ():
            total, count = (0, 0) if finalize or name in self.stateful_metrics else self._sums.get(name, (0, 0))
            self._sums[name] = (total + float(np.mean(value)) * steps, count + steps)
        moved, self._seen = current - self._seen, current
        if self.verbose == 1 and shows_bars():
            self._draw(moved)
        if finalize:
            self._finish()

    def add(self, n: int, values: Iterable[tuple[str, Any]] | None = None) -> None:
        """Show that `n` more steps are done; see `update`."""
        self.update(self._seen + integer("Progbar", "n", n, 0), values)

    def _numbers(self) -> dict[str, str]:
        return spell({name: total / count for name, (total, count) in self._sums.items()})

    def _draw(self, moved: int) -> None:
        if self._bar is None:
            from tqdm.auto import tqdm

            self._bar = tqdm(
                total=self.target, unit=self.unit_name, leave=False, mininterval=self.interval, file=sys.stdout,
                bar_format=f"{{n_fmt}}/{{total_fmt}} {{bar:{self.width}}} {{rate_fmt}}{{postfix}}",
            )  # fmt: skip
        if self._bar.update(moved):
            self._bar.set_postfix(self._numbers(), refresh=False)

    def _finish(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
        if self.verbose:
            numbers = "".join(f" - {name}: {value}" for name, value in self._numbers().items())
            say(spell_steps(self._seen, time.perf_counter() - self._begun, self.unit_name, self.target) + numbers)
