"""A series scaled to 0…1, several steps forecast at once, errors on the scale of the data."""

import numpy as np
from keras import Sequential
from keras.layers import Dense
from programs.data import wave

values = wave(200) * 100 + 300
low, high = values.min(), values.max()
scaled = (values - low) / (high - low)
look_back, ahead = 12, 3
windows = np.lib.stride_tricks.sliding_window_view(scaled, look_back + ahead)
x, y = windows[:, :look_back], windows[:, look_back:]
model = Sequential()
model.add(Dense(16, input_dim=look_back, activation="relu", kernel_initializer="he_uniform"))
model.add(Dense(ahead))
model.compile(loss="mean_squared_error", optimizer="adam")
model.fit(x[:150], y[:150], epochs=30, batch_size=2, verbose=0, shuffle=False)
predicted = model.predict(x[150:], verbose=0) * (high - low) + low
truth = y[150:] * (high - low) + low
rmse = np.sqrt(np.mean((predicted - truth) ** 2, axis=0))
assert rmse.max() < 60
results = {"rmse": rmse, "shape": list(predicted.shape)}
