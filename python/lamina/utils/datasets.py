"""Data sets that are read batch by batch, and parts of arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from lamina import random
from lamina._common.checks import KindError, flag, integer, number, short
from lamina._data.arrays import any_array

__all__ = ["PyDataset", "Sequence", "split_dataset"]


class PyDataset:
    """Base class of data sets that `fit` reads batch by batch; a subclass defines ``__len__`` and ``__getitem__``.

    Parameters
    ----------
    workers, use_multiprocessing, max_queue_size
        Accepted as in Keras, without effect: batches are made one after the other.
    """

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10) -> None:
        self.workers, self.use_multiprocessing, self.max_queue_size = workers, use_multiprocessing, max_queue_size

    def __len__(self) -> int:
        """Return the number of batches."""
        raise NotImplementedError(f"{type(self).__name__}: a PyDataset defines __len__.")

    def __getitem__(self, index: int) -> Any:
        """Return batch number `index`: (x, y) or (x, y, sample_weight)."""
        raise NotImplementedError(f"{type(self).__name__}: a PyDataset defines __getitem__.")

    @property
    def num_batches(self) -> int:
        """The number of batches."""
        return len(self)

    def on_epoch_begin(self) -> None:
        """Run before each epoch."""

    def on_epoch_end(self) -> None:
        """Run after each epoch."""


Sequence = PyDataset


def split_dataset(
    dataset: Any,
    left_size: float | None = None,
    right_size: float | None = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Return the two parts of an array, or of a tuple of arrays of equal length, each split at the same rows.

    Parameters
    ----------
    dataset : array_like, or tuple of array_like
    left_size, right_size : float in (0, 1), or int, >= 0, optional
        Share, or number of rows. One may be omitted; if both are given, rows between the parts may be left out.
    shuffle : bool
    seed : int, optional

    Raises
    ------
    ValueError
        Both sizes are missing, or they exceed the number of rows.
    """
    given = dataset if isinstance(dataset, tuple) else (dataset,)
    arrays = tuple(any_array("split_dataset", "dataset", array) for array in given)
    if not arrays or any(array.ndim == 0 for array in arrays):
        raise KindError(f"split_dataset: dataset must be an array, or a tuple of arrays; got {short(dataset)}.")
    rows = len(arrays[0])
    if any(len(array) != rows for array in arrays):
        raise ValueError("split_dataset: all arrays must have the same number of rows.")
    if left_size is None and right_size is None:
        raise ValueError("split_dataset: left_size or right_size must be given.")

    def rows_of(name: str, size: Any) -> int | None:
        if isinstance(size, (float, np.floating)):
            return round(number("split_dataset", name, size, above=0, below=1) * rows)
        return None if size is None else integer("split_dataset", name, size, 0)

    first, last = rows_of("left_size", left_size), rows_of("right_size", right_size)
    left = rows - (last or 0) if first is None else first
    right = rows - left if last is None else last
    if left < 0 or right < 0 or left + right > rows:
        raise ValueError(f"split_dataset: {left_size} and {right_size} of {rows} rows is not possible.")
    seed = None if seed is None else integer("split_dataset", "seed", seed, -(2**63))
    if flag("split_dataset", "shuffle", shuffle):
        key = random.stream_key(random.global_seeds.next_seed() if seed is None else seed, "split")
        order = random.permutation(key, 0, rows)
        arrays = tuple(array[order] for array in arrays)
    parts = tuple(array[:left] for array in arrays), tuple(array[rows - right :] for array in arrays)
    return parts if isinstance(dataset, tuple) else (parts[0][0], parts[1][0])
