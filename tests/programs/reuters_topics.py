"""News in 46 classes from counts of words; integer labels and one-hot ones give the same loss."""

import keras
import numpy as np
from keras import Sequential, layers
from keras.datasets import reuters
from keras.utils import to_categorical

(x_train, y_train), (x_test, y_test) = reuters.load_data(num_words=40, test_split=0.2)
x_train = np.array([np.bincount(row, minlength=40) for row in x_train], "float32")
x_test = np.array([np.bincount(row, minlength=40) for row in x_test], "float32")
losses = []
for labels, loss in (
    (y_train, "sparse_categorical_crossentropy"),
    (to_categorical(y_train, 46), "categorical_crossentropy"),
):
    model = Sequential(
        [keras.Input((40,)), layers.Dense(32, activation="relu"), layers.Dense(46, activation="softmax")]
    )
    model.set_weights([np.full(w.shape, 0.01) * np.arange(w.size).reshape(w.shape) % 0.3 for w in model.get_weights()])
    model.compile("adam", loss, metrics=["accuracy"])
    losses.append(model.fit(x_train, labels, epochs=4, batch_size=16, verbose=0, shuffle=False).history["loss"])
assert np.allclose(losses[0], losses[1], rtol=1e-5)
results = {"losses": losses, "topics": len(reuters.get_label_names())}
