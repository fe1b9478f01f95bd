"""Teams beside other programs: no more members than there are CPUs, and none that waits for one."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from helpers import not_sanitized

import lamina
from lamina import _core, layers

pytestmark = pytest.mark.usefixtures("restore_threads", "adapting")

BUSY = "while True: pass"


@pytest.fixture
def adapting():
    _core.adapt_to_machine(True)
    yield
    _core.adapt_to_machine(False)


def test_a_team_has_no_more_members_than_there_are_cpus():
    cpus = _core.usable_cpus()
    assert 1 <= _core.available_threads(cpus + 6) <= cpus
    assert _core.available_threads(1) == 1
    _core.adapt_to_machine(False)
    assert _core.available_threads(cpus + 6) == cpus + 6


def test_asking_for_many_threads_changes_no_bit():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((600, 40)).astype("f"), rng.standard_normal((600, 3)).astype("f")
    found = set()
    for threads in (1, 2, 64):
        lamina.set_num_threads(threads)
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential([lamina.Input((40,)), layers.Dense(300, "relu"), layers.Dense(3)])
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=200, epochs=2, verbose=0)
        found.add(model.get_weights()[0].tobytes() + model.predict(x).tobytes())
    assert len(found) == 1


def seconds_an_epoch(model, x, y, threads):
    lamina.set_num_threads(threads)
    begun, epochs = time.perf_counter(), 0
    while time.perf_counter() - begun < 0.7:
        model.fit(x, y, batch_size=128, epochs=1, verbose=0)
        epochs += 1
    return (time.perf_counter() - begun) / epochs


@not_sanitized
@pytest.mark.skipif(_core.usable_cpus() < 2, reason="one CPU: there is no team")
def test_a_team_gives_up_members_whose_cpus_others_use():
    """With a busy program on every CPU but one, all threads take little longer than one."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4096, 784)).astype("f"), rng.integers(0, 10, 4096)
    model = lamina.Sequential([lamina.Input((784,)), layers.Dense(128, "relu"), layers.Dense(10, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(_core.usable_cpus() - 1)]
    try:
        ratios = []
        for _ in range(4):  # the machine may have other neighbours, too
            alone = seconds_an_epoch(model, x, y, 1)
            ratios.append(seconds_an_epoch(model, x, y, _core.usable_cpus()) / alone)
            if ratios[-1] < 1.3:
                break
        assert min(ratios) < 1.3, ratios
    finally:
        for program in busy:
            program.kill()
            program.wait()
