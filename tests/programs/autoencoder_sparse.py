"""A penalty on the code keeps most of its units at zero."""

import keras
import numpy as np
from keras import layers, regularizers
from programs.data import images

x, _ = images()
x = x.reshape(len(x), -1) / 255.0
inputs = keras.Input(shape=(64,))
code = layers.Dense(32, activation="relu", activity_regularizer=regularizers.l1(1e-3))(inputs)
model = keras.Model(inputs, layers.Dense(64, activation="sigmoid")(code))
model.compile(optimizer="adam", loss="binary_crossentropy")
history = model.fit(x, x, epochs=8, batch_size=32, shuffle=False, verbose=0)
encoder = keras.Model(inputs, code)
results = {"loss": history.history["loss"], "active": np.mean(encoder.predict(x, verbose=0) > 0.1)}
