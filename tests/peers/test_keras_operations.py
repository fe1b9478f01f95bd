"""Functions of symbolic tensors in files, both ways with real Keras."""

from __future__ import annotations

import json

import numpy as np
import pytest
from symbolic_functions import FUNCTIONS

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")
pytest.importorskip("h5py")
pytestmark = pytest.mark.filterwarnings("ignore")

ONE_FUNCTION = {"Amax": "Max", "Amin": "Min"}  # under two names


def _model(library, function):
    inputs = library.Input((4, 6))
    hidden = function(library, library.layers.Dense(6)(inputs))
    return library.Model(inputs, library.layers.Flatten()(hidden))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_we_write_keras_reads(name, rng, tmp_path):
    x = rng.standard_normal((7, 4, 6)).astype("float32")
    model = _model(lamina, FUNCTIONS[name])
    model.save(tmp_path / "model.keras")
    theirs = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(theirs.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in model.layers]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_keras_writes_we_read(name, rng, tmp_path):
    x = rng.standard_normal((7, 4, 6)).astype("float32")
    theirs = _model(keras, FUNCTIONS[name])
    theirs.save(tmp_path / "model.keras")
    model = lamina.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(model.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-5, atol=1e-6)
    assert [layer.name for layer in theirs.layers] == [layer.name for layer in model.layers]
    ours, entries = (json.loads(one.to_json())["config"]["layers"] for one in (model, theirs))
    names = [one["class_name"] for one in entries]
    assert [one["class_name"] for one in ours] == [ONE_FUNCTION.get(name, name) for name in names]
    assert [one["module"] for one in ours] == [one["module"] for one in entries]
