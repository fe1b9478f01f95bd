"""Adam and AdamW: their steps, the largest mean, the default decay. Adamax and Nadam are in `test_optimizers.py`."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from lamina import layers, optimizers


def after_steps(optimizer, rng):
    """Take ten steps; return the kernel before and after, and the gradients."""
    layer = layers.Dense(3, use_bias=False, dtype="float64")
    layer.build((None, 2))
    before = layer.kernel.numpy()
    gradients = [rng.standard_normal((2, 3)) * 2.0**-i for i in range(10)]
    for gradient in gradients:
        optimizer.apply([gradient], [layer.kernel])
    return before, layer.kernel.numpy(), gradients


@pytest.mark.parametrize(
    "settings",
    [{}, {"beta_1": 0.5, "beta_2": 0.75, "epsilon": 0.25}, {"beta_1": 0.0}, {"amsgrad": True, "beta_2": 0.25}],
    ids=str,
)
@pytest.mark.parametrize("decay", [0.0, 0.25])
def test_adam_steps_match_oracle(settings, decay, rng):
    before, after, gradients = after_steps(optimizers.Adam(0.1, weight_decay=decay or None, **settings), rng)
    expected = oracles.adam(before, gradients, 0.1, weight_decay=decay, **settings)
    np.testing.assert_allclose(after, expected, rtol=1e-12, atol=1e-14)


def test_adamw_is_adam_with_decay(rng):
    before, after, gradients = after_steps(optimizers.AdamW(0.1), rng)
    np.testing.assert_allclose(after, oracles.adam(before, gradients, 0.1, weight_decay=0.004), rtol=1e-12, atol=1e-14)
    assert optimizers.AdamW(0.1, 0.5).weight_decay == 0.5
    adam = optimizers.Adam(weight_decay=0.004, name="own")
    assert optimizers.AdamW(name="own").get_config() == adam.get_config()
    with pytest.raises((TypeError, ValueError), match="AdamW: weight_decay must be"):
        optimizers.AdamW(weight_decay=None)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta_1": 1.0}, r"beta_1 must be in \[0, 1\)"),
        ({"beta_2": -0.1}, r"beta_2 must be in \[0, 1\)"),
        ({"epsilon": -1e-9}, "epsilon must be >= 0"),
    ],
)
@pytest.mark.parametrize("kind", [optimizers.Adam, optimizers.AdamW, optimizers.Adamax, optimizers.Nadam])
def test_arguments_out_of_range_are_refused(kind, settings, message):
    with pytest.raises(ValueError, match=f"{kind.__name__}: {message}"):
        kind(**settings)
