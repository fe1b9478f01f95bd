"""Fashion-MNIST: 70,000 pictures of clothes of 28 × 28 pixels.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017, arXiv:1708.07747; MIT licence.
"""

from __future__ import annotations

import math
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.paths import path as check_path
from lamina._files.download import keras_home
from lamina.datasets.cached import cached

__all__ = ["load_data"]

Array = npt.NDArray[Any]

DEFAULT_PATH = "/usr/share/datasets/fashion-mnist"
_FILES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}


def load_data(path: Any = None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return Fashion-MNIST from a folder with its four IDX files, plain or gzipped.

    Parameters
    ----------
    path : str or Path, optional
        The folder. If omitted, ``datasets/fashion-mnist`` in Keras's cache (see `lamina.utils.get_file`), else that of
        Debian's package ``dataset-fashion-mnist``; if the files are in neither, they are downloaded into the cache.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` uint8, shape (60000 or 10000, 28, 28), 0 to 255; ``y`` uint8, shape (n,), classes 0 to 9.

    Raises
    ------
    OSError
        A file is missing, or cannot be downloaded; the message says how to get it.
    ValueError
        A file is damaged.
    """
    who = "fashion_mnist.load_data"
    folder = _folder(who) if path is None else check_path(who, "path", path)
    parts = {key: _read_idx(folder, name) for key, name in _FILES.items()}
    for part in ("train", "test"):
        images, labels = parts[part, "images"], parts[part, "labels"]
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise ValueError(
                f"fashion_mnist.load_data: images and labels of {part!r} must match; got {images.shape} and "
                f"{labels.shape}."
            )
    return (
        (parts["train", "images"], parts["train", "labels"]),
        (parts["test", "images"], parts["test", "labels"]),
    )


def _folder(who: str) -> Path:
    """Return the folder of Keras's cache, or of Debian's package if only that is there; download the files if none."""
    cache = keras_home() / "datasets" / "fashion-mnist"
    for folder in (cache, Path(DEFAULT_PATH)):
        if all(any((folder / f"{name}{suffix}").is_file() for suffix in ("", ".gz")) for name in _FILES.values()):
            return folder
    for name in _FILES.values():
        cached(who, cache / f"{name}.gz", f"{name}.gz", None)
    return cache


def _read_idx(folder: Path, name: str) -> Array:
    """Read an IDX file of bytes: two zeros, the type 8, the rank, big-endian sizes, the elements."""
    plain, packed = folder / name, folder / f"{name}.gz"
    if plain.is_file():
        content = plain.read_bytes()
    elif packed.is_file():
        import gzip  # here: `import lamina` need not load it

        try:
            content = gzip.decompress(packed.read_bytes())
        except (OSError, EOFError, zlib.error) as error:
            raise ValueError(f"fashion_mnist.load_data: {packed} is damaged; {error}.") from None
    else:
        raise FileNotFoundError(
            f"fashion_mnist.load_data: there is no {name} or {name}.gz in {folder}. On Debian or Ubuntu install it "
            "with 'apt install dataset-fashion-mnist'; or download the four files from "
            "https://github.com/zalandoresearch/fashion-mnist and pass their folder as path."
        )
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"fashion_mnist.load_data: {name} must be an IDX file of bytes; its header is not one's.")
    rank = content[3]
    header = 4 + 4 * rank
    if len(content) < header:
        raise ValueError(f"fashion_mnist.load_data: {name} ends within its header.")
    shape = struct.unpack(f">{rank}I", content[4:header])
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"fashion_mnist.load_data: {name} must hold {math.prod(shape)} elements; got {len(content) - header}."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
