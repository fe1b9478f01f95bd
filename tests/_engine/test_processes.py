"""Processes: pools, forks beside training, memory that stays flat, subnormal numbers that cost no time."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from helpers import not_sanitized
from pool_work import X, Y, made, trained

import lamina
from lamina import layers


def same(found, expected):
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


@not_sanitized
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_pools_train_models_with_the_same_bits(method):
    model = made()
    trained(model)  # the team of threads of this process is there
    with multiprocessing.get_context(method).Pool(2) as pool:
        found = pool.map_async(trained, [model] * 3, chunksize=1).get(120)  # each is pickled alone
    expected = trained(model)
    assert all(same(one, expected) for one in found)


@not_sanitized
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forks_beside_training_on_other_threads_give_usable_children():
    model, stop = made(), threading.Event()
    expected = trained(made())

    def train():
        while not stop.is_set():
            model.fit(X, Y, batch_size=40, epochs=1, verbose=0)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(20):
            time.sleep(0.003)
            if (child := os.fork()) == 0:
                try:  # the model of the other thread, and one of its own
                    finite = np.isfinite(model.predict(X, verbose=0)).all()
                    os._exit(0 if finite and same(trained(made()), expected) else 1)
                except BaseException:
                    os._exit(2)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()


@not_sanitized
@pytest.mark.parametrize("host", [False, True])
def test_eight_threads_use_a_model_from_its_first_use_on(host):
    class Twice(layers.Layer):
        def call(self, inputs):
            return inputs * 2

    for _ in range(10):
        lamina.utils.set_random_seed(4)
        model = lamina.Sequential([layers.Dense(30, "tanh"), *([Twice()] if host else []), layers.Dense(2)])
        found, start = [None] * 8, threading.Barrier(8)

        def use(index, model=model, found=found, start=start):
            start.wait()
            found[index] = model.predict(X, verbose=0) if index % 2 else model.predict_on_batch(X)

        threads = [threading.Thread(target=use, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert all(np.array_equal(one, found[0]) for one in found)


FLAT = """
import gc, resource
import numpy as np, lamina
from lamina import layers
x, y = np.ones((64, 6), "f"), np.ones((64, 2), "f")
model = lamina.Sequential([lamina.Input((6,)), layers.Dense(30, "tanh"), layers.Dropout(0.1), layers.Dense(2)])
model.compile("adam", "mse", metrics=["mae"])

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

def work(predicts, fits):
    for _ in range(predicts):
        model.predict_on_batch(x)
    for _ in range(fits):
        model.fit(x, y, batch_size=16, verbose=0)
        model.evaluate(x, y, verbose=0)
        model.predict(x, verbose=0)
        model.train_on_batch(x, y)

work(1000, 100)
before = resident()
work(100_000, 1000)
print(resident() - before)
"""


@not_sanitized
def test_memory_stays_flat_over_many_predictions_and_fits():
    done = subprocess.run([sys.executable, "-c", FLAT], capture_output=True, text=True, timeout=300, check=True)
    assert int(done.stdout) < 1 << 20


@not_sanitized
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_subnormal_numbers_cost_no_time(optimizer, restore_threads):
    lamina.set_num_threads(1)
    rng = np.random.default_rng(2)
    normal, y = rng.standard_normal((1024, 256)).astype("f"), np.full((1024, 16), 1e-38, np.float32)
    # Factors of inputs and of weights: inputs, products or weights are subnormal.
    cases = {"normal": (1, 1), "inputs": (1e-40, 1), "products": (1e-20, 1e-20), "weights": (1, 1e-39)}
    models = {}
    for name, (_, factor) in cases.items():
        stack = [layers.Dense(256, "relu"), layers.Dense(256, "tanh"), layers.Dense(16)]
        models[name] = lamina.Sequential([lamina.Input((256,)), *stack])
        models[name].compile(optimizer, "mse")
        models[name].set_weights([array * np.float32(factor) for array in models[name].get_weights()])
    start = {name: model.get_weights() for name, model in models.items()}
    for _ in range(4):  # other programs take time, too
        times = {name: [] for name in cases}
        for _ in range(7):
            for name, (factor, _) in cases.items():
                model, x = models[name], normal * np.float32(factor)
                model.set_weights(start[name])
                begin = time.perf_counter()
                model.fit(x, y, batch_size=128, verbose=0)
                times[name].append(time.perf_counter() - begin)
        slowest = max(map(np.median, times.values())) / np.median(times["normal"])
        if slowest <= 1.2:
            return
    raise AssertionError(times)
