"""Trains, predicts, saves, loads, forks and kills at random, and checks every answer: `python soak.py SECONDS [SEED]`.

Predictions and steps are compared with NumPy in float64, everything else with itself, bit for bit.
"""

from __future__ import annotations

import copy
import os
import pickle
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np

import lamina
from lamina import callbacks, layers, optimizers

RATE = 0.05


class Case:
    """A network of dense layers with its data, and NumPy's version of it."""

    def __init__(self, number: int) -> None:
        self.rng = rng = np.random.default_rng(number)
        self.number = number
        self.sizes = [int(size) for size in rng.integers(1, 70, rng.integers(2, 5))]
        self.dtype = str(rng.choice(["float32", "float64"]))
        self.rows = int(rng.integers(1, 400))
        self.x = rng.standard_normal((self.rows, self.sizes[0])).astype(self.dtype)
        self.y = rng.standard_normal((self.rows, self.sizes[-1])).astype(self.dtype)
        self.tolerance = 2e-4 if self.dtype == "float32" else 1e-11

    def model(self, optimizer: object = None, noise: bool = False) -> lamina.Sequential:
        """Return the network, always with the same weights and the same noise."""
        lamina.utils.set_random_seed(self.number)
        stack = [lamina.Input((self.sizes[0],), dtype=self.dtype)]
        for units in self.sizes[1:-1]:
            stack += [layers.Dense(units, "tanh", dtype=self.dtype)]
            stack += [layers.Dropout(0.2, dtype=self.dtype)] if noise else []
        model = lamina.Sequential([*stack, layers.Dense(self.sizes[-1], dtype=self.dtype)])
        model.compile(optimizer or optimizers.SGD(RATE), "mse")
        return model

    def outputs(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """Return the input and the output of each layer, in float64."""
        found = [self.x.astype(np.float64)]
        for i in range(0, len(weights), 2):
            z = found[-1] @ weights[i].astype(np.float64) + weights[i + 1].astype(np.float64)
            found.append(np.tanh(z) if i + 2 < len(weights) else z)
        return found

    def stepped(self, weights: list[np.ndarray]) -> list[np.ndarray]:
        """Return the weights after a step of gradient descent, in float64."""
        found, after = self.outputs(weights), [array.astype(np.float64) for array in weights]
        slope = 2 * (found[-1] - self.y) / self.y.size
        for i in range(len(weights) - 2, -1, -2):
            inputs = found[i // 2]
            before = slope @ weights[i].astype(np.float64).T * (1 - inputs**2)
            after[i] -= RATE * inputs.T @ slope
            after[i + 1] -= RATE * slope.sum(0)
            slope = before
        return after

    def close(self, found: np.ndarray, expected: np.ndarray) -> None:
        """Raise unless arrays are alike."""
        np.testing.assert_allclose(found, expected, self.tolerance, self.tolerance)


def equal(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    """Raise unless arrays have the same bits."""
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def predicts(case: Case) -> None:
    model = case.model()
    found = model.predict(case.x, batch_size=int(case.rng.integers(1, 100)), verbose=0)
    case.close(found, case.outputs(model.get_weights())[-1])


def steps(case: Case) -> None:
    model = case.model()
    expected = case.stepped(model.get_weights())
    model.train_on_batch(case.x, case.y)
    for found, wanted in zip(model.get_weights(), expected, strict=True):
        case.close(found, wanted)


def copies(case: Case) -> None:
    """Saved, pickled and copied models go on as the first one does."""
    model = case.model("adam", noise=True)
    model.fit(case.x, case.y, 50, 2, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, str(case.rng.choice(["model.safetensors", "model.keras"])))
        model.save(path)
        loaded = lamina.models.load_model(path)
    exact = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    exact += [loaded] if path.suffix == ".safetensors" else []  # Keras's files hold no state of noise
    equal([loaded.predict(case.x, verbose=0)], [model.predict(case.x, verbose=0)])
    model.fit(case.x, case.y, 50, 2, verbose=0)
    for other in exact:
        other.fit(case.x, case.y, 50, 2, verbose=0)
        equal(other.get_weights(), model.get_weights())


def threads(case: Case) -> None:
    """Threads train models of their own and predict with one of all."""
    shared, found, expected = case.model(noise=True), {}, case.model("adam", noise=True)
    expected.fit(case.x, case.y, 50, 3, verbose=0)
    outputs = shared.predict(case.x, verbose=0)

    def work(index: int, model: lamina.Sequential) -> None:
        model.fit(case.x, case.y, 50, 3, verbose=0)
        found[index] = [*model.get_weights(), shared.predict(case.x, verbose=0)]

    workers = [threading.Thread(target=work, args=(i, case.model("adam", noise=True))) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for index in range(4):
        equal(found[index], [*expected.get_weights(), outputs])


def forks(case: Case) -> None:
    """A child trains on as its parent does."""
    model = case.model("adam", noise=True)
    model.fit(case.x, case.y, 50, 1, verbose=0)
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            model.fit(case.x, case.y, 50, 1, verbose=0)
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(model.get_weights(), pipe)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        found = pickle.load(pipe)
    assert os.waitpid(child, 0)[1] == 0
    model.fit(case.x, case.y, 50, 1, verbose=0)
    equal(found, model.get_weights())


def kills(case: Case) -> None:
    """A training that is killed, again and again, ends as one that was not."""
    epochs, whole = 12, case.model("adam", noise=True)
    whole.fit(case.x, case.y, 20, epochs, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result")
        for attempt in range(20):
            if (child := os.fork()) == 0:
                try:
                    model = case.model("adam", noise=True)
                    backup = callbacks.BackupAndRestore(Path(folder, "backup"), save_freq=int(case.rng.integers(1, 9)))
                    model.fit(case.x, case.y, 20, epochs, verbose=0, callbacks=[backup])
                    result.with_suffix(".part").write_bytes(pickle.dumps(model.get_weights()))
                    result.with_suffix(".part").rename(result)
                    os._exit(0)
                finally:
                    os._exit(1)
            if attempt < 6:
                time.sleep(random.uniform(0, 0.1))
                os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            assert status in (0, signal.SIGKILL), status
            if result.exists():
                return equal(pickle.loads(result.read_bytes()), whole.get_weights())
    raise AssertionError("a training never ended")


def main() -> int:
    """Run until the time is over, and print what was done."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else int(time.time())
    print(f"seed {seed}")
    random.seed(seed)
    end, done = time.monotonic() + seconds, Counter()
    while time.monotonic() < end:
        number, work = random.randrange(2**31), random.choice([predicts, steps, copies, threads, forks, kills])
        lamina.set_num_threads(random.randint(1, 4))
        try:
            work(Case(number))
        except BaseException:
            print(f"FAILED: {work.__name__}, case {number}")
            raise
        done[work.__name__] += 1
    print(", ".join(f"{count} {name}" for name, count in sorted(done.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
