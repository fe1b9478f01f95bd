"""Sentences in batches of one length each, for a network that takes any number of words."""

import keras
import numpy as np
from keras import layers
from programs.data import OPINIONS, REVIEWS

vocabulary = {word: i + 1 for i, word in enumerate(sorted({word for text in REVIEWS for word in text.split()}))}
sentences = [[vocabulary[word] for word in text.split()] for text in REVIEWS]
batches = []
for length in sorted({len(sentence) for sentence in sentences}):
    chosen = [i for i, sentence in enumerate(sentences) if len(sentence) == length]
    batches.append((np.array([sentences[i] for i in chosen]), np.array(OPINIONS)[chosen]))

inputs = keras.Input(shape=(None,), dtype="int32")
x = layers.Embedding(len(vocabulary) + 1, 8)(inputs)
x = layers.GlobalAveragePooling1D()(x)
outputs = layers.Dense(1, activation="sigmoid")(x)
model = keras.Model(inputs, outputs)
model.compile(optimizer=keras.optimizers.SGD(0.5), loss="binary_crossentropy", metrics=["accuracy"])


def endless():
    while True:
        yield from batches


history = model.fit(endless(), steps_per_epoch=len(batches), epochs=20, verbose=0)
one = np.array([[vocabulary[word] for word in ["a", "great", "film"] if word in vocabulary]])
padded = keras.utils.pad_sequences(sentences, maxlen=12, padding="post")
results = {
    "history": history.history,
    "shapes": [model.input_shape[1:] == (None,), model.output_shape[1], len(batches)],
    "longer": model.predict(padded, verbose=0),
    "shorter": model.predict(one, verbose=0),
}
