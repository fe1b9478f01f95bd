"""Batches from a generator, from a Sequence, and one by one."""

import keras
import numpy as np
from programs.data import table

x, y = table()


def batches(size=24):
    while True:
        for first in range(0, len(x), size):
            yield x[first : first + size], y[first : first + size]


class Rows(keras.utils.Sequence):
    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = size

    def __len__(self):
        return int(np.ceil(len(x) / self.size))

    def __getitem__(self, i):
        return x[i * self.size : (i + 1) * self.size], y[i * self.size : (i + 1) * self.size]


def compiled():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(6, "relu"), keras.layers.Dense(1, "sigmoid")])
    model.set_weights([0.1 * np.cos(np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
    model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    return model


losses = []
model = compiled()
losses.append(model.fit(batches(), steps_per_epoch=10, epochs=3, verbose=0).history)
model = compiled()
losses.append(model.fit(Rows(24), epochs=3, shuffle=False, verbose=0).history)
model = compiled()
by_hand = [model.train_on_batch(*batch, return_dict=True)["loss"] for batch, _ in zip(batches(), range(10))]
tested = model.test_on_batch(x[:50], y[:50], return_dict=True)
results = {"losses": losses, "by hand": by_hand, "tested": tested, "evaluated": model.evaluate(Rows(50), verbose=0)}
