"""Spam by counted words: a logistic regression whose weights name the words."""

import keras
import numpy as np
from programs.data import OPINIONS, REVIEWS

vocabulary = sorted({word for text in REVIEWS for word in text.split()})
counts = np.array([[text.split().count(word) for word in vocabulary] for text in REVIEWS], "float32")
model = keras.Sequential([keras.layers.Dense(1, activation="sigmoid", kernel_initializer="zeros")])
model.compile(keras.optimizers.SGD(1.0), "binary_crossentropy", metrics=["accuracy"])
history = model.fit(counts, OPINIONS, epochs=40, batch_size=len(counts), verbose=0)
weights = model.layers[0].get_weights()[0][:, 0]
order = np.argsort(weights)
assert history.history["accuracy"][-1] == 1
results = {
    "loss": history.history["loss"],
    "worst": [vocabulary[i] for i in order[:2]],
    "weights": weights,
    "best": vocabulary[order[-1]],
}
