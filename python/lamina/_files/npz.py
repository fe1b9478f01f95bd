"""Reads NumPy's ``.npz`` files without executing anything, also arrays of Python lists."""

from __future__ import annotations

import errno
import io
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._files.pickles import read_pickle

__all__ = ["read_npz"]

Array = npt.NDArray[Any]


def read_npz(who: str, path: Path, names: Sequence[str]) -> list[Array]:
    """Return the arrays of an ``.npz`` file that have some names.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is damaged, lacks an array, or holds objects other than numbers, text, lists and arrays.
    """
    import zipfile  # here: `import lamina` need not load it

    try:
        with zipfile.ZipFile(path) as archive:
            held = [name.removesuffix(".npy") for name in archive.namelist()]
            if missing := [name for name in names if name not in held]:
                raise ValueError(f"it has no array {missing[0]!r}; it has {held}")
            return [_array(archive.read(f"{name}.npy")) for name in names]
    except (ValueError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, SyntaxError) as error:
        raise ValueError(f"{who}: {path} cannot be read: {error}. Delete it to have it fetched again.") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place in the archive that is none
            raise
        raise ValueError(f"{who}: {path} is damaged. Delete it to have it fetched again.") from None


def _array(content: bytes) -> Array:
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    # Version 3 has UTF-8 in its header, which is of use in names of fields only.
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(file)
    if dtype.kind != "O":
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    found = read_pickle(content[file.tell() :])
    if not isinstance(found, np.ndarray) or found.shape != shape:
        raise ValueError("it holds a damaged array of objects")
    return found
