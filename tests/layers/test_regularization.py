"""Layers that add noise while a model trains."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


def test_dropout_drops_its_share_and_keeps_the_mean(dtype, isa):
    x = np.ones((2000, 50), dtype)
    for rate in (0.1, 0.5, 0.9):
        found = layers.Dropout(rate, seed=1, dtype=str(dtype))(x, training=True)
        assert set(np.unique(found)) == {0, x.dtype.type(1 / (1 - rate))}
        share = (found == 0).mean()
        assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / x.size)
        # Neither rows nor columns are alike.
        assert len(np.unique(found, axis=0)) > 1500
        assert len(np.unique(found.T, axis=0)) == 50
    layer = layers.Dropout(0.5, seed=1, dtype=str(dtype))
    first, second = layer(x, training=True), layer(x, training=True)
    assert (first != second).any()
    np.testing.assert_array_equal(layers.Dropout(0.5, seed=1, dtype=str(dtype))(x, training=True), first)
    np.testing.assert_array_equal(layers.Dropout(1.0, dtype=str(dtype))(x, training=True), 0)


def test_gaussian_layers_have_their_moments(dtype, isa):
    x = np.full((2000, 50), 2, dtype)
    noise = layers.GaussianNoise(0.5, dtype=str(dtype))(x, training=True) - x
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    factor = layers.GaussianDropout(0.2, dtype=str(dtype))(x, training=True) / x
    assert factor.mean() == pytest.approx(1, abs=0.01)
    assert factor.std() == pytest.approx(0.5, rel=0.02)


def test_alpha_dropout_drops_to_the_least_value_of_selu_and_keeps_mean_and_variance(dtype, isa, rng):
    x = rng.standard_normal((4000, 50)).astype(dtype)
    least = -1.0507009873554805 * 1.6732632423543772
    for rate in (0.1, 0.5, 0.9):
        found = layers.AlphaDropout(rate, seed=1, dtype=str(dtype))(x, training=True)
        scale = ((1 - rate) * (1 + rate * least**2)) ** -0.5
        shift = -scale * least * rate
        dropped = np.isclose(found, scale * least + shift, rtol=1e-6)
        assert abs(dropped.mean() - rate) < 0.01
        np.testing.assert_allclose(found[~dropped], (scale * x + shift)[~dropped], rtol=1e-5, atol=1e-6)
        assert abs(found.mean()) < 0.02
        assert abs(found.std() - 1) < 0.02
        # The same elements as Dropout with this seed.
        np.testing.assert_array_equal(dropped, layers.Dropout(rate, seed=1, dtype=str(dtype))(x, training=True) == 0)
    assert layers.AlphaDropout(0.0)(x, training=True).tolist() == x.astype("f").tolist()
    with pytest.raises(ValueError, match="rate must be"):
        layers.AlphaDropout(1.0)
    with pytest.raises(ValueError, match="noise_shape must be None"):
        layers.AlphaDropout(0.1, noise_shape=(None, 1))


def test_the_gradient_of_alpha_dropout_passes_what_is_kept(rng):
    x = np.ones((1, 400))
    layer = layers.AlphaDropout(0.4, seed=2)
    model = lamina.Sequential(
        [lamina.Input((400,)), layers.Rescaling(1.0), layers.PReLU("ones"), layer, layers.Dense(1, "linear", False)]
    )
    model.compile(lamina.optimizers.SGD(1.0), lamina.losses.MeanSquaredError(reduction="sum"))
    model.layers[-1].set_weights([np.ones((400, 1))])
    before = model.layers[1].get_weights()[0]
    prediction = float(model(x, training=True)[0, 0])
    model.fit(-x, [[0.0]], verbose=0)
    changed = model.layers[1].get_weights()[0] != before
    assert 0.5 < changed.mean() < 0.7
    assert np.isfinite(prediction)


def test_spatial_dropout_drops_a_feature_at_all_steps(dtype, isa, restore_threads):
    x = np.ones((300, 7, 33), dtype)
    found = layers.SpatialDropout1D(0.4, seed=1, dtype=str(dtype))(x, training=True)
    np.testing.assert_array_equal(found, np.broadcast_to(found[:, :1], x.shape))
    assert set(np.unique(found)) == {0, x.dtype.type(1 / 0.6)}
    assert abs((found == 0).mean() - 0.4) < 0.02
    assert len(np.unique(found[:, 0], axis=0)) == 300
    # As Dropout on the features alone.
    np.testing.assert_array_equal(found[:, 0], layers.Dropout(0.4, seed=1, dtype=str(dtype))(x[:, 0], training=True))
    layer = layers.SpatialDropout1D(0.4)
    assert layer(x).tolist() == x.tolist()
    for shape in ((3,), (2, 3, 4)):
        with pytest.raises(ValueError, match=r"input must have shape \(n, steps, features\)"):
            layers.SpatialDropout1D(0.4)(np.zeros((2, *shape)))
