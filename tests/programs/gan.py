"""A generator and a discriminator that are trained in turn; the discriminator rests inside the combined model."""

import numpy as np
from keras.layers import BatchNormalization, Dense, Input, LeakyReLU
from keras.models import Model, Sequential
from keras.optimizers import Adam

rng = np.random.default_rng(0)
real_data = rng.normal([2.0, -1.0], 0.3, size=(256, 2)).astype("float32")
discriminator = Sequential([Input((2,)), Dense(16), LeakyReLU(negative_slope=0.2), Dense(1, activation="sigmoid")])
discriminator.compile(loss="binary_crossentropy", optimizer=Adam(0.001, 0.5), metrics=["accuracy"])
generator = Sequential(
    [Input((4,)), Dense(16), LeakyReLU(negative_slope=0.2), BatchNormalization(momentum=0.8), Dense(2)]
)
z = Input(shape=(4,))
discriminator.trainable = False
combined = Model(z, discriminator(generator(z)))
combined.compile(loss="binary_crossentropy", optimizer=Adam(0.001, 0.5))
valid, fake = np.ones((32, 1)), np.zeros((32, 1))
frozen = [w.copy() for w in discriminator.get_weights()]
g_losses = []
for step in range(5):
    noise = rng.normal(0, 1, (32, 4)).astype("float32")
    generator.predict(noise, verbose=0)
    g_losses.append(combined.train_on_batch(noise, valid))
assert all(np.array_equal(a, b) for a, b in zip(frozen, discriminator.get_weights()))
results = {"losses": np.array(g_losses, "float64").reshape(5, -1)[:, 0], "made": generator.predict(noise, verbose=0)}
