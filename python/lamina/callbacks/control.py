"""Callbacks that stop training, set the learning rate or call user functions."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from lamina import _core
from lamina._common.arguments import Argument, optional
from lamina._common.checks import KindError, flag, function, integer, number
from lamina._common.output import say
from lamina.callbacks.base import Callback, FinishedEpochs, Logs, Monitor, verbosity
from lamina.callbacks.model import TrainedModel

__all__ = ["EarlyStopping", "LambdaCallback", "LearningRateScheduler", "ReduceLROnPlateau", "TerminateOnNaN"]


_OF_STOPPING = ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")


class EarlyStopping(Monitor):
    """Stops training when a value has not improved for some epochs.

    Parameters
    ----------
    monitor : str
    min_delta : float
        A change of at most this does not count as an improvement.
    patience : int, >= 0
        Number of epochs without an improvement after which training stops.
    verbose : {0, 1}
    mode : {"auto", "min", "max"}
    baseline : float, optional
        Only a value that is also better than this resets the count of epochs without an improvement.
    restore_best_weights : bool
        Restore the weights of the best epoch at the end, also if training was not stopped early.
    start_from_epoch : int, >= 0
        Epochs before this one are ignored.

    Attributes
    ----------
    best : float or None
    best_epoch, stopped_epoch : int
    """

    patience = Argument(integer, 0)
    verbose = Argument(verbosity)
    baseline = Argument(optional(number))
    restore_best_weights = Argument(flag)
    start_from_epoch = Argument(integer, 0)
    # A subclass's rule, scikit-learn's: `best` follows every improvement, however small, an epoch that is not better by
    # `min_delta` at least counts as one without improvement, and training stops after more than `patience` of them.
    drifts = False

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self.best_weights: Any = None
        self.wait = self.stopped_epoch = self.best_epoch = 0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset counts and best values."""
        self.wait = self.stopped_epoch = self.best_epoch = 0
        self.best = self.best_weights = None

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Stop training after `patience` epochs without an improvement."""
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        model = self.required_model()
        if self.restore_best_weights and self.best_weights is None and not math.isnan(current):
            self.best_weights, self.best_epoch = model.get_weights(), epoch
        self.wait += 1
        if self.improves(current, self.best):
            self.best, self.best_epoch = current, epoch
            if self.restore_best_weights:
                self.best_weights = model.get_weights()
            if self.baseline is None or self.improves(current, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            model.stop_training = True

    def get_state(self) -> dict[str, Any]:
        """Return counts, the best value and the best weights."""
        return {name: getattr(self, name) for name in _OF_STOPPING}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        for name in _OF_STOPPING:
            setattr(self, name, state[name])

    def watch(self, values: dict[str, tuple[int, bool]]) -> _core.Watch | None:
        """Return what watches for this callback in the engine, None if the engine does not know the value.

        Parameters
        ----------
        values : dict of str to (int, bool)
            Names of the engine's values; the number of each, and whether it is one of the validation data.
        """
        if self.monitor not in values:
            return None
        number, held_out = values[self.monitor]
        made = _core.Watch(
            value=number, held_out=held_out, more_is_better=self.monitor_op is np.greater, min_delta=self.min_delta,
            baseline=self.baseline, patience=self.patience, start=self.start_from_epoch,
            keeps_weights=self.restore_best_weights, drifts=self.drifts,
        )  # fmt: skip
        made.best, made.best_epoch, made.wait = self.best, self.best_epoch, self.wait
        made.has_weights = self.best_weights is not None
        return made

    def after_watch(self, watched: _core.Watch, weights: list[Any] | None) -> None:
        """Take over what the engine has found, and the weights that it has kept."""
        self.best, self.best_epoch, self.wait = watched.best, watched.best_epoch, watched.wait
        if weights is not None:
            self.best_weights = weights
        if watched.stopped_epoch:
            self.stopped_epoch = watched.stopped_epoch
            self.required_model().stop_training = True

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Do nothing: the engine has watched."""

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Restore the best weights."""
        if self.stopped_epoch and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.required_model().set_weights(self.best_weights)


class TerminateOnNaN(Callback):
    """Stops at the first batch whose loss is not a finite number.

    Parameters
    ----------
    raise_error : bool
        Raise RuntimeError instead of ending `fit`; hooks for the end of training then do not run.
    """

    raise_error = Argument(flag)

    def __init__(self, raise_error: bool = False) -> None:
        super().__init__()
        self.raise_error = raise_error

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """Stop training if the loss is not finite."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(f"TerminateOnNaN: the loss of batch {batch} must be finite; got {loss}.")
            say(f"Batch {batch}: Invalid loss, terminating training")
            self.required_model().stop_training = True


class LearningRateScheduler(Callback):
    """Sets the learning rate at the beginning of each epoch.

    Parameters
    ----------
    schedule : callable
        Called with the epoch, counting from 0, and the present rate; returns the new one.
    verbose : {0, 1}
    """

    schedule = Argument(function)
    verbose = Argument(verbosity)

    def __init__(self, schedule: Callable[[int, float], float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule, self.verbose = schedule, verbose
        self._set_for: int | None = None  # the epoch for which the rate is set

    def get_state(self) -> dict[str, Any]:
        """Return for which epoch the rate is set."""
        return {"set_for": self._set_for}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on: the rate of an epoch that is resumed in its midst is set already."""
        self._set_for = state["set_for"]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Begin with no rate set."""
        self._set_for = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Set the rate."""
        if epoch == self._set_for:
            return
        self._set_for = epoch
        optimizer = self.required_model().optimizer
        rate = self._call(epoch, float(optimizer.learning_rate))
        optimizer.learning_rate = number("LearningRateScheduler", "what schedule returns", rate, least=0)
        if self.verbose:
            say(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate}.")

    def check(self) -> None:
        """Raise if the optimizer's learning rate follows a schedule or a function."""
        _check_settable("LearningRateScheduler", self.required_model())

    def _call(self, epoch: int, rate: float) -> Any:
        """Call the schedule with epoch and rate, or with the epoch alone if it takes no rate."""
        schedule: Any = self.schedule
        try:
            inspect.signature(schedule).bind(epoch, rate)
        except TypeError:
            return schedule(epoch)
        except ValueError:  # the signature is not known
            pass
        return schedule(epoch, rate)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Add the rate to the logs."""
        if logs is not None:
            logs["learning_rate"] = float(self.required_model().optimizer.learning_rate)


class ReduceLROnPlateau(Monitor):
    """Lowers the learning rate when a value has not improved for some epochs.

    Parameters
    ----------
    monitor : str
    factor : float in [0, 1)
        Factor by which the rate is multiplied.
    patience : int, >= 0
        Number of epochs without an improvement after which the rate is lowered.
    verbose : {0, 1}
    mode : {"auto", "min", "max"}
    min_delta : float
        A change of at most this does not count as an improvement.
    cooldown : int, >= 0
        Number of epochs after lowering the rate that do not count towards `patience`.
    min_lr : float, >= 0
        Lower bound of the rate.
    """

    factor = Argument(number, 0, below=1)
    patience = Argument(integer, 0)
    verbose = Argument(verbosity)
    cooldown = Argument(integer, 0)
    min_lr = Argument(number, least=0)

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = self.wait = 0

    def check(self) -> None:
        """Raise if the rate cannot be set, or it is unknown whether more or less of the value is better."""
        super().check()
        _check_settable("ReduceLROnPlateau", self.required_model())

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Reset counts and the best value."""
        self.best = None
        self.cooldown_counter = self.wait = 0

    def get_state(self) -> dict[str, Any]:
        """Return counts and the best value."""
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self.best, self.wait, self.cooldown_counter = state["best"], state["wait"], state["cooldown_counter"]

    def in_cooldown(self) -> bool:
        """Return whether epochs do not count at present, as the rate was just lowered."""
        return self.cooldown_counter > 0

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Lower the rate after `patience` epochs without an improvement."""
        optimizer = self.required_model().optimizer
        if logs is not None:
            logs["learning_rate"] = float(optimizer.learning_rate)
        current = self.get_monitor_value(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.improves(current, self.best):
            self.best, self.wait = current, 0
            return
        if self.in_cooldown():
            return
        self.wait += 1
        rate = float(optimizer.learning_rate)
        if self.wait >= self.patience and rate > self.min_lr:
            optimizer.learning_rate = max(rate * self.factor, self.min_lr)
            if self.verbose:
                new = float(optimizer.learning_rate)
                say(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {new}.")
            self.cooldown_counter, self.wait = self.cooldown, 0


class LambdaCallback(Callback):
    """Calls user functions as hooks.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end, on_train_begin, on_train_end, on_train_batch_begin, on_train_batch_end : optional
        Functions that take the arguments of the hook of `Callback`.
    **others
        Any other hook of `Callback` by its name; other names become attributes.
    """

    def __init__(
        self,
        on_epoch_begin: Any = None,
        on_epoch_end: Any = None,
        on_train_begin: Any = None,
        on_train_end: Any = None,
        on_train_batch_begin: Any = None,
        on_train_batch_end: Any = None,
        **others: Any,
    ) -> None:
        super().__init__()
        given = {
            "on_epoch_begin": on_epoch_begin,
            "on_epoch_end": on_epoch_end,
            "on_train_begin": on_train_begin,
            "on_train_end": on_train_end,
            "on_train_batch_begin": on_train_batch_begin,
            "on_train_batch_end": on_train_batch_end,
            **others,
        }
        for hook, given_one in given.items():
            if hook.startswith("on_") and not hasattr(Callback, hook):
                raise TypeError(f"LambdaCallback: there is no hook {hook!r}.")
            if hook.startswith("on_") and given_one is not None:
                function("LambdaCallback", hook, given_one)
            if given_one is not None:
                setattr(self, hook, given_one)


def _check_settable(who: str, model: TrainedModel) -> None:
    """Raise if the learning rate of a model's optimizer cannot be set to a number."""
    if model.optimizer.rate_if_constant() is None:
        raise KindError(
            f"{who}: the learning rate of the model's optimizer must be a number; it follows a schedule or a function, "
            "which would set it again. Compile with a number."
        )
