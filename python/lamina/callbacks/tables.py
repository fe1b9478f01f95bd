"""A callback that writes the logs to a table."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from lamina._common.arguments import Argument
from lamina._common.checks import flag, text
from lamina._common.paths import path, writable_folder
from lamina.callbacks.base import Callback, FinishedEpochs, Logs

__all__ = ["CSVLogger"]


def _separator(who: str, name: str, value: Any) -> str:
    if len(text(who, name, value)) != 1 or value in '\r\n"':
        raise ValueError(f"{who}: {name} must be one character, no quote and no line break; got {value!r}.")
    return str(value)


class CSVLogger(Callback):
    """Writes one line per epoch to a CSV file.

    Parameters
    ----------
    filename : str or Path
    separator : str
        One character.
    append : bool
        Append to an existing table instead of replacing it. It must have a column for each value.
    """

    filename = Argument(path)
    separator = Argument(_separator)
    append = Argument(flag)

    def __init__(self, filename: Any, separator: str = ",", append: bool = False) -> None:
        super().__init__()
        self.filename, self.separator, self.append = filename, separator, append
        self._keys: list[str] | None = None
        self._file: Any = None
        self._replaces = False

    def check(self) -> None:
        """Raise if the table cannot be written, or if the table to append to has another form."""
        if not self.filename.parent.is_dir():
            raise FileNotFoundError(f"CSVLogger: there must be a folder {self.filename.parent}.")
        if self.filename.is_dir():
            raise IsADirectoryError(f"CSVLogger: filename must be that of a file; {self.filename} is a folder.")
        writable_folder("CSVLogger", "that of filename", self.filename.parent)
        self._keys = self._known_keys()

    def _known_keys(self) -> list[str] | None:
        """Return the columns of the table to append to, None if there is none yet."""
        import csv  # here and below: `import lamina` need not load it

        if not (self.append and self.filename.exists() and self.filename.stat().st_size):
            return None
        try:
            with self.filename.open(newline="", encoding="utf-8-sig") as file:
                columns = next(csv.reader(file, delimiter=self.separator), [])
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"CSVLogger: {self.filename} must be a table to add to; {error}.") from None
        if columns[:1] == ["epoch"] and len(set(columns)) < len(columns):
            raise ValueError(f"CSVLogger: the table {self.filename} must have each column once; it has {columns!r}.")
        if columns[:1] != ["epoch"]:
            raise ValueError(
                f"CSVLogger: the table {self.filename} must begin with a column 'epoch', separated by "
                f"{self.separator!r}, to be added to; its first line is {columns!r}."
            )
        return columns[1:]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """Open the table."""
        self._keys = self._known_keys()
        self._file = self.filename.open("a+", newline="", encoding="utf-8")
        self._replaces = not self.append
        if self._keys is not None:
            with self.filename.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # the last line was not finished
                    self._file.write("\n")

    def get_state(self) -> dict[str, Any]:
        """Return the columns, and the size of the table."""
        self._begin_table()
        return {"keys": self._keys, "bytes": self._file.tell()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on after the lines that the table had; later ones, of epochs that are trained again, are dropped."""
        if os.path.getsize(self.filename) < state["bytes"]:
            raise ValueError(
                f"CSVLogger: the table {self.filename} must have the lines of the epochs that were trained; it is "
                "shorter than when the backup was made."
            )
        self._keys, self._replaces = state["keys"], False
        self._file.truncate(state["bytes"])

    def _begin_table(self) -> None:
        """Drop an older table, before the first line."""
        if self._replaces:
            self._file.truncate(0)
            self._replaces = False

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Write the lines of several epochs."""
        for epoch, logs in epochs.each():
            self.on_epoch_end(epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's line."""
        import csv

        logs = logs or {}
        self._begin_table()
        writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if self._keys is None:
            self._keys = sorted(logs)
            # Columns for validation data that is first evaluated after a later epoch.
            if self.required_model().validates and not any(key.startswith("val_") for key in self._keys):
                self._keys += [f"val_{key}" for key in self._keys]
            writer.writerow(["epoch", *self._keys])
        unknown = sorted(set(logs) - set(self._keys))
        if unknown:
            raise ValueError(
                f"CSVLogger: the table {self.filename} must have a column for each value; it has none for {unknown}."
            )
        writer.writerow([epoch, *(_plain(logs[key]) if key in logs else "NA" for key in self._keys)])
        self._file.flush()

    def release(self) -> None:
        """Close the table."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the table."""
        if self._file is not None:
            self._begin_table()
        self.release()


def _plain(value: Any) -> Any:
    """Return an array as a list, whose text is not abbreviated."""
    return value.tolist() if isinstance(value, np.ndarray) else value
