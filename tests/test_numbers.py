"""Digits at small and large magnitudes, far from 0, and where values are all the same: as good as the type allows.

What is expected is the documented formula in float64, or what the value must be.
"""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import constraints, kernels, layers, losses, metrics, optimizers


def fitted(model, x, y, **settings):
    model.compile(optimizers.SGD(0.0), "mse", **settings)
    return model.fit(x, y, epochs=1, verbose=0).history


# Normalization.


@pytest.mark.parametrize("value", [0.1, 1234.5, 1e4, 1e8])
def test_constant_columns_are_normalized_to_zero(value, dtype):
    x = np.column_stack([np.arange(100.0), np.full(100, value)]).astype(dtype)
    adapted = layers.Normalization(dtype=dtype.name)
    adapted.adapt(x)
    assert (adapted(x)[:, 1] == 0).all()
    mean = float(dtype.type(value))
    given = layers.Normalization(mean=[50.0, mean], variance=[100.0, 0.0], dtype=dtype.name)
    assert (given(x)[:, 1] == 0).all()
    batch = layers.BatchNormalization(dtype=dtype.name)
    assert np.abs(batch(x, training=True)[:, 1]).max() < 1e-3
    assert np.abs(layers.LayerNormalization(dtype=dtype.name)(np.full((2, 4096), value, dtype))).max() < 1e-3


def test_a_network_over_a_nearly_constant_column_trains():
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_normal(500), np.full(500, 1234.5)]).astype("f")
    normalization = layers.Normalization()
    normalization.adapt(x)
    model = lamina.Sequential([lamina.Input((2,)), normalization, layers.Dense(1)])
    model.compile(optimizers.SGD(0.05), "mse")
    assert model.fit(x, x[:, :1], epochs=20, verbose=0).history["loss"][-1] < 0.05


def test_small_deviations_are_divided_by_as_they_are(dtype):
    x = np.random.default_rng(0).standard_normal((1000, 1)) * 1e-7
    layer = layers.Normalization(dtype=dtype.name)
    layer.adapt(x)
    expected = (x - x.mean()) / max(x.std(), 1e-7)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("offset", [1.0, 1e2, 1e4, 1e6])
@pytest.mark.parametrize("kind", ["batch", "layer"])
def test_normalizations_far_from_zero(offset, kind):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((500, 40)) + offset).astype("f")
    wide, axis = x.astype(np.float64), 0 if kind == "batch" else 1
    expected = (wide - wide.mean(axis, keepdims=True)) / np.sqrt(wide.var(axis, keepdims=True) + 1e-3)
    layer = layers.BatchNormalization() if kind == "batch" else layers.LayerNormalization()
    # The mean in float32 may be off by half a unit in its last place.
    np.testing.assert_allclose(layer(x, training=True), expected, atol=2e-6 + 1e-7 * offset, rtol=1e-5)


@pytest.mark.parametrize(("offset", "limit"), [(0, 3e-6), (100, 2e-4), (1000, 2e-3), (1e4, 3e-2)])
def test_gradients_below_a_batch_normalization_keep_their_digits(offset, limit):
    rng = np.random.default_rng(0)
    x, start = (rng.standard_normal((64, 8)) + offset), rng.standard_normal((8, 5))
    found = {}
    for name in ("float32", "float64"):
        below = layers.Dense(5, use_bias=False, dtype=name)
        model = lamina.Sequential(
            [lamina.Input((8,)), below, layers.BatchNormalization(dtype=name), layers.Dense(1, dtype=name)]
        )
        below.kernel.assign(start)
        model.layers[2].kernel.assign(np.linspace(-1, 1, 5).reshape(5, 1))
        model.compile(optimizers.SGD(1.0), "mse")
        model.train_on_batch(x.astype("f").astype(name), np.sin(np.arange(64.0)).astype(name))
        found[name] = start - below.kernel.numpy()
    assert np.abs(found["float32"] - found["float64"]).max() / np.abs(found["float64"]).max() < limit


def test_means_of_many_rows():
    layer = layers.BatchNormalization(momentum=0.0)
    layer(np.full((100_000, 1), 0.1, "f"), training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), np.float32(0.1), rtol=1e-7)
    layer = layers.BatchNormalization(momentum=0.999999)
    layer(np.full((4, 1), 1e6, "f"), training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 1.0, rtol=1e-5)
    constant = np.full((1000, 1), 1e10 + 0.1)
    layer = layers.Normalization(dtype="float64")
    layer.adapt(constant)
    assert layer.mean[0, 0] == constant[0, 0]
    assert layer.variance[0, 0] == 0


# Optimizers, constraints, regularizers.


@pytest.mark.parametrize("name", ["RMSprop", "Adam", "Nadam", "Adadelta", "Adagrad", "Adamax"])
def test_one_gradient_whose_square_is_no_number_of_the_type_leaves_finite_parameters(name):
    variable = lamina.Variable(np.ones(3, "f"))
    optimizer = getattr(optimizers, name)(0.001)
    optimizer.build([variable])
    for gradient in (1.0, 1.0, 1e20, 1.0, 1.0, 1.0):
        optimizer.apply([np.array([gradient, 1.0, -1.0], "f")])
    assert np.isfinite(variable.numpy()).all()
    optimizer.apply([np.array([np.nan, 1.0, -1.0], "f")])
    assert np.isnan(variable.numpy()[0])


def test_centered_rmsprop_where_gradients_hardly_change():
    variable, rng = lamina.Variable(np.zeros(4, "f")), np.random.default_rng(0)
    optimizer = optimizers.RMSprop(centered=True)
    optimizer.build([variable])
    for _ in range(300):
        optimizer.apply([(10 + 1e-3 * rng.standard_normal(4)).astype("f")])
    assert np.isfinite(variable.numpy()).all()
    assert (variable.numpy() < 0).all()


def test_norm_constraints_of_long_and_of_huge_vectors(dtype):
    long = constraints.UnitNorm()(np.full((10**6, 1), 0.1, dtype))
    np.testing.assert_allclose(np.sqrt((long.astype(np.float64) ** 2).sum()), 1, rtol=1e-6)
    huge = 1e20 if dtype == np.float32 else 1e200
    for constraint, length in ((constraints.MaxNorm(2.0), 2), (constraints.UnitNorm(), 1)):
        found = constraint(np.array([[3 * huge], [4 * huge]], dtype))
        np.testing.assert_allclose(found, [[0.6 * length], [0.8 * length]], rtol=1e-6)
    np.testing.assert_allclose(
        constraints.MaxNorm(2.0, axis=1)(np.array([[3 * huge, 4 * huge]], dtype)), [[1.2, 1.6]], 1e-6
    )


def test_running_averages_near_one():
    """``1 - momentum`` is computed in float64: in float32 it would be 3 % off."""
    variable = lamina.Variable(np.zeros(5, "f"))
    optimizer = lamina.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.999999)
    optimizer.build([variable])
    for gradient in (np.zeros(5, "f"), np.full(5, -1, "f")):  # the average begins with the values after one step
        optimizer.apply([gradient])
    np.testing.assert_allclose(optimizer.slot("average", variable).numpy(), 1e-6, rtol=1e-6)


def test_activity_penalties_are_sums_in_float64():
    model = lamina.Sequential([lamina.Input((100_000,)), layers.ActivityRegularization(l1=0.0012)])
    model.compile("sgd", "mse")
    x = np.full((4, 100_000), 0.1, "f")
    assert model.evaluate(x, x, verbose=0) == pytest.approx(0.0012 * 100_000 * float(np.float32(0.1)), rel=1e-7)


# Losses and metrics.

SIGNS = np.array([[1.0], [-1.0]])


@pytest.mark.parametrize("z", [0.1, 5.0, 15.0, 18.0, 30.0, 80.0])
def test_binary_cross_entropy_of_confident_logits(z, dtype):
    expected = -1 / (1 + np.exp(np.float64(z)))
    value = np.log1p(np.exp(-np.float64(z)))
    loss = losses.BinaryCrossentropy(from_logits=True)
    for sign, target in ((1, 1.0), (-1, 0.0)):
        found = loss.evaluate(np.full((1, 1), target, dtype), np.array([[sign * z]], dtype), need_gradient=True)
        np.testing.assert_allclose(found.gradient, sign * expected, rtol=1e-5)
        np.testing.assert_allclose(found.values, value, rtol=1e-5)


@pytest.mark.parametrize("z", [1.0, 16.0, 20.0, 60.0])
def test_focal_losses_of_rows_that_are_quite_wrong(z, dtype):
    gamma = 2.0
    p = 1 / (1 + np.exp(np.float64(z)))  # of the right class
    rest = 1 / (1 + np.exp(-np.float64(z)))
    value = -(rest**gamma) * np.log(p)
    slope = gamma * rest ** (gamma - 1) * p * rest * np.log(p) - rest**gamma * rest
    binary = losses.BinaryFocalCrossentropy(from_logits=True, gamma=gamma)
    found = binary.evaluate(np.ones((1, 1), dtype), np.array([[-z]], dtype), need_gradient=True)
    np.testing.assert_allclose(found.values, value, rtol=1e-5)
    np.testing.assert_allclose(found.gradient, slope, rtol=1e-5)
    several = losses.CategoricalFocalCrossentropy(from_logits=True, gamma=gamma, alpha=1.0)
    found = several.evaluate(np.array([[1.0, 0.0]], dtype), np.array([[-z, 0.0]], dtype), need_gradient=True)
    np.testing.assert_allclose(found.values, value, rtol=1e-5)
    np.testing.assert_allclose(found.gradient, [[slope, -slope]], rtol=1e-4)


def test_focal_losses_take_infinite_logits(dtype):
    inf = np.inf
    binary = losses.BinaryFocalCrossentropy(from_logits=True)
    found = binary.evaluate(np.array([[1.0], [0.0]], dtype), np.array([[inf], [-inf]], dtype), need_gradient=True)
    assert (found.values == 0).all()
    assert (found.gradient == 0).all()
    assert np.isnan(binary.evaluate(np.ones((1, 1), dtype), np.array([[np.nan]], dtype)).values).all()


@pytest.mark.parametrize("e", [1e-6, 1e-4, 1e-2, 0.4, 0.6, 3.0, 80.0])
def test_log_cosh_of_small_errors(e, dtype):
    expected = np.log1p(2 * np.sinh(np.float64(dtype.type(e)) / 2) ** 2)
    found = kernels.log_cosh(np.array([[e]], dtype), np.zeros((1, 1), dtype))[0]
    np.testing.assert_allclose(found, [expected], rtol=4e-7)


@pytest.mark.parametrize(("p", "t"), [(1e-5, 2e-5), (1e-6, 5e-6), (1e4, 1e4 + 1), (1e4, 1.0), (0.5, 3.0), (2.0, 2.0)])
def test_logarithmic_errors_of_close_values(p, t, dtype):
    a, b = (np.maximum(np.float64(dtype.type(v)), 1e-7) for v in (p, t))
    difference = np.log1p((a - b) / (1 + b))
    value, gradient = kernels.msle(np.array([[p]], dtype), np.array([[t]], dtype))
    np.testing.assert_allclose(value, [difference**2], rtol=1e-5)
    np.testing.assert_allclose(gradient, [[2 * difference / (1 + a)]], rtol=1e-5)


def test_gradient_of_the_poisson_loss_near_its_minimum():
    p, t = np.array([[1.0000001]], "f"), np.array([[1.0]], "f")
    _, gradient = kernels.poisson(p, t)
    wide = p.astype(np.float64)
    np.testing.assert_allclose(gradient, (wide - 1 + 1e-7) / (wide + 1e-7), rtol=1e-5)


@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e20])
def test_cosines_of_tiny_and_huge_rows(scale):
    row = np.array([[1.0, 2.0]])
    for a, b in ((scale, 1.0), (1.0, scale), (scale, scale)):
        found, gradient = kernels.cosine_similarity((row * a).astype("f"), (row * b).astype("f"))
        expected = 1.0 if scale >= 1 else 0.0  # lengths below 1e-7 count as 1e-7
        np.testing.assert_allclose(np.abs(found), expected, rtol=1e-6, atol=1e-6)
        assert np.isfinite(gradient).all()


def test_huber_of_huge_errors():
    found = losses.Huber(delta=1e20)(np.zeros((1, 1)), np.full((1, 1), 3e20, "f"))
    assert found == np.inf  # 2.5e40 is no float32


@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("size", [1, 7, 200])
def test_r2_far_from_zero_and_in_any_batches(offset, size):
    rng = np.random.default_rng(2)
    y = rng.standard_normal((200, 3)) + offset
    p = y + 0.1 * rng.standard_normal((200, 3))
    weight = rng.uniform(0, 2, 200)
    metric = metrics.R2Score()
    for first in range(0, 200, size):
        part = slice(first, first + size)
        metric.update_state(y[part], p[part], weight[part])
    mean = np.average(y, axis=0, weights=weight)
    spread = (weight[:, np.newaxis] * (y - mean) ** 2).sum(0)
    expected = (1 - (weight[:, np.newaxis] * (y - p) ** 2).sum(0) / spread).mean()
    assert metric.result() == pytest.approx(expected, rel=1e-7)


def test_r2_of_targets_that_are_all_the_same():
    y = np.full((3, 1), 0.1)
    for dtype in ("f4", "f8"):
        assert metrics.R2Score()(y.astype(dtype), y.astype(dtype)) == 1
        assert metrics.R2Score()(y.astype(dtype), (y + 0.1).astype(dtype)) == 0
        whole = metrics.R2Score()
        for row in range(3):
            whole.update_state(y[row : row + 1].astype(dtype), y[row : row + 1].astype(dtype))
        assert whole.result() == 1


def test_sums_of_a_loss_of_ones_own_are_float64():
    class Far(lamina.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred)[:, 0]

    assert Far()([[1], [2]], [[3], [4]], sample_weight=[0.5, 0.5]) == 1.0
    assert Far()(np.zeros((3000, 1), "f2"), np.full((3000, 1), 100, "f2")) == 100.0
    assert Far()(np.array([[0]], "u1"), np.array([[255]], "u1")) == 255.0
    assert Far()(np.array([1.0, 2.0, 3.0]), np.array([[1.0], [2.0], [3.0]])) == 0.0


# Whole numbers.


def test_whole_numbers_are_not_rounded():
    assert metrics.Accuracy()(np.array([[16777217]]), np.array([[16777216]])) == 0
    ids = metrics.SparseTopKCategoricalAccuracy(2, from_sorted_ids=True)
    assert ids([16777217], [[16777217, 5]]) == 1
    far = 2**31 - 1
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=far)
    z, y = np.array([[1.0, 2, 3], [3, 1, 0]], "f"), np.array([far, 0])
    expected = np.log(np.exp(z[1].astype(np.float64)).sum()) - 3
    assert loss(y, z) == pytest.approx(expected, rel=1e-6)
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(3, kernel_initializer="identity")])
    model.compile("sgd", loss)
    assert model.evaluate(z, y, verbose=0) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("k", [3, 4, 2**53, 2**63 - 1])
def test_any_number_of_places_counts(k):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(3, "softmax")])
    for name in ("TopKCategoricalAccuracy", "SparseTopKCategoricalAccuracy"):
        y = np.eye(3) if not name.startswith("Sparse") else np.arange(3)
        loss = "sparse_categorical_crossentropy" if y.ndim == 1 else "categorical_crossentropy"
        model.compile("sgd", loss, metrics=[getattr(metrics, name)(k=k)])
        assert model.evaluate(np.eye(3), y, verbose=0)[1] == 1
        assert getattr(metrics, name)(k=k)(y, np.eye(3)) == 1


def test_numbers_beyond_a_type_raise():
    with pytest.raises(ValueError, match=r"numbers must be in \[-2147483648, 2147483647\] for dtype int32"):
        lamina.utils.pad_sequences([[2**40 + 5, 1]])
    with pytest.raises(ValueError, match="numbers must be in .0, 255. for dtype uint8"):
        lamina.utils.pad_sequences([[300]], dtype="uint8")
    with pytest.raises(ValueError, match="randint: minval and maxval must be within int32"):
        lamina.random.randint((3,), 0, 2**33)
    with pytest.raises(ValueError, match=r"within 2\*\*53"):
        lamina.random.randint((3,), 2**60, 2**60 + 3, dtype="int64")
    assert (lamina.random.randint((1000,), -(2**31), 2**31, seed=1) < 0).any()
    with pytest.raises(ValueError, match="range of a uniform distribution"):
        lamina.random.fill("uniform", 1, -1.7e308, 1.7e308, (3,), "float64")


# Activations and helpers.


@pytest.mark.parametrize("x", [-1e20, -1e5, -3.0, 0.0, 2.0, 1e5, 1e20])
def test_squareplus_of_large_numbers(x, dtype):
    wide = np.float64(x)
    found = kernels.activation_forward("squareplus", np.array([x], dtype))
    root = np.hypot(wide, 2.0)
    np.testing.assert_allclose(found, (wide + root) / 2 if x > 0 else 2 / (root - wide), rtol=1e-6)
    slope = kernels.activation_backward("squareplus", np.array([x], dtype), np.ones(1, dtype))
    np.testing.assert_allclose(
        slope, (1 + wide / root) / 2 if x > 0 else 2 / root / (root - wide), rtol=1e-6, atol=1e-38
    )


@pytest.mark.parametrize("x", [1e-12, 1e-3, 0.1, 0.2499, 0.25, 1.0, 20.0])
def test_tanh_shrink_of_small_numbers(x, dtype):
    wide = np.float64(dtype.type(x))
    # x - tanh(x) = (x cosh(x) - sinh(x)) / cosh(x), by the series of the numerator
    terms = [wide ** (2 * k + 1) * 2 * k / np.prod(np.arange(1.0, 2 * k + 2)) for k in range(1, 60)]
    expected = sum(terms) / np.cosh(wide)
    for sign in (1, -1):
        found = kernels.activation_forward("tanh_shrink", np.array([sign * x], dtype))
        np.testing.assert_allclose(found, sign * expected, rtol=24 * np.finfo(dtype).eps * (40 if x >= 0.25 else 1))


def test_rows_of_any_size_are_normalized():
    np.testing.assert_allclose(lamina.utils.normalize(np.array([[300.0, 400.0]], "f2")), [[0.6, 0.8]], rtol=1e-3)
    np.testing.assert_allclose(lamina.utils.normalize(np.array([[3e20, 4e20]], "f4")), [[0.6, 0.8]], rtol=1e-6)


SCALES = [1e-8, 1e-4, 1.0, 1e4, 1e8]
REGRESSION = {
    "mse": lambda y, p: ((p - y) ** 2).mean(1),
    "mae": lambda y, p: np.abs(p - y).mean(1),
    "mape": lambda y, p: 100 * (np.abs(p - y) / np.maximum(np.abs(y), 1e-7)).mean(1),
    "msle": lambda y, p: (np.log1p(np.maximum(p, 1e-7)) - np.log1p(np.maximum(y, 1e-7))).__pow__(2).mean(1),
    "huber": lambda y, p: np.where(np.abs(p - y) <= 1, (p - y) ** 2 / 2, np.abs(p - y) - 0.5).mean(1),
    "log_cosh": lambda y, p: (np.abs(p - y) + np.log1p(np.exp(-2 * np.abs(p - y))) - np.log(2)).mean(1),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("name", REGRESSION)
def test_losses_in_the_engine_at_any_scale_are_their_formulas(name, scale, offset):
    rng = np.random.default_rng(4)
    y = (offset + scale * rng.uniform(0.5, 2, (70, 3))).astype("f")
    p = (offset + scale * rng.uniform(0.5, 2, (70, 3))).astype("f")
    model = lamina.Sequential([lamina.Input((3,)), layers.Identity()])
    model.compile("sgd", name, metrics=[] if name == "huber" else [name])
    found = model.evaluate(p, y, batch_size=11, verbose=0)
    expected = REGRESSION[name](y.astype(np.float64), p.astype(np.float64)).mean()
    # log(cosh) of float64 itself loses the digits of small errors.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-16 if name == "log_cosh" else 0)
    direct = lamina.losses.loss_of(name)
    np.testing.assert_allclose(direct(y, p), expected, rtol=1e-5, atol=1e-16 if name == "log_cosh" else 0)
