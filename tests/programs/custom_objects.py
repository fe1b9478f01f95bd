"""A network of a loss, a metric, an activation and a layer of one's own, saved, and loaded with custom_objects."""

# needs autograd
# needs h5py
import keras
import numpy as np
from keras import layers, ops
from keras.callbacks import ModelCheckpoint
from keras.models import Sequential, load_model
from programs.data import table


def focal(gamma=2.0):
    def focal_fixed(y_true, y_pred):
        p = ops.clip(y_pred, 1e-6, 1 - 1e-6)
        p = y_true * p + (1 - y_true) * (1 - p)
        return -ops.mean(ops.power(1 - p, gamma) * ops.log(p), axis=-1)

    return focal_fixed


def sensitivity(y_true, y_pred):
    hits = ops.sum(ops.round(ops.clip(y_true * y_pred, 0, 1)))
    return hits / (ops.sum(ops.round(ops.clip(y_true, 0, 1))) + 1e-7)


def swish_of_two(x):
    return x * ops.sigmoid(2 * x)


class Scaled(layers.Layer):
    def __init__(self, units, factor=0.5, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.factor = factor

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform")

    def call(self, inputs):
        return self.factor * ops.matmul(inputs, self.kernel)

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units, "factor": self.factor})
        return config


x, y = table()
y = y.reshape(-1, 1).astype("float32")
model = Sequential([keras.Input((8,)), Scaled(6), layers.Dense(4, activation=swish_of_two), layers.Dense(1, "sigmoid")])
model.compile(loss=focal(), optimizer="adam", metrics=["accuracy", sensitivity])
checkpoint = ModelCheckpoint("best.keras", monitor="loss", mode="min", save_best_only=True)
history = model.fit(x, y, epochs=4, batch_size=10, verbose=0, shuffle=False, callbacks=[checkpoint])
mine = {"focal_fixed": focal(), "sensitivity": sensitivity, "swish_of_two": swish_of_two, "Scaled": Scaled}
loaded = load_model("best.keras", custom_objects=mine)
plain = load_model("best.keras", custom_objects=mine, compile=False)
assert np.allclose(plain.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)
results = {
    "history": history.history,
    "loaded": loaded.evaluate(x, y, verbose=0),
    "on": loaded.fit(x, y, epochs=1, batch_size=10, verbose=0, shuffle=False).history,
    "config": loaded.layers[0].get_config()["factor"],
}
