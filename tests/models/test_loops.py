"""Loops over epochs and batches: orders of rows, callbacks, ends before all batches are done."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from conftest import classification_model
from helpers import blobs

import lamina
from lamina import callbacks, layers, optimizers, utils
from lamina.layers import Pass

RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((12, 4)).astype("f"), RNG.standard_normal((12, 3)).astype("f")


def test_shuffling_is_repeatable_and_new_each_epoch(rng):
    x, y = blobs(rng)

    def train(seed, calls=1, shuffle=True):
        utils.set_random_seed(seed)
        model = classification_model()
        for _ in range(calls):
            model.fit(x, y, epochs=2 // calls, shuffle=shuffle, verbose=0)
        return model.get_weights()[0]

    np.testing.assert_array_equal(train(1), train(1))
    np.testing.assert_array_equal(train(1), train(1, calls=2))
    assert not np.array_equal(train(1), train(2))
    assert not np.array_equal(train(1), train(1, shuffle=False))


def test_every_epoch_has_an_order_of_its_own():
    x = np.arange(50, dtype="f")[:, np.newaxis]
    seen = []

    class Spy(layers.Layer):
        def forward(self, x, *, training):
            seen.append(x[:, 0].astype(int))
            return Pass(x)

        def backward(self, dy, forward_pass, *, need_dx):
            return dy, []

    model = lamina.Sequential([Spy(input_dim=1), layers.Dense(1)])
    model.compile(optimizers.SGD(0.0), "mse")
    model.fit(x, x, epochs=3, batch_size=50, verbose=0)
    model.fit(x, x, batch_size=50, verbose=0)
    for order in seen:
        np.testing.assert_array_equal(np.sort(order), np.arange(50))
    assert len({tuple(order) for order in seen}) == 4


def test_callbacks_are_called_in_order(rng):
    x, y = blobs(rng, 40)
    seen = []

    class Spy(lamina.callbacks.Callback):
        def on_train_begin(self, logs=None):
            seen.append("train_begin")

        def on_epoch_begin(self, epoch, logs=None):
            seen.append(f"epoch_begin {epoch}")

        def on_train_batch_begin(self, batch, logs=None):
            seen.append(f"batch_begin {batch}")

        def on_train_batch_end(self, batch, logs=None):
            assert set(logs) == {"loss", "accuracy"}
            seen.append(f"batch_end {batch}")

        def on_epoch_end(self, epoch, logs=None):
            assert "val_loss" in logs
            self.model.stop_training = epoch == 1

        def on_train_end(self, logs=None):
            seen.append("train_end")

    spy = Spy()
    model = classification_model(metrics=["accuracy"])
    model.fit(x, y, epochs=5, batch_size=20, validation_split=0.25, callbacks=[spy], verbose=0)
    epoch = ["batch_begin 0", "batch_end 0", "batch_begin 1", "batch_end 1"]
    assert seen == ["train_begin", "epoch_begin 0", *epoch, "epoch_begin 1", *epoch, "train_end"]
    assert spy.params == {"epochs": 5, "steps": 2, "verbose": 0}
    listener = lamina.callbacks.Callback()
    tested = []
    listener.on_test_end = tested.append
    listener.on_train_end = tested.append
    history = model.fit(x, y, validation_data=(x, y), callbacks=listener, verbose=0)
    assert [set(logs) for logs in tested] == [{"loss", "accuracy"}, set(history.history)]
    model.evaluate(x, y, callbacks=[listener], verbose=0)
    assert len(tested) == 3
    listener.on_predict_batch_end = lambda batch, logs: tested.append(batch)
    model.predict(x, batch_size=30, callbacks=[listener])
    assert tested[3:] == [0, 1]


HOOKS = [name for name in vars(callbacks.Callback) if name.startswith("on_") and "on_batch" not in name]


def test_every_hook_of_a_callback_is_called():
    counts = dict.fromkeys(HOOKS, 0)

    def counting(name):
        def hook(self, *arguments):
            counts[name] += 1
            wanted = len(inspect.signature(getattr(callbacks.Callback, name)).parameters) - 1
            assert len(arguments) == wanted

        return hook

    spy = type("Spy", (callbacks.Callback,), {name: counting(name) for name in HOOKS})()
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    model.fit(X, Y, batch_size=4, epochs=2, validation_data=(X, Y), validation_batch_size=6, verbose=0, callbacks=[spy])
    model.evaluate(X, Y, batch_size=3, verbose=0, callbacks=[spy])
    model.predict(X, batch_size=5, callbacks=[spy])
    expected = {
        "train_begin": 1, "train_end": 1, "epoch_begin": 2, "epoch_end": 2,
        "train_batch_begin": 6, "train_batch_end": 6,
        "test_begin": 3, "test_end": 3, "test_batch_begin": 8, "test_batch_end": 8,
        "predict_begin": 1, "predict_end": 1, "predict_batch_begin": 3, "predict_batch_end": 3,
    }  # fmt: skip
    assert counts == {f"on_{name}": count for name, count in expected.items()}


def test_every_run_can_be_stopped_between_batches():
    class Stop(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.stop_training = True

        def on_test_batch_end(self, batch, logs=None):
            self.model.stop_evaluating = True

        def on_predict_batch_end(self, batch, logs=None):
            self.model.stop_predicting = True

    class Begin(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.stop_training = True

    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    for stop in (Stop(), Begin()):
        before = int(model.optimizer.iterations)
        history = model.fit(X, Y, batch_size=2, epochs=3, verbose=0, callbacks=[stop])
        assert len(history.epoch) == 1
        assert model.optimizer.iterations == before + 1
    assert len(model.predict(X, batch_size=5, callbacks=[Stop()])) == 5
    assert model.evaluate(X, Y, batch_size=4, verbose=0, callbacks=[Stop()]) == pytest.approx(
        model.evaluate(X[:4], Y[:4], verbose=0), rel=1e-6
    )
    own = callbacks.History()
    assert model.fit(X, Y, verbose=0, callbacks=[own]) is own


def test_rows_that_run_out_are_told_of():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="evaluate: the rows ran out after 3 of 5"):
        model.evaluate(X, Y, batch_size=4, steps=5, verbose=0)
    with pytest.warns(UserWarning, match="predict: the rows ran out after 3 of 5"):
        model.predict(X, batch_size=4, steps=5)
    with pytest.warns(UserWarning, match="the rows ran out after 3 of 5"):
        model.fit(X, Y, validation_data=(X, Y), validation_batch_size=4, validation_steps=5, verbose=0)


def test_logs_of_a_batch_are_the_means_of_the_epoch_so_far(rng):
    x, y = rng.standard_normal((12, 4)), rng.standard_normal((12, 2))
    model = lamina.Sequential([lamina.Input((4,), dtype="float64"), layers.Dense(2, dtype="float64")])
    model.compile(optimizers.SGD(0.0), "mse", metrics=["mae"])  # it stays as it is
    error = model.predict(x) - y
    seen = []
    hook = callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs)))
    model.fit(x, y, batch_size=5, epochs=2, shuffle=False, verbose=0, callbacks=[hook])
    assert [batch for batch, _ in seen] == [0, 1, 2] * 2  # the last of 2 rows
    for (_, logs), end in zip(seen, [5, 10, 12] * 2, strict=True):
        assert logs["mae"] == pytest.approx(np.abs(error[:end]).mean(), rel=1e-12)
        assert logs["loss"] == pytest.approx((error[:end] ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize(("rows", "size", "batches"), [(12, 4, 3), (12, 5, 3), (12, 100, 1), (1, 1, 1)])
def test_an_epoch_has_a_step_for_each_batch(rows, size, batches):
    for listeners in ([], [callbacks.LambdaCallback(on_train_batch_end=lambda *_: None)]):
        model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
        model.compile("sgd", "mse")
        model.fit(X[:rows], Y[:rows], batch_size=size, epochs=2, verbose=0, callbacks=listeners)
        assert model.optimizer.iterations == 2 * batches


def test_steps_of_an_evaluation_without_a_size_divide_all_rows():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    sizes = []
    hook = callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: sizes.append(batch))
    found = model.evaluate(X, Y, steps=4, verbose=0, callbacks=[hook])
    assert sizes == [0, 1, 2, 3]
    assert found == pytest.approx(model.evaluate(X, Y, verbose=0), rel=1e-6)
    first = model.evaluate(X, Y, steps=2, batch_size=3, verbose=0)
    assert first == pytest.approx(model.evaluate(X[:6], Y[:6], verbose=0), rel=1e-6)


def test_a_callback_may_begin_with_a_later_epoch():
    class Skips(callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.initial_epoch = 3

    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    assert model.fit(X, Y, epochs=5, verbose=0, callbacks=[Skips()]).epoch == [3, 4]
