from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from lamina.preprocessing.text import (
    Tokenizer,
    hashing_trick,
    one_hot,
    text_to_word_sequence,
    tokenizer_from_json,
)

TEXTS = ["The cat sat on the mat.", "The dog ate my homework!", "the Cat, the dog"]


def fitted(**arguments):
    made = Tokenizer(**arguments)
    made.fit_on_texts(TEXTS)
    return made


def test_words_of_a_text():
    assert text_to_word_sequence("Hello,  World!\tA_b") == ["hello", "world", "a", "b"]
    assert text_to_word_sequence("A-b c", filters="", lower=False) == ["A-b", "c"]
    assert text_to_word_sequence("a--b", split="--", filters="") == ["a", "b"]


def test_words_are_numbered_by_how_often_they_occur():
    tokenizer = fitted()
    assert list(tokenizer.word_index)[:4] == ["the", "cat", "dog", "sat"]
    assert tokenizer.word_index["the"] == 1
    assert tokenizer.word_counts["the"] == 5
    assert tokenizer.word_docs["the"] == 3
    assert tokenizer.index_docs[1] == 3
    assert tokenizer.document_count == 3
    assert tokenizer.texts_to_sequences(["the dog", "a cat"]) == [[1, 3], [2]]
    assert tokenizer.sequences_to_texts([[1, 3], [99]]) == ["the dog", ""]


def test_words_that_are_rare_or_unknown():
    assert fitted(num_words=3).texts_to_sequences(["the cat sat"]) == [[1, 2]]
    known = fitted(num_words=4, oov_token="<?>")
    assert known.word_index["<?>"] == 1
    assert known.texts_to_sequences(["the cat sat alone"]) == [[2, 3, 1, 1]]
    assert known.sequences_to_texts([[2, 9, 77]]) == ["the <?> <?>"]


def test_characters_lists_and_analyzers():
    letters = Tokenizer(char_level=True, oov_token="?")
    letters.fit_on_texts(["abA"])
    assert letters.texts_to_sequences(["ba c"]) == [[3, 2, 1, 1]]
    words = Tokenizer()
    words.fit_on_texts([["A b", "c"], ["c"]])
    assert words.word_index == {"c": 1, "a b": 2}
    own = Tokenizer(analyzer=lambda text: text.split("|"))
    own.fit_on_texts(["x|y z|x"])
    assert own.texts_to_sequences(["y z"]) == [[2]]


@pytest.mark.parametrize("mode", ["binary", "count", "freq", "tfidf"])
def test_rows_of_texts(mode):
    tokenizer = fitted(num_words=4)
    found = tokenizer.texts_to_matrix(["the the cat", "", "dog"], mode)
    assert found.shape == (3, 4)
    expected = {
        "binary": 1, "count": 2, "freq": 2 / 3, "tfidf": (1 + np.log(2)) * np.log(1 + 3 / (1 + 3)),
    }[mode]  # fmt: skip
    assert found[0, 1] == pytest.approx(expected)
    assert not found[1].any()
    assert fitted().texts_to_matrix(["cat"]).shape == (1, 10)


def test_sequences_count_too():
    tokenizer = Tokenizer(num_words=5)
    tokenizer.fit_on_sequences([[1, 2, 2], [2]])
    assert tokenizer.index_docs == {1: 1, 2: 2}
    assert tokenizer.sequences_to_matrix([[2, 7]], "tfidf")[0, 2] == pytest.approx(np.log(1 + 2 / 3))


def test_tokenizers_are_kept_as_json():
    tokenizer = fitted(num_words=6, oov_token="?")
    again = tokenizer_from_json(tokenizer.to_json(indent=1))
    assert vars(again) == vars(tokenizer)
    assert json.loads(tokenizer.to_json())["class_name"] == "Tokenizer"


def test_words_are_hashed():
    expected = int(hashlib.md5(b"cat").hexdigest(), 16) % 9 + 1
    assert hashing_trick("Cat cat", 10, "md5") == [expected] * 2
    assert hashing_trick("a b", 10, len) == [2, 2]
    assert one_hot("cat", 50) == [hash("cat") % 49 + 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Tokenizer(nb_words=3), "unknown argument 'nb_words'. Keras calls it 'num_words' now"),
        (lambda: Tokenizer(num_words=-1), "num_words must be"),
        (lambda: Tokenizer().fit_on_texts("one text"), "texts must be a list of texts"),
        (lambda: Tokenizer().fit_on_texts([3]), "texts must hold texts"),
        (lambda: Tokenizer().texts_to_sequences([[3]]), "texts must hold texts"),
        (lambda: Tokenizer().texts_to_matrix(["a"]), "num_words must be given, or fit_on_texts"),
        (lambda: Tokenizer(5).texts_to_matrix(["a"], "tfidf"), "fit_on_texts must be called before mode"),
        (lambda: Tokenizer(5).texts_to_matrix(["a"], "no"), "mode must be"),
        (lambda: tokenizer_from_json("{}"), "must be that of a Tokenizer's to_json"),
        (lambda: tokenizer_from_json(3), "json_string must be"),
        (lambda: hashing_trick("a", 1), "n must be"),
        (lambda: hashing_trick("a", 5, "sha"), "hash_function must be"),
        (lambda: text_to_word_sequence(3), "input_text must be"),
        (lambda: text_to_word_sequence("a", split=""), "split must be a text"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
