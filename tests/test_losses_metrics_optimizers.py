"""The public classes above the kernels."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import layers, losses, metrics, optimizers, utils

NAMES = {
    losses.MeanSquaredError: ("mse", ["mse", "MSE", "mean_squared_error"]),
    losses.MeanAbsoluteError: ("mae", ["mae", "MAE", "mean_absolute_error"]),
    losses.L2Norm: ("l2_norm", ["l2_norm"]),
    losses.BinaryCrossentropy: ("binary_cross_entropy", ["bce", "BCE", "binary_crossentropy"]),
    losses.CategoricalCrossentropy: ("categorical_cross_entropy", ["categorical_crossentropy"]),
}


def probabilities(rng, n=6, c=4):
    return rng.dirichlet(np.ones(c), n), rng.dirichlet(np.ones(c), n)


@pytest.mark.parametrize("kind", NAMES)
def test_loss_reductions_and_names(kind, rng):
    oracle, names = NAMES[kind]
    t, p = probabilities(rng)
    w = rng.uniform(0.5, 2, 6)
    rows = oracles.LOSSES[oracle](p, t)
    assert kind()(t, p) == pytest.approx(rows.mean(), rel=1e-12)
    assert kind()(t, p, sample_weight=w) == pytest.approx((w * rows).sum() / 6, rel=1e-12)
    assert kind(reduction="sum")(t, p) == pytest.approx(rows.sum(), rel=1e-12)
    for none in ("none", None):
        np.testing.assert_allclose(kind(reduction=none)(t, p, w), w * rows, rtol=1e-12)
    for name in (*names, kind.__name__):
        assert type(losses.get(name)) is kind
    again = losses.get(losses.serialize(kind()))
    assert type(again) is kind
    assert isinstance(kind()(t.tolist(), p.tolist()), float)


def test_cross_entropy_from_logits_equals_from_probabilities(rng):
    z = rng.standard_normal((5, 3))
    t, _ = probabilities(rng, 5, 3)
    labels = rng.integers(0, 3, 5)
    p = oracles.softmax(z)
    assert losses.CategoricalCrossentropy(from_logits=True)(t, z) == pytest.approx(
        losses.CategoricalCrossentropy()(t, p), rel=1e-10
    )
    assert losses.SparseCategoricalCrossentropy(from_logits=True)(labels, z) == pytest.approx(
        losses.SparseCategoricalCrossentropy()(labels, p), rel=1e-10
    )
    assert losses.BinaryCrossentropy(from_logits=True)(t, z) == pytest.approx(
        losses.BinaryCrossentropy()(t, oracles.sigmoid(z)), rel=1e-10
    )
    smoothed = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(t, z)
    assert smoothed == pytest.approx(oracles.softmax_cross_entropy(z, t, 0.2).mean(), rel=1e-12)


@pytest.mark.parametrize("labels", [[1, 0], [[1], [0]], [1.0, 0.0], np.array([1, 0], np.uint8), [True, False]])
def test_sparse_labels_in_many_forms(labels):
    p = [[0.2, 0.8], [0.5, 0.5]]
    assert losses.SparseCategoricalCrossentropy()(labels, p) == pytest.approx(-(np.log(0.8) + np.log(0.5)) / 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: losses.get("mean_square_error"), ValueError, "Did you mean 'mean_squared_error'"),
        (lambda: losses.get(lambda a, b: 0), TypeError, "whose gradient is not known"),
        (lambda: losses.get(3), TypeError, "loss must be a name"),
        (lambda: losses.MeanSquaredError(reduction="avg"), ValueError, "reduction must be"),
        (lambda: losses.BinaryCrossentropy(label_smoothing=2), ValueError, "label_smoothing must be"),
        (lambda: losses.MeanSquaredError()(1.0, 1.0), ValueError, r"y_pred must have shape \(..., c\)"),
        (lambda: losses.MeanSquaredError()([1.0, 2.0], [1.0]), ValueError, r"y_true must have the shape of y_pred"),
        (lambda: losses.MeanSquaredError()([[1.0]], [[1.0, 2]]), ValueError, r"y must have shape \(n, 2\)"),
        (lambda: losses.MeanSquaredError()([[1.0]], [[1.0], [2.0]]), ValueError, "y_true must have 2 rows"),
        (lambda: losses.MeanSquaredError()([[1j]], [[1.0]]), TypeError, "complex numbers"),
        (lambda: losses.MeanSquaredError()([["a"]], [[1.0]]), TypeError, "strings"),
        (lambda: losses.MeanSquaredError()([[1.0]], [[1.0]], [1.0, 2.0]), ValueError, "sample_weight must have shape"),
        (lambda: losses.BinaryCrossentropy()([[2]], [[0.5]]), ValueError, r"y must be probabilities in \[0, 1\]"),
        (lambda: losses.SparseCategoricalCrossentropy()([2], [[0.5, 0.5]]), ValueError, "got 2 at row 0"),
        (lambda: losses.SparseCategoricalCrossentropy()([0.5], [[0.5, 0.5]]), ValueError, "whole class numbers"),
        (lambda: losses.SparseCategoricalCrossentropy()([[0, 1]], [[0.5, 0.5]]), ValueError, "One-hot rows belong"),
    ],
)
def test_losses_refuse(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_accuracies():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.5, 0.5]])
    assert metrics.SparseCategoricalAccuracy()([0, 0, 0], p) == pytest.approx(2 / 3)
    assert metrics.CategoricalAccuracy()([[1, 0], [1, 0], [0, 1]], p) == pytest.approx(1 / 3)
    assert metrics.BinaryAccuracy()([[1, 0], [1, 0], [0, 0]], p) == pytest.approx((2 + 0 + 2) / 6)
    assert metrics.BinaryAccuracy(threshold=0.3)([1, 0], [[0.35], [0.2]]) == 1.0
    assert metrics.BinaryAccuracy()([1], [[0.5]]) == 0.0
    assert metrics.SparseCategoricalAccuracy()([0, 1, 2], np.full((3, 3), np.nan)) == pytest.approx(1 / 3)


def test_metrics_average_over_batches_with_weights(rng):
    t, p = rng.standard_normal((2, 10, 3))
    w = rng.uniform(0, 2, 10)
    for kind, oracle in ((metrics.MeanSquaredError, oracles.mse), (metrics.MeanAbsoluteError, oracles.mae)):
        metric = kind()
        assert metric.result() == 0
        for begin, end in ((0, 3), (3, 10)):
            metric.update_state(t[begin:end], p[begin:end], w[begin:end])
        assert metric.result() == pytest.approx((w * oracle(p, t)).sum() / w.sum(), rel=1e-12)
        metric.reset_state()
        metric.update_state(t, p)
        assert metric.result() == pytest.approx(oracle(p, t).mean(), rel=1e-12)
    mean = metrics.Mean()
    mean.update_state([1, 2, 3], sample_weight=[1, 0, 1])
    assert mean.result() == 2
    assert mean(5.0, 2.0) == pytest.approx((4 + 10) / 4)


def test_metric_names():
    assert metrics.get("mae").name == "mae"
    assert metrics.get("MeanSquaredError").name == "MeanSquaredError"
    assert metrics.MeanSquaredError().name == "mean_squared_error"
    assert metrics.get(metrics.serialize(metrics.BinaryAccuracy(threshold=0.2))).threshold == 0.2
    assert type(metrics.get("accuracy")) is metrics.Accuracy
    assert metrics.get(None) is None
    with pytest.raises(ValueError, match="'ce' depends on the model's output"):
        metrics.get("ce")
    with pytest.raises(ValueError, match="metric must be one of"):
        metrics.get("precise")


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}],
    ids=str,
)
def test_sgd_steps_match_oracle(settings, rng):
    layer = layers.Dense(3, dtype="float64")
    layer.build((None, 2))
    start = layer.get_weights()
    gradients = [[rng.standard_normal((2, 3)), rng.standard_normal(3)] for _ in range(10)]
    optimizer = optimizers.SGD(0.1, **settings)
    for pair in gradients:
        optimizer.apply(pair, layer.trainable_weights)
    assert optimizer.iterations == 10
    for i in range(2):
        expected = oracles.sgd(start[i], [pair[i] for pair in gradients], 0.1, **settings)
        np.testing.assert_allclose(layer.get_weights()[i], expected, rtol=1e-12, atol=1e-14)


def test_optimizer_configuration_and_learning_rate():
    optimizer = optimizers.SGD(1, momentum=np.float32(0.5), nesterov=True, weight_decay=0.01)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    optimizer.learning_rate = np.float64(0.5)
    assert optimizer.learning_rate == 0.5
    assert optimizers.get("SGD").learning_rate == 0.01
    layer = layers.Dense(1, kernel_initializer="zeros", use_bias=False)
    layer.build((None, 1))
    optimizers.SGD(0.5).apply_gradients([(np.ones((1, 1), "f"), layer.kernel)])
    assert layer.kernel.numpy() == -0.5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"learning_rate": -1}, ValueError, "learning_rate must be >= 0"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be >= 0 and finite"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate must be a number; got str"),
        ({"momentum": 2}, ValueError, r"momentum must be in \[0, 1\]; got 2"),
        ({"momentum": -0.1}, ValueError, r"momentum must be in \[0, 1\]"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be >= 0"),
    ],
)
def test_optimizers_refuse(arguments, error, message):
    with pytest.raises(error, match=f"SGD: {message}"):
        optimizers.SGD(**arguments)
    with pytest.raises(ValueError, match="Did you mean 'sgd'"):
        optimizers.get("sdg")
    optimizer = optimizers.SGD()
    with pytest.raises(ValueError, match="learning_rate must be"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.01


def test_to_categorical():
    np.testing.assert_array_equal(utils.to_categorical([0, 2, 1]), np.eye(3)[[0, 2, 1]])
    assert utils.to_categorical([0, 1]).dtype == np.float64
    assert utils.to_categorical([[1], [0]], 4).shape == (2, 4)
    assert utils.to_categorical([[1, 0], [0, 1]]).shape == (2, 2, 2)
    assert utils.to_categorical([], 3).shape == (0, 3)
    with pytest.raises(ValueError, match=r"x must be in \[0, 2\)"):
        utils.to_categorical([0, 2], 2)
    with pytest.raises(ValueError, match="whole class numbers"):
        utils.to_categorical([0.5])


STEPS = {
    "adamax": (optimizers.Adamax, {}),
    "nadam": (optimizers.Nadam, {}),
    "rmsprop": (optimizers.RMSprop, {}),
    "rmsprop_centered": (optimizers.RMSprop, {"centered": True, "momentum": 0.5}),
    "adagrad": (optimizers.Adagrad, {}),
    "adadelta": (optimizers.Adadelta, {}),
    "lion": (optimizers.Lion, {}),
}


@pytest.mark.parametrize("decay", [None, 0.1])
@pytest.mark.parametrize("name", STEPS)
def test_optimizers_take_the_steps_of_their_formulas(name, decay, dtype, isa, rng):
    kind, settings = STEPS[name]
    layer = layers.Dense(7, use_bias=False, dtype=str(dtype), input_dim=5)
    layer.build((None, 5))
    optimizer = kind(0.05, weight_decay=decay, **settings)
    expected, state = layer.kernel.numpy().astype(np.float64), {}
    for t in range(1, 13):
        gradient = rng.standard_normal((5, 7)).astype(dtype)
        optimizer.apply([gradient], [layer.kernel])
        expected = expected * (1 - 0.05 * (decay or 0))
        expected -= 0.05 * getattr(oracles, name)(state, gradient.astype(np.float64), t)
    limit = 300 * np.finfo(dtype).eps
    np.testing.assert_allclose(layer.kernel.numpy(), expected, rtol=limit, atol=limit)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


def test_a_schedule_gives_each_batch_its_rate():
    schedule = optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.5, 0.25, 0.0])
    x, y = np.ones((6, 1)), np.zeros((6, 1))
    layer = layers.Dense(1, use_bias=False, kernel_initializer="ones", input_dim=1)
    model = lamina.Sequential([layer])
    model.compile(optimizers.SGD(schedule), losses.L2Norm())  # its gradient is 1
    model.fit(x, y, batch_size=1, verbose=0)
    # 1 - 0.5 - 0.5 = 0, where the gradient is 0 and stays so.
    assert layer.kernel.numpy()[0, 0] == 0
    assert model.optimizer.learning_rate == 0.0
    assert model.optimizer.iterations == 6
    with pytest.raises(TypeError, match="follows a PiecewiseConstantDecay"):
        model.optimizer.learning_rate = 0.1
    assert [type(schedule)(**schedule.get_config())(i) for i in range(5)] == [0.5, 0.5, 0.25, 0.25, 0.0]


def test_learning_rate_reads_like_a_number_and_like_a_variable():
    optimizer = optimizers.Adam(0.5)
    assert optimizer.learning_rate == 0.5
    assert optimizer.learning_rate.numpy().dtype == np.float32
    optimizer.learning_rate.assign(0.25)
    assert optimizer.learning_rate * 2 == 0.5
    rates = iter([0.1, 0.2])
    assert optimizers.SGD(lambda: next(rates)).learning_rate == 0.1
    with pytest.raises(ValueError, match="learning_rate must be >= 0"):
        optimizers.SGD(lambda: -1.0).learning_rate  # noqa: B018


def test_rows_without_weight_count_as_samples_in_any_batches():
    y = np.array([[1], [2], [3], [4], [7], [5.0]])
    p, w = y + np.array([[0.5], [-0.5], [1], [3], [2], [-4.0]]), np.array([1, 1, 1, 0, 0, 0.0])
    found = []
    for size in (6, 3, 1):
        metric = lamina.metrics.R2Score(num_regressors=1)
        for first in range(0, 6, size):
            metric.update_state(y[first : first + size], p[first : first + size], w[first : first + size])
        found.append(metric.result())
    np.testing.assert_allclose(found, 0.0625)


@pytest.mark.parametrize("kind", ["F1Score", "FBetaScore", "R2Score"])
def test_scores_of_columns_want_columns_always_as_many(kind):
    metric = getattr(lamina.metrics, kind)()
    with pytest.raises(ValueError, match=rf"{kind}: y_pred must have shape \(n, c\)"):
        metric.update_state([0.0, 1.0], [0.1, 0.9])
    metric.update_state(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=f"{kind}: batches must have the same columns; got 2 after 3"):
        metric.update_state(np.eye(2), np.eye(2))


def test_an_optimizer_belongs_to_one_model():
    optimizer = lamina.optimizers.Adam(0.05)
    first, second = (lamina.Sequential([lamina.Input((3,)), layers.Dense(1)]) for _ in range(2))
    for model in (first, second):
        model.compile(optimizer, "mse")
    first.fit(np.ones((8, 3)), np.ones(8), verbose=0)
    before = second.get_weights()
    with pytest.raises(ValueError, match="the optimizer must be new: it has taken 1 steps"):
        second.fit(np.ones((8, 3)), np.ones(8), verbose=0)
    assert all(map(np.array_equal, second.get_weights(), before))


def test_nothing_to_apply_is_no_step():
    optimizer = lamina.optimizers.SGD(0.1)
    optimizer.apply_gradients([])
    assert optimizer.iterations == 0


def test_schedules_take_numbers_and_variables():
    schedule = lamina.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert schedule(10) == schedule(np.int64(10)) == schedule(lamina.Variable(10.0)) == 0.05
    with pytest.raises(TypeError, match="ExponentialDecay: step must be a number; got str"):
        schedule("x")
