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


ADAM_SETTINGS = [
    {},
    {"weight_decay": 0.1},
    {"amsgrad": True},
    {"beta_1": 0.0, "beta_2": 0.5, "epsilon": 1e-3},
    {"beta_1": 0.99, "beta_2": 0.9, "amsgrad": True, "weight_decay": 0.01},
]


@pytest.mark.parametrize("settings", ADAM_SETTINGS, ids=str)
def test_adam_ten_steps_match_oracle(settings, dtype, isa, rng):
    own = dict(settings)
    amsgrad = own.pop("amsgrad", False)
    for size in (0, 1, 7, 16, 17, 63, 1000):
        theta = rng.standard_normal(size).astype(dtype)
        gradients = (rng.standard_normal((10, size)) * 10.0 ** rng.integers(-3, 3, (10, 1))).astype(dtype)
        expected = oracles.adam(theta, gradients.astype(np.float64), 0.05, **settings)
        m, v, largest = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta) if amsgrad else None
        for step, gradient in enumerate(gradients, 1):
            kernels.adam_update(theta, gradient, m, v, largest, step=step, learning_rate=0.05, **own)
        limit = tolerances.OPTIMIZER_EPS * tolerances.EPS[dtype]
        np.testing.assert_allclose(theta, expected, rtol=limit, atol=4 * limit)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"step": 0}, "step must be >= 1; got 0"),
        ({"learning_rate": -0.1}, "learning_rate must be finite and >= 0; got -0.1"),
        ({"beta_1": 1.0}, r"beta_1 must be in \[0, 1\); got 1.0"),
        ({"beta_2": 1.5}, r"beta_2 must be in \[0, 1\)"),
        ({"epsilon": -1e-7}, "epsilon must be finite and >= 0"),
        ({"weight_decay": -1.0}, "weight_decay must be finite and >= 0"),
        ({"m": None}, "m and v must be given"),
        ({"v": np.zeros(4)}, r"v must have shape \(3,\) as param has; got \(4,\)"),
    ],
)
def test_adam_wrong_arguments_raise_and_change_nothing(wrong, message):
    theta = np.ones(3)
    arguments = {"param": theta, "grad": np.ones(3), "m": np.zeros(3), "v": np.zeros(3), "step": 1} | wrong
    with pytest.raises(ValueError, match=message):
        kernels.adam_update(**arguments)
    assert (theta == 1).all()


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
