"""Threads change the time that a call takes, and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import threadpoolctl
from helpers import not_sanitized

import lamina
from lamina import _core, kernels

pytestmark = pytest.mark.usefixtures("restore_threads")

SHAPES = [(1, 2048, 2048), (2000, 784, 10), (300, 700, 130), (64, 1000, 900), (5000, 40, 60), (11, 1500, 1100)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_dense_has_same_bits_for_any_number_of_threads(shape, isa, rng):
    n, inputs, out = shape
    x, w = rng.standard_normal((n, inputs)).astype("f"), rng.standard_normal((inputs, out)).astype("f")
    b, dy = rng.standard_normal(out).astype("f"), rng.standard_normal((n, out)).astype("f")
    results = []
    for threads in (1, 2, 3, 4, 7, 8):
        lamina.set_num_threads(threads)
        y = kernels.dense_forward(x, w, b, "tanh")
        soft = kernels.dense_forward(x, w, b, "softmax")
        results.append([y, soft, *kernels.dense_backward(x, w, dy, y=y, activation="tanh")])
    for other in results[1:]:
        for ours, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_rowwise_and_elementwise_have_same_bits_for_any_number_of_threads(rng):
    z, t = rng.standard_normal((2, 3000, 200)).astype("f")
    labels = rng.integers(0, 200, 3000)
    results = []
    for threads in (1, 2, 5, 8):
        lamina.set_num_threads(threads)
        theta = z.copy()
        kernels.sgd_update(theta, t, learning_rate=0.1)
        results.append(
            [
                kernels.softmax(z),
                kernels.activation_forward("gelu", z),
                *kernels.softmax_cross_entropy(z, labels),
                *kernels.mse(z, t),
                theta,
                lamina.random.fill("normal", 5, 0, 1, (100_003,), "float32"),
            ]
        )
    for other in results[1:]:
        for ours, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(ours, expected)


def test_threads_of_python_may_call_at_once(rng):
    lamina.set_num_threads(4)
    x, w = rng.standard_normal((300, 500)).astype("f"), rng.standard_normal((500, 400)).astype("f")
    expected = kernels.dense_forward(x, w)
    wrong = []

    def work():
        for _ in range(30):
            if not np.array_equal(kernels.dense_forward(x, w), expected):
                wrong.append(1)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def heavy_product(queue):
    lamina.set_num_threads(3)
    queue.put(float(kernels.dense_forward(np.ones((300, 500), "f"), np.ones((500, 400), "f")).sum()))


@pytest.mark.filterwarnings("ignore:os.fork")  # as JAX says where it is loaded too
def test_fork_during_another_threads_work():
    lamina.set_num_threads(3)
    x, w = np.ones((300, 500), "f"), np.ones((500, 400), "f")
    stop = threading.Event()

    def work():
        while not stop.is_set():
            kernels.dense_forward(x, w)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        for _ in range(5):
            child = context.Process(target=heavy_product, args=(queue,))
            child.start()
            child.join(60)
            assert child.exitcode == 0
            assert queue.get() == 300 * 400 * 500
    finally:
        stop.set()
        worker.join()


test_fork_during_another_threads_work = pytest.mark.filterwarnings("ignore::DeprecationWarning")(
    test_fork_during_another_threads_work  # Python 3.12 warns of any fork beside threads
)


@not_sanitized
def test_idle_team_uses_no_cpu():
    lamina.set_num_threads(4)
    kernels.dense_forward(np.ones((300, 500), "f"), np.ones((500, 400), "f"))
    time.sleep(0.05)
    before = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - before < 0.03


def run(code, **environment):
    env = {k: v for k, v in os.environ.items() if k not in ("LAMINA_NUM_THREADS", "OMP_NUM_THREADS", "LAMINA_ISA")}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env | environment, capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "3"}, 3),
        ({"OMP_NUM_THREADS": "5,2"}, 5),
        ({"OMP_NUM_THREADS": "3", "LAMINA_NUM_THREADS": "7"}, 7),
        ({"OMP_NUM_THREADS": " 4 "}, 4),
        ({"OMP_NUM_THREADS": "many"}, None),
        ({"LAMINA_NUM_THREADS": ""}, None),
    ],
)
def test_threads_from_environment(environment, expected):
    code = "import lamina; print(lamina.get_num_threads())"
    expected = min(len(os.sched_getaffinity(0)), _core.usable_cpus()) if expected is None else expected
    assert run(code, **environment)[:2] == (0, str(expected))


@pytest.mark.parametrize("wrong", ["many", "0", "-2", "2.5", "2,3"])
def test_wrong_number_of_threads_in_environment_raises(wrong):
    status, _, error = run("import lamina", LAMINA_NUM_THREADS=wrong)
    assert status != 0
    assert f"LAMINA_NUM_THREADS: must be a whole number from 1 to 65535; got '{wrong}'" in error


def test_threads_follow_affinity():
    one = min(os.sched_getaffinity(0))
    code = f"import os; os.sched_setaffinity(0, {{{one}}}); import lamina; print(lamina.get_num_threads())"
    assert run(code)[:2] == (0, "1")


@pytest.mark.parametrize("wrong", [0, -1, 65536])
def test_set_num_threads_out_of_range_raises(wrong):
    with pytest.raises(ValueError, match="threads must be (>= 1|< 65536)"):
        lamina.set_num_threads(wrong)


def test_set_num_threads_is_obeyed_and_takes_integers_only():
    lamina.set_num_threads(np.int64(3))
    assert lamina.get_num_threads() == 3
    for wrong in (2.0, True, "2"):
        with pytest.raises(TypeError, match="threads must be an int"):
            lamina.set_num_threads(wrong)


def test_isa_from_environment():
    code = "import lamina; print(lamina.show_config('dicts')['isa'])"
    for isa in _core.available_isas():
        assert run(code, LAMINA_ISA=isa)[:2] == (0, isa)
    assert run(code)[:2] == (0, _core.available_isas()[-1])
    status, _, error = run(code, LAMINA_ISA="sse9")
    assert status != 0
    assert "LAMINA_ISA: must be one of" in error


def test_show_config_prints(capsys):
    assert lamina.show_config() is None
    text = capsys.readouterr().out
    for word in ("isa", "threads", "compiler"):
        assert word in text
    with pytest.raises(ValueError, match="mode must be"):
        lamina.show_config("json")


def test_threadpoolctl_limits_lamina():
    lamina.set_num_threads(3)
    with threadpoolctl.threadpool_limits(1):
        assert lamina.get_num_threads() == 1
    assert lamina.get_num_threads() == 3
    with threadpoolctl.threadpool_limits(2, user_api="lamina"):
        assert lamina.get_num_threads() == 2
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert lamina.get_num_threads() == 3
    (entry,) = [found for found in threadpoolctl.threadpool_info() if found["user_api"] == "lamina"]
    assert entry["num_threads"] == 3
    assert entry["version"] == lamina.__version__


@pytest.mark.parametrize("first", ["lamina", "threadpoolctl"])
def test_threadpoolctl_limits_lamina_whichever_is_imported_first(first):
    code = f"""
import sys, {first}, lamina
assert (sys.modules.get("threadpoolctl") is None) == ({first!r} == "lamina")
import threadpoolctl
lamina.set_num_threads(2)
with threadpoolctl.threadpool_limits(1):
    assert lamina.get_num_threads() == 1
assert lamina.get_num_threads() == 2
assert type(threadpoolctl.__loader__).__module__.startswith(("importlib", "_frozen_importlib"))
assert threadpoolctl.__spec__.loader is threadpoolctl.__loader__
assert not any("threadpoolctl" in type(finder).__module__ for finder in sys.meta_path)
import importlib
importlib.reload(lamina)
importlib.reload(threadpoolctl)
"""
    rc, _, err = run(code)
    assert rc == 0, err


def test_where_threadpoolctl_is_missing_its_import_fails_until_it_is_there():
    code = """
import sys, lamina, importlib.util
lamina.set_num_threads(2)
class Hides:
    def find_spec(self, fullname, path=None, target=None):
        if fullname == "threadpoolctl":
            raise ModuleNotFoundError("No module named 'threadpoolctl'", name=fullname)
class Old:
    def find_module(self, fullname, path=None):
        return None
sys.meta_path.insert(1, Hides())
for _ in range(2):
    try:
        import threadpoolctl
    except ModuleNotFoundError as error:
        assert error.name == "threadpoolctl"
    else:
        raise AssertionError
sys.meta_path[1] = Old()
assert importlib.util.find_spec("threadpoolctl") is not None  # asking does not import it
import threadpoolctl
with threadpoolctl.threadpool_limits(1):
    assert lamina.get_num_threads() == 1
"""
    rc, _, err = run(code)
    assert rc == 0, err


@pytest.mark.parametrize("there", ["None", "types.SimpleNamespace(__version__='2.2.0')"])
def test_a_threadpoolctl_that_is_blocked_or_too_old_is_left_alone(there):
    rc, _, err = run(f"import sys, types; sys.modules['threadpoolctl'] = {there}; import lamina")
    assert rc == 0, err


@pytest.mark.parametrize("host", ["", "Own(), "], ids=["compiled", "python"])
@pytest.mark.parametrize(
    "call", ["m.fit(x, y, verbose=0, epochs=100)", "m.predict(x)", "m.train_on_batch(x, y)", "m.get_weights()"]
)
def test_a_process_ends_beside_threads_that_compute(call, host):
    code = f"""
import threading, time, sys
import numpy as np, lamina
from lamina.layers import Pass

class Own(lamina.layers.Layer):
    def forward(self, x, *, training):
        return Pass(x.copy())

    def backward(self, dy, forward_pass, *, need_dx):
        return dy.copy(), []

x, y = np.ones((256, 20), "f"), np.zeros((256, 2), "f")
m = lamina.Sequential([lamina.Input((20,)), lamina.layers.Dense(64), {host}lamina.layers.Dense(2)])
m.compile("adam", "mse")
m.fit(x, y, verbose=0)

def loop():
    while True:
        {call}

threading.Thread(target=loop, daemon=True).start()
time.sleep(0.1)
sys.exit(3)
"""
    for _ in range(3):
        status, _, errors = run(code)
        assert (status, errors) == (3, "")
