"""Reads data sets that are one table of numbers with one target for each row."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._files.npz import read_npz
from lamina.datasets.cached import cached, shuffled, shuffler, split_rows

__all__ = ["load_table"]

Array = npt.NDArray[Any]


def load_table(
    who: str, path: Any, file: str, checksum: str, test_split: float, seed: int, rows: int | None = None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return a table from Keras's cache, shuffled and split as Keras does; the first `rows` of it if given."""
    found = cached(who, path, file, checksum)
    x, y = read_npz(who, found, ["x", "y"])
    if x.ndim != 2 or len(x) != len(y) or {x.dtype.kind, y.dtype.kind} - set("fiu"):
        raise ValueError(
            f"{who}: {found} must hold a table of numbers and a target for each row; got {x.dtype} {x.shape} and "
            f"{y.dtype} {y.shape}."
        )
    x, y = shuffled(shuffler(who, seed), x[:rows], y[:rows])
    return split_rows(who, x, y, test_split)
