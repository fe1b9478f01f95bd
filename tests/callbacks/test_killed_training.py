"""Training that is killed again and again ends as one that was not: the same weights, history and files.

LAMINA_KILLS says how often each kind of training is killed; the default is for a quick run.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import random
import signal
import time

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers, optimizers

KILLS = int(os.environ.get("LAMINA_KILLS", "1"))
COUNTS = []  # how often each was killed: one that was quick may have ended first

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 6)).astype("f")
Y = np.stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])], axis=1)
HELD_OUT = (X[40:] + 0.1, Y[40:])

OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.05),
    "Nesterov": lambda: optimizers.SGD(0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adam": lambda: optimizers.Adam(0.01),
    "AMSGrad": lambda: optimizers.Adam(0.01, amsgrad=True, clipnorm=0.5),
    "AdamW": lambda: optimizers.AdamW(0.01),
    "Adamax": lambda: optimizers.Adamax(0.01),
    "Nadam": lambda: optimizers.Nadam(0.01),
    "RMSprop": lambda: optimizers.RMSprop(0.01, momentum=0.5, centered=True),
    "Adagrad": lambda: optimizers.Adagrad(0.05),
    "Adadelta": lambda: optimizers.Adadelta(1.0),
    "Lion": lambda: optimizers.Lion(0.003),
    "averages": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=5),
    "accumulation": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=4),
    "schedule": lambda: optimizers.SGD(optimizers.schedules.ExponentialDecay(0.1, 7, 0.9)),
    "LBFGS": lambda: optimizers.LBFGS(),
    "LevenbergMarquardt": lambda: optimizers.LevenbergMarquardt(),
}
WHOLE = ("LBFGS", "LevenbergMarquardt")


class Batches:
    """A sequence of batches, which `fit` shuffles."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return X[8 * index : 8 * index + 8], Y[8 * index : 8 * index + 8]


def endless():
    """Yield batches that are never the same, in their order."""
    rng = np.random.default_rng(1)
    while True:
        rows = rng.integers(0, 50, 9)
        yield X[rows], Y[rows]


# Data besides arrays: what `fit` is given.
STREAMS = {
    "sequence": lambda: {"x": Batches()},
    "sequence in parts": lambda: {"x": Batches(), "steps_per_epoch": 4},
    "generator": lambda: {"x": endless(), "steps_per_epoch": 5},
    "list": lambda: {"x": iter([batch for batch, _ in zip(endless(), range(30), strict=False)]), "steps_per_epoch": 5},
    "steps of rows": lambda: {"x": X, "y": Y, "batch_size": 8, "steps_per_epoch": 4},
}


class Slow(callbacks.Callback):
    """Gives the killer time, and counts in its own way what `Callback` cannot know."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.batches = seconds, 0

    def get_state(self):
        return {"batches": self.batches, "last": np.float32(self.batches)}

    def set_state(self, state):
        self.batches = state["batches"]
        assert state["last"].dtype == np.float32

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        time.sleep(self.seconds)

    def on_epoch_end(self, epoch, logs=None):
        logs["batches"] = float(self.batches)
        time.sleep(self.seconds)


def train(folder, optimizer, data, freq, seconds):
    lamina.utils.set_random_seed(5)
    noise = [layers.BatchNormalization(), layers.Dropout(0.3)] if optimizer not in WHOLE else []
    model = lamina.Sequential([lamina.Input((6,)), layers.Dense(12, "tanh"), *noise, layers.Dense(2)])
    model.compile(OPTIMIZERS[optimizer](), "mse", metrics=["mae", "r2_score"])
    slow = Slow(seconds)
    listeners = [
        callbacks.BackupAndRestore(folder / "backup", save_freq=freq),
        slow,
        callbacks.EarlyStopping(patience=3, restore_best_weights=True),
        callbacks.CSVLogger(folder / "log.csv"),
        callbacks.ModelCheckpoint(folder / "best.safetensors", save_best_only=True),
    ]
    if optimizer not in (*WHOLE, "schedule"):
        listeners += [
            callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.95),
            callbacks.ReduceLROnPlateau(patience=1, factor=0.5),
        ]
    given = {"x": X, "y": Y, "batch_size": 50 if optimizer in WHOLE else 8} if data is None else STREAMS[data]()
    history = model.fit(**given, epochs=6, validation_data=HELD_OUT, verbose=0, callbacks=listeners)
    found = {
        "weights": [array.tobytes() for array in model.get_weights()],
        "optimizer": [variable.numpy().tobytes() for variable in model.optimizer.variables],
        "history": history.history,
        "epoch": history.epoch,
        "table": (folder / "log.csv").read_bytes(),
        "best": [array.tobytes() for array in lamina.models.load_model(folder / "best.safetensors").get_weights()],
        "next": model.predict_on_batch(
            X,
        ).tobytes(),
    }
    (folder / "found").write_bytes(pickle.dumps(found))


def killed(folder, kills, *arguments):
    """Train in processes that are killed, until one of them ends; return how many were killed."""
    context, count, rng = multiprocessing.get_context("fork"), 0, random.Random(str(arguments))
    while True:
        process = context.Process(target=train, args=(folder, *arguments))
        process.start()
        if count < kills:
            process.join(rng.uniform(0.005, 0.12))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
        process.join()
        if process.exitcode == 0:
            return count
        assert process.exitcode == -signal.SIGKILL
        count += 1


CASES = [(name, None, freq) for name in OPTIMIZERS for freq in ("epoch", 3)]
CASES += [("Adam", data, freq) for data in STREAMS for freq in ("epoch", 2)]


@pytest.mark.parametrize(("optimizer", "data", "freq"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_a_killed_training_ends_as_one_that_was_not(tmp_path, optimizer, data, freq):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
    train(whole, optimizer, data, freq, 0.0)
    count = killed(broken, KILLS, optimizer, data, freq, 0.002)
    COUNTS.append(count)
    one, other = (pickle.loads((folder / "found").read_bytes()) for folder in (whole, broken))
    for name in one:
        assert other[name] == one[name], (name, count)
    left = {path.name for path in broken.iterdir() if path.suffix != ".part"}  # of a killed writer, for the next one
    assert left == {"best.safetensors", "found", "log.csv"}


def test_enough_were_killed():
    assert sum(COUNTS) >= len(COUNTS) * KILLS / 2
