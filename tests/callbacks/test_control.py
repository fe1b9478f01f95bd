"""Callbacks that end training, set the learning rate or call functions."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import Fixed, model_and_data

from lamina import callbacks


@pytest.mark.parametrize(
    ("series", "settings", "epochs", "best"),
    [
        ([3, 2, 1, 2, 3, 4, 5], {"patience": 2}, 5, 2),
        ([3, 2, 1, 2, 3, 4, 5], {"patience": 0}, 4, 2),
        ([1, 2, 3, 2, 1, 0, 0], {"patience": 2, "mode": "max"}, 5, 2),
        ([5, 4.9, 4.8, 4.7, 4.6, 4.5, 4.4], {"patience": 2, "min_delta": 0.5}, 3, 0),
        ([9, 9, 9, 3, 4, 5, 6], {"patience": 1, "start_from_epoch": 3}, 5, 3),
        ([5, 4, 3, 2, 1, 0, -1], {"patience": 2, "baseline": 0.5}, 7, 6),
        ([5, 4, 3, 2, 2, 2, 2], {"patience": 1, "baseline": 0.5}, 5, 3),
    ],
)
def test_early_stopping(series, settings, epochs, best, rng):
    model, x, y = model_and_data(rng)
    spy = Fixed(value=series)
    stop = callbacks.EarlyStopping("value", restore_best_weights=True, **({"mode": "min"} | settings))
    history = model.fit(x, y, epochs=7, verbose=0, callbacks=[spy, stop])
    assert len(history.epoch) == epochs
    assert stop.best_epoch == best
    for array, expected in zip(model.get_weights(), spy.weights[best], strict=True):
        np.testing.assert_array_equal(array, expected)


def test_the_best_weights_come_back_when_the_epochs_run_out(rng):
    model, x, y = model_and_data(rng)
    spy = Fixed(value=[3, 1, 2])
    model.fit(x, y, epochs=3, verbose=0, callbacks=[
        spy, callbacks.EarlyStopping("value", mode="min", patience=9, restore_best_weights=True)])  # fmt: skip
    np.testing.assert_array_equal(model.get_weights()[0], spy.weights[1][0])


def test_reduce_on_plateau_and_schedules(rng):
    model, x, y = model_and_data(rng, rate=1e-3)
    series = [5, 4, 4, 4, 4, 4, 4, 4, 3]
    reduce = callbacks.ReduceLROnPlateau("value", factor=0.5, patience=2, cooldown=1, mode="min", min_lr=3e-4)
    history = model.fit(x, y, epochs=9, verbose=0, callbacks=[Fixed(value=series), reduce])
    rates = history.history["learning_rate"]
    np.testing.assert_allclose(rates, [1e-3, 1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 3e-4, 3e-4, 3e-4])
    model.optimizer.learning_rate = 0.1
    for schedule in (lambda epoch, rate: rate / 2, lambda epoch: 0.1 / 2 ** (epoch + 1)):
        model.optimizer.learning_rate = 0.1
        history = model.fit(x, y, epochs=3, verbose=0, callbacks=[callbacks.LearningRateScheduler(schedule)])
        np.testing.assert_allclose(history.history["learning_rate"], [0.05, 0.025, 0.0125])


def test_nan_ends_training(rng, capsys):
    model, x, y = model_and_data(rng, rate=1e300)
    history = model.fit(x, y, epochs=9, batch_size=4, verbose=0, callbacks=[callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1
    assert model.optimizer.iterations < 16
    assert "Invalid loss" in capsys.readouterr().out


def test_lambda_callback(rng):
    model, x, y = model_and_data(rng)
    seen = []
    hooks = callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(epoch), on_train_end=lambda logs: seen.append("end"),
        on_test_end=lambda logs: seen.append("tested"),
    )  # fmt: skip
    model.fit(x, y, epochs=2, verbose=0, validation_split=0.5, callbacks=[hooks])
    assert seen == ["tested", 0, "tested", 1, "end"]
    with pytest.raises(TypeError, match="no hook 'on_monday'"):
        callbacks.LambdaCallback(on_monday=print)


@pytest.mark.parametrize("loss", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_raises_where_that_is_wanted(loss):
    callback = callbacks.TerminateOnNaN(raise_error=True)
    callback.on_train_batch_end(2, {"loss": 1e300})
    callback.on_train_batch_end(2, None)
    with pytest.raises(RuntimeError, match="TerminateOnNaN: the loss of batch 3 must be finite; got"):
        callback.on_train_batch_end(3, {"loss": loss})


def test_no_end_of_training_is_told_where_a_loss_raises(rng):
    model, x, y = model_and_data(rng, rate=1e300)
    ended = []
    tells = callbacks.LambdaCallback(on_epoch_end=lambda *_: ended.append("epoch"), on_train_end=ended.append)
    with pytest.raises(RuntimeError, match=r"the loss of batch \d+ must be finite"):
        model.fit(x, y, batch_size=4, verbose=0, callbacks=[callbacks.TerminateOnNaN(raise_error=True), tells])
    assert ended == []
    assert 0 < model.optimizer.iterations < 16
