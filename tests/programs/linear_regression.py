"""A line through points: its slope is a weight."""

import numpy as np
from keras import Sequential, layers, losses, optimizers

x = np.linspace(-1, 1, 100, dtype="float32")
y = 3 * x + 2
layer = layers.Dense(units=1, input_shape=[1])
model = Sequential([layer])
model.compile(optimizer=optimizers.SGD(0.1), loss=losses.MeanSquaredError())
history = model.fit(x, y, epochs=60, verbose=0, shuffle=False)
slope, intercept = layer.get_weights()
assert abs(slope[0, 0] - 3) < 0.05
assert abs(intercept[0] - 2) < 0.05
results = {
    "slope": slope,
    "intercept": intercept,
    "ten": model.predict(np.array([10.0]), verbose=0),
    "loss": history.history["loss"],
}
