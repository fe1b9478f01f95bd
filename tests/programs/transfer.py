"""The first layers of one network in another, frozen and then set free."""

import keras
import numpy as np
from programs.data import images

x, y = images()
x = x / 255.0
base = keras.models.Sequential(
    [
        keras.layers.Flatten(input_shape=(8, 8)),
        keras.layers.Dense(24, activation="relu"),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(4, activation="softmax"),
    ]
)
base.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
base.fit(x, y, epochs=5, verbose=0, shuffle=False)
clone = keras.models.clone_model(base)
clone.set_weights(base.get_weights())
new = keras.models.Sequential(clone.layers[:-1])
new.add(keras.layers.Dense(1, activation="sigmoid"))
for layer in new.layers[:-1]:
    layer.trainable = False
new.compile(loss="binary_crossentropy", optimizer="sgd", metrics=["accuracy"])
frozen = new.fit(x, (y > 1).astype(int), epochs=3, verbose=0, shuffle=False).history
counts = [len(new.trainable_weights), len(new.non_trainable_weights)]
assert np.array_equal(new.layers[1].get_weights()[0], base.layers[1].get_weights()[0])
for layer in new.layers[:-1]:
    layer.trainable = True
new.compile(loss="binary_crossentropy", optimizer=keras.optimizers.SGD(learning_rate=1e-2), metrics=["accuracy"])
free = new.fit(x, (y > 1).astype(int), epochs=3, verbose=0, shuffle=False).history
assert not np.array_equal(new.layers[1].get_weights()[0], base.layers[1].get_weights()[0])
base.pop()
results = {"counts": counts, "frozen": frozen, "free": free, "layers": len(base.layers)}
