"""What all metrics share: names, means, wrapped functions, and that each public class has a test."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from lamina import metrics


def test_means_and_sums(rng):
    values, weights = rng.standard_normal(7), rng.uniform(0, 2, 7)
    mean, total = metrics.Mean(), metrics.Sum()
    assert mean.result() == total.result() == 0
    for part in (slice(0, 3), slice(3, None)):
        mean.update_state(values[part], weights[part])
        total.update_state(values[part], weights[part])
    assert mean.result() == pytest.approx((weights * values).sum() / weights.sum(), rel=1e-12)
    assert total.result() == pytest.approx((weights * values).sum(), rel=1e-12)
    assert metrics.Mean()(5.0) == 5
    assert metrics.Sum()([1, 2.5]) == 3.5
    mean.reset_state()
    assert mean.result() == 0


def test_a_wrapped_function_is_averaged(rng):
    def largest_error(y_true, y_pred):
        return np.abs(y_true - y_pred).max(axis=1)

    y, p, w = rng.standard_normal((9, 3)), rng.standard_normal((9, 3)), rng.uniform(0, 2, 9)
    metric = metrics.MeanMetricWrapper(largest_error, name="worst")
    for part in (slice(0, 4), slice(4, None)):
        metric.update_state(y[part], p[part], w[part])
    assert metric.name == "worst"
    assert metric.result() == pytest.approx(np.average(largest_error(y, p), weights=w), rel=1e-12)


def test_names():
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


def test_every_public_class_is_tested_by_its_formula():
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    for name in metrics.__all__:
        if inspect.isclass(getattr(metrics, name)) and name != "Metric":
            assert f'"{name}"' in here or f"metrics.{name}(" in here, name
