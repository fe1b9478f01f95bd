"""Sentences of different lengths: the largest values over the words, and dropped features."""

import keras
import numpy as np
from keras.layers import Dense, Embedding, GlobalMaxPool1D, SpatialDropout1D
from programs.data import OPINIONS, REVIEWS

vocabulary = {word: i + 1 for i, word in enumerate(sorted({word for text in REVIEWS for word in text.split()}))}
rows = keras.utils.pad_sequences(
    [[vocabulary[word] for word in text.split()] for text in REVIEWS], maxlen=7, padding="post"
)
model = keras.models.Sequential()
model.add(Embedding(input_dim=len(vocabulary) + 1, output_dim=12))
model.add(SpatialDropout1D(0.0))
model.add(GlobalMaxPool1D())
model.add(Dense(8, activation="relu"))
model.add(Dense(1, activation="sigmoid"))
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(rows, OPINIONS, epochs=40, batch_size=4, verbose=0, shuffle=False)
table = model.layers[0].get_weights()[0]
nearest = np.argsort(np.linalg.norm(table - table[vocabulary["great"]], axis=1))[0]
assert nearest == vocabulary["great"]
results = {"history": history.history, "rows": rows, "table": table.shape}
