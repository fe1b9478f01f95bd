from __future__ import annotations

import numpy as np
import oracles
import pytest
import tolerances

from lamina import kernels

# n, in, out: empty, single, lane ± 1, tile ± 1, panel ± 1, segment ± 1, and shapes of real networks.
SHAPES = [
    (0, 3, 4), (3, 0, 4), (3, 4, 0), (1, 1, 1), (2, 3, 5), (5, 7, 3), (1, 15, 16), (1, 16, 17), (1, 17, 31),
    (6, 8, 32), (7, 9, 33), (11, 63, 10), (12, 64, 10), (13, 65, 11), (24, 31, 47), (25, 33, 49), (3, 128, 130),
    (120, 30, 65), (121, 31, 64), (133, 20, 97), (2, 383, 7), (2, 384, 65), (14, 385, 33), (1, 784, 128),
    (1, 784, 10), (4, 784, 10), (32, 784, 128), (9, 513, 300), (300, 257, 40), (64, 100, 600), (40, 29, 40),
    (129, 60, 33), (257, 151, 65), (600, 130, 70),
]  # fmt: skip


def make(rng, dtype, n, inputs, out):
    def draw(*shape):
        return rng.standard_normal(shape).astype(dtype)

    return draw(n, inputs), draw(inputs, out), draw(out), draw(n, out)


def within(actual, expected, bound):
    assert actual.shape == expected.shape
    worst = np.max(np.abs(actual - expected) / bound, initial=0.0)
    assert worst <= 1, f"error is {worst:.3g} times the bound"


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_forward_matches_oracle(shape, dtype, isa, rng):
    x, w, b, _ = make(rng, dtype, *shape)
    out = np.full((shape[0], shape[2]), np.nan, dtype)
    y = kernels.dense_forward(x, w, b, out=out)
    assert y is out
    within(y, oracles.dense_forward(x, w, b), tolerances.product_bound(x, w, b))
    within(kernels.dense_forward(x, w), oracles.dense_forward(x, w), tolerances.product_bound(x, w))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_backward_matches_oracle(shape, dtype, isa, rng):
    x, w, _, dy = make(rng, dtype, *shape)
    given = {
        "dx": np.full_like(x, np.nan),
        "dw": np.full_like(w, np.nan),
        "db": np.full(shape[2], np.nan, dtype),
    }
    dx, dw, db = kernels.dense_backward(x, w, dy, **given)
    assert (dx is given["dx"], dw is given["dw"], db is given["db"]) == (True, True, True)
    expected_dx, expected_dw, expected_db = oracles.dense_backward(x, w, dy)
    within(dx, expected_dx, tolerances.product_bound(dy, np.ascontiguousarray(w.T)))
    within(dw, expected_dw, tolerances.product_bound(np.ascontiguousarray(x.T), dy))
    within(db, expected_db, tolerances.column_sum_bound(dy))


def test_dense_backward_without_dx(dtype, rng):
    x, w, _, dy = make(rng, dtype, 5, 6, 7)
    dx, dw, db = kernels.dense_backward(x, w, dy, need_dx=False)
    _, full_dw, full_db = kernels.dense_backward(x, w, dy)
    assert dx is None
    np.testing.assert_array_equal(dw, full_dw)
    np.testing.assert_array_equal(db, full_db)


@pytest.mark.parametrize("name", oracles.ACTIVATIONS)
def test_dense_activation_both_directions(name, dtype, isa, rng):
    x, w, b, dy = make(rng, dtype, 9, 20, 37)
    w *= 0.3
    pre = np.empty((9, 37), dtype)
    y = kernels.dense_forward(x, w, b, activation=name, pre=pre)
    np.testing.assert_array_equal(pre, kernels.dense_forward(x, w, b))
    np.testing.assert_array_equal(y, kernels.activation_forward(name, pre))
    np.testing.assert_array_equal(y, kernels.dense_forward(x, w, b, activation=name))

    dx, dw, db = kernels.dense_backward(x, w, dy, y=y, pre=pre, activation=name)
    dz = kernels.activation_backward(name, pre if name in oracles.FROM_INPUT else y, dy)
    for ours, expected in zip((dx, dw, db), kernels.dense_backward(x, w, dz), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("name", [n for n in oracles.ACTIVATIONS if n not in ("relu", "leaky_relu", "relu6")])
def test_dense_backward_matches_finite_differences(name, isa, rng):
    x, w, b, dy = make(rng, np.dtype("float64"), 3, 4, 5)
    pre = np.empty((3, 5))
    y = kernels.dense_forward(x, w, b, activation=name, pre=pre)
    dx, dw, db = kernels.dense_backward(x, w, dy, y=y, pre=pre, activation=name)
    for ours, moved in (
        (dx, lambda v: oracles.dense_forward(v, w, b, name)),
        (dw, lambda v: oracles.dense_forward(x, v, b, name)),
        (db, lambda v: oracles.dense_forward(x, w, v, name)),
    ):
        start = {id(dx): x, id(dw): w, id(db): b}[id(ours)]
        np.testing.assert_allclose(
            ours, oracles.numeric_vjp(moved, start, dy), tolerances.FINITE_DIFFERENCE, tolerances.FINITE_DIFFERENCE
        )


def test_dense_row_has_same_bits_in_any_batch(dtype, isa, rng):
    for inputs, out in ((784, 10), (784, 128), (100, 1), (1000, 33), (385, 70), (3, 5), (63, 2), (2000, 3)):
        x = rng.standard_normal((150, inputs)).astype(dtype)
        w, b = rng.standard_normal((inputs, out)).astype(dtype), rng.standard_normal(out).astype(dtype)
        whole = kernels.dense_forward(x, w, b)
        for n in (1, 2, 5, 6, 12, 13, 33, 149):
            np.testing.assert_array_equal(kernels.dense_forward(x[:n], w, b), whole[:n])
        single = np.concatenate([kernels.dense_forward(x[i : i + 1], w, b) for i in range(20)])
        np.testing.assert_array_equal(single, whole[:20])


def test_dense_nan_and_infinity_go_through(dtype, isa):
    x, w = np.ones((2, 40), dtype), np.ones((40, 40), dtype)
    x[1, 3] = np.nan
    y = kernels.dense_forward(x, w)
    assert np.isfinite(y[0]).all()
    assert np.isnan(y[1]).all()
    x[1, 3] = np.inf
    assert np.isposinf(kernels.dense_forward(x, w)[1]).all()
    x[1, 3], w[3, 5] = 0, np.nan
    y = kernels.dense_forward(x, w)
    assert np.isnan(y[:, 5]).all()
    assert np.isfinite(np.delete(y, 5, axis=1)).all()
    dx, dw, _ = kernels.dense_backward(x, w, np.ones((2, 40), dtype))
    assert np.isnan(dx[:, 3]).all()
    assert np.isfinite(dw).all()
