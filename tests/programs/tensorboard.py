"""The epochs' numbers in files that TensorBoard shows."""

# needs tensorboard
import os

import keras
from programs.data import table

x, y = table()
model = keras.Sequential([keras.layers.Dense(4, activation="relu"), keras.layers.Dense(1, activation="sigmoid")])
model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
history = model.fit(x, y, epochs=2, validation_split=0.2, verbose=0, shuffle=False)
if keras.__name__ == "lamina":  # Keras writes them by TensorFlow
    callback = keras.callbacks.TensorBoard(log_dir="logs")
    model.fit(x, y, epochs=2, validation_split=0.2, verbose=0, callbacks=[callback])
    assert sorted(os.listdir("logs")) == ["train", "validation"]
results = {"history": history.history}
