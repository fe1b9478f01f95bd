"""Files of data sets in Keras's cache, fetched if they are not there."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import integer, number
from lamina._common.paths import path as check_path
from lamina._common.warn import warn
from lamina._files.download import DownloadError, get_file, keras_home

__all__ = ["cached", "shuffled", "shuffler", "split_rows", "word_index"]

Array = npt.NDArray[Any]

_ORIGIN = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"


def cached(who: str, path: Any, file: str, checksum: str | None, origin: str = _ORIGIN) -> Path:
    """Return the path of a data set's file in Keras's cache, after downloading it if it is not there.

    A file with another checksum than Keras's is replaced. If that is not possible it is read, with a warning.

    Parameters
    ----------
    who : str
        The function of the data set, for messages.
    path : str or Path
        Name in the cache, or a path outside of it.
    file : str
        Name at the origin.
    checksum : str or None
        SHA-256 or MD5.
    """
    wanted = check_path(who, "path", path)
    outside = len(wanted.parts) > 1
    folder = wanted.parent if outside else keras_home() / "datasets"
    try:
        return Path(get_file(wanted.name, f"{origin}{file}", file_hash=checksum, cache_dir=folder, cache_subdir=""))
    except (DownloadError, PermissionError) as error:
        if not os.access(folder / wanted.name, os.R_OK):
            raise type(error)(f"{who}: {error}") from None
        warn(f"{who}: {folder / wanted.name} is read as it is, though its checksum is not that of Keras's: {error}")
        return folder / wanted.name


def shuffler(who: str, seed: Any) -> np.random.RandomState:
    """Return NumPy's older generator, of which Keras's random orders are."""
    return np.random.RandomState(integer(who, "seed", seed, 0, 2**32 - 1))


def shuffled(rng: np.random.RandomState, *arrays: Array) -> list[Array]:
    """Return arrays of equal length in the next random order of Keras's."""
    order = np.arange(len(arrays[0]))
    rng.shuffle(order)
    return [array[order] for array in arrays]


def split_rows(who: str, x: Any, y: Array, test_split: float) -> tuple[tuple[Any, Array], tuple[Any, Array]]:
    """Return the first rows for training, the last ones, a share of them, for tests."""
    rows = int(len(x) * (1 - number(who, "test_split", test_split, least=0, below=1)))
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def word_index(who: str, path: Any, file: str, checksum: str) -> dict[str, int]:
    """Return a dict of words to numbers from a JSON file."""
    found = cached(who, path, file, checksum)
    try:
        words = json.loads(found.read_text("utf-8"))
        if not isinstance(words, dict) or not all(type(n) is int for n in words.values()):
            raise ValueError("it must hold one number for each word")
    except ValueError as error:
        raise ValueError(f"{who}: {found} cannot be read: {error}. Delete it to have it fetched again.") from None
    return words
