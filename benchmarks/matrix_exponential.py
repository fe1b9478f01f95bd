"""SimpleChains.jl's example: a 4-32-16-4 network learns the exponential of 2×2 matrices; µs for an epoch.

    python benchmarks/matrix_exponential.py

tanh, mean squared error, Adam, one batch of all 10,000 rows. Every implementation starts from the same weights; before
anything is timed, eight epochs of each are compared with float64 loops. SimpleChains itself is a Julia package; it
publishes 164 µs an epoch on 4 cores of a laptop. An exception ends the run with a status other than 0.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness

UNITS = (4, 32, 16, 4)
ROWS = 10_000
RATE, BETAS, EPSILON = 0.001, (0.9, 0.999), 1e-7
EPOCHS = 20  # of one timed call

# epochs(count) trains so many; weights() returns [w1, b1, w2, b2, …].
Made = tuple[Callable[[int], Any], Callable[[], list[Any]]]


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(__doc__)
    import numpy as np

    import lamina

    facts = _harness.machine_facts(options.threads)
    lamina.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((ROWS, 4)).astype("f")
    y = exponentials(np, x.astype(np.float64)).astype("f")
    weights = []
    for inputs, out in pairwise(UNITS):
        weights += [(rng.standard_normal((inputs, out)) * (1 / inputs) ** 0.5).astype("f"), np.zeros(out, "f")]
    epochs, oracle = make_numpy(np, [w.astype(np.float64) for w in weights], x.astype(np.float64), y.astype(np.float64))
    epochs(8)
    expected = oracle()
    calls: dict[str, Callable[[], Any]] = {}
    errors = {}
    for name, maker in MAKERS.items():
        if name in ("torch", "jax") and not importlib.util.find_spec(name):
            continue
        train, current = maker(np, weights, x, y)
        train(8)
        errors[name] = max(
            _harness.check(f"weights {i}", name, ours - start, theirs - start, 2e-2, True)
            for i, (ours, theirs, start) in enumerate(zip(current(), expected, weights, strict=True))
        )
        calls[name] = lambda train=train: train(EPOCHS)
    timings = _harness.time_alternately(calls, options.seconds, options.threads)
    per_epoch = {name: _harness.Timing(t.median / EPOCHS, t.spread) for name, t in timings.items()}
    products = [2.0 * ROWS * i * o for i, o in pairwise(UNITS)]
    operations = 2 * products[0] + 3 * sum(products[1:])
    peak = facts["peak_gflops_per_core"] * 1e9 * options.threads
    result = _harness.Result("4-32-16-4, 10000, adam", per_epoch, operations / peak, errors)
    _harness.report([result], facts, options)
    return 0


def exponentials(np: Any, x: Any) -> Any:
    """Return the matrix exponentials of 2×2 matrices in rows: scaling by 2^-10, Taylor, squaring."""
    a = x.reshape(-1, 2, 2) / 1024
    found = term = np.broadcast_to(np.eye(2), a.shape)
    for k in range(1, 8):
        term = term @ a / k
        found = found + term
    for _ in range(10):
        found = found @ found
    return found.reshape(-1, 4)


def make_lamina(np: Any, weights: Any, x: Any, y: Any) -> Made:
    import lamina
    from lamina import layers

    stack = [layers.Dense(units, "tanh") for units in UNITS[1:-1]]
    model = lamina.Sequential([lamina.Input((4,)), *stack, layers.Dense(4)])
    model.set_weights(weights)
    model.compile(lamina.optimizers.Adam(RATE, *BETAS, EPSILON), "mse")
    return lambda count: model.fit(x, y, batch_size=ROWS, epochs=count, shuffle=False, verbose=0), model.get_weights


def make_numpy(np: Any, weights: Any, x: Any, y: Any) -> Made:
    weights = [w.copy() for w in weights]
    means, squares = [np.zeros_like(w) for w in weights], [np.zeros_like(w) for w in weights]
    taken = 0

    def epochs(count: int) -> None:
        nonlocal taken
        for _ in range(count):
            taken += 1
            values = [x]
            for i in range(0, len(weights), 2):
                z = values[-1] @ weights[i] + weights[i + 1]
                values.append(np.tanh(z) if i + 2 < len(weights) else z)
            dz = (values[-1] - y) * (2 / y.size)
            now = RATE * (1 - BETAS[1] ** taken) ** 0.5 / (1 - BETAS[0] ** taken)
            for i in reversed(range(0, len(weights), 2)):
                h = values[i // 2]
                gradients = h.T @ dz, dz.sum(axis=0)
                if i:
                    dz = (dz @ weights[i].T) * (1 - h * h)
                for k, g in zip((i, i + 1), gradients, strict=True):
                    means[k] += (1 - BETAS[0]) * (g - means[k])
                    squares[k] += (1 - BETAS[1]) * (g * g - squares[k])
                    weights[k] -= now * means[k] / (np.sqrt(squares[k]) + EPSILON)

    return epochs, lambda: weights


def make_torch(np: Any, weights: Any, x: Any, y: Any) -> Made:
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    parts: list[Any] = []
    for i, (inputs, out) in enumerate(pairwise(UNITS)):
        linear = torch.nn.Linear(inputs, out)
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights[2 * i].T.copy()))
            linear.bias.copy_(torch.from_numpy(weights[2 * i + 1].copy()))
        parts += [linear, torch.nn.Tanh()]
    model = torch.nn.Sequential(*parts[:-1])
    optimizer = torch.optim.Adam(model.parameters(), RATE, BETAS, EPSILON)
    loss, rows, targets = torch.nn.MSELoss(), torch.from_numpy(x), torch.from_numpy(y)

    def epochs(count: int) -> None:
        for _ in range(count):
            optimizer.zero_grad()
            loss(model(rows), targets).backward()
            optimizer.step()

    return epochs, lambda: [p.detach().numpy().T if p.ndim == 2 else p.detach().numpy() for p in model.parameters()]


def make_jax(np: Any, weights: Any, x: Any, y: Any) -> Made:
    import jax
    import jax.numpy as jnp

    def loss(weights: Any) -> Any:
        h = rows
        for i in range(0, len(weights), 2):
            h = h @ weights[i] + weights[i + 1]
            if i + 2 < len(weights):
                h = jnp.tanh(h)
        return ((h - targets) ** 2).mean()

    def step(state: Any, _: Any) -> Any:
        weights, means, squares, t = state
        gradients = jax.grad(loss)(weights)
        means = [m + (1 - BETAS[0]) * (g - m) for m, g in zip(means, gradients, strict=True)]
        squares = [v + (1 - BETAS[1]) * (g * g - v) for v, g in zip(squares, gradients, strict=True)]
        now = RATE * jnp.sqrt(1 - BETAS[1] ** t) / (1 - BETAS[0] ** t)
        weights = [w - now * m / (jnp.sqrt(v) + EPSILON) for w, m, v in zip(weights, means, squares, strict=True)]
        return (weights, means, squares, t + 1), None

    rows, targets = jnp.asarray(x), jnp.asarray(y)
    start = [jnp.asarray(w) for w in weights]
    zeros = [jnp.zeros_like(w) for w in start]
    held = {"state": (start, zeros, zeros, jnp.float32(1))}
    scan = jax.jit(lambda state, count: jax.lax.scan(step, state, length=count)[0], static_argnums=1)

    def epochs(count: int) -> None:
        held["state"] = jax.block_until_ready(scan(held["state"], count))

    return epochs, lambda: [np.asarray(w) for w in held["state"][0]]


MAKERS: dict[str, Callable[..., Made]] = {
    "lamina": make_lamina,
    "numpy": make_numpy,
    "torch": make_torch,
    "jax": make_jax,
}

if __name__ == "__main__":
    sys.exit(main())
