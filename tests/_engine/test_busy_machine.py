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


@pytest.fixture
def train():
    """Trains for a moment on all CPUs."""
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((4096, 784)).astype("f"), rng.integers(0, 10, 4096)
    model = lamina.Sequential([lamina.Input((784,)), layers.Dense(256, "relu"), layers.Dense(10, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    lamina.set_num_threads(_core.usable_cpus())
    return lambda: model.fit(x, y, batch_size=256, epochs=1, verbose=0)


def becomes(train, condition, seconds=20):
    """Train until a condition on the threads that a team would use holds; return whether it did."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        train()
        if condition(_core.available_threads(_core.usable_cpus())):
            return True
    return False


@not_sanitized
@pytest.mark.skipif(_core.usable_cpus() < 2, reason="one CPU: there is no team")
def test_members_whose_cpus_others_use_are_given_up_and_taken_back(train):
    cpus = _core.usable_cpus()
    busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(cpus)]
    try:
        assert becomes(train, lambda threads: threads < cpus)
    finally:
        for program in busy:
            program.kill()
            program.wait()
    assert becomes(train, lambda threads: threads == cpus)
