"""What `add.py` adds, as a user sees it: in models, in training, in files."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, optimizers
from lamina._data.bits import PackedBits


def model_and_data(rng):
    model = lamina.Sequential([lamina.Input((9,)), layers.Dense(7, "squared_relu"), layers.Negate(), layers.Dense(2)])
    model.compile(optimizers.Signum(0.01), "charbonnier", metrics=["sign_accuracy"])
    return model, rng.standard_normal((64, 9)), rng.standard_normal((64, 2))


def test_all_of_it_trains(rng):
    model, x, y = model_and_data(rng)
    assert lamina.utils.check_gradients(model, x, y) < 1e-5
    history = model.fit(x, y, epochs=20, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    assert found["loss"] == pytest.approx((np.sqrt((p - y) ** 2 + 1) - 1).mean(), rel=1e-5)
    assert found["sign_accuracy"] == pytest.approx((np.sign(p) == np.sign(y)).mean(), rel=1e-6)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_all_of_it_is_saved(suffix, rng, tmp_path):
    model, x, y = model_and_data(rng)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / f"model{suffix}")
    again = lamina.models.load_model(tmp_path / f"model{suffix}")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    (tmp_path / f"broken{suffix}").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="damaged|broken"):
        lamina.models.load_model(tmp_path / f"broken{suffix}")


def test_packed_bits_are_read_as_the_numbers_that_they_are(rng):
    x, y = rng.integers(0, 2, (64, 9)), rng.standard_normal((64, 2))
    packed = PackedBits(np.packbits(x, axis=1), 9)
    results = []
    for rows in (x, packed):
        lamina.utils.set_random_seed(3)
        model, _, _ = model_and_data(np.random.default_rng(0))
        model.fit(rows, y, epochs=3, batch_size=10, verbose=0)
        results.append([*model.get_weights(), model.predict(rows, verbose=0)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)
