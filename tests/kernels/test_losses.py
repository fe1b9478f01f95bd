from __future__ import annotations

import numpy as np
import oracles
import pytest
import tolerances

from lamina import _core, kernels

SHAPES = [
    (0, 3), (1, 1), (5, 1), (67, 1), (300, 1), (3, 2), (37, 4), (33, 8), (4, 15), (4, 16), (4, 17), (9, 33), (2, 100),
    (3, 1000),
]  # fmt: skip
PROBABILITIES = (
    "categorical_cross_entropy", "binary_cross_entropy", "categorical_focal_cross_entropy",
    "binary_focal_cross_entropy", "kl_divergence", "poisson", "poisson_deviance", "msle",
)  # fmt: skip
SMOOTHED = (
    "softmax_cross_entropy", "categorical_cross_entropy", "sigmoid_cross_entropy", "binary_cross_entropy",
    "categorical_focal_cross_entropy", "binary_focal_cross_entropy",
)  # fmt: skip
SHARES = ("softmax_cross_entropy", "categorical_cross_entropy", "categorical_focal_cross_entropy", "kl_divergence")
SIGNS = ("hinge", "squared_hinge")
CATEGORICAL = ("softmax_cross_entropy", "categorical_cross_entropy")


def make(name, rng, dtype, n, c):
    if name in PROBABILITIES:
        p = rng.uniform(0.05, 0.95, (n, c)).astype(dtype)
    else:
        p = (rng.standard_normal((n, c)) * 3).astype(dtype)
    if name in SHARES:
        t = rng.dirichlet(np.ones(c), n).reshape(n, c).astype(dtype)
    elif name in SMOOTHED:
        t = rng.uniform(0, 1, (n, c)).astype(dtype)
    elif name in SIGNS:
        t = rng.choice([-1, 1], (n, c)).astype(dtype)
    elif name == "categorical_hinge":
        t = np.eye(c)[rng.integers(0, c, n)].astype(dtype)
    elif name in ("poisson", "poisson_deviance", "log_poisson_deviance", "msle"):
        t = rng.uniform(0.1, 3, (n, c)).astype(dtype)
        p = p / 3 if name == "log_poisson_deviance" else p
    elif name == "mape":
        t = (rng.choice([-1, 1], (n, c)) * rng.uniform(0.5, 2, (n, c))).astype(dtype)
    else:
        t = rng.standard_normal((n, c)).astype(dtype)
    return p, t


def evaluate(name, p, t, smoothing=None, **arguments):
    if smoothing is not None:
        arguments["label_smoothing"] = smoothing
    return getattr(kernels, name)(p, t, **arguments)


def bound(name, p, dtype):
    return tolerances.LOSS_EPS * tolerances.EPS[dtype] * (4 + np.abs(p).max(initial=0) ** 2) * (4 + p.shape[1] ** 0.5)


def test_loss_table_is_complete():
    assert set(_core.loss_table()) == set(oracles.LOSSES)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", oracles.LOSSES)
def test_loss_value_matches_oracle(name, shape, dtype, isa, rng):
    p, t = make(name, rng, dtype, *shape)
    loss, grad = np.full(shape[0], np.nan, dtype), np.full(shape, np.nan, dtype)
    returned = evaluate(name, p, t, loss=loss, grad=grad)
    assert returned[0] is loss
    assert returned[1] is grad
    expected = oracles.LOSSES[name](p.astype(np.float64), t.astype(np.float64))
    np.testing.assert_allclose(loss, expected, rtol=1e-6 if dtype == np.float32 else 1e-13, atol=bound(name, p, dtype))
    assert np.isfinite(grad).all()
    without, none = evaluate(name, p, t, need_grad=False)
    assert none is None
    np.testing.assert_array_equal(without, loss)


@pytest.mark.parametrize("shape", [(300, 1), (37, 4), (9, 33)], ids=str)
@pytest.mark.parametrize("name", oracles.LOSSES)
def test_a_row_does_not_depend_on_the_others(name, shape, dtype, isa, rng):
    p, t = make(name, rng, dtype, *shape)
    weight = rng.uniform(0.5, 2, shape[0]).astype(dtype)
    loss, grad = evaluate(name, p, t, sample_weight=weight)
    for rows in (slice(0, 1), slice(3, 8), slice(1, None), slice(-3, None)):
        part, part_grad = evaluate(name, p[rows], t[rows], sample_weight=weight[rows])
        np.testing.assert_array_equal(part, loss[rows])
        np.testing.assert_array_equal(part_grad, grad[rows])


@pytest.mark.parametrize("shape", [(4, 1), (20, 3), (3, 5), (2, 33)], ids=str)
@pytest.mark.parametrize(
    ("name", "smoothing"), [(n, None) for n in oracles.LOSSES] + [(n, s) for n in SMOOTHED for s in (0.1, 1.0)]
)
def test_loss_gradient_matches_finite_differences(name, shape, smoothing, isa, rng):
    p, t = make(name, rng, np.dtype("float64"), *shape)
    weight = rng.uniform(0.5, 2, shape[0])
    loss, grad = evaluate(name, p, t, smoothing, sample_weight=weight)
    np.testing.assert_allclose(loss, weight * oracles.LOSSES[name](p, t, smoothing or 0.0), rtol=1e-12, atol=1e-13)

    def total(v):
        return evaluate(name, v, t, smoothing, sample_weight=weight, need_grad=False)[0]

    expected = oracles.numeric_vjp(total, p, np.ones(shape[0]))
    np.testing.assert_allclose(grad, expected, rtol=1e-7, atol=tolerances.FINITE_DIFFERENCE)


@pytest.mark.parametrize("name", oracles.LOSSES)
def test_loss_gradient_float32_is_close_to_float64(name, isa, rng):
    p, t = make(name, rng, np.dtype("float32"), 20, 12)
    _, grad = evaluate(name, p, t)
    _, expected = evaluate(name, p.astype(np.float64), t.astype(np.float64))
    limit = 30 * tolerances.EPS[np.dtype("float32")] * (1 + np.abs(expected).max())
    np.testing.assert_allclose(grad, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("name", oracles.LOSSES)
def test_loss_gradient_may_overwrite_predictions(name, dtype, isa, rng):
    p, t = make(name, rng, dtype, 6, 19)
    loss, grad = evaluate(name, p, t)
    again, overwritten = evaluate(name, p, t, grad=p)
    assert overwritten is p
    np.testing.assert_array_equal(again, loss)
    np.testing.assert_array_equal(overwritten, grad)


@pytest.mark.parametrize("label_dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_integer_labels_are_one_hot_rows(name, label_dtype, dtype, isa, rng):
    p, _ = make(name, rng, dtype, 7, 21)
    labels = rng.integers(0, 21, 7).astype(label_dtype)
    for smoothing in (0.0, 0.2):
        loss, grad = evaluate(name, p, labels, smoothing)
        expected, expected_grad = evaluate(name, p, oracles.one_hot(labels, 21).astype(dtype), smoothing)
        eps = tolerances.EPS[dtype]
        np.testing.assert_allclose(loss, expected, rtol=20 * eps, atol=20 * eps)
        np.testing.assert_allclose(grad, expected_grad, rtol=0, atol=20 * eps)


def test_softmax_cross_entropy_worked_example():
    loss, _ = kernels.softmax_cross_entropy(np.array([[2.0, -1, 5, 0]]), np.array([1]))
    assert loss[0] == pytest.approx(6.0573286242556375, abs=1e-14)


def test_softmax_cross_entropy_is_stable(dtype, isa):
    z = np.array([[1e4, 0, -1e4], [1e4, 0, -1e4], [0, -np.inf, 0]], dtype)
    loss, grad = kernels.softmax_cross_entropy(z, np.array([0, 2, 0]))
    np.testing.assert_allclose(loss, [0, 2e4, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(grad, [[0, 0, 0], [1, 0, -1], [-0.5, 0, 0.5]], atol=1e-6)
    one_hot = np.array([[1, 0, 0], [0, 0, 1], [0.5, 0, 0.5]], dtype)
    loss, grad = kernels.softmax_cross_entropy(z, one_hot)
    np.testing.assert_allclose(loss, [0, 2e4, np.log(2)], rtol=1e-6)
    assert np.isfinite(grad).all()


def test_sigmoid_cross_entropy_is_stable(dtype, isa):
    z = np.array([[1e4], [1e4], [-1e4], [-1e4], [0]], dtype)
    loss, grad = kernels.sigmoid_cross_entropy(z, np.array([[1], [0], [1], [0], [1]], dtype))
    np.testing.assert_allclose(loss, [0, 1e4, 1e4, 0, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(grad[:, 0], [0, 1, -1, 0, -0.5])


def test_sigmoid_cross_entropy_at_infinite_logits(dtype, isa):
    z = np.array([[np.inf], [-np.inf], [np.inf], [-np.inf], [np.nan]], dtype)
    loss, grad = kernels.sigmoid_cross_entropy(z, np.array([[1], [0], [0], [1], [1]], dtype))
    np.testing.assert_array_equal(loss, [0, 0, np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(grad[:, 0], [0, 0, 1, -1, np.nan])


def test_log_of_zero_probability_is_bounded(dtype, isa):
    loss, grad = kernels.binary_cross_entropy(np.array([[0.0], [1.0]], dtype), np.array([[1.0], [0.0]], dtype))
    np.testing.assert_allclose(loss, -np.log(1e-7), rtol=0.02)  # 1 - 1e-7 has few digits in float32
    np.testing.assert_array_equal(grad, 0)
    loss, grad = kernels.categorical_cross_entropy(np.array([[0.0, 1.0]], dtype), np.array([0]))
    np.testing.assert_allclose(loss, -np.log(1e-7), rtol=1e-6)
    assert np.isfinite(grad).all()


def test_l2_norm_neither_overflows_nor_vanishes(dtype, isa):
    big, small = (1e30, 1e-30) if dtype == np.float32 else (1e300, 1e-300)
    p = np.array([[3 * big, 4 * big], [3 * small, 4 * small], [0, 0]], dtype)
    loss, grad = kernels.l2_norm(p, np.zeros_like(p))
    np.testing.assert_allclose(loss, np.array([5 * big, 5 * small, 0], dtype), rtol=1e-6)
    np.testing.assert_allclose(grad, [[0.6, 0.8], [0.6, 0.8], [0, 0]], rtol=1e-6)


@pytest.mark.parametrize("name", oracles.LOSSES)
def test_loss_nan_goes_through(name, dtype, isa, rng):
    for column in (0, 18):
        p, t = make(name, rng, dtype, 3, 19)
        p[1, column] = np.nan
        loss, grad = evaluate(name, p, t)
        np.testing.assert_array_equal(np.isnan(loss), [False, True, False])
        assert np.isnan(grad[1, column])
        assert np.isfinite(grad[[0, 2]]).all()
    p, t = make(name, rng, dtype, 33, 1)
    p[20] = np.nan
    loss, grad = evaluate(name, p, t)
    assert np.flatnonzero(np.isnan(loss)).tolist() == [20]
    assert np.flatnonzero(np.isnan(grad)).tolist() == [20]


@pytest.mark.parametrize("labels", [[0, 3, 0], [0, -1, 0]])
@pytest.mark.parametrize("name", CATEGORICAL)
def test_label_out_of_range_raises_and_writes_nothing(name, labels, dtype):
    p = np.full((3, 3), 0.5, dtype)
    grad = np.full((3, 3), 7, dtype)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 3\).*got (3|-1) at row 1"):
        evaluate(name, p, np.array(labels), grad=grad)
    assert (grad == 7).all()
    with pytest.raises(ValueError, match="labels must be in"):
        evaluate(name, p, np.array([0, 0, 2**64 - 1], np.uint64))


def test_loss_rows_have_same_bits_in_any_batch(dtype, isa, rng):
    for name in oracles.LOSSES:
        for c in (1, 10, 300):
            p, t = make(name, rng, dtype, 40, c)
            loss, grad = evaluate(name, p, t)
            for i in (0, 17, 39):
                one_loss, one_grad = evaluate(name, p[i : i + 1], t[i : i + 1])
                assert one_loss[0] == loss[i]
                np.testing.assert_array_equal(one_grad[0], grad[i])


def test_deviance_of_counts_of_zero_and_of_small_predictions(dtype, isa):
    t, z = np.array([[0.0], [0.0], [4.0], [4.0]], dtype), np.array([[-3e3], [1.0], [-3e3], [5.0]], dtype)
    loss, grad = kernels.log_poisson_deviance(z, t)
    np.testing.assert_allclose(
        loss, [0, np.e, 4 * (np.log(4) + 3e3) - 4, np.exp(5) - 4 + 4 * (np.log(4) - 5)], rtol=1e-6
    )
    np.testing.assert_allclose(grad[:, 0], [0, np.e, -4, np.exp(5) - 4], rtol=1e-6)
    loss, grad = kernels.poisson_deviance(np.array([[4.0], [0.5], [4.0]], dtype), np.array([[4], [0], [-1]], dtype))
    np.testing.assert_allclose(loss, [0, 0.5, np.nan])
    np.testing.assert_allclose(grad[:, 0], [0, 1, 1.25])


@pytest.mark.parametrize("columns", [1, 3, 17, 40])
def test_each_column_may_have_a_quantile_of_its_own(columns, dtype, isa, rng):
    p, t = make("quantile", rng, dtype, 29, columns)
    q, weight = rng.uniform(0, 1, columns), rng.uniform(0.5, 2, 29).astype(dtype)
    loss, grad = kernels.quantile(p, t, weight, q=q.tolist())
    e = t.astype(float) - p
    rows = np.maximum(q * e, (q - 1) * e).mean(axis=1) * weight
    np.testing.assert_allclose(loss, rows, rtol=1e-5 if dtype == np.float32 else 1e-12)
    slopes = np.where(e > 0, -q, 1 - q) / columns * weight[:, None]
    np.testing.assert_allclose(grad, slopes, rtol=1e-5 if dtype == np.float32 else 1e-12)
    same, _ = kernels.quantile(p, t, q=[0.3] * columns)
    np.testing.assert_array_equal(same, kernels.quantile(p, t, q=0.3)[0])
    with pytest.raises(ValueError, match=f"one quantile, or one for each of {columns} columns"):
        kernels.quantile(p, t, q=[0.1] * (columns + 1))
