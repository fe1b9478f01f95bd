"""Predictions: predict, predict_on_batch and calls of a model."""

from __future__ import annotations

import gc
import tracemalloc

import numpy as np
import pytest
from conftest import classification_model
from helpers import blobs, network

import lamina
from lamina import _core, layers


def test_predictions_have_same_bits_for_any_batch_size(rng):
    model = classification_model((8, 20, 3))
    x, _ = blobs(rng, 50)
    expected = model.predict(x)
    for size in (1, 7, 32, 50, 1000):
        np.testing.assert_array_equal(model.predict(x, batch_size=size), expected)
    np.testing.assert_array_equal(model(x), expected)
    np.testing.assert_array_equal(model.predict_on_batch(x), expected)
    np.testing.assert_array_equal(np.concatenate([model.predict_on_batch(row[np.newaxis]) for row in x]), expected)
    assert model.predict(x[:0]).shape == (0, 3)


def test_predict_on_batch_into_an_array(rng):
    model = network((20, 30, 2))
    x = rng.standard_normal((7, 20)).astype("f")
    expected, out = model.predict(x), np.empty((7, 2), "f")
    assert model.predict_on_batch(x, out=out) is out
    np.testing.assert_array_equal(out, expected)
    gc.collect()  # models of other tests
    held = _core.engine_bytes()
    tracemalloc.start()
    for _ in range(100):
        model.predict_on_batch(x, out=out)
    assert tracemalloc.get_traced_memory()[1] < 4000
    tracemalloc.stop()
    assert _core.engine_bytes() == held
    read_only = np.empty((7, 2), "f")
    read_only.flags.writeable = False
    wrong = (np.empty((7, 3), "f"), np.empty((2, 7), "f").T, read_only, x[:, :2])
    for array in wrong:
        with pytest.raises(ValueError, match="out must"):
            model.predict_on_batch(x, out=array)
    for array in (np.empty((7, 2)), [[0.0] * 2] * 7):
        with pytest.raises(TypeError, match="out must be an array of dtype float32"):
            model.predict_on_batch(x, out=array)


def test_targets_of_batches_are_ignored(rng):
    model, (x, y) = classification_model(), blobs(rng, 20)
    expected = model.predict(x)
    for batches in (
        [(x[:8], y[:8]), (x[8:], y[8:])],
        [(x[:8], y[:8], np.ones(8)), (x[8:], y[8:], np.ones(12))],
    ):
        np.testing.assert_array_equal(model.predict(iter(batches)), expected)


def test_so_many_batches_are_predicted_as_was_said(rng):
    model, (x, _) = classification_model(), blobs(rng, 20)
    expected = model.predict(x)
    np.testing.assert_array_equal(model.predict(x, batch_size=4, steps=3), expected[:12])
    np.testing.assert_array_equal(model.predict(iter([x[:7], x[7:14], x[14:]]), steps=2), expected[:14])
    for wrong in ({"steps": 0}, {"batch_size": 0}, {"verbose": 3}):
        with pytest.raises(ValueError, match=f"predict: {next(iter(wrong))} must be"):
            model.predict(x, **wrong)


@pytest.mark.parametrize("verbose", ["auto", 0, 1, 2])
def test_a_prediction_prints_nothing(verbose, rng, capsys):
    model, (x, _) = classification_model(), blobs(rng, 20)
    model.predict(x, batch_size=4, verbose=verbose)
    assert capsys.readouterr() == ("", "")


def test_no_rows_have_no_outputs(rng):
    model = classification_model()
    for found in (model.predict(np.empty((0, 8))), model(np.empty((0, 8))), model.predict_on_batch(np.empty((0, 8)))):
        assert found.shape == (0, 3)
        assert found.dtype == np.float32


def test_an_output_must_not_lie_where_the_input_does():
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    memory = np.ones((5, 2), "f")
    with pytest.raises(ValueError, match="out must not share memory with x"):
        model.predict_on_batch(memory, out=memory)
    np.testing.assert_array_equal(memory, 1)


def test_a_refused_output_leaves_a_model_unbuilt():
    model = lamina.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match=r"out must be .* of shape \(3, 2\)"):
        model.predict_on_batch(np.ones((3, 4), "f"), out=np.empty((3, 5), "f"))
    assert not model.built
    assert model.weights == []


def test_after_a_refused_output_rows_of_another_shape_are_taken():
    model = lamina.Sequential([layers.Dense(2)])
    with pytest.raises(ValueError, match="out must be"):
        model.predict_on_batch(np.ones((3, 4), "f"), out=np.empty((3, 5), "f"))
    assert model.predict(np.ones((3, 7))).shape == (3, 2)


def test_a_call_as_in_training_normalizes_by_the_batch_and_trains_nothing(rng):
    x = rng.standard_normal((30, 4)) * 3 + 1
    norm = layers.BatchNormalization(momentum=0.75)
    model = lamina.Sequential([lamina.Input((4,)), norm, layers.Dense(2)])
    trainable = [variable.numpy() for variable in model.trainable_weights]
    found = model(x, training=True)
    normal = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-3)
    np.testing.assert_allclose(found, normal @ model.layers[1].kernel.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.moving_mean, 0.25 * x.mean(0), rtol=1e-5)
    for variable, kept in zip(model.trainable_weights, trainable, strict=True):
        np.testing.assert_array_equal(variable, kept)
    before = norm.moving_mean.numpy()
    np.testing.assert_array_equal(model(x), model(x, training=False))
    np.testing.assert_array_equal(model(x), model.predict(x))
    np.testing.assert_array_equal(norm.moving_mean, before)
