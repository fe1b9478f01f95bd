from __future__ import annotations

import numpy as np
import oracles
import pytest
import tolerances

from lamina import kernels

SETTINGS = [
    {},
    {"weight_decay": 0.1},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
    {"momentum": 1.0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_sgd_ten_steps_match_oracle(settings, dtype, isa, rng):
    for size in (0, 1, 7, 16, 17, 63, 1000):
        theta = rng.standard_normal(size).astype(dtype)
        gradients = rng.standard_normal((10, size)).astype(dtype)
        expected = oracles.sgd(theta, gradients.astype(np.float64), 0.05, **settings)
        velocity = np.zeros_like(theta) if settings.get("momentum") else None
        for gradient in gradients:
            kernels.sgd_update(theta, gradient, velocity, learning_rate=0.05, **settings)
        limit = tolerances.OPTIMIZER_EPS * tolerances.EPS[dtype]
        np.testing.assert_allclose(theta, expected, rtol=limit, atol=4 * limit)


def test_sgd_any_shape(dtype):
    theta, gradient = np.ones((3, 4, 5), dtype), np.ones((3, 4, 5), dtype)
    kernels.sgd_update(theta, gradient, learning_rate=1.0)
    assert (theta == 0).all()


def test_sgd_nan_gradient_goes_through(dtype, isa):
    theta = np.zeros(20, dtype)
    gradient = np.zeros(20, dtype)
    gradient[13] = np.nan
    kernels.sgd_update(theta, gradient, learning_rate=0.1)
    assert np.flatnonzero(np.isnan(theta)).tolist() == [13]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"learning_rate": -0.1}, "learning_rate must be finite and >= 0; got -0.1"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite"),
        ({"learning_rate": 1e400}, "learning_rate must be finite"),
        ({"momentum": 1.5}, r"momentum must be in \[0, 1\]"),
        ({"momentum": 0.9}, "velocity must be given where momentum > 0"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and >= 0"),
    ],
)
def test_sgd_wrong_hyperparameters_raise_and_change_nothing(wrong, message):
    theta = np.ones(3)
    with pytest.raises(ValueError, match=message):
        kernels.sgd_update(theta, np.ones(3), **({"learning_rate": 0.1} | wrong))
    assert (theta == 1).all()
