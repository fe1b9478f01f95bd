"""Outputs of several lines a row."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


@pytest.mark.parametrize(
    ("loss", "activation", "targets"),
    [
        ("sparse_categorical_crossentropy", "softmax", "labels"),
        ("categorical_crossentropy", "softmax", "one-hot"),
        ("mse", None, "one-hot"),
    ],
)
def test_losses_of_outputs_with_steps_are_those_of_their_lines(loss, activation, targets, rng):
    x = rng.standard_normal((30, 5, 4)).astype("f")
    labels = rng.integers(0, 3, (30, 5))
    y = labels if targets == "labels" else np.eye(3, dtype="f")[labels]
    weight = rng.uniform(0, 2, (30, 5)).astype("f")
    found = []
    for shape in ((5, 4), (4,)):
        lamina.utils.set_random_seed(3)
        model = lamina.Sequential([lamina.Input(shape), layers.Dense(6, "tanh"), layers.Dense(3, activation)])
        model.compile(lamina.optimizers.SGD(0.1), loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
        flat = len(shape) == 1
        history = model.fit(
            x.reshape(-1, 4) if flat else x, y.reshape(150, *y.shape[2:]) if flat else y, epochs=2, shuffle=False,
            batch_size=50 if flat else 10, sample_weight=weight.reshape(-1) if flat else weight, verbose=0,
        )  # fmt: skip
        found.append((history.history, model.get_weights()))
    for name, values in found[0][0].items():
        np.testing.assert_allclose(values, found[1][0][name], rtol=1e-5)
    for ours, expected in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_outputs_with_steps_have_right_gradients_and_the_same_bits_for_any_threads(rng):
    x, y = rng.standard_normal((40, 3, 4)).astype("f"), rng.standard_normal((40, 3, 2)).astype("f")
    weights = []
    for threads in (1, 2, 3):
        lamina.set_num_threads(threads)
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(300, "relu"), layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        weights.append(model.get_weights())
    lamina.set_num_threads(2)
    for ours in weights[1:]:
        for a, b in zip(ours, weights[0], strict=True):
            np.testing.assert_array_equal(a, b)
    small_model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(5, "tanh"), layers.Dense(2)])
    small_model.compile("sgd", "mse")
    assert lamina.utils.check_gradients(small_model, x[:4], y[:4], np.ones((4, 3))) < 1e-6


def test_targets_and_weights_with_steps_must_fit():
    model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.zeros((5, 3, 4))
    for wrong in (np.zeros((5, 2)), np.zeros((5, 2, 2)), np.zeros(5), np.zeros((5, 3, 4))):
        with pytest.raises(ValueError, match="y must have shape"):
            model.fit(x, wrong, verbose=0)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(5,\) or \(5, 3\)"):
        model.fit(x, np.zeros((5, 3, 2)), sample_weight=np.ones((5, 2)), verbose=0)


@pytest.mark.parametrize("threads", [1, 2, 5])
@pytest.mark.parametrize("rows", [1, 2, 3, 70])
@pytest.mark.parametrize("layer", ["dense", "apart"])
def test_penalties_on_few_rows_of_wide_outputs(rows, threads, layer, rng, restore_threads):
    """Of fewer lines than the output has panels."""
    lamina.set_num_threads(threads)
    x = rng.standard_normal((rows, 3, 5)).astype("f")
    y = rng.standard_normal((rows, 3, 200)).astype("f")
    penalty = lamina.regularizers.L1L2(0.01, 0.02)
    stack = [layers.Dense(200, activity_regularizer=penalty)]
    if layer == "apart":
        stack = [layers.Dense(200), layers.ActivityRegularization(0.01, 0.02)]
    model = lamina.Sequential([lamina.Input((3, 5)), *stack])
    model.compile(lamina.optimizers.SGD(0.5), "mse")
    kernel, bias = (v.astype(np.float64) for v in model.get_weights())
    wide = x.astype(np.float64)
    out = wide @ kernel + bias
    for found in (model.predict(x), model(x), model.predict_on_batch(x)):
        np.testing.assert_allclose(found, out, rtol=1e-5, atol=1e-5)
    loss = ((out - y) ** 2).mean() + (0.01 * np.abs(out) + 0.02 * out**2).sum() / rows
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), loss, rtol=1e-5)
    slope = 2 * (out - y) / out.size + (0.01 * np.sign(out) + 0.04 * out) / rows
    np.testing.assert_allclose(model.train_on_batch(x, y), loss, rtol=1e-5)
    np.testing.assert_allclose(
        model.get_weights()[0], kernel - 0.5 * np.einsum("nsi,nso->io", wide, slope), rtol=1e-4, atol=1e-5
    )
