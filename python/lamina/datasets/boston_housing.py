"""Boston housing: prices of houses in 506 districts, with 13 measurements of each.

One of the measurements is made from the share of Black residents on a racist assumption; the set is of use to compare
programs with what others published, and for nothing else. `california_housing` has a similar task.

Source: D. Harrison and D. L. Rubinfeld, "Hedonic prices and the demand for clean air", Journal of Environmental
Economics and Management 5, 1978, as Keras serves it.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina.datasets.tables import load_table

__all__ = ["load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"


def load_data(
    path: Any = "boston_housing.npz", test_split: float = 0.2, seed: int = 113
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the districts from Keras's cache; they are downloaded there if they are not.

    Parameters
    ----------
    path : str or Path
        Name in the cache (see `lamina.utils.get_file`), or a path outside of it.
    test_split : float in [0, 1)
        Share of the rows, the last ones after shuffling, that is for tests.
    seed : int in [0, 2**32)
        Of the order of the rows.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` float64, shape (n, 13); ``y`` float64, shape (n,), the median price in thousands of dollars. 404 rows for
        training and 102 for tests with the default split.

    Raises
    ------
    OSError
        The file is not there and cannot be downloaded; the message says where to put it.
    ValueError
        It is damaged, or an argument is out of range.
    """
    return load_table("boston_housing.load_data", path, "boston_housing.npz", _CHECKSUM, test_split, seed)
