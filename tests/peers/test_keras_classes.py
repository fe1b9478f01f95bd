"""Keras's files of models with classes and functions of the user's, and of models that define `call`.

What real Keras writes lamina reads, and the other way round, with equal predictions.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")
pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore")

LIBRARIES = {"keras": keras, "lamina": lamina}
X = np.random.default_rng(0).random((32, 4), "f")
Y = 2 * X[:, :1]


def users(library):
    """Return classes and functions as users write them, for one of the two libraries."""
    layers, ops = library.layers, library.ops

    class Block(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.dense = layers.Dense(units)
            self.norm = layers.BatchNormalization()
            self._slopes = layers.PReLU()
            self.drop = layers.Dropout(0.1)

        def call(self, x, training=None):
            x = self._slopes(self.norm(self.dense(x), training=training))
            return self.drop(x, training=training)

        def get_config(self):
            return super().get_config() | {"units": self.units}

    class Plain(layers.Layer):
        """Without `get_config`: its arguments are written down."""

        def __init__(self, units, scale=2.0, **kwargs):
            super().__init__(**kwargs)
            self.units, self.scale = units, scale

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

        def call(self, x):
            return ops.tanh(ops.matmul(x, self.kernel)) * self.scale

    class Several(library.Model):
        """Layers at all kinds of places, out of the order in which they are called."""

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.out = layers.Dense(1)
            self.in_a_list = [layers.Dense(3), layers.Dense(3, activation=layers.PReLU())]
            self.block = Block(4)
            self.zipped = {"x": layers.Dense(2), "y": [layers.Dense(2)]}
            self.net = library.Sequential([layers.Dense(2), Plain(2)])
            self._private = layers.Dense(5)

        def call(self, x):
            for layer in (*self.in_a_list, self.block, self.zipped["x"], self.zipped["y"][0], self.net, self._private):
                x = layer(x)
            return self.out(x)

        def get_config(self):
            return {}

    class OwnLoss(library.losses.Loss):
        def __init__(self, factor=3.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, y_true, y_pred):
            return ops.mean(self.factor * ops.square(y_true - y_pred), axis=-1)

        def get_config(self):
            return super().get_config() | {"factor": self.factor}

    def rmse(y_true, y_pred):
        return ops.sqrt(ops.mean(ops.square(y_true - y_pred)))

    def wave(x):
        return ops.sin(x)

    def ones(shape, dtype=None):
        return np.ones(shape, "float32")

    def penalty(w):
        return 0.01 * ops.sum(ops.square(w))

    given = [Block, Plain, Several, OwnLoss, rmse, wave, ones, penalty]
    return SimpleNamespace(**{one.__name__: one for one in given})


def stack(library, own):
    return library.Sequential(
        [
            library.Input((4,)), own.Plain(3), library.layers.Dense(1, kernel_initializer=own.ones),
            library.layers.Dense(2, activation=own.wave, kernel_regularizer=own.penalty), library.layers.Dense(1),
        ]
    )  # fmt: skip


def with_block(library, own):
    slopes = library.layers.PReLU()
    return library.Sequential([library.Input((4,)), own.Block(3), library.layers.Dense(1, activation=slopes)])


def functional(library, own):
    inputs = library.Input((4,))
    return library.Model(inputs, library.layers.Dense(1)(own.Plain(2)(own.Block(3)(inputs))))


def several(_library, own):
    return own.Several()


@pytest.mark.parametrize("make", [stack, with_block, functional, several])
@pytest.mark.parametrize("loss", ["rmse", "OwnLoss"])
@pytest.mark.parametrize("writer", LIBRARIES)
def test_files_go_both_ways(writer, loss, make, tmp_path):
    library, reader = LIBRARIES[writer], next(one for name, one in LIBRARIES.items() if name != writer)
    own, others = users(library), users(reader)
    model = make(library, own)
    chosen = own.OwnLoss(2.5) if loss == "OwnLoss" else own.rmse
    model.compile(library.optimizers.Adam(0.01), chosen, metrics=["mae", own.rmse])
    model.fit(X, Y, epochs=2, verbose=0)
    expected = model.predict(X, verbose=0)
    model.save_weights(tmp_path / "w.weights.h5")
    other = make(reader, others)
    other.build((None, 4))
    other(X)
    other.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_allclose(other.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    for suffix in (".keras", ".h5"):
        if suffix == ".h5" and make is several:  # Keras does not read again what it writes of such a model
            continue
        model.save(tmp_path / f"m{suffix}")
        again = reader.models.load_model(tmp_path / f"m{suffix}", custom_objects=vars(others), compile=suffix != ".h5")
        np.testing.assert_allclose(again.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
        if suffix == ".keras":
            ours, theirs = (one.evaluate(X, Y, verbose=0) for one in (model, again))
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)
            for one, another in zip(model.optimizer.variables, again.optimizer.variables, strict=True):
                np.testing.assert_allclose(np.asarray(one), np.asarray(another), rtol=1e-5, atol=1e-7)
