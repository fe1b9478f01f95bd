"""Penalties that are divided by the rows of each batch, or the sum of their weights, against their formula."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, regularizers
from lamina.optimizers import SGD, LevenbergMarquardt

L1, L2 = 0.3, 0.7
ROWS, BATCH = 22, 8  # the last batch has 6 rows


def _data(rng):
    return rng.standard_normal((ROWS, 5)), rng.standard_normal((ROWS, 3))


def _model(rule, optimizer, dtype="float64", **compiled):
    lamina.utils.set_random_seed(3)
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(3, kernel_regularizer=rule, dtype=dtype)])
    model.compile(optimizer, lamina.losses.MeanSquaredError(reduction="mean_with_sample_weight"), **compiled)
    return model


def _gradients(w, b, x, y, weight):
    """Return loss and gradients of a batch."""
    error, total = x @ w + b - y, weight.sum()
    slope = 2 * error * weight[:, None] / (3 * total)
    penalty = (L1 * np.abs(w).sum() + L2 * (w * w).sum()) / total
    loss = (np.square(error).mean(axis=1) * weight).sum() / total + penalty
    return loss, x.T @ slope + (L1 * np.sign(w) + 2 * L2 * w) / total, slope.sum(axis=0)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_the_formula(weighted, dtype, rng):
    x, y = _data(rng)
    given = rng.uniform(0, 3, ROWS) if weighted else None
    model = _model(regularizers.L1L2(L1, L2, per_row=True), SGD(0.1), dtype)
    w, b = (array.astype("float64") for array in model.get_weights())
    past = model.fit(x, y, batch_size=BATCH, epochs=2, shuffle=False, sample_weight=given, verbose=0)
    weight = np.ones(ROWS) if given is None else given
    for epoch in range(2):
        losses = 0.0
        for first in range(0, ROWS, BATCH):
            part = slice(first, min(first + BATCH, ROWS))
            loss, dw, db = _gradients(w, b, x[part], y[part], weight[part])
            losses += loss * (part.stop - part.start)
            w, b = w - 0.1 * dw, b - 0.1 * db
        assert past.history["loss"][epoch] == pytest.approx(losses / ROWS, rel=1e-5 if dtype == "float32" else 1e-12)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-11}
    np.testing.assert_allclose(model.get_weights()[0], w, **tolerance)
    np.testing.assert_allclose(model.get_weights()[1], b, **tolerance)


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_and_gradients_of_a_batch(weighted, rng):
    x, y = _data(rng)
    given = rng.uniform(0, 3, ROWS) if weighted else None
    model = _model(regularizers.L1L2(L1, L2, per_row=True), "sgd")
    weight = np.ones(ROWS) if given is None else given
    loss, dw, db = _gradients(*model.get_weights(), x, y, weight)
    found, gradients = model.value_and_gradient(x, y, given)
    assert found == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(gradients[0], dw, rtol=1e-11)
    np.testing.assert_allclose(gradients[1], db, rtol=1e-11)
    assert model.evaluate(x, y, batch_size=ROWS, sample_weight=given, verbose=0) == pytest.approx(loss, rel=1e-12)


def test_a_factor_of_the_loss_and_other_penalties_are_not_divided(rng):
    x, y = _data(rng)
    model = _model(regularizers.L2(L2, per_row=True), "sgd", loss_weights=5.0)
    model.layers[0].bias_regularizer = regularizers.L2(2.0)
    w, b = model.get_weights()
    b = b + 1
    model.set_weights([w, b])
    data = 5 * np.square(x @ w + b - y).mean()
    expected = data + L2 * (w * w).sum() / ROWS + 2 * (b * b).sum()
    assert model.value_and_gradient(x, y)[0] == pytest.approx(expected, rel=1e-12)


def test_weights_that_are_all_zero_leave_no_penalty(rng):
    x, y = _data(rng)
    model = _model(regularizers.L2(L2, per_row=True), SGD(0.1))
    before = model.get_weights()
    assert model.train_on_batch(x, y, np.zeros(ROWS)) == 0
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_weights_of_steps_are_averaged_over_a_row(rng):
    x, y = rng.standard_normal((6, 4, 5)), rng.standard_normal((6, 4, 3))
    rule = regularizers.L2(L2, per_row=True)
    model = lamina.Sequential([lamina.Input((4, 5)), layers.Dense(3, kernel_regularizer=rule)])
    model.compile("sgd", "mse")
    weight = rng.uniform(0, 2, (6, 4))
    plain = lamina.Sequential([lamina.Input((4, 5)), layers.Dense(3)])
    plain.compile("sgd", "mse")
    plain.set_weights(model.get_weights())
    rest = model.value_and_gradient(x, y, weight)[0] - plain.value_and_gradient(x, y, weight)[0]
    w = model.get_weights()[0]
    assert rest == pytest.approx(L2 * (w * w).sum() / weight.mean(axis=1).sum(), rel=1e-4)


@pytest.mark.parametrize("weighted", [False, True])
def test_levenberg_marquardt_finds_the_ridge_solution(weighted, rng):
    x, y = _data(rng)
    weight = rng.uniform(0.1, 3, ROWS) if weighted else np.ones(ROWS)
    model = _model(regularizers.L2(L2, per_row=True), LevenbergMarquardt(damping=1e-9))
    model.fit(x, y, epochs=20, verbose=0, sample_weight=weight if weighted else None)
    columns = np.hstack([x, np.ones((ROWS, 1))])
    penalty = np.diag([3 * L2] * 5 + [0.0])  # the mean over the outputs divides the squares by 3
    expected = np.linalg.solve(columns.T @ (columns * weight[:, None]) + penalty, columns.T @ (y * weight[:, None]))
    np.testing.assert_allclose(model.get_weights()[0], expected[:5], rtol=1e-6)
    np.testing.assert_allclose(model.get_weights()[1], expected[5], rtol=1e-6)


@pytest.mark.parametrize("threads", [2, 3])
def test_bits_are_the_same_for_any_number_of_threads(threads, restore_threads, rng):
    x, y = rng.standard_normal((600, 40)), rng.standard_normal((600, 30))
    found = []
    for count in (1, threads):
        lamina.set_num_threads(count)
        lamina.utils.set_random_seed(0)
        rule = regularizers.L2(0.1, per_row=True)
        model = lamina.Sequential([lamina.Input((40,)), layers.Dense(200, "relu", kernel_regularizer=rule)])
        model.add(layers.Dense(30, kernel_regularizer=rule))
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=250, epochs=3, verbose=0)
        found.append([*model.get_weights(), np.array(model.history.history["loss"])])
    for one, two in zip(*found, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", ["L1", "L2", "L1L2"])
def test_configurations_name_it_where_it_is_asked_for(kind):
    make = getattr(regularizers, kind)
    assert "per_row" not in make(0.5).get_config()
    rule = make(0.5, per_row=True)
    again = regularizers.get(regularizers.serialize(rule))
    assert again.get_config() == rule.get_config()
    assert again.per_row is True


def test_the_trainer_follows_a_change_of_it(rng):
    x, y = _data(rng)
    rule = regularizers.L2(L2)
    model = _model(rule, "sgd")
    whole = model.value_and_gradient(x, y)[0]
    rule.per_row = True
    w = model.get_weights()[0]
    assert whole - model.value_and_gradient(x, y)[0] == pytest.approx(L2 * (w * w).sum() * (1 - 1 / ROWS), rel=1e-10)


def test_where_there_are_no_rows_to_divide_by_it_is_refused(rng):
    class Own(regularizers.L2):
        def __call__(self, w):
            return lamina.ops.sum(lamina.ops.square(w))

    x, y = _data(rng)
    with pytest.raises(ValueError, match="Own of .*per_row must be False"):
        _model(Own(0.1, per_row=True), "sgd").train_on_batch(x, y)
    layer = layers.Dense(2, activity_regularizer=regularizers.L1(0.1, per_row=True))
    model = lamina.Sequential([lamina.Input((5,)), layer])
    with pytest.raises(ValueError, match="activity_regularizer is always divided by rows"):
        model.predict(x, verbose=0)
    with pytest.raises(TypeError, match="per_row must be"):
        regularizers.L2(0.1, per_row=2)
