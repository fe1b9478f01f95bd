"""F-scores and the coefficient of determination, against the formulas."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import metrics


def in_two_batches(metric, y, p, w=None):
    for rows in (slice(0, 9), slice(9, None)):
        metric.update_state(y[rows], p[rows], None if w is None else w[rows])
    return metric.result()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
@pytest.mark.parametrize(("beta", "threshold"), [(1.0, None), (2.0, None), (0.5, 0.3)])
def test_f_scores(beta, threshold, average, weighted, rng):
    labels, p = rng.integers(0, 4, 30), rng.dirichlet(np.ones(4), 30)
    y, w = np.eye(4)[labels], rng.uniform(0, 2, 30) if weighted else np.ones(30)
    chosen = p == p.max(axis=1, keepdims=True) if threshold is None else p > threshold
    both, predicted, actual = (w @ (chosen * y), w @ chosen, w @ y)
    if average == "micro":
        both, predicted, actual = both.sum(), predicted.sum(), actual.sum()
    precision, recall = both / np.maximum(predicted, 1e-12), both / actual
    square = beta**2
    scores = (1 + square) * precision * recall / np.maximum(square * precision + recall, 1e-12)
    if average == "weighted":
        scores = (scores * actual).sum() / actual.sum()
    elif average is not None:
        scores = np.mean(scores)
    metric = metrics.FBetaScore(average, beta, threshold)
    assert metric.result() == 0
    # 1e-7, as in Keras, keeps the denominators from 0.
    np.testing.assert_allclose(in_two_batches(metric, y, p, w if weighted else None), scores, rtol=1e-6)
    assert metrics.get(metrics.serialize(metric)).get_config() == metric.get_config()
    if beta == 1:
        found = in_two_batches(metrics.F1Score(average, threshold), y, p, w if weighted else None)
        np.testing.assert_allclose(found, scores, rtol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("aggregation", ["uniform_average", "variance_weighted_average", None])
def test_the_coefficient_of_determination(aggregation, offset, weighted, rng):
    y = rng.standard_normal((30, 3)) * [1, 10, 0.1] + offset
    p, w = y + rng.standard_normal((30, 3)), rng.uniform(0, 2, 30) if weighted else np.ones(30)
    mean = np.average(y, axis=0, weights=w)
    spread = w @ (y - mean) ** 2
    scores = 1 - w @ (y - p) ** 2 / spread
    if aggregation == "uniform_average":
        scores = scores.mean()
    elif aggregation is not None:
        scores = np.average(scores, weights=spread)
    metric = metrics.R2Score(aggregation)
    assert metric.result() == 0
    limit = 1e-10 if not offset else 1e-6  # y - p itself is that inexact
    np.testing.assert_allclose(in_two_batches(metric, y, p, w if weighted else None), scores, rtol=limit, atol=limit)
    assert metrics.get(metrics.serialize(metric)).get_config() == metric.get_config()


def test_the_coefficient_of_determination_adjusted_for_regressors(rng):
    y = rng.standard_normal((30, 1))
    p = y + 0.3 * rng.standard_normal((30, 1))
    plain = metrics.R2Score()(y, p)
    assert metrics.R2Score(num_regressors=4)(y, p) == pytest.approx(1 - (1 - plain) * 29 / 25, rel=1e-12)
    with pytest.warns(UserWarning, match="too few rows for so many regressors"):
        assert metrics.R2Score(num_regressors=29)(y, p) == pytest.approx(plain)


def test_rows_without_weight_count_as_samples_in_any_batches():
    y = np.array([[1], [2], [3], [4], [7], [5.0]])
    p, w = y + np.array([[0.5], [-0.5], [1], [3], [2], [-4.0]]), np.array([1, 1, 1, 0, 0, 0.0])
    found = []
    for size in (6, 3, 1):
        metric = metrics.R2Score(num_regressors=1)
        for first in range(0, 6, size):
            metric.update_state(y[first : first + size], p[first : first + size], w[first : first + size])
        found.append(metric.result())
    np.testing.assert_allclose(found, 0.0625)


@pytest.mark.parametrize("kind", ["F1Score", "FBetaScore", "R2Score"])
def test_scores_of_columns_want_columns_always_as_many(kind):
    metric = getattr(metrics, kind)()
    with pytest.raises(ValueError, match=rf"{kind}: y_pred must have shape \(n, c\)"):
        metric.update_state([0.0, 1.0], [0.1, 0.9])
    metric.update_state(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=f"{kind}: batches must have the same columns; got 2 after 3"):
        metric.update_state(np.eye(2), np.eye(2))
