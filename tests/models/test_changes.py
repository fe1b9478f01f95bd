"""What is changed between two calls, or while one waits, acts in the next: nothing is computed for an older state."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import small_model

import lamina
from lamina import constraints, layers, losses, metrics, optimizers, regularizers


class InPython(optimizers.Optimizer):
    def update(self, variable, gradient):
        variable.assign(variable.numpy() - 0.1 * gradient)


def data(rows=16, columns=1):
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, 3)).astype(np.float32), rng.random((rows, columns)).astype(np.float32)


@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        (losses.BinaryCrossentropy, 2), (losses.BinaryFocalCrossentropy, 2), (losses.CategoricalCrossentropy, 2),
        (losses.CategoricalFocalCrossentropy, 2), (losses.SparseCategoricalCrossentropy, 0),
    ],
)  # fmt: skip
def test_from_logits_of_a_loss(loss, columns):
    x, y = data(columns=2)
    y = y / y.sum(axis=1, keepdims=True) if columns else (y[:, 0] > 0.5).astype(np.int64)
    model, fresh = small_model(2, loss=loss()), small_model(2, loss=loss(from_logits=True))
    before = model.evaluate(x, y, verbose=0)
    model.loss.from_logits = True
    assert model.evaluate(x, y, verbose=0) == fresh.evaluate(x, y, verbose=0) != before
    for one in (model, fresh):
        one.train_on_batch(x, y)
    np.testing.assert_array_equal(model.get_weights()[0], fresh.get_weights()[0])


@pytest.mark.parametrize("place", ["kernel_regularizer", "activity_regularizer", "inner"])
def test_a_factor_of_a_regularizer(place):
    def model_with(l2):
        lamina.utils.set_random_seed(0)
        rule = regularizers.L2(l2)
        layer = (
            layers.Dense(4, layers.LeakyReLU(0.1, activity_regularizer=rule))
            if place == "inner"
            else layers.Dense(4, **{place: rule})
        )
        model = lamina.Sequential([lamina.Input((3,)), layer, layers.Dense(1)])
        model.compile("sgd", "mse")
        return model, rule

    x, y = data()
    (model, rule), (fresh, _) = model_with(0.1), model_with(2.0)
    before = model.evaluate(x, y, verbose=0)
    rule.l2 = 2.0
    assert model.evaluate(x, y, verbose=0) == fresh.evaluate(x, y, verbose=0) > before
    for one in (model, fresh):
        one.train_on_batch(x, y)
    np.testing.assert_array_equal(model.get_weights()[0], fresh.get_weights()[0])


def test_a_bound_of_a_constraint():
    rule = constraints.MaxNorm(5.0)
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, kernel_constraint=rule), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = data()
    model.train_on_batch(x, y)
    rule.max_value = 0.01
    model.train_on_batch(x, y)
    assert np.linalg.norm(model.get_weights()[0], axis=0).max() <= 0.01 * (1 + 1e-6)


def test_the_threshold_of_a_metric():
    x, y = data(columns=2)
    metric = metrics.BinaryAccuracy(threshold=-1e9)
    model = small_model(2, metrics=[metric])
    y = (y > 0.5).astype(np.float32)
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(y.mean())
    metric.threshold = 1e9
    assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(1 - y.mean())


def test_attributes_of_a_custom_metric_are_its_own():
    class Counted(metrics.Metric):
        def __init__(self):
            super().__init__("counted")
            self.parameters = 3  # the library's metrics have a method of this name
            self.seen = 0

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen += len(y_pred)

        def result(self):
            return float(self.seen)

        def reset_state(self):
            self.seen = 0

    x, y = data()
    model = small_model(metrics=[Counted()])
    assert model.evaluate(x, y, verbose=0)[1] == 16


@pytest.mark.parametrize("optimizer", ["adam", InPython, "python rule"])
def test_a_layer_that_is_unfrozen_by_a_callback(optimizer):
    class PythonRule(regularizers.Regularizer):
        def value_and_gradient(self, w):
            return 0.0, np.zeros_like(w)

    class Thaw(lamina.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.layers[0].trainable = True
            kernels.append(self.model.get_weights()[0])

    x, y = data()
    model, kernels = small_model(), []
    if optimizer == "python rule":
        model.layers[1].kernel.regularizer = PythonRule()
        optimizer = "adam"
    model.layers[0].trainable = False
    model.compile(optimizer(0.1) if isinstance(optimizer, type) else optimizer, "mse")
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Thaw()])
    assert (kernels[0] != kernels[1]).any()
    assert (kernels[1] != kernels[2]).any()
    assert len(model.optimizer.variables) == 2 + 4 * len(model.optimizer.state_names())


def test_a_layer_that_is_frozen_in_the_midst_of_a_step_in_python_takes_that_step():
    class Freezes(layers.Layer):
        def forward(self, x, *, training):
            if training and freezing:
                model.layers[0].trainable = False
            return layers.Pass(x)

        def backward(self, dy, saved, *, need_dx):
            return dy, []

    x, y = data()
    freezing = []
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2), Freezes(), layers.Dense(1)])
    model.compile(InPython(0.1), "mse")
    model.train_on_batch(x, y)
    freezing.append(True)
    for moves in (True, False):
        before = model.get_weights()
        model.train_on_batch(x, y)
        assert (model.get_weights()[0] != before[0]).any() == moves
        assert (model.get_weights()[2] != before[2]).any()
    assert model.optimizer.batches == 3
