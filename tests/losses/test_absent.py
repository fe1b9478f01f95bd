"""Models that are compiled without a loss: what layers add, and penalties, are all that is minimized."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.losses.absent import NoLoss

pytest.importorskip("autograd")
X = np.linspace(-1, 1, 24).reshape(6, 4)
Y = X[:, :2]


class Squares(layers.Layer):
    """Adds the mean of the squares of its input."""

    def call(self, inputs):
        self.add_loss(ops.mean(ops.square(inputs)))
        return inputs


def network(*inside, **settings):
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(2, name="dense", **settings), *inside])
    model.compile(lamina.optimizers.SGD(0.5), metrics=[])
    return model


def test_training_minimizes_what_layers_add():
    model = network(Squares())
    assert model.compiled
    assert model.loss is None
    kernel = model.layers[0].kernel.numpy()
    before = float(np.mean(model.predict(X, verbose=0) ** 2))
    assert model.evaluate(X, batch_size=6, verbose=0) == pytest.approx(before, rel=1e-5)
    history = model.fit(X, batch_size=6, epochs=3, verbose=0).history["loss"]
    assert history[0] == pytest.approx(before, rel=1e-5)
    assert history[2] < 0.7 * history[0]
    assert (model.layers[0].kernel.numpy() != kernel).any()
    other = network(Squares())
    other.set_weights([kernel, np.zeros(2)])
    for _ in range(3):
        other.train_on_batch(X, Y)  # targets change nothing
    np.testing.assert_array_equal(other.layers[0].kernel, model.layers[0].kernel)


def test_streams_without_targets():
    model = network(Squares())
    found = model.fit(iter([X, (X,), (X, Y)]), verbose=0).history["loss"]
    assert 0 < found[0] < 1


def test_penalties_are_enough():
    for settings in ({"kernel_regularizer": "l2"}, {"activity_regularizer": "l2"}):
        history = network(**settings).fit(X, epochs=3, verbose=0).history["loss"]
        assert history[2] < history[0]


def test_nothing_to_minimize():
    model = network()
    for call in (model.fit, model.train_on_batch):
        with pytest.raises(ValueError, match="there must be a loss; compile got none, and no layer adds one"):
            call(X, Y)
    assert model.evaluate(X, Y, verbose=0) == 0
    model.compile("sgd", metrics=["mse"])
    assert model.evaluate(X, Y, verbose=0)[1] == pytest.approx(np.mean((model.predict(X, verbose=0) - Y) ** 2))
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="y must be given; got None"):
            call(X)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y must be given; got None"):
        model.evaluate(X)


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".safetensors"])
def test_files_and_copies(suffix, tmp_path):
    model = network(Squares(name="squares"))
    model.fit(X, epochs=2, verbose=0)
    assert model.get_compile_config()["loss"] is None
    with lamina.saving.custom_object_scope({"Squares": Squares}):
        model.save(tmp_path / f"m{suffix}")
        loaded = lamina.models.load_model(tmp_path / f"m{suffix}")
    assert loaded.compiled
    assert loaded.loss is None
    expected = model.fit(X, epochs=2, verbose=0, shuffle=False).history["loss"]
    assert loaded.fit(X, epochs=2, verbose=0, shuffle=False).history["loss"] == pytest.approx(expected)


def test_no_loss_is_zero():
    loss = NoLoss()
    assert loss.by_call
    np.testing.assert_array_equal(loss.call(None, X), np.zeros(6))
    found = loss.evaluate(X, X, need_gradient=True)
    np.testing.assert_array_equal(found.values, np.zeros(6))
    np.testing.assert_array_equal(found.gradient, np.zeros((6, 4)))
    assert loss.evaluate(X, X).gradient is None
