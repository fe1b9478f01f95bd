"""Layers that change the shape of rows."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


def test_flatten():
    x = np.arange(24, dtype="f").reshape(2, 3, 4)
    layer = layers.Flatten()
    np.testing.assert_array_equal(layer(x), x.reshape(2, 12))
    assert layer.compute_output_shape((None, 3, 4)) == (None, 12)
    assert not np.shares_memory(lamina.Sequential([layers.Flatten()]).predict(x), x)


def test_rows_are_passed_on(rng):
    x = rng.standard_normal((2, 3, 4)).astype("f")
    np.testing.assert_array_equal(layers.Identity()(x), x)
    model = lamina.Sequential([lamina.Input((3, 4)), layers.Identity()])
    assert model.output_shape == (None, 3, 4)
    np.testing.assert_array_equal(model.predict(x), x)


@pytest.mark.parametrize("target", [(4, 3), (2, 2, 3), (-1,), (6, -1)])
def test_rows_take_another_shape(target, rng):
    x = rng.standard_normal((2, 3, 4)).astype("f")
    layer = layers.Reshape(target)
    expected = x.reshape(2, *target)
    np.testing.assert_array_equal(layer(x), expected)
    assert layer.compute_output_shape((None, 3, 4)) == (None, *expected.shape[1:])


def test_an_input_layer_declares_the_shape_of_a_row():
    for layer in (layers.InputLayer((3, 4)), layers.InputLayer(batch_shape=(None, 3, 4))):
        assert type(layer) is layers.InputLayer
        assert layer.batch_shape == layer.shape == (None, 3, 4)
        assert layers.InputLayer.from_config(layer.get_config()).get_config() == layer.get_config()
        model = lamina.Sequential([layer, layers.Flatten()])
        assert model.input_shape == (None, 3, 4)
        assert [type(one) for one in model.layers] == [layers.Flatten]
    assert layers.InputLayer((3,), batch_size=7).batch_shape == (7, 3)
    with pytest.raises(ValueError, match="give batch_shape, or shape and batch_size, not both"):
        layers.InputLayer((3,), batch_shape=(None, 3))
    with pytest.raises(ValueError, match="shape must be given"):
        layers.InputLayer()
