"""Layers that apply an activation."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import layers


def test_activation_layers(rng):
    x = rng.standard_normal((4, 7)) * 5
    for layer, name, alpha in (
        (layers.ReLU(dtype="float64"), "relu", None),
        (layers.ReLU(max_value=6, dtype="float64"), "relu6", None),
        (layers.ReLU(negative_slope=0.1, dtype="float64"), "leaky_relu", 0.1),
        (layers.LeakyReLU(dtype="float64"), "leaky_relu", 0.3),
        (layers.LeakyReLU(negative_slope=0.05, dtype="float64"), "leaky_relu", 0.05),
        (layers.Softmax(dtype="float64"), "softmax", None),
        (layers.Activation("mish", dtype="float64"), "mish", None),
    ):
        np.testing.assert_allclose(layer(x), oracles.activation(name, x, alpha), rtol=1e-12)
        # After a linear layer it is taken up by that one, after another activation it stands alone.
        for before in ("linear", "tanh"):
            stack = [layers.Dense(7, before, dtype="float64", input_dim=5), type(layer).from_config(layer.get_config())]
            model = lamina.Sequential([*stack, layers.Dense(3, dtype="float64")])
            model.compile(loss="mse")
            assert lamina.utils.check_gradients(model, rng.standard_normal((6, 5)), rng.standard_normal((6, 3))) < 1e-5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.ReLU(max_value=-3), "max_value must be >= 0"),
        (lambda: layers.ReLU(negative_slope=-1), "negative_slope must be >= 0"),
        (lambda: layers.LeakyReLU(negative_slope=-1), "negative_slope must be >= 0"),
        (lambda: layers.Softmax(axis=1)(np.zeros((2, 3, 4))), "axis must be the last axis"),
    ],
)
def test_activation_layers_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
