"""Optimizers of several modules: their steps against their formulas."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from lamina import config, layers, optimizers

STEPS = {
    "adamax": (optimizers.Adamax, {}),
    "nadam": (optimizers.Nadam, {}),
    "rmsprop": (optimizers.RMSprop, {}),
    "rmsprop_centered": (optimizers.RMSprop, {"centered": True, "momentum": 0.5}),
    "adagrad": (optimizers.Adagrad, {}),
    "adadelta": (optimizers.Adadelta, {}),
    "lion": (optimizers.Lion, {}),
}


@pytest.mark.parametrize("decay", [None, 0.1])
@pytest.mark.parametrize("name", STEPS)
def test_optimizers_take_the_steps_of_their_formulas(name, decay, dtype, isa, rng):
    kind, settings = STEPS[name]
    layer = layers.Dense(7, use_bias=False, dtype=str(dtype), input_dim=5)
    layer.build((None, 5))
    optimizer = kind(0.05, weight_decay=decay, **settings)
    expected, state = layer.kernel.numpy().astype(np.float64), {}
    for t in range(1, 13):
        gradient = rng.standard_normal((5, 7)).astype(dtype)
        optimizer.apply([gradient], [layer.kernel])
        expected = expected * (1 - 0.05 * (decay or 0))
        expected -= 0.05 * getattr(oracles, name)(state, gradient.astype(np.float64), t)
    limit = 300 * np.finfo(dtype).eps
    np.testing.assert_allclose(layer.kernel.numpy(), expected, rtol=limit, atol=limit)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta"])
def test_no_epsilon_is_the_default_one(kind):  # as older programs have it
    assert getattr(optimizers, kind)(epsilon=None).epsilon == config.epsilon()
