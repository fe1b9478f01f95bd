"""K-fold validation of a regression on few rows."""

import keras
import numpy as np
from keras import layers
from keras.datasets import boston_housing

(train_data, train_targets), (test_data, test_targets) = boston_housing.load_data()
mean, std = train_data.mean(axis=0), train_data.std(axis=0)
train_data, test_data = (train_data - mean) / std, (test_data - mean) / std


def build_model():
    model = keras.Sequential(
        [
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ]
    )
    model.compile(optimizer="rmsprop", loss="mse", metrics=["mae"])
    return model


k, scores = 4, []
size = len(train_data) // k
for i in range(k):
    held = slice(i * size, (i + 1) * size)
    rest = np.r_[0 : i * size, (i + 1) * size : len(train_data)]
    model = build_model()
    model.fit(train_data[rest], train_targets[rest], epochs=3, batch_size=16, verbose=0, shuffle=False)
    mse, mae = model.evaluate(train_data[held], train_targets[held], verbose=0)
    scores.append(mae)
results = {"scores": scores, "mean": np.mean(scores), "shapes": [train_data.shape, test_data.shape]}
