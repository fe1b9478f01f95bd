"""Features on different scales, normalized by a layer that adapts to them."""

import keras
from keras import layers
from programs.data import houses

x, price = houses()
normalize = layers.Normalization(axis=-1)
normalize.adapt(x)
model = keras.Sequential([normalize, layers.Dense(32, activation="relu"), layers.Dense(1)])
model.compile(loss="mean_squared_error", optimizer=keras.optimizers.Adam(0.02))
history = model.fit(x, price, epochs=40, validation_split=0.2, verbose=0, shuffle=False)
first = normalize(x[:3])
assert history.history["val_loss"][-1] < 9
results = {"first": first, "history": history.history, "weights": [w.shape for w in model.get_weights()]}
