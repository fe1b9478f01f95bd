"""Errors in ULP against extended precision: the numbers that the documents promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tolerances

from lamina import kernels

Extended = np.longdouble

pytestmark = pytest.mark.skipif(
    np.finfo(Extended).nmant < 63, reason="the reference needs extended precision, which this machine lacks"
)


def normal_cdf(x):
    """Φ(x) to full double accuracy also far out: math.erfc at the rounded argument, corrected for the rounding."""
    z = -x / np.sqrt(Extended(2))
    rounded = z.astype(np.float64)
    value = np.array([math.erfc(v) for v in rounded]).astype(Extended)
    density = 2 / np.sqrt(Extended(np.pi)) * np.exp(-(rounded.astype(Extended) ** 2))
    ratio = np.where(value > 0, density / np.where(value > 0, value, 1), 0)
    return value * np.exp(-ratio * (z - rounded)) / 2


SCALE, ALPHA = Extended("1.0507009873554804934193349852946"), Extended("1.6732632423543772848170429916717")

REFERENCES = {
    "exponential": np.exp,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "softplus": lambda x: np.logaddexp(Extended(0), x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: SCALE * np.where(x > 0, x, ALPHA * np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.logaddexp(Extended(0), x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "gelu": lambda x: x * normal_cdf(x),
}


def samples(dtype, name):
    generator = np.random.default_rng(7)
    # math.erfc has no subnormal guard digits to compare GELU's far tail with.
    low = {"gelu": -13 if dtype == np.float32 else -37}.get(name, -87 if dtype == np.float32 else -700)
    high = 88 if dtype == np.float32 else 700
    parts = [(low, high), (-10, 10), (-1, 1), (-1e-3, 1e-3)]
    return np.concatenate([generator.uniform(a, b, 40000) for a, b in parts]).astype(dtype)


@pytest.mark.parametrize("name", REFERENCES)
def test_activation_ulp(name, dtype, isa):
    x = samples(dtype, name)
    exact = REFERENCES[name](x.astype(Extended))
    nearest = exact.astype(dtype)
    normal = np.abs(nearest) >= np.finfo(dtype).tiny
    error = np.abs(kernels.activation_forward(name, x).astype(Extended) - exact) / np.spacing(np.abs(nearest))
    worst = np.argmax(np.where(normal, error, 0))
    assert error[worst] <= tolerances.ULP_LIMITS[name], f"{float(error[worst]):.2f} ULP at {x[worst]!r}"


def test_tanh_is_odd_and_at_most_one(dtype, isa):
    x = np.concatenate([np.linspace(0, 25, 200_001), np.logspace(-30, 30, 5001), [np.inf]]).astype(dtype)
    y = kernels.activation_forward("tanh", x)
    assert np.all(y <= 1)
    assert np.all(y[x > 20] == 1)
    np.testing.assert_array_equal(kernels.activation_forward("tanh", -x), -y)
    assert np.signbit(kernels.activation_forward("tanh", np.array([-0.0], dtype))[0])


def test_gelu_tanh_error(dtype, isa):
    x = samples(dtype, "gelu")
    v = x.astype(Extended)
    u = np.sqrt(2 / Extended(np.pi)) * (v + Extended("0.044715") * v**3)
    exact = v / (1 + np.exp(np.clip(-2 * u, -11000, 11000)))
    error = np.abs(kernels.activation_forward("gelu_tanh", x).astype(Extended) - exact)
    assert (error / (tolerances.EPS[dtype] * np.maximum(np.abs(v), 1e-30))).max() <= tolerances.GELU_TANH_EPS


def test_log_of_softmax_is_exact_for_two_classes(dtype, isa):
    """log_softmax([0, z]) is -softplus: log and exp together, over the range where log is taken."""
    z = np.linspace(0, 80, 20001).astype(dtype)
    y = kernels.log_softmax(np.stack([np.zeros_like(z), z], axis=1))
    exact = -np.logaddexp(Extended(0), z.astype(Extended))
    assert (np.abs(y[:, 0] - exact) / np.spacing(np.abs(exact).astype(dtype))).max() <= 3
