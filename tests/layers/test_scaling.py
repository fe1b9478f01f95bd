"""Rescaling, and normalization by the moments of data."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


def test_adapt_takes_moments_from_data(rng):
    x = rng.standard_normal((500, 3)) * [1, 2, 3] + [5, 6, 7]
    layer = layers.Normalization()
    np.testing.assert_array_equal(layer(x), x.astype("f"))  # not adapted, as in Keras
    assert [v.shape for v in layer.weights] == [(3,), (3,), ()]
    assert not layer.trainable_weights
    model = lamina.Sequential([layer, layers.Dense(1)])
    layer.adapt(x)
    found = layer(x)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-5)
    before = model.predict(x)
    layer.adapt(2 * x)
    np.testing.assert_allclose(layer(2 * x), found, rtol=1e-4, atol=1e-5)
    assert (model.predict(x) != before).any()
    whole = layers.Normalization(axis=None)
    whole.adapt(x)
    assert whole(x).mean() == pytest.approx(0, abs=1e-5)
    other = lamina.Sequential([layers.Input((3,)), layers.Normalization(axis=None)])
    other.predict_on_batch(x)
    other.set_weights(whole.get_weights())
    np.testing.assert_array_equal(other.predict_on_batch(x), whole(x))
    parts = layers.Normalization()
    parts.adapt((x[i : i + 70], None) for i in range(0, 500, 70))
    np.testing.assert_allclose(parts.mean, x.mean(0)[np.newaxis], rtol=1e-5)
    np.testing.assert_allclose(parts.variance, x.var(0)[np.newaxis], rtol=1e-5)
    elements = layers.Normalization(axis=(1, 2))
    cube = rng.standard_normal((90, 4, 3)) * 3 + 1
    elements.adapt(cube)
    np.testing.assert_allclose(elements(cube), (cube - cube.mean(0)) / cube.std(0), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="mean and variance already"):
        layers.Normalization(mean=0.0, variance=1.0).adapt(x)
