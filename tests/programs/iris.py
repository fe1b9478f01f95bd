"""Three kinds of flowers: labels to numbers, to columns, softmax, and a table of mistakes."""

import numpy as np
from keras import Input, Sequential, layers
from keras.utils import to_categorical
from programs.data import flowers

x, names = flowers()
kinds, numbers = np.unique(names, return_inverse=True)
y = to_categorical(numbers)
model = Sequential([Input(shape=(4,)), layers.Dense(16, activation="tanh"), layers.Dense(3, activation="softmax")])
model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["acc"])
history = model.fit(
    x[:120], y[:120], epochs=60, batch_size=8, validation_data=(x[120:], y[120:]), verbose=0, shuffle=False
)
predicted = model.predict(x[120:], verbose=0).argmax(axis=1)
mistakes = np.zeros((3, 3), int)
np.add.at(mistakes, (numbers[120:], predicted), 1)
assert np.trace(mistakes) >= 27
results = {"history": history.history, "mistakes": mistakes, "kinds": [str(kind) for kind in kinds]}
