from __future__ import annotations

import gzip
import os

import numpy as np
import pytest
from datasets.archives import write_idx

from lamina import datasets


def test_digits_are_split_stratified():
    (x, y), (x_test, y_test) = datasets.digits.load_data()
    assert x.shape == (1438, 64)
    assert x_test.shape == (359, 64)
    assert {x.dtype, y.dtype} == {np.dtype("uint8")}
    assert x.min() == 0
    assert x.max() == 16
    shares = np.bincount(y_test) / np.bincount(np.concatenate([y, y_test]))
    np.testing.assert_allclose(shares, 0.2, atol=0.005)
    assert len(np.unique(np.concatenate([x, x_test]), axis=0)) == 1797
    assert np.abs(np.corrcoef(np.arange(len(y)), y)[0, 1]) < 0.1  # shuffled


def write_set(folder, packed=True):
    rng = np.random.default_rng(0)
    suffix = ".gz" if packed else ""
    made = {}
    for part, n in (("train", 7), ("t10k", 3)):
        made[part] = rng.integers(0, 255, (n, 28, 28)).astype("u1"), rng.integers(0, 10, n).astype("u1")
        write_idx(folder / f"{part}-images-idx3-ubyte{suffix}", made[part][0], packed)
        write_idx(folder / f"{part}-labels-idx1-ubyte{suffix}", made[part][1], packed)
    return made


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_reads_idx(packed, tmp_path):
    made = write_set(tmp_path, packed)
    (x, y), (x_test, y_test) = datasets.fashion_mnist.load_data(tmp_path)
    for ours, expected in zip((x, y, x_test, y_test), (*made["train"], *made["t10k"]), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_fashion_mnist_says_how_to_get_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="apt install dataset-fashion-mnist"):
        datasets.fashion_mnist.load_data(tmp_path)


def test_fashion_mnist_refuses_damaged_files(tmp_path):
    write_set(tmp_path)
    images = tmp_path / "train-images-idx3-ubyte.gz"
    whole = images.read_bytes()
    content = gzip.decompress(whole)
    for broken, message in (
        (whole[:-20], "is damaged"),
        (b"nothing", "is damaged"),
        (gzip.compress(content[:-1]), "must hold 5488 elements; got 5487"),
        (gzip.compress(b"\x00\x00\x0d" + content[3:]), "must be an IDX file of bytes"),
        (gzip.compress(content[:10]), "ends within its header"),
    ):
        images.write_bytes(broken)
        with pytest.raises(ValueError, match=message):
            datasets.fashion_mnist.load_data(tmp_path)
    write_idx(images, np.zeros((5, 28, 28), "u1"))
    with pytest.raises(ValueError, match="images and labels of 'train' must match"):
        datasets.fashion_mnist.load_data(tmp_path)


@pytest.mark.skipif(
    not os.path.isdir(datasets.fashion_mnist.DEFAULT_PATH), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_fashion_mnist_of_debian():
    (x, y), (x_test, y_test) = datasets.fashion_mnist.load_data()
    assert x.shape == (60000, 28, 28)
    assert x_test.shape == (10000, 28, 28)
    assert np.bincount(y).tolist() == [6000] * 10
    assert np.bincount(y_test).tolist() == [1000] * 10
