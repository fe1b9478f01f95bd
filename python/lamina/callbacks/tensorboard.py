"""A callback that writes event files for TensorBoard, by the package of that name."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.arguments import Argument
from lamina._common.checks import flag, integer
from lamina._common.paths import path, writable_folder
from lamina._common.warn import warn
from lamina.callbacks.base import Callback, FinishedEpochs, Logs

__all__ = ["TensorBoard"]


def _package() -> Any:
    """Return the module of the package that makes event files; raise ImportError if it is not installed."""
    try:
        from tensorboard.summary.writer import event_file_writer
    except ImportError:
        raise ImportError(
            "TensorBoard: event files need the package tensorboard: pip install 'lamina[tensorboard]'. CSVLogger needs "
            "no other package."
        ) from None
    return event_file_writer


class _Writer:
    """An event file."""

    def __init__(self, folder: str) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._file = _package().EventFileWriter(folder)

    def scalar(self, tag: str, value: Any, step: int) -> None:
        """Write a number."""
        self._write(self._summary.Value(tag=tag, simple_value=float(np.mean(value))), step)

    def histogram(self, tag: str, values: npt.NDArray[Any], step: int) -> None:
        """Write how values are distributed, in 30 bins."""
        finite = values[np.isfinite(values)].astype(np.float64)
        if not finite.size:
            return
        counts, edges = np.histogram(finite, bins=30)
        made = self._summary.Value(tag=tag)
        made.histo.min, made.histo.max, made.histo.num = float(finite.min()), float(finite.max()), finite.size
        made.histo.sum, made.histo.sum_squares = float(finite.sum()), float(finite @ finite)
        made.histo.bucket_limit.extend(edges[1:].tolist())
        made.histo.bucket.extend(counts.tolist())
        self._write(made, step)

    def _write(self, value: Any, step: int) -> None:
        self._file.add_event(self._event(wall_time=time.time(), step=step, summary=self._summary(value=[value])))

    def close(self) -> None:
        """Write what is left, and close the file."""
        self._file.close()


class TensorBoard(Callback):
    """Writes loss, metrics and learning rate as event files, which TensorBoard shows; needs the package tensorboard.

    Names and folders are Keras's: ``epoch_loss`` of training in ``log_dir/train``, of validation in
    ``log_dir/validation``.

    Parameters
    ----------
    log_dir : str or Path
    histogram_freq : int, >= 0
        Write the distributions of the parameters after every so many epochs; 0 for never.
    write_graph : bool
        Accepted as in Keras: no graph is written.
    write_images : bool
        True warns: no images of parameters are written.
    write_steps_per_second : bool
        Write how many steps an epoch took in a second.
    update_freq : "epoch", "batch" or int, >= 1
        Also write the loss and metrics so far after every batch, or after every so many batches.
    profile_batch
        Accepted as in Keras: no profile is written.
    embeddings_freq : int, >= 0
        Other values than 0 warn: no embeddings are written.
    embeddings_metadata
        Accepted as in Keras.

    Raises
    ------
    ImportError
        The package tensorboard is not installed.
    """

    log_dir = Argument(path)
    write_graph = Argument(flag)
    write_images = Argument(flag)
    write_steps_per_second = Argument(flag)

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        write_graph: bool = True,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: Any = "epoch",
        profile_batch: Any = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ) -> None:
        super().__init__()
        self.log_dir = log_dir
        self.write_graph, self.write_images = write_graph, write_images
        self.write_steps_per_second = write_steps_per_second
        embeddings_freq = integer("TensorBoard", "embeddings_freq", embeddings_freq, 0)
        for name, given in (("images", self.write_images), ("embeddings", embeddings_freq)):
            if given:
                warn(f"TensorBoard: no {name} are written here, only numbers and distributions.")
        self.histogram_freq, self.update_freq = histogram_freq, update_freq
        _package()
        self._writers: dict[str, _Writer] = {}
        self._steps = 0
        self._begun = 0.0

    # Hooks that only some instances have: without them epochs can run together.

    @property
    def histogram_freq(self) -> int:
        """After how many epochs distributions are written, 0 for never; may be assigned."""
        return self._histogram_freq

    @histogram_freq.setter
    def histogram_freq(self, value: int) -> None:
        self._histogram_freq = integer("TensorBoard", "histogram_freq", value, 0)
        vars(self).pop("on_epoch_end", None)
        if self._histogram_freq:
            self.on_epoch_end = self._after_epoch  # type: ignore[method-assign]  # of this instance

    @property
    def update_freq(self) -> Any:
        """After how many batches numbers are written, or "epoch"; may be assigned."""
        return self._update_freq

    @update_freq.setter
    def update_freq(self, value: Any) -> None:
        every = isinstance(value, str) and value in ("epoch", "batch")
        self._update_freq: Any = value if every else integer("TensorBoard", "update_freq", value)
        vars(self).pop("on_train_batch_end", None)
        if self._update_freq != "epoch":
            self.on_train_batch_end = self._after_batch  # type: ignore[method-assign]  # of this instance

    def check(self) -> None:
        """Raise if the folder cannot be written to."""
        writable_folder("TensorBoard", "log_dir", self.log_dir)

    def _writer(self, part: str) -> _Writer:
        if part not in self._writers:
            self._writers[part] = _Writer(str(self.log_dir / part))
        return self._writers[part]

    def get_state(self) -> dict[str, Any]:
        """Return the number of batches."""
        return {"steps": self._steps}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on counting."""
        self._steps = state["steps"]

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Remember when the epoch began."""
        self._begun = time.perf_counter()

    def _after_batch(self, batch: int, logs: Logs | None = None) -> None:
        self._steps += 1
        if self._update_freq == "batch" or self._steps % self._update_freq == 0:
            for name, value in (logs or {}).items():
                self._writer("train").scalar(f"batch_{name}", value, self._steps)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        """Write the epoch's numbers."""
        self._write(epoch, logs or {}, time.perf_counter() - self._begun)

    def _after_epoch(self, epoch: int, logs: Logs | None = None) -> None:
        self._write(epoch, logs or {}, time.perf_counter() - self._begun)
        if epoch % self.histogram_freq == 0:
            for variable in getattr(self.required_model(), "weights", []):
                self._writer("train").histogram(f"{variable.path}/histogram", variable.numpy(), epoch)

    def receive_epochs(self, epochs: FinishedEpochs) -> None:
        """Write the numbers of several epochs."""
        for epoch, logs in epochs.each():
            self._write(epoch, logs, epochs.seconds)

    def _write(self, epoch: int, logs: Logs, seconds: float) -> None:
        for name, value in logs.items():
            held_out = name.startswith("val_")
            self._writer("validation" if held_out else "train").scalar(
                f"epoch_{name.removeprefix('val_')}", value, epoch
            )
        train = self._writer("train")
        train.scalar("epoch_learning_rate", float(self.required_model().optimizer.learning_rate), epoch)
        steps = self.params.get("steps")
        if self.write_steps_per_second and steps:
            train.scalar("epoch_steps_per_second", steps / max(seconds, 1e-9), epoch)

    def on_train_end(self, logs: Logs | None = None) -> None:
        """Close the event files."""
        self.release()

    def release(self) -> None:
        """Close the event files."""
        writers, self._writers = self._writers, {}
        for writer in writers.values():
            writer.close()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open files."""
        return self.__dict__ | {"_writers": {}}
