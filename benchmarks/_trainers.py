"""Implementations of one training run: a ReLU network with softmax cross-entropy, by SGD or Adam.

Each is made from (units, batch, weights, x, y, optimizer) and returns epoch(shuffle), which trains once over the rows,
and weights(), which returns [w1, b1, w2, b2, …]; or None where it cannot do the case.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

RATES = {"sgd": 0.01, "adam": 0.001}
BETAS = (0.9, 0.999)
EPSILON = 1e-10  # where it matters PyTorch puts it elsewhere

Maker = Callable[..., tuple[Callable[[bool], Any], Callable[[], list[Any]]] | None]


def oracle_epoch(np: Any, weights: list[Any], x: Any, y: Any, batch: int, optimizer: str) -> list[Any]:
    """Train one epoch in float64, row order as it stands."""
    weights = [w.astype(np.float64) for w in weights]
    step = numpy_stepper(np, weights, optimizer)
    for begin in range(0, len(x), batch):
        step(x[begin : begin + batch].astype(np.float64), y[begin : begin + batch])
    return weights


def numpy_stepper(np: Any, weights: list[Any], optimizer: str) -> Callable[[Any, Any], None]:
    """Return a step of SGD or Adam, as a NumPy user writes it."""
    rate = RATES[optimizer]
    means = [np.zeros_like(w) for w in weights]
    squares = [np.zeros_like(w) for w in weights]
    taken = 0

    def update(i: int, gradient: Any) -> None:
        if optimizer == "sgd":
            gradient *= rate
            weights[i] -= gradient
            return
        means[i] += (1 - BETAS[0]) * (gradient - means[i])
        squares[i] += (1 - BETAS[1]) * (gradient * gradient - squares[i])
        now = rate * (1 - BETAS[1] ** taken) ** 0.5 / (1 - BETAS[0] ** taken)
        weights[i] -= now * means[i] / (np.sqrt(squares[i]) + EPSILON)

    def step(x: Any, y: Any) -> None:
        nonlocal taken
        taken += 1
        step_in_numpy(np, weights, x, y, update)

    return step


def step_in_numpy(np: Any, weights: list[Any], x: Any, y: Any, update: Callable[[int, Any], None]) -> None:
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
        update(i, gradient)
        update(i + 1, bias)


def order_of(np: Any, rows: int, shuffle: bool, rng: Any) -> Any:
    return rng.permutation(rows) if shuffle else np.arange(rows)


def make_lamina(units, batch, weights, x, y, optimizer):
    import lamina
    from lamina import layers

    model = lamina.Sequential([lamina.Input((units[0],))])
    for width in units[1:-1]:
        model.add(layers.Dense(width, activation="relu"))
    model.add(layers.Dense(units[-1], activation="softmax"))
    model.set_weights(weights)
    rate = RATES[optimizer]
    chosen = lamina.optimizers.SGD(rate) if optimizer == "sgd" else lamina.optimizers.Adam(rate, epsilon=EPSILON)
    model.compile(chosen, "sparse_categorical_crossentropy")
    return lambda shuffle: model.fit(x, y, batch_size=batch, shuffle=shuffle, verbose=0), model.get_weights


def make_numpy(units, batch, weights, x, y, optimizer):
    import numpy as np

    weights = [w.copy() for w in weights]
    rng = np.random.default_rng(1)
    step = numpy_stepper(np, weights, optimizer)

    def epoch(shuffle):
        order = order_of(np, len(x), shuffle, rng)
        for begin in range(0, len(x), batch):
            rows = order[begin : begin + batch]
            step(x[rows], y[rows])

    return epoch, lambda: weights


def make_cython(units, batch, weights, x, y, optimizer):
    import numpy as np
    from _cython_build import load_baseline

    loops = load_baseline()
    if loops is None or max(units) > 1000 or optimizer != "sgd":  # plain loops take seconds there
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
                loops.sgd(w.reshape(-1), g.reshape(-1), RATES["sgd"])

    return epoch, lambda: weights


def make_torch(units, batch, weights, x, y, optimizer, *, compiled=False):
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
    rate = RATES[optimizer]
    if optimizer == "sgd":
        chosen = torch.optim.SGD(model.parameters(), rate)
    else:
        chosen = torch.optim.Adam(model.parameters(), rate, BETAS, EPSILON)
    loss = torch.nn.CrossEntropyLoss()
    rows, labels = torch.from_numpy(x), torch.from_numpy(y)

    def forward(x, y):
        return loss(model(x), y)

    step = chosen.step
    if compiled:
        forward, step = torch.compile(forward), torch.compile(step)

    def epoch(shuffle):
        order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
        for begin in range(0, len(x), batch):
            here = order[begin : begin + batch]
            chosen.zero_grad()
            forward(rows[here], labels[here]).backward()
            step()

    def current():
        values = [p.detach().numpy() for p in model.parameters()]
        return [v.T if v.ndim == 2 else v for v in values]

    return epoch, current


def make_jax(units, batch, weights, x, y, optimizer):
    import jax
    import jax.numpy as jnp
    import numpy as np

    def loss(weights, x, y):
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            if i + 2 < len(weights):
                x = jax.nn.relu(x)
        return -jnp.take_along_axis(jax.nn.log_softmax(x), y[:, None], axis=1).mean()

    rate = RATES[optimizer]

    @jax.jit
    def scan(state, x, y, order):
        def sgd(weights, rows):
            gradients = jax.grad(loss)(weights, x[rows], y[rows])
            return [w - rate * g for w, g in zip(weights, gradients, strict=True)], None

        def adam(state, rows):
            weights, means, squares, t = state
            gradients = jax.grad(loss)(weights, x[rows], y[rows])
            means = [m + (1 - BETAS[0]) * (g - m) for m, g in zip(means, gradients, strict=True)]
            squares = [v + (1 - BETAS[1]) * (g * g - v) for v, g in zip(squares, gradients, strict=True)]
            now = rate * jnp.sqrt(1 - BETAS[1] ** t) / (1 - BETAS[0] ** t)
            weights = [w - now * m / (jnp.sqrt(v) + EPSILON) for w, m, v in zip(weights, means, squares, strict=True)]
            return (weights, means, squares, t + 1), None

        return jax.lax.scan(sgd if optimizer == "sgd" else adam, state, order)[0]

    made = [jnp.asarray(w) for w in weights]
    if optimizer == "adam":
        made = (made, [jnp.zeros_like(w) for w in made], [jnp.zeros_like(w) for w in made], jnp.float32(1))
    state = {"weights": made, "key": jax.random.key(0)}
    rows, labels = jnp.asarray(x), jnp.asarray(y)

    def epoch(shuffle):
        order = jnp.arange(len(x))
        if shuffle:
            state["key"], key = jax.random.split(state["key"])
            order = jax.random.permutation(key, order)
        state["weights"] = jax.block_until_ready(scan(state["weights"], rows, labels, order.reshape(-1, batch)))

    def current():
        found = state["weights"]
        return [np.asarray(w) for w in (found if optimizer == "sgd" else found[0])]

    return epoch, current


def make_keras(units, batch, weights, x, y, optimizer):
    import keras

    model = keras.Sequential([keras.Input((units[0],))])
    for width in units[1:-1]:
        model.add(keras.layers.Dense(width, activation="relu"))
    model.add(keras.layers.Dense(units[-1]))
    model.set_weights(weights)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = RATES[optimizer]
    model.compile(
        keras.optimizers.SGD(rate) if optimizer == "sgd" else keras.optimizers.Adam(rate, epsilon=EPSILON), loss
    )
    return lambda shuffle: model.fit(x, y, batch_size=batch, shuffle=shuffle, verbose=0), model.get_weights


def make_sklearn(units, batch, weights, x, y, optimizer):
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    if units[-1] == 2:  # one logistic unit there: another network
        return None

    def made(shuffle):
        model = MLPClassifier(
            units[1:-1], solver=optimizer, alpha=0, batch_size=batch, learning_rate_init=RATES[optimizer], momentum=0,
            nesterovs_momentum=False, shuffle=shuffle, epsilon=EPSILON,
        )  # fmt: skip
        model.partial_fit(x, y, classes=np.arange(units[-1]))  # makes the arrays
        if optimizer == "adam":
            state = model._optimizer
            state.t = 0
            for array in (*state.ms, *state.vs):
                array[:] = 0
        for i in range(len(units) - 1):
            model.coefs_[i][:] = weights[2 * i]
            model.intercepts_[i][:] = weights[2 * i + 1]
        return model

    models = {shuffle: made(shuffle) for shuffle in (False, True)}

    def current():
        model = models[False]
        return [value for pair in zip(model.coefs_, model.intercepts_, strict=True) for value in pair]

    return lambda shuffle: models[shuffle].partial_fit(x, y), current


MAKERS: dict[str, Maker] = {
    "lamina": make_lamina,
    "numpy": make_numpy,
    "cython": make_cython,
    "torch": make_torch,
    "torch.compile": functools.partial(make_torch, compiled=True),
    "jax": make_jax,
    "keras": make_keras,
    "scikit-learn": make_sklearn,
}
