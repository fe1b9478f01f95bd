"""Losses that layers add in their `call`."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina._engine.network import Constants

pytest.importorskip("autograd")
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((10, 4)), RNG.standard_normal((10, 1))


class Penalized(layers.Layer):
    """Adds a loss of its output and one of its weights."""

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], 3), name="kernel")

    def call(self, x):
        y = ops.matmul(x, self.kernel)
        self.add_loss([0.1 * ops.mean(ops.square(y), axis=0), 0.05 * ops.sum(ops.square(self.kernel))])
        return y


class Activity(layers.Layer):
    def call(self, x, training=False):
        self.add_loss((0.2 if training else 0.1) * ops.mean(ops.square(x)))
        return x


@pytest.fixture(autouse=True)
def float64():
    lamina.config.set_floatx("float64")
    with lamina.saving.custom_object_scope({"Penalized": Penalized, "Activity": Activity}):
        yield
    lamina.config.set_floatx("float32")


def network(*inside, optimizer=None):
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(5), *inside, layers.Dense(1)])
    model.compile(optimizer or lamina.optimizers.SGD(0.01), "mse", metrics=["mse"])
    return model


def added(model, x):
    """Return what a `Penalized` after the first layer adds."""
    y = np.asarray(x) @ model.layers[0].kernel.numpy() @ model.layers[1].kernel.numpy()
    return 0.1 * (y * y).mean(axis=0).sum() + 0.05 * (model.layers[1].kernel.numpy() ** 2).sum()


def test_evaluation_and_training_count_them():
    model = network(Penalized())
    loss, mse = model.evaluate(X, Y, batch_size=len(X), verbose=0)
    assert loss - mse == pytest.approx(added(model, X))
    assert sum(model.losses) == pytest.approx(added(model, X))
    halves = [added(model, X[:6]), added(model, X[6:])]
    loss, mse = model.evaluate(X, Y, batch_size=6, verbose=0)
    assert loss - mse == pytest.approx((6 * halves[0] + 4 * halves[1]) / 10)
    before = added(model, X)
    loss, mse = model.train_on_batch(X, Y)
    assert loss - mse == pytest.approx(before)
    history = model.fit(X, Y, epochs=40, batch_size=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    loss, mse = model.evaluate(X, Y, batch_size=len(X), verbose=0)
    rows = X @ model.layers[0].kernel.numpy() + model.layers[0].bias.numpy()
    y = rows @ model.layers[1].kernel.numpy()
    expected = 0.1 * (y * y).mean(axis=0).sum() + 0.05 * (model.layers[1].kernel.numpy() ** 2).sum()
    assert loss - mse == pytest.approx(expected)


def test_they_are_differentiated_with_the_output():
    assert lamina.utils.check_gradients(network(Penalized()), X, Y) < 1e-6


@pytest.mark.parametrize("inside", [(Penalized,), (Activity,), (Activity, Penalized)])
def test_steps_follow_their_slopes(inside):
    """Also where another loss is added in training."""
    model = network(*(kind() for kind in inside))
    before = [variable.numpy() for variable in model.trainable_weights]

    def put(values):
        for variable, value in zip(model.trainable_weights, values, strict=True):
            variable.assign(value)

    def loss_at(values):
        put(values)
        model.optimizer.learning_rate = 0.0
        model.reset_metrics()
        return model.train_on_batch(X, Y)[0]

    model.optimizer.learning_rate = 1.0
    model.train_on_batch(X, Y)
    slopes = [old - variable.numpy() for old, variable in zip(before, model.trainable_weights, strict=True)]
    for _ in range(3):
        directions = [RNG.standard_normal(value.shape) for value in before]
        ends = [
            loss_at([value + step * way for value, way in zip(before, directions, strict=True)])
            for step in (1e-6, -1e-6)
        ]
        expected = sum((slope * way).sum() for slope, way in zip(slopes, directions, strict=True))
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(expected, rel=1e-5)


def test_an_optimizer_written_in_python_sees_the_same_gradients():
    class Own(lamina.optimizers.SGD):
        def update(self, *values):
            return super().update(*values)

    model, other = network(Penalized()), network(Penalized(), optimizer=Own(0.01))
    other.set_weights(model.get_weights())
    ours, theirs = (one.fit(X, Y, epochs=3, batch_size=4, verbose=0, shuffle=False).history for one in (model, other))
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-9)
    np.testing.assert_allclose(model.get_weights()[2], other.get_weights()[2], rtol=1e-9)


def test_a_layer_alone_tells_those_of_its_last_call():
    layer = Activity()
    layer(np.ones((2, 2)))
    assert layer.losses == pytest.approx([0.1])
    layer(2 * np.ones((2, 2)), training=True)
    assert layer.losses == pytest.approx([0.8])


def test_predictions_beside_an_evaluation_add_nothing():
    model = network(Penalized())
    expected = model.evaluate(X, Y, verbose=0)
    stop, failed = threading.Event(), []

    def predict():
        while not stop.is_set():
            try:
                model.predict(100 * X, verbose=0)
            except RuntimeError as error:
                failed.append(error)

    thread = threading.Thread(target=predict)
    thread.start()
    for _ in range(30):
        np.testing.assert_allclose(model.evaluate(X, Y, verbose=0), expected)
    stop.set()
    thread.join()
    assert not failed


def test_what_calls_layers_adds_none():
    class Block(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            y = self.dense(x)
            self.add_loss(ops.mean(y, axis=-1, keepdims=True))
            return y

    layer = Block()
    assert sum(layer.losses) == 0
    output = layer(X)  # outside of models it may
    assert sum(layer.losses) == pytest.approx(output.mean(axis=-1).sum())
    with pytest.raises(TypeError, match="what calls layers that it holds adds no losses"):
        lamina.Sequential([lamina.Input((4,)), layer])


@pytest.mark.parametrize(
    ("loss", "error", "message"),
    [
        (None, TypeError, "add_loss: loss must be an array; got None"), ("a", TypeError, "loss must be real numbers"),
        ([1.0, None], TypeError, "loss must be an array"),
    ],
)  # fmt: skip
def test_what_is_added_must_be_numbers(loss, error, message):
    class Adds(layers.Layer):
        def call(self, x):
            self.add_loss(loss)
            return x

    with pytest.raises(error, match=message):
        Adds()(X)
    with pytest.raises(error, match=message):
        network(Adds())


def test_what_calls_note_does_not_invalidate_compiled_networks():
    model, scaled = network(Penalized()), Activity()
    model.fit(X, Y, verbose=0)
    scaled(X)
    before = Constants.changes
    model.train_on_batch(X, Y)
    model.evaluate(X, Y, verbose=0)
    scaled(X[:, :3])
    assert Constants.changes is before
