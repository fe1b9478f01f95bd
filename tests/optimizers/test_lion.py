"""Lion: steps of one size. Its formula with its own betas; `test_optimizers.py` has it with the defaults."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import layers, optimizers


def test_lion_steps_by_the_sign_of_what_the_momentum_will_be(rng):
    layer = layers.Dense(3, use_bias=False, dtype="float64")
    layer.build((None, 2))
    optimizer = optimizers.Lion(0.5, beta_1=0.25, beta_2=0.75)
    expected, m = layer.kernel.numpy(), 0.0
    for _ in range(5):
        g = rng.standard_normal((2, 3))
        optimizer.apply([g], [layer.kernel])
        expected, m = expected - 0.5 * np.sign(0.25 * m + 0.75 * g), 0.75 * m + 0.25 * g
    np.testing.assert_allclose(layer.kernel.numpy(), expected, rtol=1e-13)
    np.testing.assert_allclose(optimizer.slot("momentum", layer.kernel).numpy(), m, rtol=1e-13)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"beta_1": 0.0}, r"beta_1 must be in \(0, 1\]"), ({"beta_2": 1.0}, r"beta_2 must be in \[0, 1\)")],
)
def test_lion_refuses(settings, message):
    with pytest.raises(ValueError, match=f"Lion: {message}"):
        optimizers.Lion(**settings)
