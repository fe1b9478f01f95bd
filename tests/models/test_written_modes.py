"""Layers and models with a `call`: what it does in training and in predictions."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from helpers import same
from written_models import data

import lamina
from lamina import Model, layers, ops


@pytest.mark.parametrize("given", [lambda t: True, lambda t: t, lambda t: None])
def test_noise_in_training_alone_stays_out_of_predictions(given, rng):
    class Noisy(Model):
        def __init__(self):
            super().__init__()
            self.dense, self.drop = layers.Dense(5, kernel_initializer="identity"), layers.Dropout(0.5)

        def call(self, x, training=False):
            x = self.dense(x)
            if training is True:
                x = self.drop(x, training=given(training))
            return x

    x = np.ones((40, 5), "f")
    model = Noisy()
    assert same([model.predict(x)], [x])
    assert (np.asarray(model(x, training=True)) == 0).mean() > 0.3


def test_modes_that_a_call_chooses(rng):
    class Chosen(Model):
        def __init__(self, mode):
            super().__init__()
            self.mode, self.drop = mode, layers.Dropout(0.5)
            self.dense = layers.Dense(5, kernel_initializer="identity")

        def call(self, x, training=False):
            return self.dense(self.drop(x, training=self.mode(training)))

    x = np.ones((40, 5), "f")
    always, never = Chosen(lambda t: True), Chosen(lambda t: False)
    assert (always.predict(x) == 0).any()
    assert (np.asarray(never(x, training=True)) == 1).all()
    with pytest.raises(ValueError, match="must not act in predictions alone"):
        Chosen(lambda t: not t).predict(x)


class Inner(Model):
    def __init__(self):
        super().__init__()
        self.dense, self.drop = layers.Dense(4), layers.Dropout(0.3)

    def call(self, x, training=None):
        return self.drop(ops.tanh(self.dense(x / 2)), training=training)


class Outer(Model):
    def __init__(self):
        super().__init__()
        self.inner, self.stack_of_two = Inner(), lamina.Sequential([layers.Dense(3), layers.BatchNormalization()])

    def call(self, x, training=None):
        x = self.inner(ops.clip(x, -1, 1), training=training)
        return ops.relu(self.stack_of_two(x, training=training)) + 1


def test_functions_and_models_in_a_call_with_modes(rng):
    x, y = data(rng)
    model = Outer()
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    assert model.predict(x).min() >= 1
    assert same([model.predict(x)], [model.predict(x)])
    again = pickle.loads(pickle.dumps(model))
    assert same([again.predict(x)], [model.predict(x)])


class WithMoments(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.normalized = layers.Dense(4), layers.BatchNormalization()

    def call(self, x, training=None):
        return self.normalized(self.dense(x), training=training)


@pytest.mark.parametrize("suffix", [".keras", ".safetensors", None])
def test_the_mode_of_a_layer_that_holds_layers_is_kept(suffix, tmp_path, rng):
    x, y = data(rng, inputs=4, outputs=4)
    inputs = lamina.Input((4,))
    model = Model(inputs, WithMoments()(inputs, training=False))
    model.compile("sgd", "mse")
    if suffix is None:
        model = lamina.models.clone_model(model)
    else:
        model.save(tmp_path / f"m{suffix}")
        model = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"WithMoments": WithMoments})
    model.fit(x, y, verbose=0)
    assert not model.layers[1].normalized.moving_mean.numpy().any()


def test_an_own_mode_stays_in_a_model_that_is_called_with_another(rng):
    x, _y = data(rng)

    class AlwaysDrops(layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    inner, inputs = lamina.Sequential([lamina.Input((5,)), AlwaysDrops(0.5)]), lamina.Input((5,))
    assert (Model(inputs, inner(inputs, training=False)).predict(x, verbose=0) == 0).any()


@pytest.mark.parametrize(("default", "noisy"), [(True, True), (False, False), (None, False)])
def test_a_default_of_training_is_the_mode_of_direct_calls(default, noisy):
    class Net(lamina.Model):
        def __init__(self):
            super().__init__()
            self.noise = layers.Dropout(0.5)

        def call(self, x, training=default):
            return self.noise(x, training=training)

    model, x = Net(), np.ones((4, 50), "f")
    assert (np.asarray(model(x)).max() > 1) == noisy
    assert np.asarray(model(x, training=False)).max() == 1
    assert np.asarray(model(x, training=True)).max() > 1
    assert model.predict(x, verbose=0).max() == 1
