"""Losses: from logits and from probabilities, labels in many forms, refusals."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import losses


def test_cross_entropy_from_logits_equals_from_probabilities(rng):
    z = rng.standard_normal((5, 3))
    t = rng.dirichlet(np.ones(3), 5)
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


def test_the_targets_of_a_categorical_cross_entropy_may_be_advantages(rng):
    """A policy gradient: one-hot rows of the actions, times what each was worth."""
    y = np.eye(3)[rng.integers(0, 3, 8)] * rng.normal(size=(8, 1))
    p = rng.dirichlet(np.ones(3), 8)
    expected = -(y * np.log(p)).sum(axis=1).mean()
    assert losses.CategoricalCrossentropy()(y, p) == pytest.approx(expected, rel=1e-9)
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(3, activation="softmax")])
    model.compile(lamina.optimizers.SGD(0.1), "categorical_crossentropy")
    x = rng.normal(size=(8, 4))
    assert lamina.utils.check_gradients(model, x, y) < 1e-5
    before, probabilities = model.get_weights()[1], model.predict(x)
    model.train_on_batch(x, y)
    step = 0.1 * (probabilities * y.sum(axis=1, keepdims=True) - y).mean(axis=0)
    np.testing.assert_allclose(model.get_weights()[1], before - step, rtol=1e-4, atol=1e-6)
    for wrong in (np.nan, np.inf):
        with pytest.raises(ValueError, match="y must be finite"):
            losses.CategoricalCrossentropy()(np.where(y == 0, wrong, y), p)
    with pytest.raises(ValueError, match="y must be probabilities"):
        losses.CategoricalCrossentropy(label_smoothing=0.1)(2 * y, p)


def test_get_returns_what_the_name_stands_for():
    assert losses.get("mse") is losses.get("mean_squared_error") is losses.mean_squared_error
    assert losses.deserialize("kld") is losses.kl_divergence
    assert losses.get("mse")([[0.0, 0.0]], [[1.0, 3.0]]).tolist() == [5.0]
    assert type(losses.get("Huber")) is type(losses.get(losses.Huber)) is losses.Huber
    own = losses.Poisson()
    assert losses.get(own) is own
    assert losses.get(losses.serialize(own)).get_config() == own.get_config()
    assert type(losses.get("l2_norm")) is losses.L2Norm
    assert losses.get(sum) is sum
    assert losses.get(None) is None
    with lamina.saving.custom_object_scope({"own": sum}):
        assert losses.get("own") is sum
    assert losses.deserialize({"class_name": "own", "config": {}}, custom_objects={"own": losses.Hinge}) is not None
    assert type(losses.loss_of("mse")) is losses.MeanSquaredError


def test_a_loss_of_ones_own_takes_the_name_first():
    class Own(losses.Loss):
        def __init__(self):
            super().__init__("mine", "sum")

        def call(self, y_true, y_pred):
            return y_true - y_pred

    assert (Own().name, Own().reduction) == ("mine", "sum")
    assert losses.MeanSquaredError("sum", "mine").name == "mine"
    assert losses.Loss().name == "loss"


def test_targets_of_one_column_for_predictions_without():
    y_true, y_pred = np.ones((4, 1)), np.array([0.0, 1.0, 2.0, 3.0])
    expected = np.mean((1 - y_pred) ** 2)
    assert float(losses.MeanSquaredError()(y_true, y_pred)) == pytest.approx(expected)
    assert float(losses.MeanSquaredError()(y_true[:, 0], y_pred[:, np.newaxis])) == pytest.approx(expected)
