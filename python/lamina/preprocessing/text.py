"""The part of ``keras.preprocessing.text`` that lamina has: words to numbers."""

from __future__ import annotations

import collections
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError, choice, flag, function, integer, mapping, text
from lamina._common.names import unknown_argument

__all__ = ["Tokenizer", "hashing_trick", "one_hot", "text_to_word_sequence", "tokenizer_from_json"]

_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'


def text_to_word_sequence(input_text: str, filters: str = _FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """Return the words of a text.

    Parameters
    ----------
    input_text : str
    filters : str
        Characters that separate words, besides `split`.
    lower : bool
        Whether to make letters small first.
    split : str
        What separates words.

    Examples
    --------
    >>> text_to_word_sequence("So far, so good.")
    ['so', 'far', 'so', 'good']
    """
    who = "text_to_word_sequence"
    content, split = text(who, "input_text", input_text), text(who, "split", split)
    if not split:
        raise ValueError(f"{who}: split must be a text; got an empty one.")
    if flag(who, "lower", lower):
        content = content.lower()
    content = content.translate({ord(character): split for character in text(who, "filters", filters)})
    return [word for word in content.split(split) if word]


def hashing_trick(
    text: str,
    n: int,
    hash_function: Any = None,
    filters: str = _FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """Return a number from 1 to ``n - 1`` for each word of a text; several words can have the same.

    Parameters
    ----------
    text : str
    n : int, >= 2
    hash_function : callable or "md5", optional
        Word → int. If omitted it is Python's `hash`, which differs between runs.
    filters, lower, split
        As in `text_to_word_sequence`.
    analyzer : callable, optional
        Text → words, instead of `text_to_word_sequence`.
    """
    who = "hashing_trick"
    n = integer(who, "n", n, 2)
    hashed: Callable[[str], int] = hash
    if isinstance(hash_function, str):
        choice(who, "hash_function", hash_function, ("md5",))
        import hashlib  # here: `import lamina` need not load it

        def hashed(word: str) -> int:
            return int(hashlib.md5(word.encode(), usedforsecurity=False).hexdigest(), 16)

    elif hash_function is not None:
        hashed = function(who, "hash_function", hash_function)
    words = text_to_word_sequence(text, filters, lower, split) if analyzer is None else analyzer(text)
    return [hashed(word) % (n - 1) + 1 for word in words]


def one_hot(
    input_text: str,
    n: int,
    filters: str = _FILTERS,
    lower: bool = True,
    split: str = " ",
    analyzer: Callable[[str], Iterable[str]] | None = None,
) -> list[int]:
    """Return `hashing_trick` of a text with Python's `hash`: numbers, as Keras's function of that name does."""
    return hashing_trick(input_text, n, hash, filters, lower, split, analyzer)


class Tokenizer:
    """Numbers words by how often they occur, and turns texts into sequences of numbers, or into rows.

    Parameters
    ----------
    num_words : int, optional
        Words from this number on are left out, or replaced by `oov_token`; 1 is the commonest word.
    filters, lower, split
        As in `text_to_word_sequence`.
    char_level : bool
        Count characters instead of words.
    oov_token : str, optional
        Stands for words that are not known; its number is 1.
    analyzer : callable, optional
        Text → words, instead of `text_to_word_sequence`.
    document_count : int
        Number of texts that were read already.

    Attributes
    ----------
    word_index : dict of str to int
    index_word : dict of int to str
    word_counts : dict of str to int
        How often each word occurred, in the order of their first occurrence.
    word_docs : dict of str to int
        In how many texts each word occurred.
    index_docs : dict of int to int
        The same by number.

    Examples
    --------
    >>> tokenizer = Tokenizer()
    >>> tokenizer.fit_on_texts(["a rose is a rose", "a daisy"])
    >>> tokenizer.texts_to_sequences(["a daisy is no rose"])
    [[1, 4, 3, 2]]
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = _FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[Any], Iterable[str]] | None = None,
        document_count: int = 0,
        **unknown: Any,
    ) -> None:
        who = "Tokenizer"
        if unknown:
            raise unknown_argument(who, sorted(unknown)[0])
        self.num_words = None if num_words is None else integer(who, "num_words", num_words, 0)
        self.filters, self.split = text(who, "filters", filters), text(who, "split", split)
        self.lower, self.char_level = flag(who, "lower", lower), flag(who, "char_level", char_level)
        self.oov_token = None if oov_token is None else text(who, "oov_token", oov_token)
        self.analyzer = None if analyzer is None else function(who, "analyzer", analyzer)
        self.document_count = integer(who, "document_count", document_count, 0)
        self.word_counts: dict[str, int] = {}
        self.word_docs: dict[str, int] = {}
        self.index_docs: dict[int, int] = {}
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    def fit_on_texts(self, texts: Iterable[Any]) -> None:
        """Count the words of texts, and number all words that were counted so far.

        Parameters
        ----------
        texts : iterable of str, or of list of str
            A list holds the words of a text.
        """
        for one in _texts("Tokenizer.fit_on_texts", texts):
            words = self._words(one)
            self.document_count += 1
            for word in words:
                self.word_counts[word] = self.word_counts.get(word, 0) + 1
            for word in set(words):
                self.word_docs[word] = self.word_docs.get(word, 0) + 1
        ordered = sorted(self.word_counts, key=lambda word: -self.word_counts[word])  # stable: first come, first served
        if self.oov_token is not None:
            ordered.insert(0, self.oov_token)
        self.word_index = {word: number for number, word in enumerate(ordered, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        self.index_docs |= {self.word_index[word]: count for word, count in self.word_docs.items()}

    def fit_on_sequences(self, sequences: Iterable[Iterable[int]]) -> None:
        """Count in how many sequences each number occurs."""
        for sequence in sequences:
            self.document_count += 1
            for number in set(sequence):
                self.index_docs[number] = self.index_docs.get(number, 0) + 1

    def texts_to_sequences(self, texts: Iterable[Any]) -> list[list[int]]:
        """Return the numbers of the words of each text; words without a number are left out, or are the `oov_token`."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[Any]) -> Iterator[list[int]]:
        """Yield what `texts_to_sequences` returns, text by text."""
        for one in _texts("Tokenizer.texts_to_sequences", texts):
            yield self._kept(self.word_index.get(word) for word in self._words(one))

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """Return texts of the words with these numbers, separated by blanks."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Iterable[int]]) -> Iterator[str]:
        """Yield what `sequences_to_texts` returns, sequence by sequence."""
        for sequence in sequences:
            known = (number if number in self.index_word else None for number in sequence)
            yield " ".join(self.index_word[number] for number in self._kept(known))

    def texts_to_matrix(self, texts: Iterable[Any], mode: str = "binary") -> npt.NDArray[np.float64]:
        """Return a row for each text; see `sequences_to_matrix`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Any, mode: str = "binary") -> npt.NDArray[np.float64]:
        """Return a row for each sequence, with a column for each number below `num_words`, 0 for none.

        Parameters
        ----------
        sequences : sequence of sequences of int
        mode : {"binary", "count", "freq", "tfidf"}
            1 for words that occur; how often they do; their share of the sequence; or
            ``(1 + log(count)) log(1 + texts / (1 + texts with the word))``.

        Returns
        -------
        ndarray, shape (n, num_words), dtype float64
            Without `num_words` there are as many columns as words, and one more.
        """
        who = "Tokenizer.sequences_to_matrix"
        choice(who, "mode", mode, ("binary", "count", "freq", "tfidf"))
        columns = self.num_words or len(self.word_index) + 1
        if columns == 1 and not self.word_index:
            raise ValueError(f"{who}: num_words must be given, or fit_on_texts be called before.")
        if mode == "tfidf" and not self.document_count:
            raise ValueError(f"{who}: fit_on_texts must be called before mode 'tfidf' is used.")
        rows = list(sequences)
        found = np.zeros((len(rows), columns))
        for row, sequence in zip(found, rows, strict=True):
            for number, count in collections.Counter(n for n in sequence if n < columns).items():
                if mode == "tfidf":
                    texts = self.document_count / (1 + self.index_docs.get(number, 0))
                    row[number] = (1 + np.log(count)) * np.log(1 + texts)
                else:
                    row[number] = {"binary": 1, "count": count, "freq": count / len(sequence)}[mode]
        return found

    def get_config(self) -> dict[str, Any]:
        """Return arguments and counts; the latter as JSON, as in Keras."""
        counts = {name: json.dumps(getattr(self, name)) for name in _COUNTS}
        return {name: getattr(self, name) for name in _ARGUMENTS} | counts

    def to_json(self, **settings: Any) -> str:
        """Return `get_config` as JSON, for `tokenizer_from_json`; settings are those of `json.dumps`."""
        return json.dumps({"class_name": type(self).__name__, "config": self.get_config()}, **settings)

    def _words(self, one: Any) -> list[str]:
        """Return the words of a text, or its characters; those of a list are given."""
        if self.char_level or isinstance(one, list):
            small = [part.lower() for part in one] if self.lower else list(one)
            return small if isinstance(one, list) else list("".join(small))
        if self.analyzer is not None:
            return list(self.analyzer(one))
        return text_to_word_sequence(one, self.filters, self.lower, self.split)

    def _kept(self, numbers: Iterable[int | None]) -> list[int]:
        """Return numbers without those that are None or too large, which the `oov_token` replaces if there is one."""
        other = None if self.oov_token is None else self.word_index.get(self.oov_token)
        chosen = (other if n is None or (self.num_words and n >= self.num_words) else n for n in numbers)
        return [number for number in chosen if number is not None]


_ARGUMENTS = ("num_words", "filters", "lower", "split", "char_level", "oov_token", "document_count")
_COUNTS = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")


def _texts(who: str, texts: Any) -> Iterator[Any]:
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise KindError(f"{who}: texts must be a list of texts; got {type(texts).__name__}.")
    for one in texts:
        if not isinstance(one, (str, list)) or (isinstance(one, list) and not all(isinstance(w, str) for w in one)):
            raise KindError(f"{who}: texts must hold texts, or lists of words; one is {type(one).__name__}.")
        yield one


def tokenizer_from_json(json_string: str) -> Tokenizer:
    """Return the tokenizer of which `Tokenizer.to_json` made a text, Keras's or lamina's.

    Parameters
    ----------
    json_string : str
    """
    who = "tokenizer_from_json"
    try:
        held = json.loads(text(who, "json_string", json_string))
        config = dict(mapping(who, "'config'", held["config"]))
        counts = {name: dict(json.loads(config.pop(name))) for name in _COUNTS}
        made = Tokenizer(**config)
        for name, values in counts.items():
            by_number = name in ("index_docs", "index_word")
            setattr(made, name, {int(key): value for key, value in values.items()} if by_number else values)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{who}: json_string must be that of a Tokenizer's to_json; {error}.") from None
    return made
