"""CIFAR-100: 60,000 colour photographs of 32 × 32 pixels, in 100 classes of 20 kinds.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._common.checks import choice
from lamina.datasets.cifar import batches_folder, load_batches

__all__ = ["load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


def load_data(label_mode: str = "fine") -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return CIFAR-100 from Keras's cache; it is downloaded there if it is not.

    Parameters
    ----------
    label_mode : {"fine", "coarse"}
        100 classes, or 20.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` uint8, shape (50000 or 10000, 32, 32, 3), 0 to 255; ``y`` int64, shape (n, 1), the class.

    Raises
    ------
    OSError
        The archive is not there and cannot be downloaded; the message says where to put it.
    ValueError
        A file is damaged, or `label_mode` is neither. Nothing in the files is executed.
    """
    who = "cifar100.load_data"
    choice(who, "label_mode", label_mode, ("fine", "coarse"))
    folder = batches_folder(who, "cifar-100-python", "cifar-100-python.tar.gz", ["train", "test"], _CHECKSUM)
    label = f"{label_mode}_labels"
    return load_batches(who, folder, ["train"], label), load_batches(who, folder, ["test"], label)
