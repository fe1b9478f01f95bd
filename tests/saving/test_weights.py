"""Parameters alone, in files."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import new_model, same

import lamina
from lamina import layers, saving


def test_functions_save_and_load_what_the_methods_do(tmp_path):
    model, other = new_model(1), new_model(2)
    saving.save_weights(model, tmp_path / "f.safetensors")
    model.save_weights(tmp_path / "m.safetensors")
    assert (tmp_path / "f.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()
    saving.load_weights(other, tmp_path / "m.safetensors")
    assert same(other.get_weights(), model.get_weights())
    with pytest.raises(ValueError, match="must not exist where overwrite is False"):
        saving.save_weights(other, tmp_path / "f.safetensors", overwrite=False)


def test_what_does_not_fit_is_left_where_that_is_wanted(tmp_path):
    model = new_model()
    saving.save_weights(model, tmp_path / "w.safetensors")
    wider = lamina.Sequential([lamina.Input((4,)), layers.Dense(5), layers.Dense(3)])
    before = wider.get_weights()
    with pytest.raises(ValueError, match="must have shape"):
        saving.load_weights(wider, tmp_path / "w.safetensors")
    assert same(wider.get_weights(), before)
    with pytest.warns(UserWarning, match="2 of 4 parameters were left as they are"):
        saving.load_weights(wider, tmp_path / "w.safetensors", skip_mismatch=True)
    assert same(wider.get_weights(), [*model.get_weights()[:2], *before[2:]])
    np.testing.assert_array_equal(model.layers[0].kernel, wider.layers[0].kernel)
