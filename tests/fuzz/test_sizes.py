"""Sizes that overflow are refused before anything is allocated; memory that is not there raises MemoryError.

The program below runs with 3 GB of address space, and does what each line asks for.
"""

from __future__ import annotations

import subprocess
import sys

import pytest
from helpers import not_sanitized

from fuzz.test_arguments import assert_in_words

BEFORE = """
import sys, resource
import numpy as np, lamina
from lamina import initializers, kernels, layers, losses, metrics, models, optimizers, random, utils
B, M = 2**62, 2**40
x = np.ones((4, 3), "f")
model = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(3)])
model.compile("adam", "mse")
model.fit(x, x, verbose=0)
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))

def net(*stack):
    made = lamina.Sequential(list(stack))
    made.compile("sgd", "mse")
    return made

def one():
    return net(lamina.Input((3,)), layers.Dense(2))

def state():
    return [array.tobytes() for array in model.get_weights()], model.optimizer.batches, lamina.__version__
"""
AFTER = """
before = state()
try:
    work()
except (ValueError, MemoryError) as error:
    print(type(error).__name__)
    print(error)
else:
    print("taken")
assert state() == before
model.fit(x, x, verbose=0)  # goes on
"""
# Larger than any address: refused in words.
OVERFLOWS = {
    "inputs": "net(lamina.Input((B,)), layers.Dense(B))",
    "shape": "net(lamina.Input((B, B, B)), layers.Flatten())",
    "weights": "net(lamina.Input((M,)), layers.Dense(M))",
    "units": "layers.Dense(2**63)",
    "table": "layers.Embedding(B, B).build((None, 3))",
    "target": "net(lamina.Input((6,)), layers.Reshape((B, B)))",
    "initializer": "initializers.GlorotUniform()((B, B))",
    "zeros": "initializers.Zeros()((B, 8))",
    "identity": "initializers.Identity()((M, M))",
    "variable": "lamina.Variable('zeros', shape=(B, B))",
    "classes": "utils.to_categorical([0, 1], B)",
    "largest class": "utils.to_categorical([2**60])",
    "normal": "random.normal((B, 4))",
    "batch": "one().predict(x, batch_size=2**63, verbose=0)",
    "steps": "one().fit(x, x[:, :2], steps_per_epoch=2**63, verbose=0)",
    "epochs": "one().fit(x, x[:, :2], epochs=2**63, verbose=0)",
    "thresholds": "metrics.AUC(num_thresholds=B)",
}
# There might be so much memory, but here is not.
TOO_MUCH = {
    "weights": "net(lamina.Input((2**17,)), layers.Dense(2**17))",
    "table": "layers.Embedding(2**34, 8).build((None, 3))",
    "initializer": "initializers.GlorotUniform()((2**17, 2**17))",
    "orthogonal": "initializers.Orthogonal()((2**20, 2**20))",
    "normal": "random.normal((2**32,))",
    "predictions": "one().predict(np.broadcast_to(x[:1], (M, 3)), verbose=0)",
    "predictions at once": "model.predict_on_batch(np.broadcast_to(x[:1], (M, 3)))",
    "training at once": "model.train_on_batch(np.broadcast_to(x[:1], (2**31, 3)), np.broadcast_to(x[:1], (2**31, 3)))",
    "training": "model.fit(np.broadcast_to(x[:1], (2**30, 3)), np.broadcast_to(x[:1], (2**30, 3)), 2**29, verbose=0)",
    "jacobian": "net(lamina.Input((2**16,)), layers.Dense(2**12)).jacobian(np.ones((64, 2**16), 'f'))",
    "squares": "m = net(lamina.Input((3000,)), layers.Dense(100)); m.compile(optimizers.LevenbergMarquardt(), 'mse'); "
    "m.fit(np.ones((4, 3000)), np.ones((4, 100)), verbose=0)",
}  # fmt: skip


def outcome(work):
    program = f"{BEFORE}\ndef work():\n    {work}\n{AFTER}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    kind, *text = done.stdout.splitlines()
    return kind, "\n".join(text)


@not_sanitized
@pytest.mark.parametrize("case", OVERFLOWS)
def test_sizes_that_overflow_are_refused(case):
    kind, text = outcome(OVERFLOWS[case])
    assert kind == "ValueError"
    assert_in_words(ValueError(text), case)


@not_sanitized
@pytest.mark.parametrize("case", TOO_MUCH)
def test_memory_that_is_not_there(case):
    kind, _ = outcome(TOO_MUCH[case])
    assert kind == "MemoryError"
