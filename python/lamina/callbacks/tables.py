"""A callback that writes down how training goes."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from lamina._checks import flag
from lamina.callbacks.base import Callback, Logs

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Writes a line an epoch into a table.

    Parameters
    ----------
    filename : str or Path
    separator : str
    append : bool
        Add to a table that is there already, instead of writing a new one.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.separator = Path(filename), separator
        self.append = flag("CSVLogger", "append", append)
        self._keys: list[str] | None = None
        self._file: Any = None

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the table."""
        self._keys = None
        if self.append and self.filename.exists() and self.filename.stat().st_size:
            with self.filename.open(newline="") as file:
                self._keys = next(csv.reader(file, delimiter=self.separator))[1:]
        self._file = self.filename.open("a" if self.append else "w", newline="")

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's line."""
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if self._keys is None:
            self._keys = sorted(logs)
            if not any(key.startswith("val_") for key in self._keys):  # evaluated after a later epoch, perhaps
                self._keys += [f"val_{key}" for key in self._keys]
            keys = self._keys
            writer.writerow(["epoch", *keys])
        writer.writerow([epoch, *(logs.get(key, "NA") for key in self._keys)])
        self._file.flush()

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the table."""
        if self._file is not None:
            self._file.close()
            self._file = None
