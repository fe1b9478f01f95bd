"""`Loss.call`: the losses of rows, and subclasses of compiled losses that override it."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, losses, ops

pytest.importorskip("autograd")


def rows(rng, count=6, classes=3):
    p = rng.uniform(0.05, 1, (count, classes))
    labels = rng.integers(0, classes, count)
    return p / p.sum(axis=1, keepdims=True), np.eye(classes)[labels], labels


@pytest.mark.parametrize(
    "name", ["MeanSquaredError", "Huber", "KLDivergence", "BinaryCrossentropy", "CosineSimilarity"]
)
def test_call_returns_the_losses_of_rows(name, rng):
    p, t, _labels = rows(rng)
    kind = getattr(losses, name)
    np.testing.assert_array_equal(kind().call(t, p), kind(reduction=None)(t, p))
    steps = np.stack([p, p]), np.stack([t, t])
    np.testing.assert_array_equal(kind().call(steps[1], steps[0]), kind(reduction=None)(steps[1], steps[0]))
    with pytest.raises(ValueError, match="y_true"):
        kind().call(t[:2], p)


def test_call_of_labels_and_along_another_axis(rng):
    p, t, labels = rows(rng)
    found = losses.SparseCategoricalCrossentropy().call(labels, p)
    np.testing.assert_allclose(found, -np.log(p[np.arange(6), labels]))
    np.testing.assert_allclose(losses.CategoricalCrossentropy(axis=0).call(t.T, p.T), found)


class Weighted(losses.CategoricalCrossentropy):
    def call(self, y_true, y_pred):
        return ops.sum(y_true * np.array([1.0, 2.0, 3.0], str(y_pred.dtype)), axis=-1) * super().call(y_true, y_pred)


class Penalized(losses.BinaryCrossentropy):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) + 0.1 * ops.mean(ops.square(y_pred), axis=-1)


class Doubled(Penalized):
    def call(self, y_true, y_pred):
        return 2 * super().call(y_true, y_pred)


def test_a_subclass_computes_with_what_the_compiled_loss_returns(rng):
    p, t, labels = rows(rng)
    own = -np.log(p[np.arange(6), labels]) * (1 + labels)
    np.testing.assert_allclose(Weighted(reduction=None)(t, p), own)
    np.testing.assert_allclose(Weighted()(t, p), own.mean())
    weights = rng.uniform(0, 2, 6)
    np.testing.assert_allclose(Weighted()(t, p, weights), (own * weights).mean())
    penalized = np.asarray(losses.binary_crossentropy(t, p)) + 0.1 * (p * p).mean(axis=1)
    np.testing.assert_allclose(Penalized(reduction="sum")(t, p), penalized.sum())
    np.testing.assert_allclose(Doubled(reduction="sum")(t, p), 2 * penalized.sum())


@pytest.mark.parametrize(("loss", "activation"), [(Weighted, "softmax"), (Penalized, "sigmoid"), (Doubled, "sigmoid")])
def test_a_subclass_is_differentiated_as_finite_differences_say(loss, activation, rng):
    x, (_p, t, _labels) = rng.standard_normal((6, 4)), rows(rng)
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, activation, dtype="float64")])
    model.compile(lamina.optimizers.SGD(1.0), loss())
    assert lamina.utils.check_gradients(model, x, t) < 1e-6
    assert model.evaluate(x, t, verbose=0) == pytest.approx(float(loss()(t, model.predict(x, verbose=0))))


def test_the_axis_of_a_subclass_is_moved_once(rng):
    p, t, _labels = rows(rng)

    class Same(losses.CategoricalCrossentropy):
        def call(self, y_true, y_pred):
            return super().call(y_true, y_pred)

    assert float(Same(axis=0)(t.T, p.T)) == pytest.approx(float(losses.CategoricalCrossentropy()(t, p)))


def test_a_loss_without_a_formula_says_so():
    with pytest.raises(NotImplementedError, match="value_and_gradient"):
        losses.Loss().call(np.ones((2, 1)), np.ones((2, 1)))


@pytest.mark.parametrize("reduction", ["sum", "sum_over_batch_size"])
def test_one_number_for_a_batch_is_the_loss_for_every_reduction(reduction, rng):
    class Whole(losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.square(y_true - y_pred))

    x, y = rng.standard_normal((8, 4)), rng.standard_normal((8, 3))
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, dtype="float64")])
    model.compile(lamina.optimizers.SGD(0.1), Whole(reduction=reduction))
    expected = ((model.predict(x, verbose=0) - y) ** 2).mean()
    assert float(Whole(reduction=reduction)(y, model.predict(x, verbose=0))) == pytest.approx(expected)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(expected)
    assert lamina.utils.check_gradients(model, x, y) < 1e-6
    before = model.get_weights()[0]
    model.train_on_batch(x, y)
    slope = 2 * x.T @ (x @ before + 0 - y) / y.size
    np.testing.assert_allclose(model.get_weights()[0], before - 0.1 * slope, rtol=1e-9)


def test_a_call_gets_outputs_of_any_axis(rng):
    class Same(losses.BinaryCrossentropy):
        def call(self, y_true, y_pred):
            return super().call(y_true, y_pred)

    x, y = rng.standard_normal((8, 2, 4)), rng.integers(0, 2, (8, 2, 3)).astype("f")
    model = lamina.Sequential([lamina.Input((2, 4)), layers.Dense(3, "sigmoid")])
    model.compile("sgd", Same(axis=1))
    p = model.predict(x, verbose=0)
    assert model.evaluate(x, y, verbose=0) == pytest.approx(-np.log(np.where(y, p, 1 - p)).mean(), rel=1e-5)
    model.compile("sgd", losses.BinaryCrossentropy(axis=1))
    with pytest.raises(ValueError, match="must be the last of the output's 3 axes"):
        model.evaluate(x, y, verbose=0)
