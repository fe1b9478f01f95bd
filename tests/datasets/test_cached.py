from __future__ import annotations

import pickle
import warnings

import numpy as np
import pytest
from datasets.archives import write_all
from helpers import no_connection

from lamina import datasets
from lamina._files import download


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A cache with small archives; nothing can be downloaded."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    write_all(tmp_path)
    with no_connection():
        yield tmp_path


def quietly(load, *arguments, **named):
    """Return what a loader returns; it warns that the small archive is not Keras's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load(*arguments, **named)


@pytest.mark.parametrize(
    ("name", "shapes", "types"),
    [
        ("mnist", [(40, 28, 28), (40,), (9, 28, 28), (9,)], ["u1"] * 4),
        ("fashion_mnist", [(40, 28, 28), (40,), (9, 28, 28), (9,)], ["u1"] * 4),
        ("boston_housing", [(32, 13), (32,), (8, 13), (8,)], ["f8"] * 4),
        ("california_housing", [(560, 8), (560,), (140, 8), (140,)], ["f4"] * 4),
        ("imdb", [(40,), (40,), (40,), (40,)], ["O", "i8", "O", "i8"]),
        ("reuters", [(32,), (32,), (8,), (8,)], ["O", "i8", "O", "i8"]),
        ("cifar10", [(20, 32, 32, 3), (20, 1), (4, 32, 32, 3), (4, 1)], ["u1"] * 4),
        ("cifar100", [(4, 32, 32, 3), (4, 1), (4, 32, 32, 3), (4, 1)], ["u1", "i8", "u1", "i8"]),
    ],
)
def test_sets_of_the_cache_have_the_shapes_and_dtypes_of_keras(home, name, shapes, types):
    (x, y), (x_test, y_test) = quietly(getattr(datasets, name).load_data)
    assert [array.shape for array in (x, y, x_test, y_test)] == shapes
    assert [array.dtype for array in (x, y, x_test, y_test)] == [np.dtype(kind) for kind in types]


def test_rows_are_shuffled_together(home):
    with np.load(home / "datasets" / "boston_housing.npz") as file:
        x, y = file["x"], file["y"]
    (x_train, y_train), (x_test, y_test) = quietly(datasets.boston_housing.load_data, test_split=0.25, seed=3)
    rows = np.random.RandomState(3).permutation(40)
    np.testing.assert_array_equal(np.concatenate([x_train, x_test]), x[rows])
    np.testing.assert_array_equal(np.concatenate([y_train, y_test]), y[rows])
    assert len(x_train) == 30
    small, _ = quietly(datasets.california_housing.load_data, version="small", test_split=0)
    assert small[0].shape == (600, 8)


def test_words_are_numbered_as_keras_does(home):
    words = quietly(datasets.imdb.get_word_index)
    assert words["word7"] == 7
    x = quietly(datasets.imdb.load_data, num_words=20)[0][0]
    assert all(review[0] == 1 and max(review) < 20 for review in x)
    plain, _ = quietly(datasets.imdb.load_data, start_char=None, index_from=0, oov_char=None)
    for review, bare in zip(x, plain[0], strict=True):
        expected = [1] + [w + 3 if w + 3 < 20 else 2 for w in bare]
        largest = [w for w in expected if w != 2]
        assert [w for w in review if w != 2] == largest
    short, labels = quietly(datasets.imdb.load_data, maxlen=12)[0]
    assert 0 < len(short) == len(labels) < 40
    assert max(len(review) for review in short) < 12
    with pytest.raises(ValueError, match="maxlen must leave a document"):
        quietly(datasets.imdb.load_data, maxlen=1)
    assert len(datasets.reuters.get_label_names()) == 46


def test_a_file_that_is_not_keras_s_is_read_with_a_warning(home):
    with pytest.warns(UserWarning, match=r"mnist\.npz is read as it is, though its checksum is not that of Keras's"):
        datasets.mnist.load_data()


def test_a_file_of_the_right_checksum_needs_no_connection(home, monkeypatch):
    monkeypatch.setattr(download.Checksum, "fits", lambda self, path: True)
    datasets.mnist.load_data()


def test_a_path_outside_of_the_cache_is_read(home, tmp_path):
    moved = tmp_path / "mine.npz"
    (home / "datasets" / "mnist.npz").rename(moved)
    (x, _), _ = quietly(datasets.mnist.load_data, moved)
    assert x.shape == (40, 28, 28)


@pytest.mark.parametrize("name", ["mnist", "boston_housing", "california_housing", "imdb", "reuters"])
def test_without_file_and_connection_the_message_says_which_file_to_put_where(home, name):
    (home / "datasets" / f"{name}.npz").unlink()
    with pytest.raises(OSError, match=rf"{name}\.load_data: .*put the file at .*datasets/{name}\.npz \(sha256 \w+\)"):
        getattr(datasets, name).load_data()


def test_archives_that_are_missing_are_named(home):
    for name in ("cifar-10-batches-py", "cifar-100-python"):
        (home / "datasets" / f"{name}-target").rename(home / name)
    for loader, name in ((datasets.cifar10, "cifar-10-batches-py"), (datasets.cifar100, "cifar-100-python")):
        with pytest.raises(OSError, match=rf"load_data: .*put the file at .*datasets/{name}-target_archive"):
            loader.load_data()


@pytest.mark.parametrize(
    "arrays",
    [
        {"x_train": np.zeros((4, 28, 28), "u1")},
        dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), np.zeros((4, 28, 28), "u1")),
        {"x_train": np.zeros((4, 9)), "y_train": np.zeros(4), "x_test": np.zeros((4, 9)), "y_test": np.zeros(4)},
    ],
)
def test_files_that_hold_something_else_are_refused(home, arrays):
    np.savez(home / "datasets" / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match=r"mnist\.load_data: .*mnist\.npz (must hold|cannot be read)"):
        quietly(datasets.mnist.load_data)


def test_documents_must_be_lists_of_numbers(home):
    for rows in ([[1, 2], "no"], [[1, 2.5], [1]], [[1, True], [1]], [[1, [2]], [1]]):
        x = np.empty(2, object)
        x[:] = rows
        np.savez(home / "datasets" / "reuters.npz", x=x, y=np.zeros(2, int))
        with pytest.raises(ValueError, match="must hold lists of word numbers"):
            quietly(datasets.reuters.load_data)


def test_damaged_batches_are_refused(home):
    folder = home / "datasets" / "cifar-10-batches-py-target" / "cifar-10-batches-py"
    for held in ({}, {b"data": np.zeros((2, 5), "u1"), b"labels": [0, 1]}, [1], {b"data": 3, b"labels": [1]}):
        (folder / "test_batch").write_bytes(pickle.dumps(held, 2))
        with pytest.raises(ValueError, match=r"cifar10\.load_data: .*test_batch cannot be read"):
            datasets.cifar10.load_data()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("boston_housing", {"test_split": 1.0}, r"test_split must be in \[0, 1\)"),
        ("california_housing", {"version": "huge"}, "version must be"),
        ("imdb", {"num_words": "many"}, "num_words must be"),
        ("imdb", {"seed": -1}, "seed must be"),
        ("reuters", {"index_from": -3}, "index_from must be"),
        ("cifar100", {"label_mode": "both"}, "label_mode must be"),
    ],
)
def test_wrong_arguments_are_refused(home, name, arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        quietly(getattr(datasets, name).load_data, **arguments)
