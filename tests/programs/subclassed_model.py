"""A model as a class, with layers of its own inside; its call is followed."""

import keras
import numpy as np
from keras import layers
from programs.data import images

x, y = images()
x = (x / 255.0).astype("float32").reshape(len(x), -1)


class Encoder(layers.Layer):
    def __init__(self, latent_dim):
        super().__init__()
        self.hidden = layers.Dense(32, activation="relu")
        self.code = layers.Dense(latent_dim)

    def call(self, inputs):
        return self.code(self.hidden(inputs))


class Autoencoder(keras.Model):
    def __init__(self, latent_dim):
        super().__init__()
        self.encoder = Encoder(latent_dim)
        self.decoder = keras.Sequential([layers.Dense(32, activation="relu"), layers.Dense(64, activation="sigmoid")])

    def call(self, inputs):
        encoded = self.encoder(inputs)
        return self.decoder(encoded)


class Classifier(keras.Model):
    def __init__(self, units, classes):
        super().__init__()
        self.dense1 = layers.Dense(units, activation="relu")
        self.dropout = layers.Dropout(0.0)
        self.dense2 = layers.Dense(classes, activation="softmax")

    def call(self, inputs, training=False):
        x = self.dense1(inputs)
        if training:
            x = self.dropout(x, training=training)
        return self.dense2(x)


autoencoder = Autoencoder(8)
autoencoder.compile(optimizer="adam", loss="mse")
history = autoencoder.fit(x, x, epochs=4, batch_size=25, verbose=0, shuffle=False)
codes = autoencoder.encoder(x[:5])
classifier = Classifier(16, 4)
classifier.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
other = classifier.fit(x, y, epochs=8, validation_split=0.25, verbose=0, shuffle=False)
assert other.history["accuracy"][-1] > 0.7
results = {
    "losses": [history.history, other.history],
    "codes": np.asarray(codes),
    "shapes": [list(w.shape) for w in autoencoder.get_weights()],
    "parameters": [autoencoder.count_params(), classifier.count_params()],
    "names": len(classifier.layers),
}
