"""What processes of a pool do: functions that they can import."""

from __future__ import annotations

import numpy as np

import lamina
from lamina import layers

X = np.random.default_rng(0).standard_normal((300, 6)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((300, 2)).astype(np.float32)


def made():
    lamina.utils.set_random_seed(4)
    between = [layers.Dropout(0.1), layers.BatchNormalization()]
    model = lamina.Sequential([lamina.Input((6,)), layers.Dense(30, "tanh"), *between, layers.Dense(2)])
    model.compile("adam", "mse")
    return model


def trained(model):
    """Train a model on; return its weights and its predictions."""
    model.fit(X, Y, batch_size=40, epochs=2, verbose=0)
    return [*model.get_weights(), model.predict(X, verbose=0)]
