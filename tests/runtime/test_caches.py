"""The sizes of the caches: read, overridden, shown, and without influence on any bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lamina import _core, runtime

FILES = Path("/sys/devices/system/cpu")

# Trains networks and runs kernels whose blocks depend on the caches: wide layers, many rows, batches of several chains.
WORK = """
import hashlib
import numpy as np
import lamina
from lamina import kernels, layers

rng = np.random.default_rng(3)
digest = hashlib.sha256()
for dtype in (np.float32, np.float64):
    for rows, width, out in ((3, 700, 900), (130, 300, 1100), (700, 520, 70)):
        x, w, dy = (rng.standard_normal(s).astype(dtype) for s in ((rows, width), (width, out), (rows, out)))
        for result in (kernels.dense_forward(x, w), *kernels.dense_backward(x, w, dy)):
            digest.update(result.tobytes())
for units, rows in (((40, 600, 300), 300), ((900, 33), 1000), ((20, 64, 64, 5), 257)):
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input(units[:1]), *[layers.Dense(n, "tanh") for n in units[1:]]])
    model.compile("adam", "mse")
    x, y = rng.standard_normal((rows, units[0])).astype("f"), rng.standard_normal((rows, units[-1])).astype("f")
    model.fit(x, y, batch_size=256, epochs=2, verbose=0)
    for weight in (*model.get_weights(), model.predict(x)):
        digest.update(weight.tobytes())
print(lamina.show_config("dicts")["caches"], digest.hexdigest())
"""


def run(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_bits_do_not_depend_on_the_caches():
    found = {}
    for caches in ("", "32K,512K,32M", "1K,4K,16K", "64K,16M,1G", "1,1,1"):
        for threads in ("1", "2", "3"):
            done = run(WORK, LAMINA_CACHES=caches, LAMINA_NUM_THREADS=threads)
            assert done.returncode == 0, done.stderr
            shown, found[caches, threads] = done.stdout.rsplit(maxsplit=1)
            if caches == "32K,512K,32M":
                assert shown == "['32 KB', '512 KB', '32 MB']"
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize(
    "wrong", ["32K", "32K,512K", "32K,512K,1M,2M", "32K,512K,", "0,1K,1M", "a,b,c", "-1,2,3", "1k,2k,3k"]
)
def test_a_wrong_list_of_caches_is_refused_at_import(wrong):
    done = run("import lamina", LAMINA_CACHES=wrong)
    assert done.returncode != 0
    assert f"LAMINA_CACHES: must be three sizes such as '32K,512K,32M'; got '{wrong}'." in done.stderr


@pytest.mark.skipif("LAMINA_CACHES" in os.environ, reason="the caches are given")
@pytest.mark.skipif(not (FILES / "cpu0/cache").exists(), reason="the operating system does not describe the caches")
def test_the_caches_are_those_of_the_operating_system():
    cpu = min(os.sched_getaffinity(0))
    described = {}
    for index in (FILES / f"cpu{cpu}" / "cache").glob("index*"):
        if (index / "type").read_text().strip() != "Instruction":
            described[int((index / "level").read_text())] = 1024 * int((index / "size").read_text().strip()[:-1])
    sizes = [size for size, _ in _core.caches()]
    assert sizes == [described[1], described[2], described.get(3, described[2])]


def test_caches_are_shown():
    shown = runtime.show_config("dicts")["caches"]
    assert len(shown) == 3
    assert all(size.replace(",", "").split()[1] in ("bytes", "KB", "MB", "GB") for size in shown)
