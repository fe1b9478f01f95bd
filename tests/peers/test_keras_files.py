"""Keras's files: what real Keras writes lamina reads, and the other way round, with equal predictions.

The networks are drawn at random and trained a little by the library that writes them. ``LAMINA_PEER_FILES`` says how
many there are.
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from helpers import frozen_inside
from peers.networks import Draw, first_weights

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")
pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore")

COUNT = int(os.environ.get("LAMINA_PEER_FILES", "30"))


def trained(draw, library):
    model = draw.build(library)
    model.set_weights(first_weights(keras, draw))
    model.fit(draw.x, draw.y, batch_size=draw.batch, epochs=1, verbose=0, sample_weight=draw.weight)
    return model


def close(found, expected):
    """Check that they differ by float32's rounding in sums of values about as large as the largest one."""
    expected = np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=3e-6 * max(1.0, np.abs(expected).max(initial=0)))


def slots(model):
    """Return the optimizer's state."""
    return [np.asarray(variable) for variable in model.optimizer.variables]


def keras_has(model):
    """Return whether Keras still has all arrays: after some steps it has given part of them to JAX, and cannot save."""
    try:
        return len(slots(model)) > 0
    except RuntimeError:
        return False


@pytest.mark.parametrize("number", range(COUNT))
def test_lamina_reads_what_keras_writes(number, tmp_path):
    draw = Draw(number)
    model = trained(draw, keras)
    expected = model.predict(draw.x, verbose=0)
    if not np.isfinite(expected).all() or not keras_has(model):
        return
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}")
        loaded = lamina.models.load_model(tmp_path / f"m{suffix}")
        close(loaded.predict(draw.x, verbose=0), expected)
        for ours, theirs in zip(slots(loaded), slots(model), strict=True):
            close(ours, theirs)
        loaded.fit(draw.x, draw.y, batch_size=draw.batch, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    for name in ("m.weights.h5", "m.keras", "m.h5"):
        other = draw.build(lamina)
        other.load_weights(tmp_path / name)
        close(other.predict(draw.x, verbose=0), expected)


@pytest.mark.parametrize("number", range(COUNT))
def test_keras_reads_what_lamina_writes(number, tmp_path):
    draw = Draw(number)
    model = trained(draw, lamina)
    expected = model.predict(draw.x, verbose=0)
    if not np.isfinite(expected).all():
        return
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"m{suffix}")
        loaded = keras.models.load_model(tmp_path / f"m{suffix}")
        close(loaded.predict(draw.x, verbose=0), expected)
        if suffix == ".keras":  # on JAX Keras does not read the optimizer's state from its own older files
            for ours, theirs in zip(slots(model), slots(loaded), strict=True):
                close(theirs, ours)
            loaded.fit(draw.x, draw.y, batch_size=draw.batch, verbose=0)
    model.save_weights(tmp_path / "m.weights.h5")
    for name in ("m.weights.h5", "m.keras", "m.h5"):
        other = draw.build(keras)
        other.load_weights(tmp_path / name)
        close(other.predict(draw.x, verbose=0), expected)


@pytest.mark.parametrize("number", range(0, COUNT, 3))
@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_bring_the_state_of_the_optimizer(number, suffix, tmp_path):
    draw = Draw(number)
    for one, other in ((keras, lamina), (lamina, keras)):
        model = trained(draw, one)
        if not np.isfinite(model.predict(draw.x, verbose=0)).all() or (one is keras and not keras_has(model)):
            continue
        (model.save if suffix == ".keras" else model.save_weights)(tmp_path / f"m{suffix}")
        loaded = draw.build(other)
        loaded.optimizer.build(loaded.trainable_variables)
        loaded.load_weights(tmp_path / f"m{suffix}")
        for ours, theirs in zip(slots(loaded), slots(model), strict=True):
            close(ours, theirs)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("frozen", [[], ["inner"], ["b"], ["a"], ["all"], ["out"]])
@pytest.mark.parametrize("compiled", [False, True])
def test_frozen_layers_of_models_in_models(compiled, frozen, suffix, tmp_path):
    x = np.random.default_rng(1).standard_normal((12, 4)).astype("f")
    for one, other in ((keras, lamina), (lamina, keras)):
        model = frozen_inside(one, frozen)
        if compiled:
            model.compile("adam", "mse")
        model.save(tmp_path / f"m{suffix}")
        again = other.models.load_model(tmp_path / f"m{suffix}")
        close(again.predict(x, verbose=0), model.predict(x, verbose=0))
        assert again.compiled == compiled
        assert len(again.trainable_weights) == len(model.trainable_weights)


def scaled(library):
    """Return a model with a layer of the user's that makes a variable that is not trained first, and one after it."""

    class Scaled(library.layers.Layer):
        def __init__(self, **named):
            super().__init__(**named)
            self.mean = self.add_weight(shape=(4,), initializer="zeros", trainable=False, name="mean")

        def build(self, input_shape):
            self.factor = self.add_weight(shape=(4,), initializer="ones", name="factor")
            self.count = self.add_weight(shape=(4,), initializer="zeros", trainable=False, name="count")
            self.shift = self.add_weight(shape=(4,), initializer="zeros", name="shift")
            super().build(input_shape)

        def call(self, x):
            return (x - self.mean) * self.factor + self.shift + self.count

    layer = Scaled(name="scaled")
    model = library.Sequential([library.layers.Input((4,)), layer, library.layers.Dense(2, name="out")])
    for i, name in enumerate(("mean", "factor", "count", "shift")):
        getattr(layer, name).assign(np.arange(4, dtype="f") + 10 * i)
    return model, {"Scaled": Scaled}


@pytest.mark.parametrize("suffix", [".keras", ".h5", ".weights.h5"])
def test_the_order_of_variables_of_a_layer_of_the_users(suffix, tmp_path):
    x = np.random.default_rng(2).standard_normal((5, 4)).astype("f")
    for one, other in ((keras, lamina), (lamina, keras)):
        (model, _), (again, classes) = scaled(one), scaled(other)
        assert [v.name for v in again.weights] == [v.name for v in model.weights]
        assert again.layers[0].get_weights()[1][0] == 30  # shift, the second trained one
        if suffix == ".weights.h5":
            model.save_weights(tmp_path / f"m{suffix}")
            again.load_weights(tmp_path / f"m{suffix}")
        else:
            model.save(tmp_path / f"m{suffix}")
            again = other.models.load_model(tmp_path / f"m{suffix}", custom_objects=classes)
        close(again.predict(x, verbose=0), model.predict(x, verbose=0))
