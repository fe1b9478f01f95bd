"""Base classes of callbacks: Callback, and Monitor for callbacks that watch a value of the logs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lamina._common.arguments import Argument
from lamina._common.checks import choice, integer, number, short, text
from lamina._common.output import is_interactive_logging_enabled
from lamina._common.records import Record
from lamina._common.warn import warn
from lamina.callbacks.model import TrainedModel

__all__ = [
    "HOOKS", "OLDER_NAMES", "Callback", "FinishedEpochs", "Logs", "Monitor", "hooks_of", "resolve_verbose",
    "shows_bars", "spell", "spell_steps", "spell_time", "verbosity",
]  # fmt: skip

Logs = dict[str, float]

# The hooks that a callback may define, and the older names of two of them.
HOOKS = frozenset(
    f"on_{when}"
    for when in (
        "train_begin", "train_end", "test_begin", "test_end", "predict_begin", "predict_end",
        "epoch_begin", "epoch_end", "train_batch_begin", "train_batch_end",
        "test_batch_begin", "test_batch_end", "predict_batch_begin", "predict_batch_end",
    )
)  # fmt: skip

OLDER_NAMES = {"on_batch_begin": "on_train_batch_begin", "on_batch_end": "on_train_batch_end"}


class FinishedEpochs(Record):
    """Epochs that the engine trained one after the other.

    Attributes
    ----------
    first : int
        Number of the first of them.
    columns, held_out : dict of str to list of float
        For each name the values of all epochs; of the validation data, those of the epochs that were validated.
    validated : list of bool
        For each epoch, whether it was validated.
    seconds : float
        That an epoch took, on average.
    """

    first: int
    columns: dict[str, list[float]]
    held_out: dict[str, list[float]]
    validated: list[bool]
    seconds: float

    def each(self) -> Iterator[tuple[int, Logs]]:
        """Yield the number and the logs of each epoch."""
        tested = 0
        for index, validated in enumerate(self.validated):
            logs = {name: values[index] for name, values in self.columns.items()}
            if validated:
                logs |= {name: values[tested] for name, values in self.held_out.items()}
                tested += 1
            yield self.first + index, dict(sorted(logs.items()))


class Callback:
    """Base class of callbacks; a subclass overrides the hooks that it needs.

    Attributes
    ----------
    model : Sequential
        The model that is trained.
    params : dict
        ``epochs``, ``steps`` and ``verbose`` of the call.
    """

    # Whether `advance` is called while an epoch runs.
    follows_batches = False

    def __init__(self) -> None:
        self.model: TrainedModel | None = None
        self.params: dict[str, Any] = {}

    def advance(self, batches: int, logs: Logs) -> None:
        """Receive the number of batches trained since the last call; called if `follows_batches` is true."""

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Receive several finished epochs at once, instead of `on_epoch_begin` and `on_epoch_end` for each.

        Called on callbacks whose own class defines it, because the order of their calls and those of others, and the
        model's state meanwhile, do not matter to them.
        """

    def set_model(self, model: TrainedModel) -> None:
        """Remember the model."""
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        """Remember the call's parameters."""
        self.params = params

    def required_model(self) -> TrainedModel:
        """Return the model; raise if none was set."""
        if self.model is None:
            raise ValueError(f"{type(self).__name__}: the model must be set; call set_model, or give it to fit.")
        return self.model

    def release(self) -> None:
        """Close open files and bars; `fit` calls this when an error ends training, before it re-raises the error."""

    def check(self) -> None:
        """Raise if the callback cannot work with this model; `fit` calls this before the first step."""

    def get_state(self) -> dict[str, Any]:
        """Return what the callback has come to in this `fit`, for a backup: numbers, texts, arrays, lists and dicts.

        A subclass that counts or remembers something defines it, and `set_state`.
        """
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` has returned; called after `on_train_begin`, where training is resumed."""

    def after(self, hook: str, callbacks: Sequence[Callback]) -> None:
        """Act after all callbacks have had a hook: those of a `fit` are given."""

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Run before the first epoch."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Run after the last epoch, also if Ctrl-C interrupted training."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Run before each epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Run after each epoch, with its loss and metrics, validation included."""

    def on_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before each batch: an older name of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after each batch: an older name of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs | None = None) -> None:
        """Run before each batch."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Run after each batch, with the epoch's means so far."""
        self.on_batch_end(batch, logs)

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


_known_hooks: dict[type, frozenset[str]] = {}


def hooks_of(kind: type[Callback]) -> frozenset[str]:
    """Return the hooks that a class of callbacks overrides."""
    if kind not in _known_hooks:
        names = [*HOOKS, *OLDER_NAMES]
        own = [name for name in names if getattr(kind, name) is not getattr(Callback, name)]
        _known_hooks[kind] = frozenset(OLDER_NAMES.get(name, name) for name in own)
    return _known_hooks[kind]


def _mode(who: str, name: str, value: Any) -> str:
    """Return a mode; for anything else "auto", with a warning, as Keras does."""
    if isinstance(value, str) and value in ("auto", "min", "max"):
        return value
    warn(f"{who}: {name} must be 'auto', 'min' or 'max'; got {short(value)}. It is 'auto' now.")
    return "auto"


def _size(who: str, name: str, value: Any) -> float:
    return abs(number(who, name, value))


def verbosity(who: str, name: str, value: Any) -> int:
    """Return a checked verbosity, 0 for silence; True and False are 1 and 0."""
    return int(value) if isinstance(value, (bool, np.bool_)) else integer(who, name, value, 0)


class Monitor(Callback):
    """Base class of callbacks that watch one value of the logs.

    Parameters
    ----------
    monitor : str
        The value's name in the logs.
    mode : {"auto", "min", "max"}
        "min" if less is better, "max" if more is; "auto" chooses for the loss and the library's metrics. Another value
        stands for "auto", with a warning.
    min_delta : float
        A change of at most this does not count as an improvement.
    """

    monitor = Argument(text)
    mode = Argument(_mode)
    min_delta = Argument(_size)

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0) -> None:
        super().__init__()
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        self.best: float | None = None

    def check(self) -> None:
        """Raise if it is unknown whether more or less of the value is better."""
        if self.mode == "auto" and self.required_model().knows_metrics:
            _ = self.monitor_op

    def get_monitor_value(self, logs: Logs | None) -> float | None:
        """Return the watched value; warn and return None if it is missing or not a single number."""
        found = (logs or {}).get(self.monitor)
        if found is None:
            warn(f"{type(self).__name__}: there is no {self.monitor!r} to watch; there are {', '.join(logs or {})}.")
            return None
        if np.size(found) != 1 or np.asarray(found).dtype.kind not in "biuf":
            warn(f"{type(self).__name__}: {self.monitor!r} must be one number to be watched; it is {short(found)}.")
            return None
        return float(np.reshape(found, ()))

    def improves(self, value: float, reference: float | None) -> bool:
        """Return whether a value is better than a reference: NaN never is, any number is better than None or NaN."""
        if math.isnan(value):
            return False
        if reference is None or math.isnan(reference):
            return True
        better = self.monitor_op
        return bool(better(value - self.min_delta if better is np.greater else value + self.min_delta, reference))

    @property
    def monitor_op(self) -> np.ufunc:
        """The comparison of a better value with a worse one: `numpy.greater` or `numpy.less`."""
        return np.greater if self._more_is_better() else np.less

    def _more_is_better(self) -> bool:
        if self.mode != "auto":
            return bool(self.mode == "max")
        name = self.monitor.removeprefix("val_")
        if name == "loss":
            return False
        direction = self.required_model().direction_of(name)
        if direction is None:
            raise ValueError(
                f"{type(self).__name__}: it is not known whether more or less of {self.monitor!r} is better; say "
                "mode='min' or mode='max'."
            )
        return direction == "up"


def resolve_verbose(who: str, verbose: Any) -> int:
    """Return 0, 1 or 2: "auto" is 1."""
    if isinstance(verbose, (bool, np.bool_, np.integer)):
        verbose = int(verbose)
    found = choice(who, "verbose", verbose, ("auto", 0, 1, 2))
    return 1 if found == "auto" else int(found)


def shows_bars() -> bool:
    """Return whether progress bars can move: on a terminal, or in a notebook."""
    if not is_interactive_logging_enabled():
        return False
    isatty = getattr(sys.stdout, "isatty", None)  # stdout may be None, or an object that can only write
    return "ipykernel" in sys.modules or (isatty is not None and bool(isatty()))


def spell_time(seconds: float) -> str:
    """Return a time as text in the unit that fits, as ``12ms``."""
    factor, unit = next(((f, u) for f, u in ((1, "s"), (1e3, "ms")) if seconds * f >= 1), (1e6, "us"))
    value = seconds * factor
    return f"{value:.{1 if value < 9.95 else 0}f}{unit}"


def spell_steps(steps: int | None, seconds: float, unit: str = "step", target: int | None = None) -> str:
    """Return how many batches there were, their time and that of one: ``4/4 - 12ms - 3.0ms/step``."""
    each = f" - {spell_time(seconds / steps)}/{unit}" if steps else ""
    return f"{f'{steps}/{target or steps}' if steps else 'all'} - {spell_time(seconds)}{each}"


def spell(logs: Logs) -> dict[str, str]:
    """Return values as text: numbers with a few digits, arrays as their mean as in Keras, other values by `str`."""

    def spelled(value: Any) -> str:
        if np.asarray(value).dtype.kind not in "biuf":
            return str(value)
        mean = float(np.mean(value))
        return f"{mean:.4f}" if abs(mean) >= 1e-3 or mean == 0 else f"{mean:.2e}"

    return {name: spelled(value) for name, value in logs.items()}
