"""Many networks in one call: seeds of a small network, and the folds of a cross-validation.

    python benchmarks/many.py
    python benchmarks/many.py --only folds --json results.json

- seeds: 16 networks 20-64-64-2, 1,000 rows, batches of 32, 20 epochs, Adam: `fit_many` beside one after the other by
  `fit` on one thread, `jax.vmap` and `torch.func.vmap`, which train all networks in each operation
- folds: 8 stratified folds of digits, 64-100-10: `cross_validate` beside scikit-learn's, which has as many processes as
  there are threads

Weights of all networks are compared with a float64 oracle (folds: the accuracy with scikit-learn's) before anything is
timed. An exception ends the run with a status other than 0.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness
import _trainers

UNITS, ROWS, BATCH, NETWORKS = (20, 64, 64, 2), 1000, 32, 16

# Made from (weights of all networks, x, y): train(epochs, shuffle) trains them all; weights() returns those of each.
Made = tuple[Callable[[int, bool], Any], Callable[[], list[list[Any]]]]


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__,
        only={"choices": ["seeds", "folds"], "help": "one of the two"},
        without={"nargs": "*", "default": [], "help": "peers to leave out"},
    )
    import lamina

    facts = _harness.machine_facts(options.threads)
    lamina.set_num_threads(options.threads)
    results = []
    if options.only in (None, "seeds"):
        results.append(seeds(options))
    if options.only in (None, "folds"):
        results.append(folds(options))
    _harness.report(results, facts, options)
    return 0


def seeds(options: Any) -> _harness.Result:
    """Time the training of networks that differ in their weights."""
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((ROWS, UNITS[0])).astype("f"), rng.integers(0, UNITS[-1], ROWS)
    weights = [
        [
            w.astype("f")
            for inputs, out in pairwise(UNITS)
            for w in (rng.standard_normal((inputs, out)) * (2 / inputs) ** 0.5, np.zeros(out))
        ]
        for _ in range(NETWORKS)
    ]
    expected = [_trainers.oracle_epoch(np, own, x, y, BATCH, "adam") for own in weights]
    calls: dict[str, Callable[[], Any]] = {}
    errors = {}
    epochs = 2 if options.short else 20
    for name, maker in MAKERS.items():
        module = name.partition(".")[0]
        if module in options.without or not importlib.util.find_spec(module):
            continue
        train, current = maker(weights, x, y, options.threads)
        train(1, False)
        errors[name] = max(
            _harness.check(f"network {i}", name, ours - start, theirs - start, 2e-2, True)
            for i, own in enumerate(current())
            for ours, theirs, start in zip(own, expected[i], weights[i], strict=True)
        )
        calls[name] = lambda train=train: train(epochs, True)
    timings = _harness.time_alternately(calls, options.seconds, options.threads)
    print("checked and timed seeds", file=sys.stderr)
    return _harness.Result(f"{NETWORKS} × 20-64-64-2, {epochs} epochs", timings, None, errors)


def lamina_models(weights: list[list[Any]]) -> list[Any]:
    import lamina
    from lamina import layers

    models = []
    for own in weights:
        hidden = [layers.Dense(width, "relu") for width in UNITS[1:-1]]
        model = lamina.Sequential([lamina.Input((UNITS[0],)), *hidden, layers.Dense(UNITS[-1], "softmax")])
        model.set_weights(own)
        adam = lamina.optimizers.Adam(_trainers.RATES["adam"], epsilon=_trainers.EPSILON)
        model.compile(adam, "sparse_categorical_crossentropy")
        models.append(model)
    return models


def make_lamina(weights: list[list[Any]], x: Any, y: Any, threads: int) -> Made:
    import lamina

    models = lamina_models(weights)

    def train(epochs: int, shuffle: bool) -> None:
        lamina.fit_many(models, x, y, batch_size=BATCH, epochs=epochs, shuffle=shuffle, verbose=0)

    return train, lambda: [model.get_weights() for model in models]


def make_one_by_one(weights: list[list[Any]], x: Any, y: Any, threads: int) -> Made:
    import lamina

    models = lamina_models(weights)

    def train(epochs: int, shuffle: bool) -> None:
        lamina.set_num_threads(1)
        for model in models:
            model.fit(x, y, batch_size=BATCH, epochs=epochs, shuffle=shuffle, verbose=0)
        lamina.set_num_threads(threads)

    return train, lambda: [model.get_weights() for model in models]


def make_jax(weights: list[list[Any]], x: Any, y: Any, threads: int) -> Made:
    import jax
    import jax.numpy as jnp
    import numpy as np

    rate, (beta1, beta2), epsilon = _trainers.RATES["adam"], _trainers.BETAS, _trainers.EPSILON
    full = ROWS // BATCH * BATCH

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            if i + 2 < len(weights):
                x = jax.nn.relu(x)
        return -jax.nn.log_softmax(x)[jnp.arange(len(y)), y].mean()

    def step(state: Any, order: Any) -> Any:
        weights, means, squares, t = state
        gradients = jax.grad(loss)(weights, rows[order], labels[order])
        means = [m + (1 - beta1) * (g - m) for m, g in zip(means, gradients, strict=True)]
        squares = [v + (1 - beta2) * (g * g - v) for v, g in zip(squares, gradients, strict=True)]
        now = rate * jnp.sqrt(1 - beta2**t) / (1 - beta1**t)
        weights = [w - now * m / (jnp.sqrt(v) + epsilon) for w, m, v in zip(weights, means, squares, strict=True)]
        return (weights, means, squares, t + 1), None

    def epoch(state: Any, order: Any) -> Any:
        state, _ = jax.lax.scan(step, state, order[:full].reshape(-1, BATCH))
        return step(state, order[full:])

    rows, labels = jnp.asarray(x), jnp.asarray(y)
    start = [jnp.stack(parts) for parts in zip(*weights, strict=True)]
    zeros = [jnp.zeros_like(w) for w in start]
    held = {"state": (start, zeros, zeros, jnp.ones(len(weights)))}
    trained = jax.jit(jax.vmap(lambda state, orders: jax.lax.scan(epoch, state, orders)[0]))
    rng = np.random.default_rng(1)

    def train(epochs: int, shuffle: bool) -> None:
        orders = np.broadcast_to(np.arange(ROWS), (len(weights), epochs, ROWS))
        orders = rng.permuted(orders, axis=2) if shuffle else orders
        held["state"] = jax.block_until_ready(trained(held["state"], orders))

    return train, lambda: [[np.asarray(w[i]) for w in held["state"][0]] for i in range(len(weights))]


def make_torch(weights: list[list[Any]], x: Any, y: Any, threads: int) -> Made:
    import torch

    torch.set_num_threads(threads)
    rate, (beta1, beta2), epsilon = _trainers.RATES["adam"], _trainers.BETAS, _trainers.EPSILON
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)
    held = [torch.stack([torch.from_numpy(w) for w in parts]) for parts in zip(*weights, strict=True)]
    means, squares = [torch.zeros_like(w) for w in held], [torch.zeros_like(w) for w in held]
    taken = 0

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            if i + 2 < len(weights):
                x = torch.relu(x)
        return torch.nn.functional.cross_entropy(x, y)

    gradient = torch.func.vmap(torch.func.grad(loss))

    def train(epochs: int, shuffle: bool) -> None:
        nonlocal taken
        for _ in range(epochs):
            order = [torch.randperm(ROWS) if shuffle else torch.arange(ROWS) for _ in weights]
            for batch in torch.stack(order).split(BATCH, dim=1):
                taken += 1
                now = rate * (1 - beta2**taken) ** 0.5 / (1 - beta1**taken)
                gradients = gradient(held, rows[batch], labels[batch])
                for w, m, v, g in zip(held, means, squares, gradients, strict=True):
                    m += (1 - beta1) * (g - m)
                    v += (1 - beta2) * (g * g - v)
                    w -= now * m / (v.sqrt() + epsilon)

    return train, lambda: [[w[i].numpy() for w in held] for i in range(len(weights))]


MAKERS: dict[str, Callable[..., Made]] = {
    "lamina": make_lamina,
    "lamina.fit": make_one_by_one,
    "jax.vmap": make_jax,
    "torch.func": make_torch,
}


def folds(options: Any) -> _harness.Result:
    """Time a cross-validation."""
    import numpy as np

    import lamina
    from lamina import layers

    (x, y), _ = lamina.datasets.digits.load_data()
    x, count, epochs = (x / 16).astype("f"), 2 if options.short else 8, 3 if options.short else 40

    def make_model() -> Any:
        model = lamina.Sequential([lamina.Input((64,)), layers.Dense(100, "relu"), layers.Dense(10, "softmax")])
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    def ours() -> Any:
        lamina.utils.set_random_seed(0)
        found = lamina.cross_validate(make_model, x, y, count, batch_size=200, epochs=epochs, verbose=0)
        return found.scores["accuracy"]

    calls: dict[str, Callable[[], Any]] = {"lamina": ours}
    if importlib.util.find_spec("sklearn") and "sklearn" not in options.without:
        import os
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.model_selection import StratifiedKFold, cross_validate
        from sklearn.neural_network import MLPClassifier

        warnings.simplefilter("ignore", ConvergenceWarning)
        os.environ["PYTHONWARNINGS"] = "ignore"  # in the processes of cross_validate
        estimator = MLPClassifier(max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=0)
        splitter = StratifiedKFold(count, shuffle=True, random_state=0)

        def theirs() -> Any:
            return cross_validate(estimator, x, y, cv=splitter, n_jobs=options.threads)["test_score"]

        calls["scikit-learn"] = theirs
    accuracies = {name: float(np.mean(call())) for name, call in calls.items()}
    if max(accuracies.values()) - min(accuracies.values()) > (0.2 if options.short else 0.02):
        raise AssertionError(f"accuracies differ: {accuracies}")
    timings = _harness.time_alternately(calls, options.seconds, options.threads)
    print("checked and timed folds", file=sys.stderr)
    remarks = "accuracy " + ", ".join(f"{value:.3f}" for value in accuracies.values())
    return _harness.Result(f"{count} folds of digits, 64-100-10, {epochs} epochs", timings, None, remarks=remarks)


if __name__ == "__main__":
    sys.exit(main())
