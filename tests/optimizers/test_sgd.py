"""SGD, with and without momentum."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from lamina import layers, optimizers


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}],
    ids=str,
)
def test_sgd_steps_match_oracle(settings, rng):
    layer = layers.Dense(3, dtype="float64")
    layer.build((None, 2))
    start = layer.get_weights()
    gradients = [[rng.standard_normal((2, 3)), rng.standard_normal(3)] for _ in range(10)]
    optimizer = optimizers.SGD(0.1, **settings)
    for pair in gradients:
        optimizer.apply(pair, layer.trainable_weights)
    assert optimizer.iterations == 10
    for i in range(2):
        expected = oracles.sgd(start[i], [pair[i] for pair in gradients], 0.1, **settings)
        np.testing.assert_allclose(layer.get_weights()[i], expected, rtol=1e-12, atol=1e-14)
