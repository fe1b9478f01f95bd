"""Logistic regression that tells spam from other messages, by the words in them.

The messages are put together at random from phrases, with a word here and there from the other kind and a few labels
wrong, so that no model can be right about all of them. A bag of words is a row of counts, one column a word.

    python examples/spam.py
"""

import numpy as np

import lamina as keras

SPAM = """win a free prize now|claim your cash reward today|cheap loans approved instantly|click this link to unlock
your bonus|limited offer just for you|you have been selected as a winner|lowest prices on watches|earn money from home
fast|act now and save big|your account was chosen for a gift card""".replace("\n", " ").split("|")
OTHER = """are we still meeting for lunch|the report is in the shared folder|can you send me your notes from class|see
you at the station at six|thanks for your help yesterday|the build passes again after the fix|happy birthday to you|
please review the draft before friday|i will call you after work|the train was late again today""".replace(
    "\n", " "
).split("|")


def messages(count, rng):
    """Return messages and their labels, 1 for spam."""
    labels = rng.integers(0, 2, count)
    words = " ".join(SPAM + OTHER).split()
    texts = []
    for spam in labels:
        own, other = (SPAM, OTHER) if spam else (OTHER, SPAM)
        parts = [*rng.choice(own, 2), *rng.choice(other, int(rng.integers(0, 2))), *rng.choice(words, 3)]
        texts.append(" ".join(parts))
    wrong = rng.random(count) < 0.02
    return texts, np.where(wrong, 1 - labels, labels)


def main():
    """Train, and say how well it went."""
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    texts, labels = messages(4000, rng)
    vocabulary = {word: i for i, word in enumerate(sorted({word for text in texts for word in text.split()}))}
    x = np.zeros((len(texts), len(vocabulary)), np.float32)
    for row, text in enumerate(texts):
        for word in text.split():
            x[row, vocabulary[word]] += 1

    model = keras.Sequential([keras.layers.Input((len(vocabulary),)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy", "AUC"])
    model.fit(x[:3000], labels[:3000], epochs=30, batch_size=32, validation_split=0.1, verbose=0)
    loss, accuracy, area = model.evaluate(x[3000:], labels[3000:], verbose=0)
    print(f"test loss {loss:.3f}, accuracy {accuracy:.3f}, area under the curve {area:.3f}")
    weights = model.layers[0].kernel.numpy()[:, 0]
    ranked = sorted(vocabulary, key=lambda word: weights[vocabulary[word]])
    print("spam:", ", ".join(reversed(ranked[-6:])))
    print("other:", ", ".join(ranked[:6]))
    return accuracy


if __name__ == "__main__":
    main()
