"""MNIST: 70,000 handwritten digits of 28 × 28 pixels.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", 1998, as Keras serves it; licensed
CC BY-SA 3.0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._files.npz import read_npz
from lamina.datasets.cached import cached

__all__ = ["load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"


def load_data(path: Any = "mnist.npz") -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return MNIST from Keras's cache; it is downloaded there if it is not.

    Parameters
    ----------
    path : str or Path
        Name in the cache (see `lamina.utils.get_file`), or a path outside of it.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` uint8, shape (60000 or 10000, 28, 28), 0 to 255; ``y`` uint8, shape (n,), the digit.

    Raises
    ------
    OSError
        The file is not there and cannot be downloaded; the message says where to put it.
    ValueError
        It is damaged.
    """
    who = "mnist.load_data"
    found = cached(who, path, "mnist.npz", _CHECKSUM)
    x, y, x_test, y_test = read_npz(who, found, ["x_train", "y_train", "x_test", "y_test"])
    for images, labels in ((x, y), (x_test, y_test)):
        if images.ndim != 3 or labels.shape != images.shape[:1] or {images.dtype, labels.dtype} - {np.dtype("u1")}:
            raise ValueError(
                f"{who}: {found} must hold images and labels of uint8; got {images.dtype} {images.shape} and "
                f"{labels.dtype} {labels.shape}."
            )
    return (x, y), (x_test, y_test)
