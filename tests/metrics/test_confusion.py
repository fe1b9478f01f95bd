"""Metrics of counts at thresholds, against what the definitions give when every element is looked at."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from lamina import metrics

COUNTS = {
    "TruePositives": lambda tp, fp, tn, fn: tp,
    "FalsePositives": lambda tp, fp, tn, fn: fp,
    "TrueNegatives": lambda tp, fp, tn, fn: tn,
    "FalseNegatives": lambda tp, fp, tn, fn: fn,
    "Precision": lambda tp, fp, tn, fn: tp / (tp + fp) if tp + fp else 0.0,
    "Recall": lambda tp, fp, tn, fn: tp / (tp + fn) if tp + fn else 0.0,
}
# The rate that must be good enough, and the one that is as good as possible.
AT = {
    "SensitivityAtSpecificity": ("specificity", "sensitivity"),
    "SpecificityAtSensitivity": ("sensitivity", "specificity"),
    "PrecisionAtRecall": ("sensitivity", "precision"),
    "RecallAtPrecision": ("precision", "sensitivity"),
}


def decisions(rng, n=40, c=3):
    """Targets and outputs of which some lie on thresholds and some are equal."""
    return rng.integers(0, 2, (n, c)).astype(float), rng.integers(0, 21, (n, c)) / 20.0, rng.uniform(0, 2, n)


def confusion(y, p, w, threshold):
    """Return TP, FP, TN, FN, with one weight a row or an element."""
    tp = fp = tn = fn = 0.0
    for target, score, weight in np.broadcast(y, p, np.reshape(w, (len(y), -1))):
        if score > threshold:
            tp, fp = tp + weight * target, fp + weight * (1 - target)
        else:
            fn, tn = fn + weight * target, tn + weight * (1 - target)
    return tp, fp, tn, fn


def in_two_batches(metric, y, p, w=None):
    for rows in (slice(0, 13), slice(13, None)):
        metric.update_state(y[rows], p[rows], None if w is None else w[rows])
    return metric.result()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", COUNTS)
def test_counts_at_thresholds(name, weighted, rng):
    y, p, w = decisions(rng)
    weights = w if weighted else np.ones(len(y))
    given = w if weighted else None
    thresholds = [0.75, 0.0, 0.5, 1.0]  # in any order
    expected = [COUNTS[name](*confusion(y, p, weights, t)) for t in thresholds]
    kind = getattr(metrics, name)
    np.testing.assert_allclose(in_two_batches(kind(thresholds), y, p, given), expected, rtol=1e-12)
    found = in_two_batches(kind(), y, p, given)
    assert isinstance(found.numpy(), float)
    assert found == pytest.approx(expected[2], rel=1e-12)
    metric = kind(0.3)
    assert metric.result() == 0
    in_two_batches(metric, y, p)
    metric.reset_state()
    assert metric.result() == 0
    again = metrics.get(metrics.serialize(kind(thresholds, name="mine")))
    assert (again.thresholds, again.name) == (thresholds, "mine")


@pytest.mark.parametrize("name", ["Precision", "Recall"])
def test_counts_of_the_largest_outputs_and_of_one_class(name, rng):
    y, p, _ = decisions(rng, c=5)
    p = p + rng.uniform(0, 0.001, p.shape)  # no two are equal
    kind, ones = getattr(metrics, name), np.ones(len(y))
    largest = np.where(p >= np.sort(p, axis=1)[:, [-2]], p, -np.inf)
    assert in_two_batches(kind(top_k=2), y, p) == pytest.approx(COUNTS[name](*confusion(y, largest, ones, -1)))
    expected = COUNTS[name](*confusion(y, largest, ones, 0.9))
    assert in_two_batches(kind(0.9, top_k=2), y, p) == pytest.approx(expected)
    column = slice(3, 4)
    expected = COUNTS[name](*confusion(y[:, column], p[:, column], ones, 0.5))
    assert in_two_batches(kind(class_id=3), y, p) == pytest.approx(expected)
    with pytest.raises(ValueError, match=f"{name}: class_id must be below 5"):
        kind(class_id=5).update_state(y, p)


@pytest.mark.parametrize("value", [0.0, 0.4, 0.9, 1.0])
@pytest.mark.parametrize("name", AT)
def test_best_rates_where_another_is_good_enough(name, value, rng):
    y, p, w = decisions(rng)
    y = np.where(rng.uniform(size=y.shape) < 0.6, p > 0.5, y).astype(float)
    enough, wanted = AT[name]
    best = 0.0
    for threshold in np.linspace(0, 1, 11):
        tp, fp, tn, fn = confusion(y, p, w, threshold)
        rates = {
            "sensitivity": tp / (tp + fn) if tp + fn else 0.0,
            "specificity": tn / (tn + fp) if tn + fp else 0.0,
            "precision": tp / (tp + fp) if tp + fp else 0.0,
        }
        if rates[enough] >= value:
            best = max(best, rates[wanted])
    metric = getattr(metrics, name)(value, num_thresholds=11)
    assert metric.result() == 0
    assert in_two_batches(metric, y, p, w) == pytest.approx(best, rel=1e-12)
    again = metrics.get(metrics.serialize(metric))
    assert again.get_config() == metric.get_config()
    with pytest.raises(ValueError, match=rf"{name}: .* must be in \[0, 1\]"):
        getattr(metrics, name)(1.5)


# Areas.


def separating(p):
    """Thresholds between all outputs, which a curve at them tells apart."""
    values = np.unique(p)
    return [float(t) for t in (values[1:] + values[:-1]) / 2]


def test_area_under_the_roc_curve_is_the_share_of_pairs_in_order(rng):
    """Mann-Whitney: a positive target has the larger output; equal ones count half."""
    y, p, _ = decisions(rng)
    positive, negative = p[y == 1][:, np.newaxis], p[y == 0][np.newaxis]
    pairs = (positive > negative).mean() + (positive == negative).mean() / 2
    assert in_two_batches(metrics.AUC(thresholds=separating(p)), y, p) == pytest.approx(pairs, rel=1e-12)


@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR", "PRGAIN"])
def test_areas_are_sums_under_the_curve(curve, method, rng):
    y, p, w = decisions(rng)
    y = np.where(rng.uniform(size=y.shape) < 0.5, p > 0.6, y).astype(float)
    metric = metrics.AUC(num_thresholds=15, curve=curve, summation_method=method)
    area, points = 0.0, [confusion(y, p, w, threshold) for threshold in metric.thresholds]
    positives, negatives = points[0][0] + points[0][3], points[0][1] + points[0][2]

    def place(tp, fp, tn, fn):
        precision = tp / (tp + fp) if tp + fp else 0.0
        if curve == "ROC":
            return fp / negatives, tp / positives
        if curve == "PR":
            return tp / positives, precision
        odds = positives / negatives
        return (max(1 - odds * fn / tp, 0), 1 - odds * fp / tp) if tp else (0.0, 1.0)

    for high, low in itertools.pairwise(points):  # from many positives to fewer
        (x, a), (left, b) = place(*high), place(*low)
        if curve == "PR" and method == "interpolation":
            # Between thresholds true and false positives grow together (Davis & Goadrich 2006): the mean of precision.
            if high[0] > low[0]:
                t = (np.arange(20000) + 0.5) / 20000
                tp, fp = (low[i] + t * (high[i] - low[i]) for i in (0, 1))
                area += (x - left) * float(np.mean(tp / (tp + fp)))
        else:
            height = {"interpolation": (a + b) / 2, "minoring": min(a, b), "majoring": max(a, b)}[method]
            area += (x - left) * height
    assert in_two_batches(metric, y, p, w) == pytest.approx(area, rel=1e-6)
    assert metrics.get(metrics.serialize(metric)).get_config() == metric.get_config()


def test_areas_of_many_labels(rng):
    y, p, w = decisions(rng)
    own = [float(metrics.AUC()(y[:, [j]], p[:, [j]], w)) for j in range(3)]
    assert in_two_batches(metrics.AUC(multi_label=True), y, p, w) == pytest.approx(np.mean(own), rel=1e-12)
    share = [1.0, 0.0, 3.0]
    found = in_two_batches(metrics.AUC(multi_label=True, label_weights=share, num_labels=3), y, p, w)
    assert found == pytest.approx(np.average(own, weights=share), rel=1e-12)
    with pytest.raises(ValueError, match="AUC: y_pred must have num_labels columns, 2"):
        metrics.AUC(multi_label=True, num_labels=2).update_state(y, p)


def test_areas_from_logits(rng):
    y, p, _ = decisions(rng)
    p = np.clip(p, 0.05, 0.95)
    found = metrics.AUC(from_logits=True, thresholds=separating(p))(y, np.log(p / (1 - p)))
    assert found == pytest.approx(metrics.AUC(thresholds=separating(p))(y, p), rel=1e-12)
