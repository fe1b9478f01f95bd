"""Layers that normalize batches and rows."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, regularizers


def batch_norm(x, epsilon=1e-3):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon)


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_batch_normalization_by_the_batch_and_by_running_means(dtype, isa, rng):
    x = (rng.standard_normal((300, 40)) * 3 + 1).astype(dtype)
    layer = layers.BatchNormalization(momentum=0.75, dtype=str(dtype))
    limit = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(layer(x, training=True), batch_norm(x.astype(np.float64)), rtol=limit, atol=limit)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * wide.mean(0), rtol=100 * limit, atol=limit)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * wide.var(0), rtol=10 * limit)
    model = lamina.Sequential([layer])
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros((300, 40)))
    np.testing.assert_allclose(layer.moving_mean, 0.4375 * wide.mean(0), rtol=100 * limit, atol=limit)
    np.testing.assert_allclose(layer.moving_variance, 0.5625 + 0.4375 * wide.var(0), rtol=10 * limit)
    assert [v.name for v in layer.trainable_weights] == ["gamma", "beta"]
    layer.trainable = False
    before = model.get_weights()
    model.train_on_batch(x, np.zeros((300, 40)))
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_saving_normalizing_layers_with_rules(tmp_path):
    class Own(lamina.initializers.Ones):
        pass

    for initializer, fits in (("ones", True), (Own(), False)):
        layer = layers.BatchNormalization(
            gamma_initializer=initializer, gamma_regularizer="l2", beta_constraint="non_neg"
        )
        model = lamina.Sequential([layers.Input((3,)), layer])
        if fits:
            model.save(tmp_path / "m.safetensors")
            again = lamina.models.load_model(tmp_path / "m.safetensors").layers[0]
            assert again.get_config() == layer.get_config()
            assert type(again.gamma.regularizer) is regularizers.L2
        else:
            model.save(tmp_path / "m.safetensors")
            with pytest.raises(ValueError, match="'Own' of the module .* must be registered"):
                lamina.models.load_model(tmp_path / "m.safetensors")


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
def test_a_layer_over_several_axes_takes_rows_of_one_shape(kind, rng):
    layer = kind(axis=(1, 2))
    x = rng.standard_normal((2, 4, 3))
    assert layer(x).shape == (2, 4, 3)
    for shape in [(2, 5, 3), (2, 4, 4), (2, 2, 4, 3)]:
        with pytest.raises(ValueError, match=r"inputs must have shape \(n, 4, 3\); got"):
            layer(np.ones(shape))


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
def test_a_layer_over_the_last_axis_takes_any_number_of_steps(kind, rng):
    layer = kind()
    x = rng.standard_normal((2, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(x)[:, 0], layer(x[:, 0]))
    counted = kind(axis=2)
    np.testing.assert_array_equal(counted(x), layer(x))
    assert counted(np.ones((2, 5, 3))).shape == (2, 5, 3)
    with pytest.raises(ValueError, match="axis must be the last axis"):
        counted(np.ones((2, 2, 4, 3)))


def test_batch_normalization_checks_arguments_that_have_no_effect():
    with pytest.raises(TypeError, match="renorm_momentum"):
        layers.BatchNormalization(renorm_momentum="fast")
