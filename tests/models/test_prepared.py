"""Data of a call, checked against a model: rows, targets in the forms that loss and metrics read, weights."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import classification_model

import lamina
from lamina import layers
from lamina.models import prepared as prepared_module

X = np.random.default_rng(0).standard_normal((12, 8)).astype("f")
LABELS = np.random.default_rng(1).integers(0, 3, 12)


def prepare(model, x=X, y=LABELS, sample_weight=None):
    return prepared_module.prepare("fit", model.stack, model.executor.require_compiled("fit"), x, y, sample_weight)


def unbuilt_model(**settings):
    model = lamina.Sequential([layers.Dense(4, "tanh"), layers.Dense(3, "softmax")])
    model.compile(**({"optimizer": "sgd", "loss": "sparse_categorical_crossentropy"} | settings))
    return model


def test_a_model_is_not_changed():
    model = unbuilt_model(metrics=["accuracy"])
    found = prepare(model)
    assert found.rows == 12
    assert not model.built
    assert model.executor.require_compiled("fit").uses is None
    assert [use.metric.name for use in found.uses] == ["accuracy"]


def test_targets_take_the_forms_that_loss_and_metrics_read():
    own = prepare(classification_model(metrics=["accuracy"]))  # both read class numbers
    assert own.labels == [True]
    assert own.metric_targets == [None]
    np.testing.assert_array_equal(own.targets()[0], LABELS)
    one_hot = np.eye(3)[LABELS]
    mixed = prepare(classification_model(loss="hinge", metrics=["mse"]), y=one_hot)
    assert mixed.labels == [False, False]
    np.testing.assert_array_equal(mixed.targets()[0], 2 * one_hot - 1)  # a hinge loss takes -1 for 0
    np.testing.assert_array_equal(mixed.targets()[1], one_hot)
    np.testing.assert_array_equal(mixed.given, one_hot)
    plain = prepare(classification_model(loss="mse", metrics=["mae", "categorical_accuracy"]), y=one_hot)
    assert plain.metric_targets[0] is None
    np.testing.assert_array_equal(plain.targets()[0], one_hot)
    arrays = mixed.arrays()
    assert set(arrays) == {"x", "targets", "sample_weight"}
    assert arrays["sample_weight"] is None


def test_rows_are_taken_from_all_that_belongs_to_them():
    weight = np.arange(12.0)
    whole = prepare(
        classification_model(loss="hinge", metrics=["mse"]),
        y=np.eye(3)[LABELS],
        sample_weight=weight,
    )
    for rows in (slice(2, 7), [5, 0, 3]):
        part = whole.take(rows)
        assert part.rows == len(LABELS[rows])
        np.testing.assert_array_equal(part.data.x, X[rows])
        np.testing.assert_array_equal(part.data.sample_weight, weight[rows])
        np.testing.assert_array_equal(part.targets()[0], 2 * np.eye(3)[LABELS][rows] - 1)
        np.testing.assert_array_equal(part.targets()[1], np.eye(3)[LABELS][rows])
        assert part.given is whole.given  # metrics that read it look up rows of the whole


@pytest.mark.parametrize(("fraction", "first"), [(0.25, 9), (0.5, 6), (0.1, 10)])
def test_the_last_rows_are_split_off(fraction, first):
    whole = prepare(classification_model())
    training, validation = prepared_module.split("Own", whole, fraction)
    np.testing.assert_array_equal(training.data.x, X[:first])
    np.testing.assert_array_equal(training.data.y, LABELS[:first])
    np.testing.assert_array_equal(validation.data.x, X[first:])
    np.testing.assert_array_equal(validation.data.y, LABELS[first:])


def test_rows_get_the_weights_of_their_classes():
    model = classification_model()
    training, _ = prepared_module.split("Own", prepare(model), 0.5)
    found = prepared_module.weighted_by_class("Own", model.stack, training, {0: 2.0, 2: 0.25})
    np.testing.assert_array_equal(found.data.sample_weight, [{0: 2.0, 1: 1.0, 2: 0.25}[n] for n in LABELS[:6]])
    np.testing.assert_array_equal(found.data.x, training.data.x)
    assert training.data.sample_weight is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"x": X[:0], "y": LABELS[:0]}, r"x must have at least one row; got shape \(0, 8\)"),
        ({"y": None}, "y must be given; got None"),
        ({"y": LABELS[:5]}, "y must have as many rows as x; got 5 for 12"),
        ({"y": LABELS + 1}, r"y must be in \[0, 3\), one for each unit"),
        ({"sample_weight": np.ones(5)}, "sample_weight must have"),
        ({"x": X[:, :3]}, r"x must have shape \(n, 8\)"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, message):
    with pytest.raises(ValueError, match=f"fit: {message}"):
        prepare(classification_model(), **data)
