"""Data of repeated calls: plain arrays like those before are checked less, and no less wrong ones are refused."""

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina._engine.network import Constants
from lamina.models.prepared import prepare

X = np.linspace(-1, 1, 12, dtype="f").reshape(4, 3)
LABELS = np.array([0, 1, 2, 1])


def _model(loss="sparse_categorical_crossentropy", metrics=("accuracy",)):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(3, "softmax")])
    model.compile("sgd", loss, metrics=list(metrics))
    model.train_on_batch(X, LABELS if "sparse" in loss else X)
    return model


def _prepared(model, x, y):
    return prepare("fit", model.stack, model.executor.compiled, x, y, None)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "mse"])
def test_what_is_prepared_is_the_same(loss):
    y = LABELS if "sparse" in loss else X
    model = _model(loss)
    again = _prepared(model, X[:3].copy(), y[:3].copy())
    model.executor.compiled.plain = None
    first = _prepared(model, X[:3].copy(), y[:3].copy())
    np.testing.assert_array_equal(again.data.x, first.data.x)
    np.testing.assert_array_equal(again.data.y, first.data.y)
    assert again.data.sample_weight is first.data.sample_weight is None
    assert (again.uses, again.metric_targets, again.labels) == (first.uses, first.metric_targets, first.labels)
    assert again.rows == first.rows == 3


@pytest.mark.parametrize(
    ("x", "y", "kind", "message"),
    [
        (X, np.array([0, 1, 2, 3]), ValueError, r"must be in \[0, 3\).*got 3 at row 3"),
        (X, np.array([0, -1, 2, 1]), ValueError, "got -1 at row 1"),
        (X, LABELS[:3], ValueError, "must have 4 rows|same|as many"),
        (X[:0], LABELS[:0], ValueError, "at least one row"),
        (X, np.array(1), ValueError, "y must"),
        (X[:, :2], LABELS, ValueError, r"must have shape \(n, 3\)"),
        (X.astype(complex), LABELS, TypeError, "must be real numbers"),
        (np.ma.masked_array(X, X > 0), LABELS, TypeError, "masked"),
    ],
)
def test_wrong_data_after_right_ones_are_refused(x, y, kind, message):
    model = _model()
    before = model.flat_weights
    for call in (model.train_on_batch, model.test_on_batch, model.value_and_gradient):
        with pytest.raises(kind, match=message):
            call(x, y)
    np.testing.assert_array_equal(model.flat_weights, before)


def test_other_layers_count_at_once():
    model = _model("mse", ())
    model.add(layers.Dense(2))
    with pytest.raises(ValueError, match=r"y must have shape \(n, 2\)"):
        model.train_on_batch(X, X)
    model.pop()
    model.layers[0].activation = lamina.activations.relu
    expected = np.mean((np.maximum(X @ model.layers[0].kernel.numpy() + model.layers[0].bias.numpy(), 0) - X) ** 2)
    assert model.test_on_batch(X, X) == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_ignores_a_class_later():
    model = _model()
    loss = model.executor.compiled.loss
    with pytest.raises(ValueError, match="got 7"):
        model.test_on_batch(X, np.array([0, 7, 2, 1]))
    loss.ignore_class = 7
    found = model.test_on_batch(X, np.array([0, 7, 2, 1]), return_dict=True)["loss"]
    loss.ignore_class = None
    rows = [0, 2, 3]
    assert found == pytest.approx(model.test_on_batch(X[rows], LABELS[rows], return_dict=True)["loss"], rel=1e-6)


def test_arrays_of_other_dtypes_and_strides():
    model = _model()
    expected = model.test_on_batch(X, LABELS)
    for x in (X.astype(np.float64), np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2], X.tolist()):
        for y in (LABELS.astype(np.int8), np.repeat(LABELS, 2)[::2], LABELS[:, None], LABELS.astype(float)):
            np.testing.assert_allclose(model.test_on_batch(x, y), expected, rtol=1e-6)


def test_repeated_calls_plan_nothing(monkeypatch):
    model = _model()

    def fail(*_):
        raise AssertionError("the model was planned again")

    monkeypatch.setattr(model.stack, "planned_output", fail)
    _prepared(model, X[:2].copy(), LABELS[:2].copy())
    for x, y in (
        (X.astype(np.float64), LABELS),
        (X, LABELS.astype(np.int32)),
        (X, LABELS[:, None]),
        (X.tolist(), LABELS),
    ):
        with pytest.raises(AssertionError, match="planned again"):
            _prepared(model, x, y)
    model.layers[0].activation = lamina.activations.linear  # counts for all that is compiled
    with pytest.raises(AssertionError, match="planned again"):
        _prepared(model, X, LABELS)


def test_other_layers_are_planned_again(monkeypatch):
    other = lamina.Sequential([lamina.Input((3,)), layers.Dense(3)])
    model = _model("mse", ())
    changes = Constants.changes
    model.stack.parts[:] = other.stack.parts  # another layer, and nothing else
    assert Constants.changes is changes
    monkeypatch.setattr(model.stack, "planned_output", lambda _: (_ for _ in ()).throw(AssertionError("planned again")))
    with pytest.raises(AssertionError, match="planned again"):
        _prepared(model, X, X)


def test_metrics_that_are_not_resolved_any_more():
    model = _model()
    model.executor.compiled.uses = None  # as after a call that has failed
    assert _prepared(model, X, LABELS).uses[0].metric.name == "accuracy"
