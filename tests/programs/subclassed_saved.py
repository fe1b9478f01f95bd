"""A model that defines call, whose weights a checkpoint keeps, and which is loaded by its class."""

# needs h5py
import keras
import numpy as np
from keras import layers
from keras.callbacks import ModelCheckpoint
from programs.data import table


class Perceptron(keras.Model):
    def __init__(self, sizes=(6, 4), **kwargs):
        super().__init__(**kwargs)
        self.sizes = list(sizes)
        self.out = layers.Dense(1, activation="sigmoid")
        self.hidden = [layers.Dense(size, activation="relu") for size in sizes]
        self.norm = layers.BatchNormalization()

    def call(self, inputs, training=None):
        x = self.norm(inputs, training=training)
        for layer in self.hidden:
            x = layer(x)
        return self.out(x)

    def get_config(self):
        return {"sizes": self.sizes}


x, y = table()
model = Perceptron()
model.compile(loss="binary_crossentropy", optimizer="adam", metrics=["accuracy"])
checkpoint = ModelCheckpoint("best.weights.h5", monitor="loss", mode="min", save_best_only=True, save_weights_only=True)
history = model.fit(x, y, epochs=3, batch_size=10, verbose=0, shuffle=False, callbacks=[checkpoint])
again = Perceptron()
again(x[:1])
again.load_weights("best.weights.h5")
assert np.allclose(again.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
model.save("whole.keras")
whole = keras.models.load_model("whole.keras", custom_objects={"Perceptron": Perceptron})
results = {
    "history": history.history,
    "score": whole.evaluate(x, y, verbose=0),
    "on": whole.fit(x, y, epochs=1, batch_size=10, verbose=0, shuffle=False).history,
    "weights": [w.shape for w in whole.get_weights()],
}
