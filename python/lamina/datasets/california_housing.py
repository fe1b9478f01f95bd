"""California housing: prices of houses in 20,640 districts, with 8 measurements of each.

Source: R. K. Pace and R. Barry, "Sparse spatial autoregressions", Statistics and Probability Letters 33, 1997, as Keras
serves it.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._common.checks import choice
from lamina.datasets.tables import load_table

__all__ = ["load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"


def load_data(
    version: str = "large", path: Any = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the districts from Keras's cache; they are downloaded there if they are not.

    Parameters
    ----------
    version : {"large", "small"}
        All 20,640 districts, or the first 600.
    path : str or Path
        Name in the cache (see `lamina.utils.get_file`), or a path outside of it.
    test_split : float in [0, 1)
        Share of the rows, the last ones after shuffling, that is for tests.
    seed : int in [0, 2**32)
        Of the order of the rows.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` float32, shape (n, 8): longitude, latitude, median age, rooms, bedrooms, population, households, median
        income; ``y`` float32, shape (n,), the median price in dollars.

    Raises
    ------
    OSError
        The file is not there and cannot be downloaded; the message says where to put it.
    ValueError
        It is damaged, or an argument is out of range.
    """
    who = "california_housing.load_data"
    choice(who, "version", version, ("large", "small"))
    rows = 600 if version == "small" else None
    return load_table(who, path, "california_housing.npz", _CHECKSUM, test_split, seed, rows)
