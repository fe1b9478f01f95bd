"""Keras 3's ``.keras`` files: a zip archive of the configuration as JSON, and the weights in HDF5.

What Keras has no place for (the counters of training on which shuffles and noise depend) is in a member of lamina's
own, ``lamina.json``, which Keras ignores.
"""

from __future__ import annotations

import errno
import io
import json
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina import _core
from lamina._files import strict
from lamina._files.errors import damaged_where_wrong
from lamina._files.hdf5 import arrays_in, opened, require_h5py
from lamina._files.keras_config import checked_for_keras, compile_arguments, compile_for_keras, extras, with_extras
from lamina._files.keras_store import fill, finder, optimizer_arrays
from lamina._files.paths import require_file
from lamina._files.state import ModelState, TrainingState
from lamina._files.writing import replace_file

if TYPE_CHECKING:
    import zipfile

__all__ = ["SUFFIX", "check", "read_model", "write_model"]

SUFFIX = ".keras"
KERAS_VERSION = "3.15.1"  # whose files these are like

_CONFIG, _WEIGHTS, _OWN, _METADATA = "config.json", "model.weights.h5", "lamina.json", "metadata.json"
# How much a member may shrink by compression, and how large JSON may be.
_MOST_EXPANDED, _MOST_TEXT = 2000, 1 << 28

check = require_h5py


def write_model(who: str, path: Path, state: ModelState) -> None:
    """Write a model."""
    import zipfile  # here: `import lamina` need not load it

    require_h5py(who)
    assert state.tensors is not None
    config = checked_for_keras(who, state.config)
    if state.compile_config is not None:
        config = config | {"compile_config": compile_for_keras(who, state.compile_config)}
    weights = io.BytesIO()
    with opened(who, weights, "w") as store:
        fill(store, state.tensors, state.optimizer)
    saved = time.strftime("%Y-%m-%d@%H:%M:%S")
    with replace_file(who, path) as file, zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_METADATA, json.dumps({"keras_version": KERAS_VERSION, "date_saved": saved}))
        archive.writestr(_CONFIG, json.dumps(config))
        archive.writestr(_WEIGHTS, weights.getbuffer())
        archive.writestr(_OWN, json.dumps({"lamina": _core.__version__} | extras(state)))


def read_model(who: str, path: Path) -> ModelState:
    """Read what `write_model` or Keras wrote."""
    import zipfile

    require_h5py(who)
    require_file(who, path)
    with damaged_where_wrong(who, path):
        try:
            with zipfile.ZipFile(path) as archive:
                return _model_state(who, archive)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, zlib.error) as error:
            raise ValueError(f"it is no whole zip archive: {error}") from None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            raise ValueError("it is no whole zip archive: a file in it begins nowhere") from None


def _model_state(who: str, archive: zipfile.ZipFile) -> ModelState:
    config = dict(strict.loads(_text(archive, _CONFIG)))
    compiled = config.pop("compile_config", None)
    info = archive.getinfo(_WEIGHTS)
    if info.file_size > _MOST_EXPANDED * max(info.compress_size, 1):
        raise ValueError(f"its {_WEIGHTS} is too large to be true")
    with archive.open(_WEIGHTS) as file, opened(who, file, "r") as store:
        found = arrays_in(store, info.file_size)
    state = ModelState(
        config=config,
        weights={},
        training=TrainingState(),
        layer_states={},
        compile_config=compile_arguments(compiled),
        without_decay=([], []),
        optimizer=optimizer_arrays(found),
        find=finder(found),
    )
    own: Any = strict.loads(_text(archive, _OWN)) if _OWN in archive.namelist() else {}
    return with_extras(state, own)


def _text(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.file_size > _MOST_TEXT:
        raise ValueError(f"its {name} is too large to be true")
    return archive.read(name)
