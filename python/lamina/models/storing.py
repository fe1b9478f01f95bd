"""StoredModel: the methods of a model that write it into files, and read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lamina._common.checks import choice, flag, only_none
from lamina._common.output import say
from lamina._common.warn import warn
from lamina.models import backups, files
from lamina.models.pickling import PickledModel

__all__ = ["StoredModel"]


class StoredModel(PickledModel):
    """A model that can be kept in files."""

    def save(
        self,
        filepath: Any,
        overwrite: bool = True,
        zipped: None = None,
        include_optimizer: bool = True,
        save_format: str | None = None,
    ) -> None:
        """Write the model into one file: configuration, parameters, compile arguments, and the optimizer's state.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``, which holds everything; in ``.keras``, or in ``.h5`` or ``.hdf5`` as in older
            versions of Keras: real Keras loads such files too. Keras's formats need h5py (extra ``keras``).
        overwrite : bool
            False raises if the file exists.
        zipped : None
            An option of Keras's own format; another value raises.
        include_optimizer : bool
            False leaves out the optimizer's state, and, but for ``.keras``, the arguments of `compile`.
        save_format : {"h5", "keras"}, optional
            As in older versions of Keras; the suffix says it, and a warning that it does.

        Raises
        ------
        ImportError
            The format is Keras's, and h5py is missing.
        ValueError
            The suffix is another one, the file must not be overwritten, the model is not built, or it holds something
            that Keras lacks and the format is Keras's.
        """
        who = self.stack.who("save")
        only_none(who, zipped=zipped)
        if save_format is not None:
            choice(who, "save_format", save_format, ("h5", "keras"))
            warn(f"{who}: save_format is not needed: the suffix of the file's name says the format.")
        self.stack.require_built("save")
        files.save_model(self, filepath, overwrite, flag(who, "include_optimizer", include_optimizer))

    def export(
        self,
        filepath: Any,
        format: str | None = None,
        verbose: bool | None = None,
        input_signature: None = None,
        *,
        overwrite: bool = True,
        **options: Any,
    ) -> None:
        """Write what the model computes into a file that other programs run; docs/interchange.md says which.

        Predictions alone: without losses, optimizer, noise and penalties. ONNX files are for any number of rows.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.onnx``, for ONNX (extra ``onnx``), with operators of version 17, or in ``.h``, for a header in
            C99 that needs nothing but the C library's math.h.
        format : {"onnx", "c"}, optional
            As in Keras. The suffix says it, too, and must agree.
        verbose : bool, optional
            Print where the file is.
        input_signature : None
            An option of Keras's for TensorFlow; another value raises.
        overwrite : bool
            False raises if the file exists.
        **options
            Of C headers: `batch` (int), to have a function for so many rows, too; `name` (str), the beginning of all
            names, in place of that of the file; `own_math` (bool, default True), whether exp, tanh and their like are
            polynomials in the header, which compilers make vectors of, or math.h's.

        Raises
        ------
        ImportError
            A library that the format needs is missing.
        ValueError
            The format is another one, the model is not built, or it has code in Python, or noise that predictions have,
            too.
        """
        who = self.stack.who("export")
        only_none(who, input_signature=input_signature)
        self.stack.require_built("export")
        path = files.export_model(self, filepath, format, overwrite, options)
        if verbose is not None and flag(who, "verbose", verbose):
            say(f"Saved artifact at '{path}'.")

    def check_saving(self, who: str, filepath: Any) -> None:
        """Raise if the model cannot be kept in files whose names end as `filepath`."""
        files.check_saving(who, self, Path(filepath))

    def check_saving_weights(self, who: str, filepath: Any) -> None:
        """Raise if the weights cannot be kept in files whose names end as `filepath`."""
        files.check_places(who, self, Path(filepath))

    def save_backup(self, filepath: Any, callbacks: Any, epoch: int = 0) -> None:
        """Write the state from which training resumes, without the configuration; see `BackupAndRestore`."""
        backups.save_backup(self, filepath, callbacks, epoch)

    def restore_backup(self, filepath: Any) -> Any:
        """Restore the state of a backup; return classes and states of the callbacks."""
        return backups.restore_backup(self, filepath)

    def save_weights(self, filepath: Any, overwrite: bool = True, max_shard_size: None = None) -> None:
        """Write the parameters into a file.

        Parameters
        ----------
        filepath : str or Path
            Ends in ``.safetensors``; or as in Keras in ``.weights.h5``, or ``.h5`` or ``.hdf5`` for older versions.
            A ``.weights.h5`` also holds the optimizer's state, as with Keras.
        overwrite : bool
            False raises if the file exists.
        max_shard_size : None
            Files are not split; another value raises.
        """
        only_none(self.stack.who("save_weights"), max_shard_size=max_shard_size)
        self.stack.require_built("save_weights")
        files.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, by_name: bool = False) -> None:
        """Read parameters that `save_weights` or `save` wrote, in the order of the layers; all or none.

        Parameters
        ----------
        filepath : str or Path
            A file that `save_weights` or `save` wrote, lamina's or Keras's. From ``.weights.h5`` and ``.keras`` the
            optimizer of a model that has been trained takes its state, too.
        skip_mismatch : bool
            Skip parameters whose shape differs in the file, instead of raising.
        by_name : bool
            Read those of the layers whose names are in the file, and leave the others as they are. Only for ``.h5``
            and ``.hdf5``.

        Raises
        ------
        FileNotFoundError, ValueError
            There is no such file, it is damaged, or its parameters have other shapes.
        """
        who = self.stack.who("load_weights")
        self.stack.require_built("load_weights")
        files.restore_weights(self, filepath, flag(who, "skip_mismatch", skip_mismatch), flag(who, "by_name", by_name))
