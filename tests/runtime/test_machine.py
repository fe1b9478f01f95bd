"""The speeds of this machine, which schedules follow from: measured once, and only as far as they are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

import lamina
from lamina import _core

WORK = """
import json, threading, time, numpy as np, lamina
from lamina import _core, layers
before = threading.active_count()
begun = time.perf_counter()
times = _core.machine_times()
first = time.perf_counter() - begun
begun = time.perf_counter()
again = _core.machine_times()
print(json.dumps([first, time.perf_counter() - begun, times, again, len(__import__("os").listdir("/proc/self/task"))]))
"""


def measured(**environment):
    done = subprocess.run(
        [sys.executable, "-c", WORK], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_speeds_are_measured_and_make_sense():
    *_, times, _, _ = measured(LAMINA_NUM_THREADS="2")
    assert 0 < times["multiply_adds"] < 1000
    for name in ("near_bytes", "far_bytes", "memory_bytes", "foreign_bytes"):
        assert 1 < times[name] < 2000, name
    assert 5 < times["meeting"] < 2000


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="Linux alone lists a process's threads there")
def test_one_thread_starts_no_other():
    *_, times, _, threads = measured(LAMINA_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
    assert threads == 1
    assert "meeting" not in times


def test_they_are_measured_once():
    first, again, times, same, _ = measured(LAMINA_NUM_THREADS="1")
    assert times == same
    assert again < first


def test_many_threads_may_ask_first():
    found = []
    threads = [threading.Thread(target=lambda: found.append(_core.machine_times())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({times["multiply_adds"] for times in found}) == 1


def test_the_configuration_shows_them():
    shown = lamina.show_config("dicts")["speeds"]
    assert shown[0].endswith("GFLOP/s")
    assert all(speed.split()[1] in ("GFLOP/s", "GB/s", "ns") for speed in shown)
