"""The accuracy family, against the definitions."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import metrics

FUNCTIONS = {
    "BinaryAccuracy": "binary_accuracy",
    "CategoricalAccuracy": "categorical_accuracy",
    "SparseCategoricalAccuracy": "sparse_categorical_accuracy",
    "TopKCategoricalAccuracy": "top_k_categorical_accuracy",
    "SparseTopKCategoricalAccuracy": "sparse_top_k_categorical_accuracy",
}


def rank(row, column):
    """How many outputs are larger than a column's, or equal and before it."""
    return sum(value > row[column] or (value == row[column] and j < column) for j, value in enumerate(row))


def cases(rng):
    """Of each class: settings, targets, outputs, and the value of each row."""
    n, c = 40, 6
    p = rng.integers(0, 30, (n, c)) / 30.0  # some are equal
    labels = rng.integers(0, c, n)
    one_hot, binary = np.eye(c)[labels], rng.integers(0, 2, (n, c)).astype(float)
    hits = np.array([rank(row, label) for row, label in zip(p, labels, strict=True)])
    whole = rng.integers(0, 2, (n, c)).astype(float)
    yield "Accuracy", {}, whole, binary, (whole == binary).mean(axis=1)
    yield "BinaryAccuracy", {}, binary, p, ((p > 0.5) == binary).mean(axis=1)
    yield "BinaryAccuracy", {"threshold": 0.2}, binary, p, ((p > 0.2) == binary).mean(axis=1)
    yield "CategoricalAccuracy", {}, one_hot, p, hits == 0
    yield "SparseCategoricalAccuracy", {}, labels, p, hits == 0
    distinct = p + rng.permuted(np.tile(np.arange(c), (n, 1)), axis=1) * 1e-4  # ties are decided
    places = np.array([rank(row, label) for row, label in zip(distinct, labels, strict=True)])
    for k in (1, 3, 9):
        yield "TopKCategoricalAccuracy", {"k": k}, one_hot, distinct, places < k
        yield "SparseTopKCategoricalAccuracy", {"k": k}, labels, distinct, places < k
    best_first = np.argsort(-distinct, axis=1)[:, :4].astype(float)
    settings = {"k": 2, "from_sorted_ids": True}
    yield "SparseTopKCategoricalAccuracy", settings, labels, best_first, places < 2


def test_shares_of_right_rows(rng):
    seen = set()
    for name, settings, y, p, rows in cases(rng):
        metric = getattr(metrics, name)(**settings)
        weights = rng.uniform(0, 2, len(rows))
        assert metric.result() == 0
        for part in (slice(0, 11), slice(11, None)):
            metric.update_state(y[part], p[part])
        assert metric.result() == pytest.approx(rows.mean(), rel=1e-12), name
        metric.reset_state()
        for part in (slice(0, 11), slice(11, None)):
            metric.update_state(y[part], p[part], weights[part])
        assert metric.result() == pytest.approx((weights * rows).sum() / weights.sum(), rel=1e-12), name
        assert metrics.get(metrics.serialize(metric)).get_config() == metric.get_config()
        seen.add(name)
    assert seen == {name for name in metrics.__all__ if name.endswith("Accuracy")}


def test_functions_return_each_rows_value(rng):
    for name, settings, y, p, rows in cases(rng):
        if name in FUNCTIONS and "from_sorted_ids" not in settings:
            function = getattr(metrics, FUNCTIONS[name])
            found = function(y, p, **settings)
            if name == "BinaryAccuracy":  # of each element
                found = found.mean(axis=-1)
            np.testing.assert_allclose(found, rows, rtol=1e-12, err_msg=name)


def test_outputs_that_are_no_numbers_are_at_no_class():
    assert metrics.SparseCategoricalAccuracy()([0, 1, 2], np.full((3, 3), np.nan)) == pytest.approx(1 / 3)
    assert metrics.BinaryAccuracy()([1], [[0.5]]) == 0.0


def test_binary_accuracy_has_a_value_for_each_element():
    for shape in ((3,), (3, 1), (3, 4)):
        true, scores = np.ones(shape), np.full(shape, 0.4)
        assert metrics.binary_accuracy(true, scores).shape == shape
        np.testing.assert_array_equal(metrics.binary_accuracy(true, scores, threshold=0.3), true)
    assert metrics.binary_accuracy([[1], [0]], [0.7, 0.6]).tolist() in ([[1], [0]], [1, 0])
    assert metrics.BinaryAccuracy()(np.ones((3, 4)), np.full((3, 4), 0.6)) == 1
