"""Reads data sets of documents: sequences of word numbers, each with a label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import integer

__all__ = ["check_documents", "numbered", "object_array", "shorter", "with_start"]

Array = npt.NDArray[Any]
Documents = list[list[int]]


def check_documents(who: str, path: Path, documents: Array, labels: Array) -> None:
    """Raise if a file does not hold lists of integers, and an integer for each."""
    right = documents.ndim == 1 and labels.shape == documents.shape and labels.dtype.kind in "iu"
    if not right or not all(type(words) is list and {*map(type, words)} <= {int} for words in documents):
        raise ValueError(f"{who}: {path} must hold lists of word numbers, and an integer label for each.")


def with_start(who: str, documents: Array, start_char: int | None, index_from: int | None) -> Documents:
    """Return documents whose word numbers begin with `index_from`, and which begin with `start_char` themselves."""
    shift = 0 if index_from is None else integer(who, "index_from", index_from, 0)
    first = [] if start_char is None else [integer(who, "start_char", start_char, 0)]
    return [first + [word + shift for word in words] for words in documents]


def shorter(who: str, documents: Documents, labels: Array, maxlen: int | None) -> tuple[Documents, Array]:
    """Return the documents with fewer words than `maxlen`, and their labels; all of them if it is None or 0."""
    maxlen = 0 if maxlen is None else integer(who, "maxlen", maxlen, 0)
    if maxlen == 0:
        return documents, labels
    kept = [i for i, words in enumerate(documents) if len(words) < maxlen]
    if not kept:
        raise ValueError(f"{who}: maxlen must leave a document, and all have {maxlen} words or more.")
    return [documents[i] for i in kept], labels[kept]


def numbered(who: str, documents: Documents, num_words: int | None, skip_top: int, oov_char: int | None) -> Documents:
    """Return documents with rare words and the commonest ones replaced, or left out.

    Parameters
    ----------
    documents : list of list of int
    num_words : int or None
        Words from this number on are rare; if None or 0 that is the largest number that occurs, as in Keras.
    skip_top : int
        Words below this number are too common.
    oov_char : int or None
        What replaces them; None leaves them out.
    """
    skip_top = integer(who, "skip_top", skip_top, 0)
    most = None if num_words is None else integer(who, "num_words", num_words, 0)
    most = most or max((max(words, default=0) for words in documents), default=0)
    if oov_char is None:
        return [[word for word in words if skip_top <= word < most] for words in documents]
    other = integer(who, "oov_char", oov_char, 0)
    return [[word if skip_top <= word < most else other for word in words] for words in documents]


def object_array(documents: Documents) -> Array:
    """Return documents as an array of Python lists; as in Keras it has two axes if all are of equal length."""
    return np.array(documents, object)
