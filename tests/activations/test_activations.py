"""Activations as functions of arrays of any shape, by name, and refused."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from lamina import activations

FUNCTIONS = sorted(set(activations.__all__) - {"get", "serialize", "deserialize"})
# Those whose formula has an argument, and what it is called here.
ARGUMENTS = {
    "leaky_relu": "negative_slope", "elu": "alpha", "celu": "alpha", "soft_shrink": "threshold",
    "hard_shrink": "threshold", "squareplus": "b",
}  # fmt: skip
SAME = {"hard_swish": "hard_silu", "swish": "silu"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_of_any_shape(name, rng, dtype):
    function = getattr(activations, name)
    formula = {"gelu": "gelu", **SAME}.get(name, name)
    for shape in ((), (0,), (5,), (3, 4), (2, 3, 5)):
        if formula in ("softmax", "log_softmax", "sparsemax") and (len(shape) < 1 or 0 in shape):
            continue
        x = (rng.standard_normal(shape) * 3).astype(dtype)
        found = function(x)
        assert found.dtype == dtype
        expected = oracles.activation(formula, np.asarray(x, np.float64))
        np.testing.assert_allclose(found, expected, rtol=200 * np.finfo(dtype).eps, atol=200 * np.finfo(dtype).eps)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name, rng):
    x = rng.standard_normal((4, 5)) * 3
    found = getattr(activations, name)(x, **{ARGUMENTS[name]: 0.7})
    np.testing.assert_allclose(found, oracles.activation(name, x, 0.7), rtol=1e-13, atol=1e-13)
    with pytest.raises((ValueError, TypeError), match=f"activations.{name}: {ARGUMENTS[name]} must"):
        getattr(activations, name)(x, **{ARGUMENTS[name]: "x"})


def test_relu_with_all_its_arguments(rng):
    x = rng.standard_normal((6, 7)) * 3
    found = activations.relu(x, negative_slope=0.1, max_value=2.0, threshold=0.5)
    np.testing.assert_allclose(found, np.where(x >= 2, 2, np.where(x >= 0.5, x, 0.1 * (x - 0.5))), rtol=1e-12)


def test_gelu_of_both_kinds(rng):
    x = rng.standard_normal(50) * 3
    np.testing.assert_allclose(activations.gelu(x), oracles.activation("gelu", x), rtol=1e-12, atol=1e-14)
    found = activations.gelu(x, approximate=True)
    np.testing.assert_allclose(found, oracles.activation("gelu_tanh", x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_shares_along_any_axes(name, rng):
    x = rng.standard_normal((3, 4, 5))
    for axis in (0, 1, -1, (0, 2)):
        shares = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
        found = getattr(activations, name)(x, axis=axis)
        np.testing.assert_allclose(found, shares if name == "softmax" else np.log(shares), rtol=1e-12)


def test_names():
    for name in FUNCTIONS:
        assert activations.get(name) is getattr(activations, name)
        assert activations.serialize(getattr(activations, name)) == activations.serialize(activations.get(name))
        assert activations.deserialize(name) is activations.get(name)
        written = {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
        assert activations.deserialize(written) is activations.get(written) is activations.get(name)
    assert activations.get(None) is activations.linear
    with pytest.raises(ValueError, match="Did you mean 'relu'"):
        activations.get("rellu")
