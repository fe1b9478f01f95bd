"""Callbacks that save models and resume training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lamina._common.arguments import Argument
from lamina._common.checks import flag, integer, number
from lamina._common.output import say
from lamina._common.paths import path, writable_folder
from lamina._files import strict
from lamina._files.errors import damaged_where_wrong
from lamina._files.formats import FORMATS, WEIGHT_FORMATS, format_of, weight_format_of
from lamina._files.native import SUFFIX
from lamina._files.paths import check_path
from lamina._files.writing import remove_abandoned
from lamina.callbacks.base import Callback, Logs, Monitor, verbosity

__all__ = ["BackupAndRestore", "ModelCheckpoint"]


class _Counter:
    """Counts batches; `due` is true for every `save_freq`-th one."""

    def __init__(self, who: str, save_freq: Any) -> None:
        each_epoch = isinstance(save_freq, str) and save_freq == "epoch"
        self.every = None if each_epoch else integer(who, "save_freq", save_freq)
        self.seen = 0

    def due(self) -> bool:
        self.seen += 1
        if self.every is None or self.seen < self.every:
            return False
        self.seen = 0
        return True


def _pattern(who: str, name: str, value: Any) -> str:
    path = check_path(who, value, {**FORMATS, **WEIGHT_FORMATS})
    return value if isinstance(value, str) else str(path)


class ModelCheckpoint(Monitor):
    """Saves the model, or its weights, after epochs or batches. Only a complete file replaces an old one.

    Parameters
    ----------
    filepath : str or Path
        A name that `Sequential.save` takes, or with `save_weights_only` one that `Sequential.save_weights` takes; may
        contain ``{epoch}``, ``{batch}`` and values of the logs such as ``{val_loss:.2f}``.
    monitor : str
    verbose : {0, 1}
    save_best_only : bool
        Save only if the watched value improved (or is missing, with a warning).
    save_weights_only : bool
        Use `Sequential.save_weights` instead of `Sequential.save`.
    mode : {"auto", "min", "max"}
    save_freq : "epoch" or int
        Save after every epoch, or every time after this number of batches.
    initial_value_threshold : float, optional
        With `save_best_only` the first value to be saved must be better than this.
    """

    filepath = Argument(_pattern)
    verbose = Argument(verbosity)
    save_best_only = Argument(flag)
    save_weights_only = Argument(flag)

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ) -> None:
        super().__init__(monitor, mode)
        who = "ModelCheckpoint"
        self.filepath = filepath
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        if initial_value_threshold is not None:
            self.best = number(who, "initial_value_threshold", initial_value_threshold)
        self._epoch = 0
        self.check_together()

    def check_together(self) -> None:
        """Raise if `filepath` is no name of a file of its kind, or a library that writes such files is missing."""
        if self.save_weights_only:
            weight_format_of("ModelCheckpoint", self.filepath, writes=True)
        else:
            format_of("ModelCheckpoint", self.filepath)

    @property
    def save_freq(self) -> Any:
        """The number of batches between saves, or "epoch"; may be assigned."""
        return self._counter.every or "epoch"

    @save_freq.setter
    def save_freq(self, value: Any) -> None:
        self._counter = _Counter("ModelCheckpoint", value)
        vars(self).pop("on_train_batch_end", None)
        if self._counter.every is not None:  # define the batch hook only if it is needed
            self.on_train_batch_end = self._batch_end  # type: ignore[method-assign]  # a hook of this instance

    def get_state(self) -> dict[str, Any]:
        """Return the best value, and how many batches there were since the last file."""
        return {"best": self.best, "seen": self._counter.seen}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on with them."""
        self.best, self._counter.seen = state["best"], state["seen"]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def _batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._counter.due():
            self._save(batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Save after the epoch."""
        if self._counter.every is None:
            self._save(None, logs or {})

    def _save(self, batch: int | None, logs: Logs) -> None:
        best = ""
        if self.save_best_only:
            current = self.get_monitor_value(logs)
            if current is not None:
                was = f"from {self.best:.5f}" if self.best is not None else "from None"
                if not self.improves(current, self.best):
                    self._say(f"{self.monitor} did not improve {was}")
                    return
                self.best = current
                best = f"{self.monitor} improved {was} to {current:.5f}, "
        name, path = self._path(self._epoch, batch, logs)
        self._say(f"{best}saving model to {name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        model = self.required_model()
        if self.save_weights_only:
            model.save_weights(path, overwrite=True)
        else:
            model.save(path, overwrite=True)
        self._say(f"finished saving model to {name}")

    def _say(self, what: str) -> None:
        if self.verbose:
            say(f"\nEpoch {self._epoch + 1}: {what}")

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> tuple[str, Path]:
        """Return the file's name for an epoch, as it was given and as a path."""
        who = "ModelCheckpoint"
        try:
            logs = type(logs)(logs, epoch=epoch + 1, batch=(batch or 0) + 1)
            name = self.filepath.format_map(logs)
            return name, check_path(who, name, {**FORMATS, **WEIGHT_FORMATS})
        except KeyError as error:
            raise ValueError(
                f"{who}: filepath must name values of the logs, 'epoch' or 'batch'; got {error}. There are "
                f"{', '.join(logs)}."
            ) from None
        except (ValueError, TypeError, IndexError, AttributeError) as error:
            raise ValueError(
                f"{who}: filepath must be a pattern for numbers; {self.filepath!r} is not: {error}."
            ) from None

    def check(self) -> None:
        """Raise if the model cannot be saved, `filepath` is no pattern, or it is unknown what is better."""
        self.check_together()
        model = self.required_model()
        if self.save_best_only:
            super().check()
        check = model.check_saving_weights if self.save_weights_only else model.check_saving
        check("ModelCheckpoint", self.filepath)
        # Any name is accepted: the logs are not known yet, as other callbacks may add values.
        writable_folder("ModelCheckpoint", "that of filepath", self._path(0, 0, _AnyName())[1].parent)


class _AnyName(dict[str, float]):
    """Logs that have a number for every name."""

    def __missing__(self, name: str) -> float:
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name")
        return 1.0


def _epoch_of(path: Path) -> int:
    """Return the epoch at which Keras would resume, from what it writes beside the weights."""
    with damaged_where_wrong("BackupAndRestore", path):
        return integer("BackupAndRestore", "epoch", strict.loads(path.read_bytes())["epoch"], 0)


class BackupAndRestore(Callback):
    """Backs up training after each epoch or some batches, and resumes it from the last backup.

    A backup holds all that the rest of the training depends on: weights, the optimizer with its state, the place in the
    epoch, metrics, the counters on which shuffles and noise depend, and what the callbacks have come to, the `History`
    among them. If there is a backup when `fit` begins, `fit` restores it and goes on. A training that was interrupted,
    killed too, and is started again by the same program ends with the same bits and the same history as one that was
    not.

    Data that arrive in batches are read anew: of a generator all batches that were used are drawn and dropped, of other
    sources those of the present pass. They must yield the same batches again. `on_epoch_begin` is called again for an
    epoch that is resumed in its midst.

    A backup that Keras has left (``latest.weights.h5`` and ``training_metadata.json``) is restored, too; it holds
    weights, the optimizer's state and the epoch.

    Parameters
    ----------
    backup_dir : str or Path
        A directory for this training alone. When training has completed, the backup is removed, and the directory if it
        is empty.
    save_freq : "epoch" or int
        After every epoch, or every time after this number of batches.
    double_checkpoint : bool
        Accepted as in Keras, without effect: only a complete backup replaces an old one.
    delete_checkpoint : bool
        Whether to remove the backup at the end.

    Raises
    ------
    ModelFileError
        `fit` raises it if the backup is damaged, or was made by another version of lamina, with another instruction set
        of the CPU, or for another model, optimizer, loss, or (in the midst of an epoch) other data. The model is
        unchanged; it is restored if a callback's `set_state` is what fails.
    """

    backup_dir = Argument(path)
    double_checkpoint = Argument(flag)
    delete_checkpoint = Argument(flag)

    def __init__(
        self,
        backup_dir: Any,
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ) -> None:
        super().__init__()
        self.backup_dir, self.save_freq = backup_dir, save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self._next_epoch = 0

    @property
    def save_freq(self) -> Any:
        """The number of batches between backups, or "epoch"; may be assigned."""
        return self._counter.every or "epoch"

    @save_freq.setter
    def save_freq(self, value: Any) -> None:
        self._counter = _Counter("BackupAndRestore", value)
        vars(self).pop("on_train_batch_end", None)
        if self._counter.every is not None:  # so that `fit` calls hooks of batches
            self.on_train_batch_end = _nothing  # type: ignore[method-assign]  # a hook of this instance

    @property
    def _path(self) -> Path:
        return self.backup_dir / f"backup{SUFFIX}"

    @property
    def _keras_paths(self) -> tuple[Path, Path]:
        return self.backup_dir / "latest.weights.h5", self.backup_dir / "training_metadata.json"

    def check(self) -> None:
        """Raise if a backup cannot be written."""
        writable_folder("BackupAndRestore", "backup_dir", self.backup_dir)

    def after(self, hook: str, callbacks: Sequence[Callback]) -> None:
        """Restore the backup when training begins, if there is one; back up when it is time."""
        if hook == "on_train_begin":
            self._counter.seen = 0
            self._restore(callbacks)
        elif hook == "on_epoch_end":
            if self._counter.every is None:
                self._back_up(callbacks)
        elif hook == "on_train_batch_end" and self._counter.every is not None and self._counter.due():
            self._back_up(callbacks)

    def _restore(self, callbacks: Sequence[Callback]) -> None:
        model = self.required_model()
        weights, metadata = self._keras_paths
        if self._path.exists():
            found = model.restore_backup(self._path)
            for callback in callbacks:  # those of a class in their order; others than those of the backup begin anew
                kind = type(callback).__name__
                place = next((i for i, (name, _) in enumerate(found) if name == kind), None)
                if place is not None:
                    with damaged_where_wrong(f"BackupAndRestore: {kind}.set_state", self._path):
                        callback.set_state(found.pop(place)[1])
        elif weights.exists() and metadata.exists():
            epoch = _epoch_of(metadata)
            if not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            model.load_weights(weights)
            model.initial_epoch = epoch

    def _back_up(self, callbacks: Sequence[Callback]) -> None:
        self.backup_dir.mkdir(parents=True, exist_ok=True)
        states = [(type(callback).__name__, callback.get_state()) for callback in callbacks]
        self.required_model().save_backup(self._path, states, self._next_epoch)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Note the epoch."""
        self._next_epoch = epoch + 1

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Remove the backup if training completed, and its directory if nothing else is in it."""
        if self.delete_checkpoint and self.finished:
            for path in (self._path, *self._keras_paths):
                path.unlink(missing_ok=True)
            remove_abandoned(self.backup_dir, 0)  # nobody else writes here
            if self.backup_dir.is_dir() and not any(self.backup_dir.iterdir()):
                self.backup_dir.rmdir()

    @property
    def finished(self) -> bool:
        """Whether training completed without interruption."""
        return self.model is not None and self.model.fit_completed


def _nothing(batch: int, logs: Logs | None = None) -> None:
    """Do nothing after a batch: `after` does it."""
