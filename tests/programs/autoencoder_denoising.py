"""Noisy images to clean ones, and how many layers a nested model has."""

import keras
import numpy as np
from keras import layers
from programs.data import images

x, _ = images()
x = x.reshape(len(x), -1).astype("float32") / 255.0
noisy = np.clip(x + 0.5 * np.random.normal(size=x.shape), 0.0, 1.0)
encoder = keras.Sequential([layers.Dense(24, activation="relu"), layers.Dense(12, activation="relu")], name="encoder")
decoder = keras.Sequential(
    [layers.Dense(24, activation="relu"), layers.Dense(64, activation="sigmoid")], name="decoder"
)
model = keras.Sequential([encoder, decoder])
model.compile(optimizer=keras.optimizers.Adam(0.005), loss="mse")
history = model.fit(noisy, x, epochs=15, batch_size=25, shuffle=False, verbose=0)
clean = model.predict(noisy, verbose=0)
assert np.mean((clean - x) ** 2) < np.mean((noisy - x) ** 2)
results = {
    "loss": history.history["loss"],
    "layers": [layer.name for layer in model.layers],
    "codes": encoder(noisy[:4]),
}
