"""Layers that add noise while a model trains."""

from __future__ import annotations

import numpy as np
import pytest

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
