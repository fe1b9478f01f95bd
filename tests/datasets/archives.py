"""Small archives in the form of those that Keras serves, at the places where its cache has them."""

from __future__ import annotations

import gzip
import json
import pickle
import struct

import numpy as np

__all__ = ["write_all", "write_idx"]


def write_idx(path, array, packed=True):
    """Write an array of bytes as an IDX file."""
    content = b"\x00\x00\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(content) if packed else content)


def documents(rng, rows, most=60):
    """Return an array of lists of word numbers, of different lengths."""
    made = np.empty(rows, object)
    made[:] = [rng.integers(1, most, n).tolist() for n in rng.integers(1, 30, rows)]
    return made


def write_all(home, rows=40):
    """Write all data sets below a folder that stands for ``~/.keras``."""
    rng = np.random.default_rng(0)
    folder = home / "datasets"
    (folder / "fashion-mnist").mkdir(parents=True)
    images = rng.integers(0, 256, (rows, 28, 28)).astype("u1")
    labels = rng.integers(0, 10, rows).astype("u1")
    np.savez(folder / "mnist.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    for part, kept in (("train", rows), ("t10k", 9)):
        write_idx(folder / "fashion-mnist" / f"{part}-images-idx3-ubyte.gz", images[:kept])
        write_idx(folder / "fashion-mnist" / f"{part}-labels-idx1-ubyte.gz", labels[:kept])
    np.savez(folder / "boston_housing.npz", x=rng.normal(size=(rows, 13)), y=rng.normal(size=rows))
    table = rng.normal(size=(700, 8)).astype("f")
    np.savez(folder / "california_housing.npz", x=table, y=rng.normal(size=700).astype("f"))
    words = {f"word{i}": i for i in range(1, 60)}
    labels = rng.integers(0, 2, rows)
    train, test = documents(rng, rows), documents(rng, rows)
    np.savez(folder / "imdb.npz", x_train=train, y_train=labels, x_test=test, y_test=labels[::-1])
    np.savez(folder / "reuters.npz", x=documents(rng, rows), y=rng.integers(0, 46, rows))
    for name in ("imdb", "reuters"):
        (folder / f"{name}_word_index.json").write_text(json.dumps(words))
    cifar10 = folder / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    cifar100 = folder / "cifar-100-python-target" / "cifar-100-python"
    for place, names, kinds in (
        (cifar10, [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], {b"labels": 10}),
        (cifar100, ["train", "test"], {b"fine_labels": 100, b"coarse_labels": 20}),
    ):
        place.mkdir(parents=True)
        for name in names:
            batch = {b"data": rng.integers(0, 256, (4, 3072)).astype("u1"), b"batch_label": name.encode()}
            batch |= {kind: rng.integers(0, classes, 4).tolist() for kind, classes in kinds.items()}
            (place / name).write_bytes(pickle.dumps(batch, 4))
