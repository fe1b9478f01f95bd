"""What all metrics share: names, means, wrapped functions, configurations."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import losses, metrics


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
    assert metrics.get("mae").name == "mean_absolute_error"
    assert metrics.get("MeanSquaredError").name == "mean_squared_error"
    assert metrics.MeanSquaredError().name == "mean_squared_error"
    assert metrics.get(metrics.serialize(metrics.BinaryAccuracy(threshold=0.2))).threshold == 0.2
    assert type(metrics.get("accuracy")) is metrics.Accuracy
    assert metrics.get(None) is None
    with pytest.raises(ValueError, match="'ce' depends on the model's output"):
        metrics.get("ce")
    with pytest.raises(ValueError, match="metric must be one of"):
        metrics.get("precise")


def test_functions_of_losses_are_functions_of_metrics():
    """A metric's function gives each row's value, unreduced; those that are losses too are the same."""
    assert metrics.mean_squared_error([[1.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]]).tolist() == [2.5, 2.0]
    for function in (
        metrics.mean_squared_error, metrics.mean_absolute_error, metrics.mean_absolute_percentage_error,
        metrics.mean_squared_logarithmic_error, metrics.huber, metrics.log_cosh, metrics.hinge, metrics.squared_hinge,
        metrics.categorical_hinge, metrics.kl_divergence, metrics.poisson, metrics.cosine_similarity,
        metrics.binary_crossentropy, metrics.binary_focal_crossentropy, metrics.categorical_crossentropy,
        metrics.categorical_focal_crossentropy, metrics.sparse_categorical_crossentropy,
    ):  # fmt: skip
        assert function is getattr(losses, function.__name__)


def test_a_metric_is_made_from_its_configuration():
    metric = metrics.TopKCategoricalAccuracy(3, name="top")
    again = metrics.deserialize(metrics.serialize(metric))
    assert type(again) is metrics.TopKCategoricalAccuracy
    assert again.get_config() == metric.get_config()


def test_a_metric_of_ones_own_is_the_mean_of_its_rows(rng):
    class LargestError(metrics.Metric):
        def row_values(self, y_true, y_pred):
            return np.abs(y_true - y_pred).max(axis=1)

    y, p, w = rng.standard_normal((7, 3)), rng.standard_normal((7, 3)), rng.uniform(0, 2, 7)
    metric = LargestError()
    assert metric.result() == 0
    for part in (slice(0, 4), slice(4, None)):
        metric.update_state(y[part], p[part], w[part])
    assert metric.result() == pytest.approx(np.average(np.abs(y - p).max(axis=1), weights=w), rel=1e-12)
    metric.reset_state()
    assert metric.result() == 0
    with pytest.raises(NotImplementedError, match="a metric defines row_values"):
        metrics.Metric().update_state(y, p)


class Hits(lamina.metrics.Metric):
    """Its variables have the names of the base class's sums."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.count = self.add_weight(name="count", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add(float((np.abs(y_true - y_pred) < 1).sum()))
        self.count.assign_add(float(np.size(y_true)))

    def result(self):
        return self.total / self.count


class MeanOfErrors(lamina.metrics.Mean):
    """A mean of numbers that a subclass makes of targets and predictions."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        return super().update_state(np.abs(np.asarray(y_true) - np.asarray(y_pred)), sample_weight)


def test_metrics_of_ones_own_may_use_the_names_and_classes_of_the_library(rng):
    x, y = rng.standard_normal((40, 3)), rng.standard_normal((40, 1))
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[Hits(name="hits"), MeanOfErrors(name="errors"), "mae"])
    history = model.fit(x, y, epochs=3, batch_size=8, verbose=0, validation_split=0.25).history
    np.testing.assert_allclose(history["errors"], history["mae"], rtol=1e-6)
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["hits"] == pytest.approx((np.abs(model.predict(x) - y) < 1).mean(), abs=1e-6)
    assert found["errors"] == pytest.approx(found["mae"], rel=1e-6)
    with pytest.raises(ValueError, match="takes numbers"):
        model.compile("sgd", "mse", metrics=[lamina.metrics.Mean()])


def test_functions_are_named_as_keras_spells_them():
    def myMetric2(y_true, y_pred):
        return np.abs(y_true - y_pred).mean(axis=-1)

    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[myMetric2, lambda y, p: 0 * (y - p), "MAE", metrics.mean_squared_error])
    found = model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0).history
    assert set(found) == {"loss", "my_metric2", "lambda", "MAE", "mean_squared_error"}
