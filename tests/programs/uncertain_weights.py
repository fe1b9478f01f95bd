"""Weights of the rows, targets in two columns, losses by name and as objects."""

import keras
import numpy as np
from programs.data import houses

x, price = houses()
x = (x - x.mean(0)) / x.std(0)
y = np.stack([price, -price], axis=1)
weights = np.where(price > 20, 2.0, 0.5)
found = {}
for loss in (
    "mse",
    "mae",
    "huber",
    "log_cosh",
    keras.losses.MeanAbsolutePercentageError(),
    keras.losses.CosineSimilarity(),
):
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(5, "softplus"), keras.layers.Dense(2)])
    model.set_weights([0.2 * np.sin(1 + np.arange(w.size)).reshape(w.shape) for w in model.get_weights()])
    model.compile(optimizer=keras.optimizers.Adagrad(0.05), loss=loss, weighted_metrics=["mae"])
    name = loss if isinstance(loss, str) else loss.name
    found[name] = model.fit(x, y, sample_weight=weights, epochs=3, verbose=0, shuffle=False).history
results = found
