"""CIFAR-10: 60,000 colour photographs of 32 × 32 pixels, in 10 classes.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina.datasets.cifar import batches_folder, load_batches

__all__ = ["load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_TRAIN, _TEST = [f"data_batch_{i}" for i in range(1, 6)], ["test_batch"]


def load_data() -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return CIFAR-10 from Keras's cache; it is downloaded there if it is not.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` uint8, shape (50000 or 10000, 32, 32, 3), 0 to 255; ``y`` uint8, shape (n, 1), the class.

    Raises
    ------
    OSError
        The archive is not there and cannot be downloaded; the message says where to put it.
    ValueError
        A file is damaged. Nothing in the files is executed.
    """
    who = "cifar10.load_data"
    folder = batches_folder(who, "cifar-10-batches-py", "cifar-10-python.tar.gz", [*_TRAIN, *_TEST], _CHECKSUM)
    x, y = load_batches(who, folder, _TRAIN, "labels")
    x_test, y_test = load_batches(who, folder, _TEST, "labels")
    return (x, y.astype(np.uint8)), (x_test, y_test.astype(np.uint8))
