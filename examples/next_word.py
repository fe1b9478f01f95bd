"""Next-word prediction: a neural language model with an Embedding and a large softmax (Bengio et al. 2003).

The text is Python's own manual, which comes with Python (`pydoc_data.topics`). Four words predict the fifth.

    python examples/next_word.py
"""

import re
import sys
from collections import Counter
from pydoc_data.topics import topics

import numpy as np

import lamina as keras

WINDOW = 4


def main(epochs=4):
    """Train, and say how well it went."""
    keras.utils.set_random_seed(1)
    words = re.findall(r"[a-z]+|[.,;:()]", " ".join(topics.values()).lower())
    common = [word for word, count in Counter(words).most_common() if count > 1]
    index = {word: i for i, word in enumerate(["<rare>", *common])}
    numbers = np.array([index.get(word, 0) for word in words], np.int32)
    x = np.lib.stride_tricks.sliding_window_view(numbers, WINDOW)[:-1]
    y = numbers[WINDOW:]
    held_out = len(x) // 20

    model = keras.Sequential(
        [
            keras.layers.Input((WINDOW,), dtype="int32"),
            keras.layers.Embedding(len(index), 48),
            keras.layers.Flatten(),
            keras.layers.Dense(192, activation="tanh"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(len(index), activation="softmax"),
        ]
    )
    model.compile(optimizer=keras.optimizers.Adam(2e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:-held_out], y[:-held_out], batch_size=128, epochs=epochs, verbose=2)
    loss, accuracy = model.evaluate(x[-held_out:], y[-held_out:], verbose=0)
    counts = np.bincount(y[:-held_out], minlength=len(index)) + 1
    alone = -np.log(counts[y[-held_out:]] / counts.sum()).mean()
    print(
        f"{len(numbers)} words, {len(index)} different ones; perplexity {np.exp(loss):.0f}, accuracy {accuracy:.3f}; "
        f"by frequency alone perplexity {np.exp(alone):.0f}"
    )
    names = list(index)
    for text in ("the value of the", "if the object is", "raised when a function"):
        scores = model.predict(np.array([[index[word] for word in text.split()]]), verbose=0)[0]
        print(text, "->", ", ".join(names[i] for i in np.argsort(-scores)[:4]))
    return np.exp(alone - loss)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
