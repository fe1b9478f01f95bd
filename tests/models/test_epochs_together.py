"""Short epochs that the engine trains many at a time: everything is as if Python ran between them."""

from __future__ import annotations

import itertools
import signal
import threading
import time

import numpy as np
import pytest
from helpers import interrupted_after, not_sanitized

import lamina
from lamina import callbacks, layers, losses, models, optimizers
from lamina._engine.variables import one_moment
from lamina.models import epochs as epochs_module

ROWS = np.random.default_rng(0).standard_normal((90, 6)).astype("f")
CLASSES = np.random.default_rng(1).integers(0, 3, 90)
HELD_OUT = ROWS[:20] + np.float32(0.1), CLASSES[:20]


class _ReadsPython(callbacks.Callback):
    """Keeps `fit` from training epochs together."""

    def on_epoch_end(self, epoch, logs=None):
        pass


@pytest.fixture(autouse=True)
def together(monkeypatch):
    """Count the epochs that the engine trained together, in calls as short as on a slow machine."""
    counted = []
    train = epochs_module.EpochsTogether.train

    def counting(self, epoch, end):
        after, logs = train(self, epoch, end)
        counted.append(after - epoch)
        return after, logs

    monkeypatch.setattr(epochs_module.EpochsTogether, "train", counting)
    monkeypatch.setattr(epochs_module, "SHORT_EPOCH", 10.0)
    monkeypatch.setattr(epochs_module, "SLICE", 0.005)
    return counted


def new_model(optimizer="adam", metrics=("accuracy",), **compiled):
    lamina.utils.set_random_seed(5)
    model = models.Sequential([layers.Input((6,)), layers.Dense(9, "tanh"), layers.Dropout(0.2), layers.Dense(3)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer() if callable(optimizer) else optimizer, loss, metrics=list(metrics), **compiled)
    return model


def state_of(model):
    state = model.executor.state()
    weights = [w.tobytes() for w in model.get_weights()]
    slots = [v.numpy().tobytes() for v in model.optimizer.variables]
    return weights, slots, state, model.get_metrics_result(), model.history.epoch, model.history.history


def both(counted, make, new_callbacks=list, **arguments):
    """Fit two models, one with Python between the epochs; return them and their callbacks."""
    found = []
    for python in (True, False):
        counted.clear()
        model, given = make(), new_callbacks()
        model.fit(
            ROWS, CLASSES, verbose=0, callbacks=given + ([_ReadsPython()] if python else []),
            **{"epochs": 25, "batch_size": 32} | arguments,
        )  # fmt: skip
        assert bool(counted) != python
        found.append((model, given))
    (slow, _), (fast, _) = found
    assert repr(state_of(slow)) == repr(state_of(fast))
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"shuffle": False},
        {"batch_size": 1000},
        {"validation_data": HELD_OUT},
        {"validation_data": HELD_OUT, "validation_freq": 4, "validation_batch_size": 7},
        {"validation_split": 0.3, "validation_freq": [2, 3, 19]},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
        {"initial_epoch": 7},
        {"epochs": 2},
    ],
    ids=lambda arguments: ", ".join(arguments),
)
def test_results_are_those_of_single_epochs(together, arguments):
    both(together, new_model, **arguments)


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)),
        lambda: optimizers.Adam(0.01, global_clipnorm=0.5, use_ema=True, ema_overwrite_frequency=7),
        lambda: optimizers.SGD(0.1, gradient_accumulation_steps=4),
        lambda: optimizers.Nadam(0.01),
    ],
)
def test_optimizers_go_on_through_all_epochs(together, optimizer):
    both(together, lambda: new_model(optimizer), validation_data=HELD_OUT)


STOPPING = list(
    itertools.product(
        ("val_loss", "loss", "accuracy", "val_accuracy"),
        (
            {"patience": 3, "restore_best_weights": True},
            {"patience": 0, "min_delta": 0.01},
            {"patience": 2, "baseline": 0.9, "restore_best_weights": True},
            {"patience": 1, "start_from_epoch": 6, "restore_best_weights": True},
            {"patience": 100, "restore_best_weights": True},
        ),
    )
)


@pytest.mark.parametrize(("monitor", "settings"), STOPPING)
def test_early_stopping_is_that_of_single_epochs(together, monitor, settings):
    (_, (slow,)), (_, (fast,)) = both(
        together, lambda: new_model(lambda: optimizers.Adam(0.05)),
        lambda: [callbacks.EarlyStopping(monitor, **settings)], validation_data=HELD_OUT, epochs=60,
    )  # fmt: skip
    for name in ("best", "best_epoch", "stopped_epoch", "wait"):
        assert getattr(slow, name) == getattr(fast, name), name
    weights = [None if one.best_weights is None else [w.tobytes() for w in one.best_weights] for one in (slow, fast)]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("epochs_with_values", [list(range(1, 21)), 3, [1]])
def test_a_value_that_is_not_there_after_every_epoch_is_watched_by_python(together, epochs_with_values):
    model, stopping = new_model(), callbacks.EarlyStopping("val_loss", patience=100)
    with pytest.warns(UserWarning, match="there is no 'val_loss'"):
        model.fit(
            ROWS, CLASSES, epochs=40, verbose=0, validation_data=HELD_OUT, validation_freq=epochs_with_values,
            callbacks=[stopping],
        )  # fmt: skip
    assert not together
    assert stopping.best == min(model.history.history["val_loss"])


def test_several_callbacks_stop_together(together):
    def stopping():
        return [callbacks.EarlyStopping("loss", patience=30), callbacks.EarlyStopping("val_accuracy", patience=4)]

    (_, slow), (_, fast) = both(together, new_model, stopping, validation_data=HELD_OUT, epochs=60)
    assert [one.stopped_epoch for one in slow] == [one.stopped_epoch for one in fast]


def test_weights_without_a_place_in_the_engine_are_kept_too(together):
    """A layer's weights that no op reads, and running moments."""

    def make():
        model = models.Sequential(
            [layers.Input((6,)), layers.Normalization(), layers.Dense(8), layers.BatchNormalization()]
        )
        model.add(layers.Dense(3))
        model.layers[0].adapt(ROWS)
        model.compile(optimizers.Adam(0.05), losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def seeded():
        lamina.utils.set_random_seed(3)
        return make()

    both(
        together, seeded, lambda: [callbacks.EarlyStopping("val_loss", patience=2, restore_best_weights=True)],
        validation_data=HELD_OUT, epochs=40,
    )  # fmt: skip


def test_values_that_are_not_means_or_unknown_go_through_python(together):
    model = new_model(metrics=[])
    model.compile("sgd", "mse", metrics=["root_mean_squared_error"])
    model.fit(ROWS, np.eye(3, dtype="f")[CLASSES], epochs=4, verbose=0)
    assert not together
    model = new_model()
    with pytest.warns(UserWarning, match="there is no 'val_loss'"):
        model.fit(ROWS, CLASSES, epochs=3, verbose=0, callbacks=[callbacks.EarlyStopping()])
    model.fit(ROWS, CLASSES, epochs=3, verbose=0, callbacks=[type("Mine", (callbacks.History,), {})()])
    history = callbacks.History()
    history.on_epoch_begin = lambda epoch, logs=None: None
    model.fit(ROWS, CLASSES, epochs=3, verbose=0, callbacks=[history])
    assert not together


def test_lines_and_tables_have_every_epoch(together, tmp_path, capsys):
    model = new_model()
    table = tmp_path / "log.csv"
    history = model.fit(
        ROWS, CLASSES, epochs=12, verbose=2, callbacks=[callbacks.CSVLogger(table)], validation_data=HELD_OUT,
        validation_freq=3,
    ).history  # fmt: skip
    assert sum(together) == 11
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("Epoch")] == [f"Epoch {i + 1}/12" for i in range(12)]
    numbers = [line for line in lines if "loss:" in line]
    assert len(numbers) == 12
    assert sum("val_loss" in line for line in numbers) == 4
    assert f"loss: {history['loss'][-1]:.4f}" in numbers[-1]
    rows = np.genfromtxt(table, delimiter=",", names=True)
    assert rows["epoch"].tolist() == list(range(12))
    np.testing.assert_array_equal(rows["loss"], history["loss"])


def test_another_thread_can_stop_it(together):
    model = new_model()
    timer = threading.Timer(0.3, lambda: setattr(model, "stop_training", True))
    timer.start()
    model.fit(ROWS, CLASSES, epochs=500_000, verbose=0)
    timer.join()
    assert len(model.history.epoch) < 500_000
    assert len(model.history.epoch) == len(model.history.history["loss"])


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(together):
    reference = new_model()
    interrupted = new_model()
    stopping = callbacks.EarlyStopping("loss", patience=10**9, restore_best_weights=True)
    with interrupted_after(0.2, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        interrupted.fit(ROWS, CLASSES, epochs=500_000, batch_size=90, verbose=0, callbacks=[stopping])
    done = len(interrupted.history.epoch)
    assert done > 2
    assert interrupted.history.epoch == list(range(done))
    assert interrupted.optimizer.iterations == interrupted.executor.draws.value == interrupted.executor.shuffles == done
    assert stopping.best_epoch == int(np.argmin(interrupted.history.history["loss"]))
    done = min(done, 3000)
    reference.fit(ROWS, CLASSES, epochs=done, batch_size=90, verbose=0)
    assert reference.history.history["loss"] == interrupted.history.history["loss"][:done]


def test_state_that_other_threads_read_belongs_to_one_moment(together):
    model, states, done = new_model(), [], threading.Event()

    def look():
        while not done.is_set():
            with one_moment(model.trainable_variables):
                states.append(model.executor.state(metrics=False))

    model.fit(ROWS, CLASSES, epochs=2, batch_size=32, verbose=0)
    thread = threading.Thread(target=look)
    thread.start()
    model.fit(ROWS, CLASSES, epochs=400, batch_size=32, verbose=0)
    done.set()
    thread.join()
    for state in states:
        assert state.batches == state.draws
        passes = -(-state.batches // 3)
        assert state.shuffles in (passes, passes + 1)  # the next may have begun
        if 2 < passes < 402:
            assert state.epoch + 2 in (passes - 1, passes)
            assert 3 * (state.epoch + 2) + -(-state.row // 32) == state.batches
    final = model.executor.state(metrics=False)
    assert (final.batches, final.draws, final.shuffles, final.epoch, final.row) == (1206, 1206, 402, 399, 90)


@not_sanitized
def test_it_costs_little_beside_the_steps(together, monkeypatch):
    monkeypatch.setattr(epochs_module, "SLICE", 0.1)
    model = new_model()

    def seconds(given):
        begun = time.perf_counter()
        model.fit(ROWS, CLASSES, epochs=1000, batch_size=90, verbose=0, callbacks=given)
        return time.perf_counter() - begun

    pairs = [(seconds([]), seconds([_ReadsPython()])) for _ in range(5)]
    assert min(a for a, _ in pairs) < 0.5 * min(b for _, b in pairs)
