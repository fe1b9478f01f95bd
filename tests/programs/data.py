"""Small made data for the programs: numbers, images, sentences, a game."""

from __future__ import annotations

import numpy as np


def table(rows=240, columns=8, seed=0):
    """Return rows of numbers and a class, 0 or 1, that depends on their sum."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, columns)).astype("float32")
    return x, (x[:, :3].sum(axis=1) + 0.3 * rng.normal(size=rows) > 0).astype("int32")


def flowers(rows=150, seed=1):
    """Return four measurements of flowers of three kinds, and the kinds' names."""
    rng = np.random.default_rng(seed)
    kinds = np.repeat(np.arange(3), rows // 3)
    centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
    x = centres[kinds] + rng.normal(scale=0.25, size=(len(kinds), 4))
    order = rng.permutation(len(kinds))
    return x[order].astype("float32"), np.array(["setosa", "versicolor", "virginica"])[kinds[order]]


def houses(rows=200, seed=2):
    """Return six features of houses on different scales, and their prices."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 6)) * [1, 10, 100, 0.1, 5, 50] + [0, 50, 300, 1, 20, 0]
    price = 20 + 3 * x[:, 0] + 0.2 * x[:, 1] - 0.01 * x[:, 2] + rng.normal(scale=0.5, size=rows)
    return x.astype("float32"), price.astype("float32")


def images(rows=200, size=8, kinds=4, seed=3):
    """Return grey images of 0 to 255, one pattern a kind with noise, and the kinds."""
    rng = np.random.default_rng(seed)
    patterns = rng.integers(0, 2, (kinds, size, size)) * 200
    labels = rng.integers(0, kinds, rows)
    return np.clip(patterns[labels] + rng.integers(0, 56, (rows, size, size)), 0, 255).astype("uint8"), labels


def wave(length=400, seed=4):
    """Return a noisy sine with a trend."""
    rng = np.random.default_rng(seed)
    steps = np.arange(length)
    return (np.sin(steps / 8) + steps / length + rng.normal(scale=0.05, size=length)).astype("float32")


REVIEWS = [
    "a wonderful film with a great story", "great acting and a wonderful end", "i love this great film",
    "a bad film with a boring story", "boring and bad acting", "i hate this boring film",
    "wonderful story great acting", "the end was bad and the story boring", "love the story love the acting",
    "hate the acting hate the end", "a great and lovely evening", "a boring and terrible evening",
]  # fmt: skip
OPINIONS = np.array([1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 1, 0])

RHYME = """the cat sat on the mat
the dog sat on the log
the cat saw the dog and the dog saw the cat
the mat lay on the log"""


class Corridor:
    """A game: five rooms in a row; action 1 goes right, 0 left; the last room has the prize."""

    rooms, actions = 5, 2

    def reset(self):
        """Return the first observation."""
        self.room = 0
        return self.seen()

    def seen(self):
        """Return the room, one-hot."""
        return np.eye(self.rooms, dtype="float32")[self.room]

    def step(self, action):
        """Return observation, reward, and whether the game is over."""
        self.room = max(0, self.room + (1 if action == 1 else -1))
        over = self.room == self.rooms - 1
        return self.seen(), 1.0 if over else -0.05, over
