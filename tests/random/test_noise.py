"""Class numbers that are drawn, and dropout as a function."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, random


def test_classes_are_drawn_by_their_probabilities():
    p = np.array([[0.1, 0.2, 0.7], [0.0, 1.0, 0.0]])
    with np.errstate(divide="ignore"):
        found = random.categorical(np.log(p) + 100, 20_000, seed=2)
    assert found.shape == (2, 20_000)
    assert found.dtype == np.int32
    shares = np.stack([np.bincount(row, minlength=3) / found.shape[1] for row in found])
    np.testing.assert_allclose(shares, p, atol=0.02)
    np.testing.assert_array_equal(found, random.categorical(np.log(p + 1e-300) + 100, 20_000, seed=2))
    assert random.categorical(np.zeros((3, 2)), 0, dtype="int64").shape == (3, 0)
    for dtype in ("uint8", "float32", "float64"):
        assert random.categorical(np.zeros((3, 2)), 1, dtype).dtype == dtype
    generator = random.SeedGenerator(1)
    one, other = (random.categorical(np.zeros((1, 50)), 20, seed=generator) for _ in range(2))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0, 2.0], 3), r"logits must have shape \(n, classes\)"), (([[np.nan, 1.0]], 3), "logits must be finite"),
        (([[1.0]], -1), "num_samples must be >= 0"), (([[1.0]], 1, "bool"), "dtype must be one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=f"random.categorical: {message}"):
        random.categorical(*arguments)


def test_dropout_keeps_the_mean():
    x = np.ones((2000, 4), "f")
    found = random.dropout(x, 0.25, seed=1)
    assert found.dtype == np.float32
    assert set(np.unique(found)) == {0, np.float32(1 / 0.75)}
    assert found.mean() == pytest.approx(1, abs=0.03)
    columns = random.dropout(x, 0.5, noise_shape=(1, None), seed=1)
    assert (columns == columns[:1]).all()
    np.testing.assert_array_equal(random.dropout(x, 0.0), x)
    np.testing.assert_array_equal(random.dropout([1, 2], 0.0), [1.0, 2.0])
    np.testing.assert_array_equal(random.dropout(x, 1.0), 0 * x)
    with np.errstate(all="raise"):
        infinite = random.dropout(np.full(100, np.inf, "f"), 0.5, seed=1)
    assert set(np.unique(infinite)) == {0, np.inf}
    assert random.dropout([1, 2], 0.5).dtype == np.float32
    wrong: list[dict] = [{"rate": 1.1}, {"rate": -0.1}]
    for arguments in (*wrong, *({"rate": 0.5, "noise_shape": shape} for shape in ((3,), (2, 4)))):
        with pytest.raises(ValueError, match="random.dropout: "):
            random.dropout(x, **arguments)


def test_a_layer_may_drop_by_itself():
    pytest.importorskip("autograd")

    class Drops(layers.Layer):
        def __init__(self, rate, **kwargs):
            super().__init__(**kwargs)
            self.rate, self.seeds = rate, random.SeedGenerator(3)

        def call(self, x, training=False):
            return random.dropout(x, self.rate, seed=self.seeds) if training else x

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((64, 4)), rng.standard_normal((64, 1))
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(8, "relu"), Drops(0.5), layers.Dense(1)])
    model.compile(lamina.optimizers.Adam(0.01), "mse")
    history = model.fit(x, y, epochs=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))
