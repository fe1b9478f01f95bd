"""Whole training runs against NumPy, Cython and whichever of PyTorch, JAX, Keras and scikit-learn are installed.

    python benchmarks/training.py
    python benchmarks/training.py --threads 1 --only 784-128-10 --optimizers adam --json results.json

Every implementation trains the same ReLU network with softmax cross-entropy from the same weights, on shuffled
mini-batches, each with the same threads. Before anything is timed, a few unshuffled steps of each are compared with
float64 loops. Times are µs a step over a whole epoch, everything included. Last comes what training holds in memory. An
exception ends the run with a status other than 0.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import _harness

CASES = [
    ((64, 32, 10), 32), ((20, 64, 64, 2), 32), ((20, 64, 64, 2), 256), ((784, 128, 10), 32), ((784, 128, 10), 128),
    ((784, 128, 10), 1024), ((784, 512, 512, 10), 32), ((784, 512, 512, 10), 256), ((1024, 2048, 2048, 1000), 32),
    ((1024, 2048, 2048, 1000), 256), ((54, 128, 64, 7), 64), ((300, 1000, 1000, 20), 100), ((3000, 64, 5), 16),
    ((256, 50000), 64), ((256, 512, 50000), 64),
]  # fmt: skip
SHORT = [((64, 32, 10), 32)]
PEERS = {"torch": "torch", "torch.compile": "torch", "jax": "jax", "keras": "keras", "scikit-learn": "sklearn"}
# Bytes of weights and state that may stay in the caches from step to step.
CACHES = 100e6
# Relative error of what four steps have moved: units of a ReLU network flip in float32 (OpenBLAS's AVX2 kernels came to
# 6e-3 on the largest), and Adam takes whole steps on gradients that are nearly zero.
TOLERANCES = {"sgd": 1e-2, "adam": 5e-2}


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__,
        only={"help": "one network, as 784-128-10"},
        optimizers={"nargs": "*", "default": ["sgd", "adam"], "help": "sgd, adam or both"},
        without={"nargs": "*", "default": [], "help": "peers to leave out"},
    )
    if "KERAS_BACKEND" not in os.environ and importlib.util.find_spec("jax"):
        os.environ["KERAS_BACKEND"] = "jax"  # Keras's fastest here
    import _trainers
    import numpy as np

    import lamina

    facts = _harness.machine_facts(options.threads)
    peak = facts["peak_gflops_per_core"] * 1e9 * options.threads
    bandwidth = _harness.copy_bandwidth(128_000_000, options.threads)
    facts["copy_gb_per_second"] = round(bandwidth / 1e9, 1)
    absent = {name for name, module in PEERS.items() if not importlib.util.find_spec(module)} | set(options.without)
    makers = {name: maker for name, maker in _trainers.MAKERS.items() if name not in absent}
    lamina.set_num_threads(options.threads)
    results = []
    for units, batch in SHORT if options.short else CASES:
        case = "-".join(map(str, units))
        if options.only and case != options.only:
            continue
        rng = np.random.default_rng(0)
        products = [2.0 * batch * i * o for i, o in pairwise(units)]
        operations = 2 * products[0] + 3 * sum(products[1:])  # the first layer needs no dx
        steps = int(min(512, 16384 // batch, max(4, 4e9 / operations)))
        x = rng.standard_normal((steps * batch, units[0])).astype("f")
        y = rng.integers(0, units[-1], len(x))
        weights = []
        for inputs, out in pairwise(units):
            weights += [(rng.standard_normal((inputs, out)) * (2 / inputs) ** 0.5).astype("f"), np.zeros(out, "f")]
        for optimizer in options.optimizers:
            name = f"{case}, {batch}, {optimizer}"
            expected = _trainers.oracle_epoch(np, weights, x[: 4 * batch], y[: 4 * batch], batch, optimizer)
            calls, errors = {}, {}
            for peer, maker in makers.items():
                made = maker(units, batch, weights, x[: 4 * batch], y[: 4 * batch], optimizer)
                if made is None:
                    continue
                epoch, current = made
                epoch(False)
                errors[peer] = max(
                    _harness.check(
                        f"{name}, weights {i}", peer, ours - start, theirs - start, TOLERANCES[optimizer], True
                    )
                    for i, (ours, theirs, start) in enumerate(zip(current(), expected, weights, strict=True))
                )
                timed, _ = maker(units, batch, weights, x, y, optimizer)
                calls[peer] = lambda timed=timed: timed(True)
            timings = _harness.time_alternately(calls, options.seconds, options.threads)
            per_step = {peer: _harness.Timing(t.median / steps, t.spread) for peer, t in timings.items()}
            # Weights are read forward, read and written backward; so is Adam's state. What exceeds the caches comes
            # from memory each time.
            moved = sum(w.nbytes for w in weights) * (3 if optimizer == "sgd" else 7)
            transfer = moved / bandwidth if moved > CACHES else 0.0
            bound = max(operations / peak, transfer)
            remark = f"bound by memory, {moved / 1e6:.0f} MB a step" if bound == transfer else ""
            results.append(_harness.Result(name, per_step, bound, errors, remark))
            print(f"checked and timed {name}", file=sys.stderr)
    _harness.report(results, facts, options)
    if not options.short:
        report_memory()
    return 0


MEMORY = """
import numpy as np
import lamina
from lamina import _core, layers

def status(name):
    with open("/proc/self/status") as file:
        return 1024 * int(next(line.split()[1] for line in file if line.startswith(name)))

x = np.empty((60000, 784), np.float32)
x[:] = 0.5
y = np.random.default_rng(1).integers(0, 10, 60000)
model = lamina.Sequential([layers.Dense(512, "relu"), layers.Dense(512, "relu"), layers.Dense(10, "softmax")])
model.compile(lamina.optimizers.Adam(), "sparse_categorical_crossentropy")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")  # the peak begins anew
before = status("VmRSS")
model.fit(x, y, batch_size=256, epochs=2, verbose=0)
parameters = 4 * sum(w.size for w in model.weights)
# Drawn by the initializers in NumPy, then moved to panels; Adam keeps two more of them.
print(before, status("VmHWM"), x.nbytes, parameters, _core.engine_bytes(), _core.engine_bytes() + 8 * len(x))
"""


def report_memory() -> None:
    """Print what training 784-512-512-10 on 60,000 rows adds to a process, beside what it must hold."""
    out = subprocess.run([sys.executable, "-c", MEMORY], check=True, capture_output=True, text=True).stdout
    before, after, data, parameters, engine, computed = (int(number) / 1e6 for number in out.split())
    print(
        f"\nMemory, 784-512-512-10, 60,000 rows, Adam, batch 256: data {data:.0f} MB, parameters {parameters:.1f} MB, "
        f"engine (parameters, slots, workspace) {engine:.1f} MB. Peak before fit {before:.0f} MB, after {after:.0f}: "
        f"{after - before:.1f} MB more, computed {computed:.1f} MB; with the data "
        f"{(after - before + data) / (computed + data):.2f} of data + parameters + slots + workspace."
    )


if __name__ == "__main__":
    sys.exit(main())
