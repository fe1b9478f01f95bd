"""Penalties against their formulas, by themselves and in the loss."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, regularizers

CASES = {
    "L1": ({"l1": 0.3}, 0.3, 0.0),
    "L2": ({"l2": 0.2}, 0.0, 0.2),
    "L1L2": ({"l1": 0.3, "l2": 0.2}, 0.3, 0.2),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name, rng):
    settings, l1, l2 = CASES[name]
    regularizer = getattr(regularizers, name)(**settings)
    w = rng.standard_normal((4, 5))
    w[1, 1] = 0
    value, gradient = regularizer.value_and_gradient(w)
    assert value == pytest.approx(l1 * np.abs(w).sum() + l2 * (w * w).sum(), rel=1e-13)
    assert regularizer(w) == value
    np.testing.assert_allclose(gradient, l1 * np.sign(w) + 2 * l2 * w, rtol=1e-13)
    again = regularizers.get(regularizers.serialize(regularizer))
    assert (type(again), again.get_config()) == (type(regularizer), regularizer.get_config())


@pytest.mark.parametrize("name", CASES)
def test_the_loss_contains_them(name, rng):
    settings, l1, l2 = CASES[name]
    layer = layers.Dense(3, kernel_regularizer=getattr(regularizers, name)(**settings), dtype="float64")
    model = lamina.Sequential([lamina.Input((5,)), layer])
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    x, y = rng.standard_normal((8, 5)), rng.standard_normal((8, 3))
    w, b = layer.get_weights()
    error = x @ w + b - y
    loss = model.train_on_batch(x, y)
    assert loss == pytest.approx((error**2).mean() + l1 * np.abs(w).sum() + l2 * (w * w).sum(), rel=1e-12)
    slope = x.T @ (2 * error / y.size) + l1 * np.sign(w) + 2 * l2 * w
    np.testing.assert_allclose(layer.kernel.numpy(), w - 0.1 * slope, rtol=1e-11)


def test_names_and_refusals():
    for name, kind in (("l1", "L1"), ("l2", "L2"), ("l1_l2", "L1L2"), ("l1l2", "L1L2")):
        assert type(regularizers.get(name)) is getattr(regularizers, kind)
    assert regularizers.get("l2").l2 == 0.01
    with pytest.raises(ValueError, match="L2: l2 must be >= 0"):
        regularizers.L2(-1)
    with pytest.raises(AttributeError, match="subclass Regularizer"):
        regularizers.OrthogonalRegularizer  # noqa: B018


def test_a_regularizer_of_ones_own_is_in_the_loss(rng):
    class Cubed(regularizers.Regularizer):
        def value_and_gradient(self, w):
            return float((w**3).sum()), 3 * w**2

    assert Cubed()([[2.0, -1.0]]) == 7
    layer = layers.Dense(3, kernel_regularizer=Cubed(), use_bias=False, dtype="float64")
    model = lamina.Sequential([lamina.Input((5,)), layer])
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    w, x = layer.kernel.numpy(), np.zeros((8, 5))
    assert model.train_on_batch(x, np.zeros((8, 3))) == pytest.approx((w**3).sum(), rel=1e-12)
    np.testing.assert_allclose(layer.kernel.numpy(), w - 0.1 * 3 * w**2, rtol=1e-12)
    with pytest.raises(NotImplementedError, match="a regularizer defines __call__, or value_and_gradient"):
        regularizers.Regularizer()(w)
