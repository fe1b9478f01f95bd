"""One row at a time without Python: C headers, and lamina's functions for C, beside `predict_on_batch` and peers.

    python benchmarks/exports.py
    python benchmarks/exports.py --only 16-16 --json results.json

- gcc, clang: the header that ``model.export("m.h")`` writes, compiled with ``-O3 -march=native``; "math.h" calls the C
  library's exp and tanh (``own_math=False``); "batch" predicts 32 rows in a call, and the time is that of one
- C API: `lamina_predict_float` of lamina.h, called in a loop in C
- lamina: ``predict_on_batch(row, out=)`` in Python; ONNX Runtime where it is installed

Each result is compared with a float64 oracle before anything is timed. One thread.
"""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness

CASES = {
    "8-8": ((8, 8), None),
    "16-16": ((16, 16), None),
    "20-64-64-2 relu": ((20, 64, 64, 2), "relu"),
    "20-64-64-2 tanh": ((20, 64, 64, 2), "tanh"),
    "64-128-64-10 sigmoid": ((64, 128, 64, 10), "sigmoid"),
}
ROWS, BATCH = 64, 32  # rows of data, which are read again and again; of a batch
LOOP = 200  # times that all rows are predicted in a call that is timed

# The barrier keeps the compiler from leaving out what nobody reads.
HEADER = """\
#include "net.h"
void each(const float *x, float *y, int times) {
  for (int t = 0; t < times; ++t)
    for (int r = 0; r < ROWS; ++r) {
      net_predict(x + r * NET_INPUTS, y + r * NET_OUTPUTS);
      __asm__ volatile("" : : "r"(y) : "memory");
    }
}
void batches(const float *x, float *y, int times) {
  for (int t = 0; t < times; ++t)
    for (int r = 0; r < ROWS; r += NET_BATCH) {
      net_predict_batch(x + r * NET_INPUTS, y + r * NET_OUTPUTS);
      __asm__ volatile("" : : "r"(y) : "memory");
    }
}
"""
FUNCTIONS = """\
#include "lamina.h"
int begin(void) { return lamina_import(); }
void each(PyObject *network, const float *x, float *y, int times) {
  const lamina_network *found = lamina_network_of(network);
  for (int t = 0; t < times; ++t)
    for (int r = 0; r < ROWS; ++r) lamina_predict_float(found, x + r * found->inputs, 1, y + r * found->outputs);
}
"""


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__,
        only={"choices": list(CASES), "help": "one case"},
        without={"nargs": "*", "default": [], "help": "peers to leave out"},
    )
    import lamina

    lamina.set_num_threads(1)
    facts = _harness.machine_facts(1)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for case in [options.only] if options.only else list(CASES)[: 2 if options.short else None]:
            results.append(run(case, *CASES[case], Path(folder), options))
            print(f"checked and timed {case}", file=sys.stderr)
    options.threads = 1
    _harness.report(results, facts, options)
    return 0


def run(case: str, units: tuple[int, ...], activation: str | None, folder: Path, options: Any) -> _harness.Result:
    """Check and time one network."""
    import numpy as np

    import lamina
    from lamina import layers

    rng = np.random.default_rng(0)
    model = lamina.Sequential([lamina.Input(units[:1]), *(layers.Dense(width, activation) for width in units[1:])])
    model.set_weights([rng.normal(size=w.shape) / len(w) ** 0.5 for w in model.get_weights()])
    x = rng.normal(size=(ROWS, units[0])).astype("f")
    expected = oracle(np, model.get_weights(), activation, x)
    calls: dict[str, Callable[[], Any]] = {}
    rows: dict[str, int] = {}
    errors = {}
    for name, y, call, count in itertools.chain(
        in_python(np, model, x, options), by_functions(np, model, x, folder), by_headers(np, model, x, folder)
    ):
        call()
        errors[name] = _harness.check(case, name, y, expected, 1e-5)
        calls[name], rows[name] = call, count
    timings = {
        name: _harness.Timing(timing.median / rows[name], timing.spread)
        for name, timing in _harness.time_alternately(calls, options.seconds).items()
    }
    operations = 2 * sum(a * b for a, b in itertools.pairwise(units))
    best = min(timing.median for timing in timings.values())
    share = operations / best / _harness.multiply_add_peak()
    return _harness.Result(case, timings, None, errors, f"fastest: {100 * share:.0f} % of the peak")


def oracle(np: Any, weights: list[Any], activation: str | None, x: Any) -> Any:
    """Return the outputs in float64."""
    functions = {
        None: lambda z: z, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh,
        "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    }  # fmt: skip
    found = x.astype(np.float64)
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        found = functions[activation](found @ kernel.astype(np.float64) + bias)
    return found


# Each yields a name, the memory of the output, a call that writes it, and how many rows the call predicts.
Timed = Iterator[tuple[str, Any, Callable[[], Any], int]]


def in_python(np: Any, model: Any, x: Any, options: Any) -> Timed:
    """Predict row by row from Python."""
    y = np.zeros((ROWS, model.output_shape[1]), "f")
    pairs = list(zip(np.split(x, ROWS), np.split(y, ROWS), strict=True))

    def each() -> None:
        for row, out in pairs:
            model.predict_on_batch(row, out)

    yield "lamina", y, each, ROWS
    if "onnxruntime" in options.without or importlib.util.find_spec("onnxruntime") is None:
        return
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        model.export(f"{folder}/m.onnx")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(f"{folder}/m.onnx", settings, providers=["CPUExecutionProvider"])
    found = np.zeros_like(y)

    def by_session() -> None:
        for number, (row, _) in enumerate(pairs):
            found[number] = session.run(None, {"input": row})[0][0]

    yield "ONNX Runtime", found, by_session, ROWS


def pointer(array: Any) -> Any:
    """Return an array's memory for C."""
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_float))


def library(compiler: str, source: str, folder: Path, name: str, *options: str) -> Path:
    """Compile a shared library."""
    path, made = folder / f"{name}.c", folder / f"{name}.so"
    path.write_text(source)
    flags = ["-std=c99", "-O3", "-march=native", "-fPIC", "-shared", f"-DROWS={ROWS}", f"-I{folder}", *options]
    subprocess.run([compiler, *flags, str(path), "-o", str(made), "-lm"], check=True)
    return made


def by_functions(np: Any, model: Any, x: Any, folder: Path) -> Timed:
    """Predict row by row by lamina.h."""
    import lamina
    from lamina import capi

    y = np.zeros((ROWS, model.output_shape[1]), "f")
    includes = [f"-I{lamina.get_include()}", f"-I{sysconfig.get_path('include')}", "-Wno-unused-function"]
    name = "functions" + "-".join(map(str, (x.shape[1], *y.shape, len(model.layers))))
    found = ctypes.PyDLL(str(library("cc", FUNCTIONS, folder, name, *includes)))
    if found.begin() != 0:
        raise ImportError("the functions of lamina.h could not be found")
    network = capi.network(model)
    arguments = ctypes.py_object(network), pointer(x), pointer(y), LOOP
    yield "C API", y, lambda: found.each(*arguments), ROWS * LOOP


def by_headers(np: Any, model: Any, x: Any, folder: Path) -> Timed:
    """Predict by a header."""
    has_functions = any(layer.get_config().get("activation") in ("tanh", "sigmoid") for layer in model.layers)
    for compiler in filter(shutil.which, ("gcc", "clang")):
        for own in (True, False) if has_functions else (True,):
            where = folder / f"{compiler}-{own}-{model.name}"
            where.mkdir()
            model.export(where / "net.h", batch=BATCH, own_math=own)
            found = ctypes.CDLL(str(library(compiler, HEADER, where, "net")))
            for kind, function in (("", found.each), (" batch", found.batches)):
                y = np.zeros((ROWS, model.output_shape[1]), "f")
                name = f"{compiler}{'' if own else ' math.h'}{kind}"
                yield name, y, partial(function, pointer(x), pointer(y), LOOP), ROWS * LOOP


if __name__ == "__main__":
    sys.exit(main())
