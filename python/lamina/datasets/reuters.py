"""Reuters: 11,228 messages of a news agency as word numbers, each of one of 46 topics.

Source: D. D. Lewis, "Reuters-21578 Text Categorization Collection", 1987, https://doi.org/10.24432/C52G6M, licensed
CC BY 4.0, as Keras serves it.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._files.npz import read_npz
from lamina.datasets import documents
from lamina.datasets.cached import cached, shuffled, shuffler, split_rows, word_index

__all__ = ["get_label_names", "get_word_index", "load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
_TOPICS = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply", "coffee", "sugar",
    "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi", "money-fx", "interest", "gnp",
    "meal-feed", "alum", "oilseed", "gold", "tin", "strategic-metal", "livestock", "retail", "ipi", "iron-steel",
    "rubber", "heat", "jobs", "lei", "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)  # fmt: skip


def load_data(
    path: Any = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the messages from Keras's cache; they are downloaded there if they are not.

    Parameters
    ----------
    path, num_words, skip_top, maxlen, seed, start_char, oov_char, index_from
        As in `lamina.datasets.imdb.load_data`.
    test_split : float in [0, 1)
        Share of the messages, the last ones after shuffling, that is for tests.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` an array of lists of int, ``y`` int64, shape (n,), the topic from 0 to 45. 8,982 messages for training and
        2,246 for tests with the default split.

    Raises
    ------
    OSError
        The file is not there and cannot be downloaded; the message says where to put it.
    ValueError
        It is damaged, an argument is out of range, or no message is left. Nothing in the file is executed.
    """
    who = "reuters.load_data"
    found = cached(who, path, "reuters.npz", _CHECKSUM)
    x, y = read_npz(who, found, ["x", "y"])
    documents.check_documents(who, found, x, y)
    x, y = shuffled(shuffler(who, seed), x, y)
    messages, y = documents.shorter(who, documents.with_start(who, x, start_char, index_from), y, maxlen)
    messages = documents.numbered(who, messages, num_words, skip_top, oov_char)
    (x_train, y_train), (x_test, y_test) = split_rows(who, messages, y, test_split)
    return (documents.object_array(x_train), y_train), (documents.object_array(x_test), y_test)


def get_word_index(path: Any = "reuters_word_index.json") -> dict[str, int]:
    """Return the number of each word, without `index_from`; 1 is the commonest.

    Parameters
    ----------
    path : str or Path
        As in `load_data`.
    """
    return word_index("reuters.get_word_index", path, "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921")


def get_label_names() -> tuple[str, ...]:
    """Return the names of the 46 topics, in the order of the labels."""
    return _TOPICS
