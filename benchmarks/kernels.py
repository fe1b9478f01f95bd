"""Every kernel against pure NumPy and against plain loops in Cython: checked first, then timed alternately.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --threads 1 --only dense --json results.json --plot results.png

An exception, a wrong result included, ends the run with a status other than 0.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness

GROUPS = ("dense", "element", "loss", "optimizer")
DENSE_SHAPES = [
    (1, 784, 128), (1, 2048, 2048), (8, 784, 128), (32, 64, 32), (32, 784, 10), (32, 784, 128), (128, 128, 10),
    (128, 784, 128), (256, 512, 512), (512, 512, 512), (1024, 784, 128), (1024, 1024, 1024), (2048, 2048, 2048),
]  # fmt: skip
ELEMENT_SIZES = [1_000, 100_000, 4_000_000]
LOSS_SHAPES = [(32, 10), (128, 1000), (64, 50_000)]
SHORT = {"dense": [(1, 784, 128), (32, 784, 128)], "element": [1_000], "loss": [(32, 10)]}

Case = tuple[str, dict[str, Callable[[], Any]], dict[str, Callable[[], Any]], Any, float, float | None, int]


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(__doc__, only={"choices": GROUPS, "help": "one group of kernels"})
    import numpy as np
    from _cython_build import load_baseline

    facts = _harness.machine_facts(options.threads)
    peak = facts["peak_gflops_per_core"] * 1e9 * options.threads
    cython = load_baseline()
    rng = np.random.default_rng(0)
    results = []
    for group in GROUPS:
        if options.only and group != options.only:
            continue
        for case, calls, checks, expected, tolerance, bound, size in CASES[group](np, cython, rng, peak, options.short):
            found = {name: get() for name, get in checks.items()}
            errors = {name: _harness.check(case, name, value, expected, tolerance) for name, value in found.items()}
            timings = _harness.time_alternately(calls, options.seconds, options.threads)
            remarks = element_remarks(np, found, expected, timings, bound, size) if group == "element" else ""
            results.append(_harness.Result(case, timings, bound, errors, remarks))
            print(f"checked and timed {case}", file=sys.stderr)
    _harness.report(results, facts, options)
    return 0


def element_remarks(np: Any, found: Any, expected: Any, timings: Any, copying: float, size: int) -> str:
    """Return elements a ns beside those that copying reaches, and the largest errors in ULP where |f(x)| >= 0.001."""
    # Far out on the left GELU is a tiny difference of large numbers: its error is small beside x, not beside itself.
    shown = np.abs(expected) >= 1e-3
    spacing = np.spacing(np.abs(expected[shown]).astype("f"))
    ulp = {
        name: float((np.abs(np.asarray(value, np.float64) - expected)[shown] / spacing).max(initial=0))
        for name, value in found.items()
    }
    rate = size / timings["lamina"].median / 1e9
    errors = ", ".join(f"{name} {error:.1f}" for name, error in ulp.items())
    return f"{rate:.2f} elements/ns (copying {size / copying / 1e9:.1f}); ULP: {errors}"


def dense_cases(np: Any, cython: Any, rng: Any, peak: float, short: bool) -> Iterator[Case]:
    """Forward: y = x w + b. Backward: all three gradients. Bound: multiply-adds at the peak."""
    from lamina import kernels

    for n, inputs, out in SHORT["dense"] if short else DENSE_SHAPES:
        x, w, b, dy = (rng.standard_normal(s).astype("f") for s in ((n, inputs), (inputs, out), (out,), (n, out)))
        y = {name: np.empty((n, out), "f") for name in ("lamina", "numpy", "cython")}
        grads = {name: (np.empty_like(x), np.empty_like(w), np.empty_like(b)) for name in ("lamina", "numpy", "cython")}

        def forward_numpy(x=x, w=w, b=b, y=y["numpy"]):
            np.matmul(x, w, out=y)
            np.add(y, b, out=y)
            return y

        def forward_lamina(x=x, w=w, b=b, y=y["lamina"]):
            return kernels.dense_forward(x, w, b, out=y)

        def forward_cython(x=x, w=w, b=b, y=y["cython"]):
            cython.dense_forward(x, w, b, y)
            return y

        def backward_numpy(x=x, w=w, dy=dy, g=grads["numpy"]):
            np.matmul(dy, w.T, out=g[0])
            np.matmul(x.T, dy, out=g[1])
            np.sum(dy, axis=0, out=g[2])
            return np.concatenate([a.ravel() for a in g])

        def backward_lamina(x=x, w=w, dy=dy, g=grads["lamina"]):
            kernels.dense_backward(x, w, dy, dx=g[0], dw=g[1], db=g[2])
            return g

        def backward_cython(x=x, w=w, dy=dy, g=grads["cython"]):
            cython.dense_backward(x, w, dy, *g)
            return g

        def flat(call):
            return lambda: np.concatenate([np.ravel(a) for a in call()])

        wide = [a.astype(np.float64) for a in (x, w, b, dy)]
        calls = {"lamina": forward_lamina, "numpy": forward_numpy}
        back = {"lamina": backward_lamina, "numpy": backward_numpy}
        if cython is not None and n * inputs * out <= 2**28:
            calls["cython"], back["cython"] = forward_cython, backward_cython
        size = f"({n}, {inputs}, {out})"
        operations = 2.0 * n * inputs * out
        expected = wide[0] @ wide[1] + wide[2]
        yield f"dense_forward {size}", calls, calls, expected, 2e-5, operations / peak, n * out
        gradients = (wide[3] @ wide[1].T, wide[0].T @ wide[3], wide[3].sum(axis=0))
        expected = np.concatenate([g.ravel() for g in gradients])
        checks = {name: flat(call) if name != "numpy" else call for name, call in back.items()}
        timed = back | {"numpy": lambda x=x, w=w, dy=dy, g=grads["numpy"]: (
            np.matmul(dy, w.T, out=g[0]), np.matmul(x.T, dy, out=g[1]), np.sum(dy, axis=0, out=g[2]))}  # fmt: skip
        yield f"dense_backward {size}", timed, checks, expected, 2e-5, 2 * operations / peak, n * out


def numpy_element(np: Any, name: str) -> Callable[[Any, Any], Any]:
    """Return an activation as a NumPy user writes it, with outputs in place."""

    def sigmoid(x, y):
        np.negative(x, out=y)
        np.exp(y, out=y)
        np.add(y, 1, out=y)
        return np.divide(1, y, out=y)

    def gelu_tanh(x, y):
        np.multiply(x, x, out=y)
        np.multiply(y, 0.044715, out=y)
        np.add(y, 1, out=y)
        np.multiply(y, x, out=y)
        np.multiply(y, (2 / np.pi) ** 0.5, out=y)
        np.tanh(y, out=y)
        np.add(y, 1, out=y)
        np.multiply(y, x, out=y)
        return np.multiply(y, 0.5, out=y)

    return {
        "relu": lambda x, y: np.maximum(x, 0, out=y),
        "exponential": lambda x, y: np.exp(x, out=y),
        "tanh": lambda x, y: np.tanh(x, out=y),
        "sigmoid": sigmoid,
        "gelu_tanh": gelu_tanh,
    }[name]


def element_cases(np: Any, cython: Any, rng: Any, peak: float, short: bool) -> Iterator[Case]:
    """Activations. Bound: copying the array."""
    from lamina import kernels

    for size in SHORT["element"] if short else ELEMENT_SIZES:
        x = rng.standard_normal(size).astype("f") * 2
        bound = 8 * size / _harness.copy_bandwidth(4 * size)
        for name in ("relu", "exponential", "sigmoid", "tanh", "gelu_tanh"):
            ours, theirs, loops = (np.empty_like(x) for _ in range(3))
            function = numpy_element(np, name)
            calls = {
                "lamina": lambda x=x, y=ours, name=name: kernels.activation_forward(name, x, out=y),
                "numpy": lambda x=x, y=theirs, function=function: function(x, y),
            }
            if cython is not None and name != "gelu_tanh":

                def loop(x=x, y=loops, name=name):
                    cython.element(name, x, y)
                    return y

                calls["cython"] = loop
            expected = function(x.astype(np.float64), np.empty(size))
            yield f"{name} ({size})", calls, calls, expected, 2e-6, bound, size


def loss_cases(np: Any, cython: Any, rng: Any, peak: float, short: bool) -> Iterator[Case]:
    """Softmax cross-entropy with integer labels, value and gradient. Bound: copying the logits."""
    from lamina import kernels

    for n, c in SHORT["loss"] if short else LOSS_SHAPES:
        z, labels = rng.standard_normal((n, c)).astype("f") * 3, rng.integers(0, c, n)
        rows = np.arange(n)
        loss, grad = np.empty(n, "f"), np.empty_like(z)
        loop_loss, loop_grad = np.empty(n, "f"), np.empty_like(z)

        def in_numpy(z=z, labels=labels, rows=rows):
            e = np.exp(z - z.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            value = -np.log(p[rows, labels])
            p[rows, labels] -= 1
            return value, p

        def in_lamina(z=z, labels=labels, loss=loss, grad=grad):
            return kernels.softmax_cross_entropy(z, labels, loss=loss, grad=grad)

        def in_cython(z=z, labels=labels, loss=loop_loss, grad=loop_grad):
            cython.softmax_cross_entropy(z, labels, loss, grad, 1.0)
            return loss, grad

        calls = {"lamina": in_lamina, "numpy": in_numpy} | ({"cython": in_cython} if cython is not None else {})
        wide = z.astype(np.float64)
        expected = np.concatenate([v.ravel() for v in in_numpy(wide)])
        checks = {name: lambda call=call: np.concatenate([v.ravel() for v in call()]) for name, call in calls.items()}
        bound = 8 * z.size / _harness.copy_bandwidth(4 * z.size)
        yield f"softmax_cross_entropy ({n}, {c})", calls, checks, expected, 5e-6, bound, z.size


def optimizer_cases(np: Any, cython: Any, rng: Any, peak: float, short: bool) -> Iterator[Case]:
    """SGD without and with momentum. A rate of 0 leaves the parameters as they are, so that all rounds are alike."""
    from lamina import kernels

    size = 100_000
    start, g = rng.standard_normal((2, size)).astype("f")
    theta = {name: start.copy() for name in ("lamina", "numpy", "cython")}
    velocity = {name: np.zeros_like(start) for name in theta}
    scratch = np.empty_like(start)

    def plain_lamina(rate=0.0):
        kernels.sgd_update(theta["lamina"], g, learning_rate=rate)

    def plain_numpy(rate=0.0):
        np.multiply(g, rate, out=scratch)
        np.subtract(theta["numpy"], scratch, out=theta["numpy"])

    def plain_cython(rate=0.0):
        cython.sgd(theta["cython"], g, rate)

    def momentum_lamina(rate=0.0):
        kernels.sgd_update(theta["lamina"], g, velocity["lamina"], learning_rate=rate, momentum=0.9)

    def momentum_numpy(rate=0.0):
        np.multiply(velocity["numpy"], 0.9, out=velocity["numpy"])
        np.multiply(g, rate, out=scratch)
        np.subtract(velocity["numpy"], scratch, out=velocity["numpy"])
        np.add(theta["numpy"], velocity["numpy"], out=theta["numpy"])

    def after(call, name):
        def one_step():
            theta[name][:] = start
            velocity[name][:] = 0
            call(0.1)
            return theta[name]

        return one_step

    expected = start.astype(np.float64) - 0.1 * g.astype(np.float64)
    for case, calls in (
        ("sgd", {"lamina": plain_lamina, "numpy": plain_numpy}),
        ("sgd with momentum", {"lamina": momentum_lamina, "numpy": momentum_numpy}),
    ):
        if cython is not None and case == "sgd":
            calls["cython"] = plain_cython
        checks = {name: after(call, name) for name, call in calls.items()}
        yield f"{case} ({size})", calls, checks, expected, 1e-6, None, size


CASES = {"dense": dense_cases, "element": element_cases, "loss": loss_cases, "optimizer": optimizer_cases}

if __name__ == "__main__":
    sys.exit(main())
