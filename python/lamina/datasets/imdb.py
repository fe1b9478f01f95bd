"""IMDB: 50,000 reviews of films as word numbers, half of them positive.

Source: A. L. Maas and others, "Learning Word Vectors for Sentiment Analysis", ACL 2011, as Keras serves it.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._files.npz import read_npz
from lamina.datasets import documents
from lamina.datasets.cached import cached, shuffled, shuffler, word_index

__all__ = ["get_word_index", "load_data"]

Array = npt.NDArray[Any]

_CHECKSUM = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"


def load_data(
    path: Any = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int | None = 3,
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Return the reviews from Keras's cache; they are downloaded there if they are not.

    Parameters
    ----------
    path : str or Path
        Name in the cache (see `lamina.utils.get_file`), or a path outside of it.
    num_words : int, optional
        Words are numbered by how common they are; those from this number on are replaced by `oov_char`. If omitted it
        is the largest number that occurs, which is replaced too, as in Keras.
    skip_top : int
        Words below this number are replaced by `oov_char`.
    maxlen : int, optional
        Leave out reviews of this many words or more.
    seed : int in [0, 2**32)
        Of the order of the reviews.
    start_char : int, optional
        Number that begins each review; None for none.
    oov_char : int, optional
        Number of replaced words; None leaves them out.
    index_from : int, optional
        Added to all word numbers of `get_word_index`.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        ``x`` an array of 25,000 lists of int, ``y`` int64, shape (25000,), 1 for positive reviews.

    Raises
    ------
    OSError
        The file is not there and cannot be downloaded; the message says where to put it.
    ValueError
        It is damaged, an argument is out of range, or no review is left. Nothing in the file is executed.
    """
    who = "imdb.load_data"
    found = cached(who, path, "imdb.npz", _CHECKSUM)
    arrays = read_npz(who, found, ["x_train", "y_train", "x_test", "y_test"])
    parts, rng = [], shuffler(who, seed)
    for x, y in (arrays[:2], arrays[2:]):
        documents.check_documents(who, found, x, y)
        x, y = shuffled(rng, x, y)
        parts.append(documents.shorter(who, documents.with_start(who, x, start_char, index_from), y, maxlen))
    (x_train, y_train), (x_test, y_test) = parts
    words = documents.numbered(who, x_train + x_test, num_words, skip_top, oov_char)
    rows = len(x_train)
    return (documents.object_array(words[:rows]), y_train), (documents.object_array(words[rows:]), y_test)


def get_word_index(path: Any = "imdb_word_index.json") -> dict[str, int]:
    """Return the number of each word, without `index_from`; 1 is the commonest.

    Parameters
    ----------
    path : str or Path
        As in `load_data`.
    """
    return word_index("imdb.get_word_index", path, "imdb_word_index.json", "bfafd718b763782e994055a2d397834f")
