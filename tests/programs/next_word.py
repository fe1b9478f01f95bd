"""Which word follows three others: windows of a text, an embedding, a softmax over the words."""

import keras
import numpy as np
from keras.layers import Dense, Embedding, Flatten
from programs.data import RHYME

words = RHYME.replace("\n", " ").split()
vocabulary = sorted(set(words))
number = {word: i for i, word in enumerate(vocabulary)}
text = np.array([number[word] for word in words])
x = np.lib.stride_tricks.sliding_window_view(text, 3)[:-1]
y = text[3:]
model = keras.Sequential(
    [
        keras.Input((3,), dtype="int32"),
        Embedding(len(vocabulary), 10),
        Flatten(),
        Dense(32, activation="tanh"),
        Dense(len(vocabulary), activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy")
history = model.fit(x, y, epochs=80, batch_size=4, verbose=0, shuffle=False)
seed = list(x[0])
for _ in range(5):
    seed.append(int(model.predict(np.array([seed[-3:]]), verbose=0).argmax()))
results = {"loss": history.history["loss"][::10], "text": " ".join(vocabulary[i] for i in seed)}
