"""Dropout that stays on: the spread of many predictions."""

import keras
import numpy as np
from programs.data import table

x, y = table()


class MCDropout(keras.layers.Dropout):
    def call(self, inputs):
        return super().call(inputs, training=True)


model = keras.Sequential(
    [
        keras.layers.Input((8,)),
        keras.layers.Dense(30, activation="relu"),
        keras.layers.Dropout(0.4),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile("adam", "binary_crossentropy")
model.fit(x, y, epochs=30, verbose=0)
noisy = keras.Sequential(
    [MCDropout(layer.rate) if isinstance(layer, keras.layers.Dropout) else layer for layer in model.layers]
)
samples = np.stack([noisy.predict(x, verbose=0) for _ in range(30)])
also = np.stack([np.asarray(model(x, training=True)) for _ in range(30)])
assert samples.std(axis=0).mean() > 0.01
assert model.predict(x, verbose=0).tolist() == model.predict(x, verbose=0).tolist()
results = {"shape": list(samples.shape)}
roughly = {
    "spread": samples.std(axis=0).mean(),
    "other": also.std(axis=0).mean(),
    "accuracy": float(np.mean((samples.mean(axis=0)[:, 0] > 0.5) == y)),
}
