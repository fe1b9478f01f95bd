"""Callbacks: when they act, what they leave behind."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers, optimizers


def model_and_data(rng, dtype="float64", rate=0.1):
    x = rng.standard_normal((64, 5))
    y = x @ rng.standard_normal((5, 2))
    lamina.utils.set_random_seed(5)
    model = lamina.Sequential(
        [layers.Dense(7, "tanh", dtype=dtype), layers.Dropout(0.1, dtype=dtype), layers.Dense(2, dtype=dtype)]
    )
    model.compile(optimizers.SGD(rate, momentum=0.9), "mse", metrics=["mae", "R2Score"])
    return model, x, y


class Fixed(callbacks.Callback):
    """Writes values of its own into the logs."""

    def __init__(self, **values):
        super().__init__()
        self.values, self.weights = values, []

    def on_epoch_end(self, epoch, logs=None):
        for name, series in self.values.items():
            logs[name] = series[epoch]
        self.weights.append(self.model.get_weights())


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


def test_auto_knows_what_is_better(rng):
    model, x, y = model_and_data(rng)
    for monitor, mode in (("loss", False), ("mae", False), ("R2Score", True), ("val_R2Score", True)):
        stop = callbacks.EarlyStopping(monitor)
        model.fit(x, y, verbose=0, validation_split=0.2, callbacks=[stop])
        assert (stop.monitor_op is np.greater) is mode
    with pytest.raises(ValueError, match="not known whether more or less"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[Fixed(odd=[1, 2]), callbacks.EarlyStopping("odd")])
    with pytest.warns(UserWarning, match="there is no 'val_loss' to watch"):
        model.fit(x, y, verbose=0, callbacks=[callbacks.EarlyStopping()])


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


def test_csv_logger(tmp_path, rng):
    model, x, y = model_and_data(rng)
    path = tmp_path / "log.csv"
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=[callbacks.CSVLogger(path)]).history
    model.fit(x, y, epochs=1, verbose=0, callbacks=[callbacks.CSVLogger(path, append=True)])
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["epoch", "R2Score", "loss", "mae"]
    assert [row[0] for row in rows[1:]] == ["0", "1", "0"]
    assert [float(row[2]) for row in rows[1:3]] == history["loss"]
    later = callbacks.CSVLogger(tmp_path / "later.csv")
    model.fit(x, y, epochs=2, verbose=0, validation_data=(x, y), validation_freq=2, callbacks=[later])
    rows = list(csv.reader((tmp_path / "later.csv").read_text().splitlines()))
    assert rows[0] == ["epoch", "R2Score", "loss", "mae", "val_R2Score", "val_loss", "val_mae"]
    assert rows[1][4:] == ["NA"] * 3
    assert "NA" not in rows[2]


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


def test_checkpoints(tmp_path, rng):
    model, x, y = model_and_data(rng)
    spy = Fixed(value=[3, 1, 2])
    every = callbacks.ModelCheckpoint(tmp_path / "every" / "{epoch:02d}-{value:.1f}.safetensors")
    best = callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "value", mode="min", save_best_only=True)
    bare = callbacks.ModelCheckpoint(tmp_path / "bare.safetensors", save_weights_only=True, save_freq=3)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[spy, every, best, bare])
    assert sorted(p.name for p in (tmp_path / "every").iterdir()) == [
        "01-3.0.safetensors", "02-1.0.safetensors", "03-2.0.safetensors"]  # fmt: skip
    np.testing.assert_array_equal(
        lamina.models.load_model(tmp_path / "best.safetensors").get_weights()[0], spy.weights[1][0]
    )
    other, _, _ = model_and_data(np.random.default_rng(1))
    other.build((None, 5))
    other.load_weights(tmp_path / "bare.safetensors")
    np.testing.assert_array_equal(other.get_weights()[0], spy.weights[2][0])
    with pytest.raises(ValueError, match=r"must end in '.safetensors'"):
        callbacks.ModelCheckpoint("best.keras")


def test_a_restored_run_repeats_an_uninterrupted_one(tmp_path, rng):
    whole, x, y = model_and_data(rng)
    whole.build((None, 5))
    start = whole.get_weights()
    whole.fit(x, y, epochs=5, batch_size=8, verbose=0)

    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    broken, _, _ = model_and_data(np.random.default_rng(3))
    broken.build((None, 5))
    broken.seed = whole.seed
    broken.set_weights(start)
    broken.layers[1]._key = whole.layers[1]._key
    with pytest.raises(KeyboardInterrupt):
        broken.fit(
            x, y, epochs=5, batch_size=8, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b"), Stop()]
        )
    assert (tmp_path / "b").exists()
    resumed, _, _ = model_and_data(np.random.default_rng(3))
    resumed.build((None, 5))
    resumed.layers[1]._key = whole.layers[1]._key
    history = resumed.fit(
        x, y, epochs=5, batch_size=8, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b")]
    )
    assert history.epoch == [3, 4]
    assert not (tmp_path / "b").exists()
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_is_no_number_in_the_logs_is_shown_and_not_watched(capsys):
    class Says(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["phase"] = "warm"

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    stop = callbacks.EarlyStopping("phase", mode="min", patience=0)
    with pytest.warns(UserWarning, match="'phase' must be one number to be watched; it is 'warm'"):
        model.fit(np.ones((4, 3)), np.ones(4), epochs=2, verbose=2, callbacks=[Says(), stop])
    assert capsys.readouterr().out.count("phase: warm") == 2
