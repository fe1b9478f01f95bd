"""A chain of calls with names; its middle as features for something else."""

import keras
import numpy as np
from keras import layers
from programs.data import table

x, y = table()
inputs = keras.Input(shape=(8,), name="row")
hidden = layers.Dense(16, activation="relu", name="first")(inputs)
hidden = layers.LayerNormalization()(hidden)
hidden = layers.Dense(8, activation="tanh", name="features")(hidden)
outputs = layers.Dense(2, activation="softmax", name="classes")(hidden)
model = keras.Model(inputs, outputs, name="chain")
model.summary()
model.compile(keras.optimizers.RMSprop(1e-2), keras.losses.SparseCategoricalCrossentropy(), metrics=["accuracy"])
history = model.fit({"row": x}, y, batch_size=30, epochs=5, validation_split=0.2, verbose=0, shuffle=False)
extractor = keras.Model(model.inputs, model.get_layer("features").output)
features = extractor(x)
assert np.allclose(features, extractor.predict(x, verbose=0), atol=1e-6)
nested = keras.Sequential([extractor, layers.Dense(1)])
results = {
    "history": history.history,
    "features": np.asarray(features)[:4],
    "nested": list(nested(x).shape),
    "names": [layer.name for layer in model.layers],
    "config": model.get_config()["name"],
}
