"""Whole training runs against NumPy, Cython and whichever of PyTorch, JAX, Keras and scikit-learn are installed.

    python benchmarks/training.py
    python benchmarks/training.py --threads 1 --only 784-128-10 --json results.json

Every implementation trains the same ReLU network with softmax cross-entropy and plain SGD from the same weights, on
shuffled mini-batches, each with the same threads. Before anything is timed, a few unshuffled steps of each are compared
with float64 loops. Times are µs a step over a whole epoch, everything included. An exception ends the run with a status
other than 0.
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

CASES = [
    ((64, 32, 10), 32), ((20, 64, 64, 2), 32), ((20, 64, 64, 2), 256), ((784, 128, 10), 32), ((784, 128, 10), 128),
    ((784, 128, 10), 1024), ((784, 512, 512, 10), 32), ((784, 512, 512, 10), 256), ((1024, 2048, 2048, 1000), 32),
    ((1024, 2048, 2048, 1000), 256),
]  # fmt: skip
SHORT = [((64, 32, 10), 32)]
RATE = 0.01
PEERS = {"torch": "torch", "jax": "jax", "keras": "keras", "scikit-learn": "sklearn"}

# An implementation: made from (units, batch, weights, x, y); its epoch(shuffle) trains once over the rows, and its
# weights() returns [w1, b1, w2, b2, …].
Maker = Callable[..., tuple[Callable[[bool], Any], Callable[[], list[Any]]] | None]


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__,
        only={"help": "one network, as 784-128-10"},
        without={"nargs": "*", "default": [], "help": "peers to leave out"},
    )
    if "KERAS_BACKEND" not in os.environ and importlib.util.find_spec("jax"):
        os.environ["KERAS_BACKEND"] = "jax"  # Keras's fastest here
    import numpy as np

    import lamina

    facts = _harness.machine_facts(options.threads)
    peak = facts["peak_gflops_per_core"] * 1e9 * options.threads
    makers: dict[str, Maker] = {"lamina": make_lamina, "numpy": make_numpy, "cython": make_cython}
    makers |= {name: PEER_MAKERS[name] for name, module in PEERS.items() if importlib.util.find_spec(module)}
    makers = {name: maker for name, maker in makers.items() if name not in options.without}
    lamina.set_num_threads(options.threads)
    results = []
    for units, batch in SHORT if options.short else CASES:
        case = "-".join(map(str, units))
        if options.only and case != options.only:
            continue
        case += f", {batch}"
        rng = np.random.default_rng(0)
        steps = 16 if units[1] < 1000 else 4
        x = rng.standard_normal((steps * batch, units[0])).astype("f")
        y = rng.integers(0, units[-1], len(x))
        weights = []
        for inputs, out in pairwise(units):
            weights += [(rng.standard_normal((inputs, out)) * (2 / inputs) ** 0.5).astype("f"), np.zeros(out, "f")]
        expected = oracle_epoch(np, weights, x[: 4 * batch], y[: 4 * batch], batch)
        calls, errors = {}, {}
        for name, maker in makers.items():
            made = maker(units, batch, weights, x[: 4 * batch], y[: 4 * batch])
            if made is None:
                continue
            epoch, current = made
            epoch(False)
            errors[name] = max(
                _harness.check(f"{case}, weights {i}", name, ours - start, theirs - start, 2e-3, norm=True)
                for i, (ours, theirs, start) in enumerate(zip(current(), expected, weights, strict=True))
            )
            timed, _ = maker(units, batch, weights, x, y)
            calls[name] = lambda timed=timed: timed(True)
        timings = _harness.time_alternately(calls, options.seconds, options.threads)
        per_step = {name: _harness.Timing(t.median / steps, t.spread) for name, t in timings.items()}
        products = [2.0 * batch * i * o for i, o in pairwise(units)]
        operations = 2 * products[0] + 3 * sum(products[1:])  # the first layer needs no dx
        results.append(_harness.Result(case, per_step, operations / peak, errors))
        print(f"checked and timed {case}", file=sys.stderr)
    _harness.report(results, facts, options)
    return 0


def oracle_epoch(np: Any, weights: list[Any], x: Any, y: Any, batch: int) -> list[Any]:
    """Train one epoch in float64, row order as it stands."""
    weights = [w.astype(np.float64) for w in weights]
    for begin in range(0, len(x), batch):
        step_in_numpy(np, weights, x[begin : begin + batch].astype(np.float64), y[begin : begin + batch])
    return weights


def step_in_numpy(np: Any, weights: list[Any], x: Any, y: Any) -> None:
    """Take one step of plain SGD, as a NumPy user writes it."""
    h = [x]
    for i in range(0, len(weights), 2):
        z = h[-1] @ weights[i]
        z += weights[i + 1]
        h.append(np.maximum(z, 0, out=z) if i + 2 < len(weights) else z)
    dz = h[-1] - h[-1].max(axis=1, keepdims=True)
    np.exp(dz, out=dz)
    dz /= dz.sum(axis=1, keepdims=True)
    dz[np.arange(len(y)), y] -= 1
    dz /= len(y)
    for i in range(len(weights) - 2, -1, -2):
        gradient, bias = h[i // 2].T @ dz, dz.sum(axis=0)
        if i:
            dz = dz @ weights[i].T
            dz *= h[i // 2] > 0
        gradient *= RATE
        weights[i] -= gradient
        weights[i + 1] -= RATE * bias


def order_of(np: Any, rows: int, shuffle: bool, rng: Any) -> Any:
    return rng.permutation(rows) if shuffle else np.arange(rows)


def make_lamina(units, batch, weights, x, y):
    import lamina
    from lamina import layers

    model = lamina.Sequential([lamina.Input((units[0],))])
    for width in units[1:-1]:
        model.add(layers.Dense(width, activation="relu"))
    model.add(layers.Dense(units[-1], activation="softmax"))
    model.set_weights(weights)
    model.compile(lamina.optimizers.SGD(RATE), "sparse_categorical_crossentropy")
    return lambda shuffle: model.fit(x, y, batch_size=batch, shuffle=shuffle, verbose=0), model.get_weights


def make_numpy(units, batch, weights, x, y):
    import numpy as np

    weights = [w.copy() for w in weights]
    rng = np.random.default_rng(1)

    def epoch(shuffle):
        order = order_of(np, len(x), shuffle, rng)
        for begin in range(0, len(x), batch):
            rows = order[begin : begin + batch]
            step_in_numpy(np, weights, x[rows], y[rows])

    return epoch, lambda: weights


def make_cython(units, batch, weights, x, y):
    import numpy as np
    from _cython_build import load_baseline

    loops = load_baseline()
    if loops is None or max(units) > 1000:  # plain loops take seconds there
        return None
    weights = [w.copy() for w in weights]
    gradients = [np.empty_like(w) for w in weights]
    hidden = [np.empty((batch, width), "f") for width in units]
    deltas = [np.empty((batch, width), "f") for width in units]
    loss = np.empty(batch, "f")
    rng = np.random.default_rng(1)
    last = len(units) - 1

    def epoch(shuffle):
        order = order_of(np, len(x), shuffle, rng)
        for begin in range(0, len(x), batch):
            rows = order[begin : begin + batch]
            np.take(x, rows, axis=0, out=hidden[0])
            for i in range(last):
                loops.dense_forward(hidden[i], weights[2 * i], weights[2 * i + 1], hidden[i + 1])
                if i + 1 < last:
                    loops.relu(hidden[i + 1])
            loops.softmax_cross_entropy(hidden[last], y[rows], loss, deltas[last], 1.0 / batch)
            for i in range(last - 1, -1, -1):
                loops.dense_backward(
                    hidden[i], weights[2 * i], deltas[i + 1], deltas[i], gradients[2 * i], gradients[2 * i + 1], i > 0
                )
                if i > 0:
                    loops.relu_backward(hidden[i], deltas[i])
            for w, g in zip(weights, gradients, strict=True):
                loops.sgd(w.reshape(-1), g.reshape(-1), RATE)

    return epoch, lambda: weights


def make_torch(units, batch, weights, x, y):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    parts = []
    for i in range(len(units) - 1):
        linear = torch.nn.Linear(units[i], units[i + 1])
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weights[2 * i].T.copy()))
            linear.bias.copy_(torch.from_numpy(weights[2 * i + 1].copy()))
        parts += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts[:-1])
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    loss = torch.nn.CrossEntropyLoss()
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)

    def epoch(shuffle):
        order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
        for begin in range(0, len(x), batch):
            chosen = order[begin : begin + batch]
            optimizer.zero_grad()
            loss(model(rows[chosen]), labels[chosen]).backward()
            optimizer.step()

    def current():
        values = [p.detach().numpy() for p in model.parameters()]
        return [v.T if v.ndim == 2 else v for v in values]

    return epoch, current


def make_jax(units, batch, weights, x, y):
    import jax
    import jax.numpy as jnp
    import numpy as np

    def loss(weights, x, y):
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            if i + 2 < len(weights):
                x = jax.nn.relu(x)
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()

    @jax.jit
    def scan(weights, x, y, order):
        def step(weights, rows):
            gradients = jax.grad(loss)(weights, x[rows], y[rows])
            return [w - RATE * g for w, g in zip(weights, gradients, strict=True)], None

        return jax.lax.scan(step, weights, order)[0]

    state = {"weights": [jnp.asarray(w) for w in weights], "key": jax.random.key(0)}
    rows, labels = jnp.asarray(x), jnp.asarray(y)

    def epoch(shuffle):
        order = jnp.arange(len(x))
        if shuffle:
            state["key"], key = jax.random.split(state["key"])
            order = jax.random.permutation(key, order)
        state["weights"] = jax.block_until_ready(scan(state["weights"], rows, labels, order.reshape(-1, batch)))

    return epoch, lambda: [np.asarray(w) for w in state["weights"]]


def make_keras(units, batch, weights, x, y):
    import keras

    model = keras.Sequential([keras.Input((units[0],))])
    for width in units[1:-1]:
        model.add(keras.layers.Dense(width, activation="relu"))
    model.add(keras.layers.Dense(units[-1]))
    model.set_weights(weights)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(RATE), loss)
    return lambda shuffle: model.fit(x, y, batch_size=batch, shuffle=shuffle, verbose=0), model.get_weights


def make_sklearn(units, batch, weights, x, y):
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    if units[-1] == 2:  # one logistic unit there: another network
        return None

    def made(shuffle):
        model = MLPClassifier(
            units[1:-1], solver="sgd", alpha=0, batch_size=batch, learning_rate_init=RATE, momentum=0,
            nesterovs_momentum=False, shuffle=shuffle,
        )  # fmt: skip
        model.partial_fit(x, y, classes=np.arange(units[-1]))  # makes the arrays
        for i in range(len(units) - 1):
            model.coefs_[i][:] = weights[2 * i]
            model.intercepts_[i][:] = weights[2 * i + 1]
        return model

    models = {shuffle: made(shuffle) for shuffle in (False, True)}

    def current():
        model = models[False]
        return [value for pair in zip(model.coefs_, model.intercepts_, strict=True) for value in pair]

    return lambda shuffle: models[shuffle].partial_fit(x, y), current


PEER_MAKERS: dict[str, Maker] = {
    "torch": make_torch,
    "jax": make_jax,
    "keras": make_keras,
    "scikit-learn": make_sklearn,
}

if __name__ == "__main__":
    sys.exit(main())
