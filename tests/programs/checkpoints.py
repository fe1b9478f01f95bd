"""Weights in a file every epoch, the newest one read into a new model."""

# needs h5py
import os

import keras
from programs.data import table

x, y = table()


def create_model():
    model = keras.Sequential(
        [
            keras.layers.Dense(16, activation="relu", input_shape=(8,)),
            keras.layers.Dense(2),
        ]
    )
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["sparse_categorical_accuracy"]
    )
    return model


model = create_model()
os.makedirs("training", exist_ok=True)
path = "training/cp-{epoch:04d}.weights.h5"
cp_callback = keras.callbacks.ModelCheckpoint(filepath=path, verbose=1, save_weights_only=True, save_freq="epoch")
model.save_weights(path.format(epoch=0))
model.fit(x, y, epochs=3, callbacks=[cp_callback], validation_data=(x[:50], y[:50]), verbose=0, shuffle=False)
latest = sorted(os.listdir("training"))[-1]
fresh = create_model()
before = fresh.evaluate(x, y, verbose=0)
fresh.load_weights(os.path.join("training", latest))
loss, acc = fresh.evaluate(x, y, verbose=2)
assert [loss, acc] == model.evaluate(x, y, verbose=0)
results = {"files": sorted(os.listdir("training")), "after": [loss, acc]}
