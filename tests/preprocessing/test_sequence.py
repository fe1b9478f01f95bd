"""Sequences cut and filled to one length."""

from __future__ import annotations

import importlib
import itertools

import numpy as np
import pytest

import lamina
from lamina.preprocessing import sequence


@pytest.mark.parametrize("maxlen", [None, 0, 2, 5])
@pytest.mark.parametrize(("padding", "truncating"), list(itertools.product(["pre", "post"], repeat=2)))
def test_rows_of_one_length(padding, truncating, maxlen):
    sequences = [[], [1], [2, 3, 4], [5, 6, 7, 8]]
    length = 4 if maxlen is None else maxlen
    rows = []
    for values in sequences:
        kept = values[:length] if truncating == "post" else values[max(0, len(values) - length) :]
        filling = [9] * (length - len(kept))
        rows.append(kept + filling if padding == "post" else filling + kept)
    found = sequence.pad_sequences(sequences, maxlen, padding=padding, truncating=truncating, value=9)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, np.array(rows).reshape(4, length))


def test_sequences_of_vectors():
    found = sequence.pad_sequences([[[1.5, 2]], [[3, 4], [5, 6]]], dtype="float32")
    np.testing.assert_array_equal(found, [[[0, 0], [1.5, 2]], [[3, 4], [5, 6]]])


def test_sequences_of_texts_are_numbers_or_refused():
    np.testing.assert_array_equal(sequence.pad_sequences([["1", "2"], [3]]), [[1, 2], [0, 3]])
    with pytest.raises(TypeError, match="pad_sequences: a sequence must be numbers for dtype int32"):
        sequence.pad_sequences([[1, "a"]])


def test_it_is_imported_as_in_programs_for_keras():
    imported = importlib.import_module("lamina.preprocessing.sequence")
    assert imported.pad_sequences is lamina.utils.pad_sequences is lamina.preprocessing.sequence.pad_sequences
