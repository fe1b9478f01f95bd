"""Several labels at once, each with a sigmoid of its own."""

import keras
import numpy as np
from programs.data import table

x, _ = table()
y = np.stack([x[:, 0] > 0, x[:, 1] + x[:, 2] > 0, x[:, 3] < -0.5], axis=1).astype("float32")
model = keras.Sequential(
    [
        keras.layers.Input(shape=(8,)),
        keras.layers.Dense(20, activation="relu", kernel_initializer="he_uniform"),
        keras.layers.Dense(3, activation="sigmoid"),
    ]
)
model.compile(
    loss="binary_crossentropy",
    optimizer=keras.optimizers.Adam(0.01),
    metrics=["binary_accuracy", keras.metrics.F1Score(average="micro", threshold=0.5)],
)
history = model.fit(x, y, epochs=25, verbose=0, shuffle=False)
yhat = model.predict(x, verbose=0).round()
exact = float(np.mean((yhat == y).all(axis=1)))
assert exact > 0.6
results = {"history": history.history, "exact": exact}
