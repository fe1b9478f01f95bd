"""Reads CIFAR's archives: small colour photographs, of which batches are pickled dicts of arrays.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._files.download import get_file, keras_home
from lamina._files.pickles import read_pickle

__all__ = ["batches_folder", "load_batches"]

Array = npt.NDArray[Any]


def batches_folder(who: str, name: str, archive: str, batches: Sequence[str], checksum: str) -> Path:
    """Return the folder with a set's batches; its archive is downloaded and unpacked if they are not there.

    Parameters
    ----------
    who : str
        The function of the data set, for messages.
    name : str
        The folder in the archive.
    archive : str
        Name at the origin.
    batches : sequence of str
        Names of the files.
    checksum : str
        SHA-256 of the archive.
    """
    cache = keras_home() / "datasets"
    for folder in (cache / f"{name}-target" / name, cache / name):  # of Keras 3, and of Keras 2
        if all((folder / batch).is_file() for batch in batches):
            return folder
    try:
        origin = f"https://www.cs.toronto.edu/~kriz/{archive}"
        return Path(get_file(f"{name}-target", origin, file_hash=checksum, extract=True)) / name
    except OSError as error:
        raise type(error)(f"{who}: {error}") from None


def load_batches(who: str, folder: Path, batches: Sequence[str], label: str) -> tuple[Array, Array]:
    """Return the images of some files, uint8 of shape (n, 32, 32, 3), and their labels, int64 of shape (n, 1)."""
    images, labels = [], []
    for batch in batches:
        try:
            held = read_pickle((folder / batch).read_bytes(), "bytes")
            data, numbers = held[b"data"], np.array(held[label.encode()], np.int64)
            if data.dtype != np.uint8 or data.shape != (len(numbers), 3 * 32 * 32) or numbers.ndim != 1:
                raise ValueError(f"it holds {data.dtype} of shape {data.shape} and {len(numbers)} labels")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(
                f"{who}: {folder / batch} cannot be read: {error}. Delete its folder to have it unpacked again."
            ) from None
        images.append(data)
        labels.append(numbers)
    x, y = np.concatenate(images), np.concatenate(labels)
    return np.ascontiguousarray(x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)), y.reshape(-1, 1)
