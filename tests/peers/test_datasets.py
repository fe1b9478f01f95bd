"""Data sets beside Keras's, from the same small archives."""

from __future__ import annotations

import importlib
import warnings
from pathlib import Path

import numpy as np
import pytest
from datasets.archives import write_all
from helpers import no_connection

from lamina import datasets

pytest.importorskip("keras")

CALLS = [
    ("mnist", "load_data", {}),
    ("fashion_mnist", "load_data", {}),
    ("boston_housing", "load_data", {}),
    ("boston_housing", "load_data", {"test_split": 0.31, "seed": 7}),
    ("california_housing", "load_data", {}),
    ("california_housing", "load_data", {"version": "small", "test_split": 0.5}),
    ("imdb", "load_data", {}),
    ("imdb", "load_data", {"num_words": 20, "skip_top": 5, "maxlen": 15, "seed": 3}),
    ("imdb", "load_data", {"start_char": None, "index_from": 0, "oov_char": None, "num_words": 30}),
    ("imdb", "load_data", {"start_char": 5, "index_from": 2, "oov_char": 9, "skip_top": 8}),
    ("imdb", "get_word_index", {}),
    ("reuters", "load_data", {}),
    ("reuters", "load_data", {"num_words": 20, "skip_top": 5, "maxlen": 15, "seed": 3, "test_split": 0.4}),
    ("reuters", "load_data", {"start_char": None, "index_from": 0, "oov_char": None, "num_words": 30}),
    ("reuters", "get_word_index", {}),
    ("reuters", "get_label_names", {}),
    ("cifar100", "load_data", {}),
    ("cifar100", "load_data", {"label_mode": "coarse"}),
]


def assert_same(ours, theirs):
    if isinstance(theirs, tuple) and not isinstance(theirs[0], str):
        for one, other in zip(ours, theirs, strict=True):
            assert_same(one, other)
    elif isinstance(theirs, np.ndarray):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tolist() == theirs.tolist()
    else:
        assert ours == theirs


@pytest.mark.parametrize(("name", "function", "arguments"), CALLS)
def test_sets_are_those_of_keras(name, function, arguments, tmp_path, monkeypatch):
    write_all(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    module = importlib.import_module(f"keras.src.datasets.{name}")

    def in_cache(fname, origin=None, cache_subdir="datasets", **_):  # instead of its get_file, which wants its files
        return str(Path(tmp_path, cache_subdir, fname))

    monkeypatch.setattr(module, "get_file", in_cache)
    theirs = getattr(module, function)(**arguments)
    with warnings.catch_warnings(), no_connection():
        warnings.simplefilter("ignore")
        ours = getattr(getattr(datasets, name), function)(**arguments)
    assert_same(ours, theirs)
