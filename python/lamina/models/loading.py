"""Functions that load and save models."""

from __future__ import annotations

from typing import Any

from lamina._common.checks import KindError, flag
from lamina._common.custom import custom_object_scope
from lamina._files.errors import damaged_where_wrong
from lamina._files.network import NetworkState
from lamina.models import files
from lamina.models.from_network import model_from_network
from lamina.models.model import Model

__all__ = ["load_model", "save_model"]


def load_model(
    filepath: Any, custom_objects: dict[str, Any] | None = None, compile: bool = True, safe_mode: bool = True
) -> Model:
    """Return the model that `Sequential.save` wrote, lamina's or Keras's.

    Reading a file executes nothing.

    Parameters
    ----------
    filepath : str or Path
        Ends in ``.safetensors``, ``.keras``, ``.h5`` or ``.hdf5``; all but the first need h5py (extra ``keras``).
    custom_objects : dict, optional
        Name → class or function, for user-defined ones that are not registered.
    compile : bool
        Whether to restore optimizer (with its state), loss and metrics, too.
    safe_mode : bool
        Accepted as in Keras: files never hold code here.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The suffix is another one, or the file is damaged, or holds something that lamina lacks.
    ImportError
        The format is Keras's, and h5py is missing.
    """
    flag("load_model", "safe_mode", safe_mode)
    with custom_object_scope(custom_objects):
        found: Any = files.load_model(filepath, flag("load_model", "compile", compile))
    if isinstance(found, NetworkState):
        with damaged_where_wrong("load_model", filepath):
            return model_from_network(found)
    if not isinstance(found, Model):
        raise ValueError(f"load_model: {filepath} must hold a model; it holds a {type(found).__name__}.")
    return found


def save_model(
    model: Model,
    filepath: Any,
    overwrite: bool = True,
    zipped: None = None,
    include_optimizer: bool = True,
    save_format: str | None = None,
) -> None:
    """Write a model into a file, as `Sequential.save` does."""
    if not isinstance(model, Model):
        raise KindError(f"save_model: model must be a model; got {type(model).__name__}.")
    model.save(filepath, overwrite, zipped, include_optimizer, save_format)
