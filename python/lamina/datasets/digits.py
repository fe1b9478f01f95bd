"""1,797 handwritten digits, inside the package.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
1998, https://doi.org/10.24432/C50P49, the test part of the set, licensed CC BY 4.0. Each image has 8 × 8 pixels,
each the amount of ink from 0 to 16.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["load_data"]

Array = npt.NDArray[Any]


def load_data() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the digits in a fixed split: shuffled, a fifth of each class held back for tests.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` uint8, shape (n, 64), 0 to 16, the rows of an 8 × 8 image one after the other;
        ``y`` uint8, shape (n,), the digit. 1,438 rows for training, 359 for tests.

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_data()
    >>> x_train.shape, x_test.shape
    ((1438, 64), (359, 64))
    """
    content = zlib.decompress(Path(__file__).with_name("digits.bin").read_bytes())
    train_rows, rows = int.from_bytes(content[:2], "little"), (len(content) - 2) // 65
    columns = np.frombuffer(content, np.uint8, offset=2).reshape(65, rows)
    y, x = columns[0].copy(), np.empty((rows, 64), np.uint8)
    x[np.argsort(y, kind="stable")] = columns[1:].T  # pixels are those of rows sorted by their labels
    return (x[:train_rows], y[:train_rows]), (x[train_rows:], y[train_rows:])
