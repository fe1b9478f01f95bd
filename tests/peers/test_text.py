"""Words to numbers, beside Keras's own."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.preprocessing import text as ours

theirs = pytest.importorskip("keras.src.legacy.preprocessing.text")

WORDS = ["the", "Cat", "dog,", "sat!", "on", "Mat", "a", "A", "x_y", "(no)", "élan", "so-so"]


def draw(rng, count):
    return [" ".join(rng.choice(WORDS, rng.integers(0, 9))) for _ in range(count)]


@pytest.mark.parametrize("number", range(40))
def test_tokenizers_agree(number):
    rng = np.random.default_rng(number)
    arguments = {
        "num_words": None if rng.random() < 0.4 else int(rng.integers(2, 9)), "lower": bool(rng.random() < 0.7),
        "char_level": bool(rng.random() < 0.2), "oov_token": None if rng.random() < 0.5 else "<oov>",
    }  # fmt: skip
    fit, use = draw(rng, 6), draw(rng, 4)
    if rng.random() < 0.3:
        fit = [text.split() for text in fit]
    one, other = ours.Tokenizer(**arguments), theirs.Tokenizer(**arguments)
    for tokenizer in (one, other):
        tokenizer.fit_on_texts(fit)
    assert one.word_index == other.word_index
    assert dict(one.word_counts) == dict(other.word_counts)
    sequences = one.texts_to_sequences(use)
    assert sequences == other.texts_to_sequences(use)
    assert one.sequences_to_texts(sequences) == other.sequences_to_texts(sequences)
    for mode in ("binary", "count", "freq", "tfidf"):
        np.testing.assert_allclose(one.texts_to_matrix(use, mode), other.texts_to_matrix(use, mode), rtol=1e-12)
    assert ours.tokenizer_from_json(other.to_json()).texts_to_sequences(use) == sequences
    assert theirs.tokenizer_from_json(one.to_json()).texts_to_sequences(use) == sequences
    assert ours.hashing_trick(use[0], 20, "md5") == theirs.hashing_trick(use[0], 20, "md5")
