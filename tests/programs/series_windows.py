"""A series cut into windows; the next value from the last twenty."""

import keras
import numpy as np
from keras import layers
from programs.data import wave

series = wave()
window = 20
x = np.array([series[i : i + window] for i in range(len(series) - window)])
y = series[window:]
split = 300
model = keras.models.Sequential(
    [
        layers.Dense(10, activation="relu", input_shape=[window]),
        layers.Dense(10, activation="relu"),
        layers.Dense(1),
    ]
)
model.compile(
    loss=keras.losses.Huber(), optimizer=keras.optimizers.SGD(learning_rate=1e-2, momentum=0.9), metrics=["mae"]
)
history = model.fit(x[:split], y[:split], epochs=20, batch_size=32, verbose=0, shuffle=False)
forecast = model.predict(x[split:], verbose=0)[:, 0]
error = float(np.mean(np.abs(forecast - y[split:])))
assert error < 0.3
results = {"history": history.history, "forecast": forecast[:10], "error": error}
