"""Steps in which code of the user's raises: they are taken whole or not at all, and training goes on where it was."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import callbacks, constraints, layers, losses, metrics, optimizers, regularizers
from lamina.layers import Pass

X = np.tile(np.random.default_rng(3).random((16, 5)).astype("f"), (4, 1))  # every batch of 16 is the same
Y = np.zeros((64, 2), "f")


class Failure:
    """Raises where it was set to: ``failure(place)`` at the given call of that place, and never again."""

    def __init__(self):
        self.place, self.calls, self.exception = None, 0, None

    def set(self, place, calls, exception):
        self.place, self.calls, self.exception = place, calls, exception

    def __call__(self, place):
        if place == self.place:
            self.calls -= 1
            if self.calls < 0:
                self.place = None
                raise self.exception


def user_model(failure, optimizer, rules):
    """Compile a model in which everything that a step calls is written in Python, and may fail."""

    class Scale(layers.Layer):
        def build(self, input_shape):
            self.mark_built(input_shape)
            self.factor = self.add_weight((1,), "ones", name="factor")

        def forward(self, x, *, training):
            failure("forward")
            return Pass(x * self.factor.value, x)

        def backward(self, dy, forward_pass, *, need_dx):
            failure("backward")
            return dy * self.factor.value, [np.array([(dy * forward_pass.saved).sum()])]

    class Squares(losses.Loss):
        def value_and_gradient(self, y_true, y_pred):
            failure("loss")
            error = y_pred - y_true
            return (error**2).mean(1), 2 * error / error.shape[1]

    class Absolute(metrics.Metric):
        def row_values(self, y_true, y_pred):
            failure("metric")
            return abs(y_pred - y_true).mean(1)

    class Rate(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            failure("schedule")
            return 0.01

        def get_config(self):
            return {}

    class Penalty(regularizers.Regularizer):
        def value_and_gradient(self, w):
            failure("regularizer")
            return float((w**2).sum()), 2 * w

    class Clipped(constraints.Constraint):
        def __call__(self, w):
            failure("constraint")
            return np.clip(w, -1, 1)

    class Halves(optimizers.Optimizer):
        def state_names(self):
            return ("velocity", *super().state_names())

        def update(self, variable, gradient):
            velocity = self.slot("velocity", variable)
            velocity.assign(0.5 * velocity.value + gradient)
            variable.assign_sub(self.learning_rate * velocity.value)
            failure("update")

    made = {
        "adam": lambda: optimizers.Adam(Rate()),
        "average": lambda: optimizers.SGD(Rate(), momentum=0.9, use_ema=True, ema_overwrite_frequency=3),
        "accumulating": lambda: optimizers.SGD(Rate(), momentum=0.9, gradient_accumulation_steps=2),
        "own": lambda: Halves(Rate()),
    }[optimizer]()
    lamina.utils.set_random_seed(1)
    given = {"kernel_regularizer": Penalty(), "kernel_constraint": Clipped()} if rules else {}
    stack = [layers.Dense(6, "relu", **given), Scale(), layers.BatchNormalization(), layers.Dropout(0.2)]
    model = lamina.Sequential([lamina.Input((5,)), *stack, layers.Dense(2, **given)])
    model.compile(made, Squares(), metrics=[Absolute()])
    return model


def state(model):
    """Everything that a step changes, as bytes."""
    optimizer = model.optimizer
    arrays = [*model.get_weights(), *(np.asarray(variable) for variable in optimizer.variables)]
    return [array.tobytes() for array in arrays], optimizer.batches


PLACES = ["forward", "backward", "loss", "metric", "schedule"]
CASES = [
    *((place, optimizer, False) for place in PLACES for optimizer in ("adam", "accumulating")),
    *((place, "own", False) for place in [*PLACES, "update"]),
    *((place, "adam", True) for place in [*PLACES, "regularizer", "constraint"]),
    *((place, optimizer, True) for place in ["regularizer", "constraint"] for optimizer in ("average", "accumulating")),
    *((place, "own", True) for place in ["regularizer", "constraint", "update"]),
]


@pytest.mark.parametrize(("place", "optimizer", "rules"), CASES)
@pytest.mark.parametrize("exception", [KeyError("here"), KeyboardInterrupt(), StopIteration(), MemoryError()], ids=repr)
def test_after_a_failure_everything_is_as_after_the_steps_before(place, optimizer, rules, exception):
    failure = Failure()
    model, twin = (user_model(failure, optimizer, rules) for _ in range(2))
    moments = {}

    class Watch(callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            moments[int(twin.optimizer.batches)] = state(twin)

    for each in (model, twin):
        each.fit(X, Y, batch_size=16, verbose=0, shuffle=False)
    moments[int(twin.optimizer.batches)] = state(twin)
    twin.fit(X, Y, batch_size=16, verbose=0, epochs=3, shuffle=False, callbacks=[Watch()])
    for calls in (0, 1, 5):
        failure.set(place, calls, exception)
        with pytest.raises(type(exception)):
            model.fit(X, Y, batch_size=16, verbose=0, epochs=2, shuffle=False)
        assert state(model) == moments[int(model.optimizer.batches)]
    model.compile("sgd", "mse")  # nothing is in use any more
    model.fit(X, Y, verbose=0)


def test_a_schedule_is_asked_once_a_step():
    asked = []

    class Rate(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            asked.append(step)
            return 1.0 + len(asked)

    layer = layers.Dense(2)
    layer.build((None, 3))
    optimizer = optimizers.SGD(Rate())
    ones = [np.ones(v.shape, "f") for v in layer.trainable_weights]
    before = layer.get_weights()
    optimizer.apply(ones, layer.trainable_weights)
    assert asked == [0]
    for value, old in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_allclose(value, old - 2, rtol=1e-6)
    assert float(optimizer.learning_rate) == 3.0


@pytest.mark.parametrize("where", ["loss", "layer"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_that_fails_changes_nothing(where, threads, restore_threads):
    """Neither weights nor running moments, which have gone through the batch already."""
    failing = False

    class Fails(losses.Loss):
        def value_and_gradient(self, y_true, y_pred):
            if failing:
                raise RuntimeError("here")
            return ((y_pred - y_true) ** 2).mean(1), 2 * (y_pred - y_true) / y_pred.shape[1]

    class FailsBack(layers.Layer):
        def forward(self, x, *, training):
            return Pass(x.copy())

        def backward(self, dy, forward_pass, *, need_dx):
            if failing:
                raise RuntimeError("here")
            return dy.copy(), []

    lamina.set_num_threads(threads)
    x, y = np.random.default_rng(0).random((200, 3)).astype("f"), np.zeros((200, 2), "f")
    below = [FailsBack()] if where == "layer" else []
    stack = [layers.Dense(4), *below, layers.BatchNormalization(), layers.Dense(2), layers.BatchNormalization()]
    model = lamina.Sequential([lamina.Input((3,)), *stack])
    model.compile(optimizers.SGD(0.1, momentum=0.9), Fails() if where == "loss" else "mse")
    model.fit(x, y, verbose=0)
    before = model.get_weights()
    failing = True
    with pytest.raises(RuntimeError, match="here"):
        model.train_on_batch(x, y)
    assert all(map(np.array_equal, model.get_weights(), before))
    failing = False
    model.train_on_batch(x, y)
    assert not any(map(np.array_equal, model.get_weights(), before))


class Failing(regularizers.Regularizer):
    def value_and_gradient(self, w):
        raise ZeroDivisionError("a rule")


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_a_rule_that_fails_in_its_trial_leaves_the_model_unbuilt(method):
    model = lamina.Sequential([layers.Dense(2, kernel_regularizer=Failing())])
    model.compile("sgd", "mse", metrics=["accuracy"])
    settings = {} if "batch" in method else {"verbose": 0}
    with pytest.raises(ZeroDivisionError, match="a rule"):
        getattr(model, method)(np.ones((8, 3)), np.zeros((8, 2)), **settings)
    assert not model.built
    assert not model.optimizer.built
    model.layers[0].kernel_regularizer = None
    getattr(model, method)(np.ones((8, 4)), np.zeros((8, 1, 2))[:, 0], **settings)
    assert model.layers[0].kernel.shape == (4, 2)
