"""Subclasses of built-in layers whose `call` returns what the built-in one returns."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.models import load_model

X = np.ones((6, 8), "f")
Y = np.ones((6, 3), "f")


class MonteCarlo(layers.Dropout):
    def call(self, inputs):
        return super().call(inputs, training=True)


class PassedOn(layers.Dropout):
    def call(self, inputs, training=None):
        return super().call(inputs, training=training)


class Off(layers.GaussianNoise):
    def call(self, inputs, training=None):
        return super().call(inputs, training=False)


class Plain(layers.Dense):
    def call(self, inputs):
        return super().call(inputs)


class Doubled(layers.Dense):
    def call(self, inputs):
        return 2 * super().call(inputs)


class Before(layers.Dense):
    def call(self, inputs):
        return super().call(ops.relu(inputs))


class Frozen(layers.BatchNormalization):
    def call(self, inputs, training=None):
        return super().call(inputs, training=False)


def network(*between):
    model = lamina.Sequential([lamina.Input((8,)), *between, layers.Dense(3)])
    model.compile("sgd", "mse")
    return model


def test_noise_stays_on_in_predictions(isa):
    lamina.utils.set_random_seed(1)
    model = network(MonteCarlo(0.5))
    draws = np.stack([model.predict(X) for _ in range(400)])
    assert len(np.unique(draws[:, 0, 0])) > 50  # each prediction has noise of its own
    assert len(np.unique(draws[0, :, 0])) > 1  # and each row
    exact = X @ model.layers[1].kernel.numpy()
    np.testing.assert_allclose(draws.mean(axis=(0, 1)), exact[0], atol=0.15)
    assert not np.array_equal(model(X), model(X))
    assert not np.array_equal(model.predict_on_batch(X), model.predict_on_batch(X))
    model.fit(X, Y, epochs=3, verbose=0)
    assert np.isfinite(model.evaluate(X, Y, verbose=0))


def test_random_predictions_are_repeatable():
    found = []
    for threads in (1, 2, 1):
        lamina.utils.set_random_seed(3)
        lamina.set_num_threads(threads)
        model = network(MonteCarlo(0.5), layers.Dense(600))
        rows = np.ones((300, 8), "f")
        found.append([model.predict(rows) for _ in range(3)])
    lamina.set_num_threads(2)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_a_call_that_passes_training_on_is_the_built_in_layer():
    lamina.utils.set_random_seed(1)
    one = network(PassedOn(0.5, seed=4))
    lamina.utils.set_random_seed(1)
    other = network(layers.Dropout(0.5, seed=4))
    np.testing.assert_array_equal(one.predict(X), one.predict(X))
    assert not np.array_equal(one(X, training=True), one(X, training=True))
    other(X, training=True)
    other(X, training=True)
    ours, theirs = (model.fit(X, Y, epochs=3, verbose=0).history for model in (one, other))
    assert ours == theirs


def test_noise_may_be_off_for_ever():
    lamina.utils.set_random_seed(1)
    one = network(Off(0.5))
    lamina.utils.set_random_seed(1)
    other = network()
    other.set_weights(one.get_weights())
    one.seed = other.seed
    assert one.fit(X, Y, epochs=3, verbose=0).history == other.fit(X, Y, epochs=3, verbose=0).history
    np.testing.assert_array_equal(one(X, training=True), one.predict(X))


def test_a_dense_layer_with_a_call():
    layer = Plain(3)
    network(layer)
    np.testing.assert_allclose(layer(X), X @ layer.kernel.numpy(), rtol=1e-5)
    np.testing.assert_array_equal(layer.call(X), layer(X))


@pytest.mark.parametrize("layer", [lambda: Doubled(3), lambda: Before(3), lambda: Frozen()])
def test_other_calls_are_refused_by_a_sentence(layer):
    with pytest.raises(TypeError, match=r"must return super\(\)\.call\(inputs\).*Derive it from lamina\.layers\.Layer"):
        network(layer())
    with pytest.raises(TypeError, match=r"must return super\(\)\.call\(inputs\)"):
        layer()(X)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_noise_that_stays_on_is_saved(suffix, tmp_path):
    inputs = lamina.Input((8,))
    model = lamina.Model(inputs, layers.Dense(3)(layers.Dropout(0.5)(inputs, training=True)))
    assert not np.array_equal(model.predict(X), model.predict(X))
    assert model.get_config()["layers"][1]["inbound_nodes"][0]["kwargs"] == {"training": True}
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    assert not np.array_equal(again.predict(X), again.predict(X))
    off = lamina.Model(inputs, layers.Dense(3)(layers.Dropout(0.5)(inputs, training=False)))
    np.testing.assert_array_equal(off(X, training=True), off.predict(X))


def test_a_layer_has_no_call_but_its_own():
    class Own(layers.Layer):
        def call(self, x):
            return super().call(x)

    with pytest.raises(NotImplementedError, match="no call but its own"):
        Own()(X)
