"""Losses as metrics: means over all rows of an epoch, against the formulas."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import layers, metrics

# The formula of a row, and what it is of.
ROWS = {
    "MeanSquaredError": ("mse", "numbers"),
    "MeanAbsoluteError": ("mae", "numbers"),
    "MeanAbsolutePercentageError": ("mape", "numbers"),
    "MeanSquaredLogarithmicError": ("msle", "positive"),
    "LogCoshError": ("log_cosh", "numbers"),
    "Hinge": ("hinge", "signs"),
    "SquaredHinge": ("squared_hinge", "signs"),
    "CategoricalHinge": ("categorical_hinge", "one-hot"),
    "KLDivergence": ("kl_divergence", "probabilities"),
    "Poisson": ("poisson", "positive"),
    "BinaryCrossentropy": ("binary_cross_entropy", "binary"),
    "CategoricalCrossentropy": ("categorical_cross_entropy", "one-hot"),
    "SparseCategoricalCrossentropy": ("categorical_cross_entropy", "labels"),
    "CosineSimilarity": ("cosine_similarity", "numbers"),
    "RootMeanSquaredError": ("mse", "numbers"),
}


def rows_of(kind, rng, n=12, c=4):
    """Return targets as the metric takes them, outputs, and targets as the formula takes them."""
    probabilities = rng.dirichlet(np.ones(c), n)
    if kind == "numbers":
        y = rng.standard_normal((n, c)) + np.sign(rng.standard_normal((n, c)))
        return y, rng.standard_normal((n, c)), y
    if kind == "positive":
        y = rng.uniform(0.1, 3, (n, c))
        return y, rng.uniform(0.1, 3, (n, c)), y
    if kind == "signs":
        y = rng.choice([-1.0, 1.0], (n, c))
        return y, rng.standard_normal((n, c)), y
    if kind == "binary":
        y = rng.integers(0, 2, (n, c)).astype(float)
        return y, rng.uniform(0.01, 0.99, (n, c)), y
    if kind == "probabilities":
        y = rng.dirichlet(np.ones(c), n)
        return y, probabilities, y
    labels = rng.integers(0, c, n)
    return labels if kind == "labels" else np.eye(c)[labels], probabilities, np.eye(c)[labels]


def expected(name, t, p, w):
    """Return the mean over rows, weighted."""
    mean = np.average(oracles.LOSSES[ROWS[name][0]](p, t), weights=w)
    if name == "CosineSimilarity":  # the loss is its negative
        return -mean
    return np.sqrt(mean) if name == "RootMeanSquaredError" else mean


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ROWS)
def test_means_over_batches(name, weighted, rng):
    y, p, t = rows_of(ROWS[name][1], rng)
    w = rng.uniform(0, 2, len(p)) if weighted else None
    metric = getattr(metrics, name)()
    assert metric.result() == 0
    for part in (slice(0, 5), slice(5, None)):
        metric.update_state(y[part], p[part], None if w is None else w[part])
    assert metric.result() == pytest.approx(expected(name, t, p, w), rel=1e-10)
    metric.reset_state()
    metric.update_state(y[:3], p[:3])
    assert metric.result() == pytest.approx(expected(name, t[:3], p[:3], None), rel=1e-10)
    assert metrics.get(metrics.serialize(metric)).get_config() == metric.get_config()


@pytest.mark.parametrize("name", ROWS)
def test_the_engine_takes_the_same_means(name, rng, dtype):
    """`evaluate` of a network that returns its input."""
    y, p, t = rows_of(ROWS[name][1], rng)
    p = p.astype(dtype)
    w = rng.uniform(0.5, 2, len(p))
    same = layers.Dense(p.shape[1], use_bias=False, kernel_initializer="identity", dtype=str(dtype))
    model = lamina.Sequential([lamina.Input((p.shape[1],)), same])
    loss = "sparse_categorical_crossentropy" if ROWS[name][1] == "labels" else "mse"
    model.compile("sgd", loss, metrics=[name], weighted_metrics=[getattr(metrics, name)(name="w")])
    found = model.evaluate(p, y, sample_weight=w, batch_size=5, verbose=0, return_dict=True)
    limit = 1e-9 if dtype == np.float64 else 3e-5
    assert found[name] == pytest.approx(expected(name, t, p.astype(float), None), rel=limit)
    assert found["w"] == pytest.approx(expected(name, t, p.astype(float), w), rel=limit)


def test_options_of_cross_entropies(rng):
    y, _, t = rows_of("binary", rng)
    z = rng.standard_normal(t.shape)
    found = metrics.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)(y, z)
    assert found == pytest.approx(oracles.sigmoid_cross_entropy(z, t, 0.2).mean(), rel=1e-10)
    y, _, t = rows_of("one-hot", rng)
    found = metrics.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)(y, z)
    assert found == pytest.approx(oracles.softmax_cross_entropy(z, t, 0.2).mean(), rel=1e-10)
    labels = t.argmax(axis=1)
    found = metrics.SparseCategoricalCrossentropy(from_logits=True)(labels, z)
    assert found == pytest.approx(oracles.softmax_cross_entropy(z, t).mean(), rel=1e-10)
