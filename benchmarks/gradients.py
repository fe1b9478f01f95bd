"""Gradients, Jacobians, explanations and second-order training beside whichever peers are installed.

    python benchmarks/gradients.py
    python benchmarks/gradients.py --only lbfgs --json results.json

- loss: the loss of a batch and its gradient, by `value_and_gradient`, beside a training step of the same batch
- input: the derivative of an output by one row, by `vjp`, beside that row's prediction
- jacobian: the derivatives of all outputs of a batch by its inputs
- explanations: expected gradients of 1,000 rows with 100 samples of a background each; SHAP's gradient explainer
- lbfgs: training of digits, and of 20,000 × 20 rows, to the loss that scikit-learn's ``solver="lbfgs"`` ends with
- levenberg-marquardt: training to a given loss; beside the package torch-levenberg-marquardt

Each result is compared with a float64 oracle, or with the loss that it must reach, before anything is timed. An
exception ends the run with a status other than 0.
"""

from __future__ import annotations

import importlib.util
import itertools
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness

Call = Callable[[], Any]
SEEDS = 3


class Benchmark:
    """What all parts share: options, and what is installed."""

    def __init__(self, options: Any) -> None:
        import numpy as np

        self.np, self.options, self.short = np, options, options.short
        self.results: list[_harness.Result] = []

    def has(self, module: str) -> bool:
        """Return whether a peer is installed and wanted."""
        return module not in self.options.without and importlib.util.find_spec(module) is not None

    def microseconds(self, call: Call, parts: int = 1) -> str:
        """Return the time of a call, or of each of its parts, as text."""
        found = _harness.time_alternately({"": call}, self.options.seconds, self.options.threads)[""]
        return _harness.microseconds(found.median / parts)

    def time(self, case: str, calls: dict[str, Call], errors: dict[str, float], remarks: str = "") -> None:
        """Time the calls of a case."""
        timings = _harness.time_alternately(calls, self.options.seconds, self.options.threads)
        self.results.append(_harness.Result(case, timings, None, errors, remarks))
        print(f"checked and timed {case}", file=sys.stderr)


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__,
        only={"choices": list(PARTS), "help": "one part"},
        without={"nargs": "*", "default": [], "help": "peers to leave out"},
    )
    import lamina

    facts = _harness.machine_facts(options.threads)
    lamina.set_num_threads(options.threads)
    if importlib.util.find_spec("torch") and "torch" not in options.without:
        import torch

        torch.set_num_threads(options.threads)
    benchmark = Benchmark(options)
    for name, part in PARTS.items():
        if options.only in (None, name):
            part(benchmark)
    _harness.report(benchmark.results, facts, options)
    return 0


# Networks


def random_weights(np: Any, units: tuple[int, ...]) -> list[Any]:
    """Return kernels and biases of a network, in float32."""
    rng = np.random.default_rng(0)
    weights = []
    for inputs, out in pairwise(units):
        weights += [
            (rng.standard_normal((inputs, out)) * (2 / inputs) ** 0.5).astype("f"), rng.standard_normal(out).astype("f")
        ]  # fmt: skip
    return weights


def relu_model(units: tuple[int, ...], weights: list[Any], last: str | None = None) -> Any:
    """Return a ReLU network."""
    import lamina
    from lamina import layers

    hidden = [layers.Dense(width, "relu") for width in units[1:-1]]
    model = lamina.Sequential([lamina.Input((units[0],)), *hidden, layers.Dense(units[-1], last)])
    model.set_weights(weights)
    return model


def torch_twin(weights: list[Any]) -> Any:
    """Return PyTorch's network with the same weights, and without a softmax."""
    import torch

    parts: list[Any] = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        linear = torch.nn.Linear(*kernel.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias.copy())
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def jax_forward(weights: Any, x: Any) -> Any:
    """Return the outputs in JAX."""
    import jax

    for i in range(0, len(weights), 2):
        x = x @ weights[i] + weights[i + 1]
        if i + 2 < len(weights):
            x = jax.nn.relu(x)
    return x


def oracle(np: Any, weights: list[Any], x: Any) -> tuple[Any, Callable[[Any], tuple[list[Any], Any]]]:
    """Return the outputs in float64, and a function from dL/dy to the gradients and dL/dx."""
    weights = [w.astype(np.float64) for w in weights]
    h = [x.astype(np.float64)]
    for i in range(0, len(weights), 2):
        z = h[-1] @ weights[i] + weights[i + 1]
        h.append(np.maximum(z, 0) if i + 2 < len(weights) else z)

    def pull_back(dy: Any) -> tuple[list[Any], Any]:
        gradients: list[Any] = []
        for i in range(len(weights) - 2, -1, -2):
            gradients = [h[i // 2].T @ dy, dy.sum(axis=0), *gradients]
            dy = dy @ weights[i].T
            if i:
                dy = dy * (h[i // 2] > 0)
        return gradients, dy

    return h[-1], pull_back


# Parts


def loss(b: Benchmark) -> None:
    loss_case(b, (784, 128, 10), 32)
    if not b.short:
        loss_case(b, (20, 64, 64, 2), 32)
        loss_case(b, (784, 512, 512, 10), 128)


def loss_case(b: Benchmark, units: tuple[int, ...], n: int) -> None:
    import lamina

    np, case = b.np, f"{'-'.join(map(str, units))}, {n}: loss and gradient"
    rng = np.random.default_rng(1)
    weights = random_weights(np, units)
    x, y = rng.standard_normal((n, units[0])).astype("f"), rng.integers(0, units[-1], n)
    logits, pull_back = oracle(np, weights, x)
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    expected = pull_back((p - np.eye(units[-1])[y]) / n)[0]

    model, stepped = (relu_model(units, weights, "softmax") for _ in range(2))
    model.compile("sgd", "sparse_categorical_crossentropy")
    stepped.compile(lamina.optimizers.SGD(1e-9), "sparse_categorical_crossentropy")
    calls: dict[str, Call] = {"lamina": lambda: model.value_and_gradient(x, y)[1]}
    if b.has("torch"):
        import torch

        twin, rows, labels = torch_twin(weights), torch.from_numpy(x), torch.from_numpy(y)
        parameters = list(twin.parameters())

        def by_torch() -> list[Any]:
            found = torch.autograd.grad(torch.nn.functional.cross_entropy(twin(rows), labels), parameters)
            return [g.numpy().T for g in found]

        calls["torch"] = by_torch
    if b.has("jax"):
        import jax

        def of(weights: Any, x: Any, y: Any) -> Any:
            return -jax.nn.log_softmax(jax_forward(weights, x))[jax.numpy.arange(n), y].mean()

        value_and_gradient = jax.jit(jax.value_and_grad(of))
        held = [jax.numpy.asarray(w) for w in weights]
        calls["jax"] = lambda: [np.asarray(g) for g in value_and_gradient(held, x, y)[1]]
    errors = {
        name: max(_harness.check(case, name, one, two, 1e-4) for one, two in zip(call(), expected, strict=True))
        for name, call in calls.items()
    }
    step = b.microseconds(lambda: stepped.train_on_batch(x, y))
    rows20, labels20 = np.tile(x, (20, 1)), np.tile(y, 20)
    epoch = b.microseconds(lambda: stepped.fit(rows20, labels20, batch_size=n, shuffle=False, verbose=0), 20)
    b.time(case, calls, errors, f"train_on_batch takes {step} µs, a step of fit {epoch}")


def input_gradient(b: Benchmark) -> None:
    np, units = b.np, (784, 128, 10)
    case = "784-128-10, 1: gradient by the input"
    weights = random_weights(np, units)
    x = np.random.default_rng(1).standard_normal((1, 784)).astype("f")
    dy = np.eye(10, dtype="f")[3:4]
    expected = oracle(np, weights, x)[1](dy)[1]
    model = relu_model(units, weights)
    calls: dict[str, Call] = {"lamina": lambda: model.vjp(x, dy, need_gradients=False)[1]}
    if b.has("torch"):
        import torch

        twin, upstream = torch_twin(weights), torch.from_numpy(dy)

        def by_torch() -> Any:
            row = torch.from_numpy(x).requires_grad_()
            return torch.autograd.grad(twin(row), row, upstream)[0].numpy()

        calls["torch"] = by_torch
    if b.has("jax"):
        import jax

        held = [jax.numpy.asarray(w) for w in weights]
        pull_back = jax.jit(lambda weights, x, dy: jax.vjp(lambda x: jax_forward(weights, x), x)[1](dy)[0])
        calls["jax"] = lambda: np.asarray(pull_back(held, x, dy))
    errors = {name: _harness.check(case, name, call(), expected, 1e-4) for name, call in calls.items()}
    b.time(case, calls, errors, f"its prediction takes {b.microseconds(lambda: model.predict_on_batch(x))} µs")


def jacobian(b: Benchmark) -> None:
    np, units, n = b.np, (20, 64, 64, 4), 256
    case = "20-64-64-4, 256: Jacobian by the input"
    weights = random_weights(np, units)
    x = np.random.default_rng(1).standard_normal((n, units[0])).astype("f")
    y, pull_back = oracle(np, weights, x)
    expected = np.stack([pull_back(np.broadcast_to(seed, y.shape))[1] for seed in np.eye(units[-1])], axis=1)
    model = relu_model(units, weights)
    calls: dict[str, Call] = {"lamina": lambda: model.jacobian(x)}
    if b.has("torch"):
        import torch

        twin, rows = torch_twin(weights), torch.from_numpy(x)
        by_row = torch.func.vmap(torch.func.jacrev(twin))
        calls["torch.func"] = lambda: by_row(rows).detach().numpy()
    if b.has("jax"):
        import jax

        held = [jax.numpy.asarray(w) for w in weights]
        jacobians = jax.jit(jax.vmap(jax.jacrev(jax_forward, 1), (None, 0)))
        calls["jax"] = lambda: np.asarray(jacobians(held, x))
    errors = {name: _harness.check(case, name, call(), expected, 1e-4) for name, call in calls.items()}
    b.time(case, calls, errors)


def explanations(b: Benchmark) -> None:
    np, units, samples = b.np, (784, 128, 1), 100
    n = 20 if b.short else 1000
    case = f"784-128-1: expected gradients, {n} × {samples}"
    rng = np.random.default_rng(1)
    weights = random_weights(np, units)
    x, background = rng.random((n, units[0]), "f"), rng.random((samples, units[0]), "f")
    model = relu_model(units, weights)

    def drawn_at_once() -> Iterator[tuple[Any, Any]]:
        draws = np.random.default_rng(3)
        while True:
            yield draws.integers(samples, size=samples), draws.random((samples, 1), "f")

    def drawn_as_by_shap() -> Iterator[tuple[Any, Any]]:
        draws = np.random.RandomState(3)
        while True:
            pairs = [(draws.choice(samples), draws.uniform()) for _ in range(samples)]
            yield [other for other, _ in pairs], np.array([[place] for _, place in pairs], "f")

    def expected_gradients(vjp: Callable[[Any], Any], draws: Iterator[tuple[Any, Any]]) -> Any:
        found = np.empty_like(x)
        for i, (row, (others, places)) in enumerate(zip(x, draws, strict=False)):
            distances = row - background[others]
            found[i] = (vjp(row - places * distances) * distances).mean(axis=0)
        return found

    def in_float64(rows: Any) -> Any:
        return oracle(np, weights, rows)[1](ones)[1]

    def by_vjp(rows: Any) -> Any:
        return model.vjp(rows, ones, need_gradients=False)[1]

    ones = np.ones((samples, 1), "f")
    calls: dict[str, Call] = {"lamina": lambda: expected_gradients(by_vjp, drawn_at_once())}
    errors = {
        "lamina": _harness.check(
            case, "lamina", calls["lamina"](), expected_gradients(in_float64, drawn_at_once()), 1e-3, True
        )
    }
    if b.has("torch") and b.has("shap"):
        import shap
        import torch

        explainer = shap.GradientExplainer(torch_twin(weights), torch.from_numpy(background))
        rows = torch.from_numpy(x)
        calls["shap"] = lambda: explainer.shap_values(rows, nsamples=samples, rseed=3)[..., 0]
        expected = expected_gradients(in_float64, ((others, 1 - places) for others, places in drawn_as_by_shap()))
        errors["shap"] = _harness.check(case, "shap", calls["shap"](), expected, 1e-3, True)
    b.time(case, calls, errors)


def lbfgs(b: Benchmark) -> None:
    np = b.np
    if not b.has("sklearn"):
        print("lbfgs: scikit-learn, whose loss is the one to reach, is not installed", file=sys.stderr)
        return
    from sklearn.neural_network import MLPClassifier, MLPRegressor

    import lamina

    warnings.simplefilter("ignore")  # that scikit-learn's has not converged
    (x, y), _ = lamina.datasets.digits.load_data()
    lbfgs_case(b, "digits 64-100-10", (x / 16).astype("f"), y, MLPClassifier, (10, "softmax"))
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2_000 if b.short else 20_000, 20)).astype("f")
    y = np.sin(x[:, 0]) * x[:, 1] + 0.1 * x @ rng.standard_normal(20)
    lbfgs_case(b, f"{len(x)} × 20, 20-100-1", x, y.astype("f"), MLPRegressor, (1, None))


def lbfgs_case(b: Benchmark, name: str, x: Any, y: Any, kind: Any, last: tuple[int, str | None]) -> None:
    """Time how long each takes to the loss that scikit-learn ends with, from its initial weights."""
    import lamina
    from lamina import layers, regularizers

    iterations = 30 if b.short else 200
    # scikit-learn has half of our mean squared error, and the penalty alpha ‖W‖² / 2n.
    loss, scale = ("sparse_categorical_crossentropy", 1.0) if last[1] else ("mse", 0.5)
    penalty = 0.5e-4 / len(x) / scale

    def estimator(seed: int, **settings: Any) -> Any:
        return kind(random_state=seed, **settings).fit(x, y)

    def start(seed: int) -> list[Any]:  # after a step that is too short to change them
        untrained = estimator(seed, solver="sgd", learning_rate_init=1e-30, max_iter=1)
        return [w for pair in zip(untrained.coefs_, untrained.intercepts_, strict=True) for w in pair]

    def fit_theirs(seed: int) -> Any:
        return estimator(seed, solver="lbfgs", max_iter=iterations)

    def fit_ours(seed: int) -> int:
        model = lamina.Sequential([
            lamina.Input(x.shape[1:]), layers.Dense(100, "relu", kernel_regularizer=regularizers.L2(penalty)),
            layers.Dense(*last, kernel_regularizer=regularizers.L2(penalty)),
        ])  # fmt: skip
        model.set_weights(starts[seed])
        model.compile(lamina.optimizers.LBFGS(), loss)
        target = fitted[seed].loss_ / scale
        stop = stop_below(target)
        losses = model.fit(x, y, epochs=20 * iterations, verbose=0, callbacks=[stop]).history["loss"]
        if not losses[-1] <= target:
            raise AssertionError(f"{name}, seed {seed}: the loss is {losses[-1]}, it was to be {target}")
        return len(losses)

    starts, fitted = ([make(seed) for seed in range(SEEDS)] for make in (start, fit_theirs))
    epochs = [fit_ours(seed) for seed in range(SEEDS)]
    seeds = {"lamina": itertools.cycle(range(SEEDS)), "scikit-learn": itertools.cycle(range(SEEDS))}
    remarks = (
        f"loss {', '.join(f'{one.loss_:.2g}' for one in fitted)}; iterations {epochs}, "
        f"scikit-learn {[one.n_iter_ for one in fitted]}"
    )
    calls: dict[str, Call] = {
        "lamina": lambda: fit_ours(next(seeds["lamina"])),
        "scikit-learn": lambda: fit_theirs(next(seeds["scikit-learn"])),
    }
    b.time(f"{name}: L-BFGS", calls, {}, remarks)


def stop_below(loss: float) -> Any:
    """Return a callback that ends training at a loss."""
    from lamina.callbacks import Callback

    class StopBelow(Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs["loss"] <= loss:
                self.model.stop_training = True

    return StopBelow()


def levenberg_marquardt(b: Benchmark) -> None:
    import lamina
    from lamina import layers

    np, target = b.np, 1e-4 if b.short else 3e-7
    x = np.linspace(-1, 1, 20_000, dtype="f")[:, None]
    y = np.sinc(10 * x)
    ours, theirs = (itertools.cycle(range(SEEDS)) for _ in range(2))
    epochs: dict[str, list[int]] = {}

    def reached(name: str, count: int, loss: float) -> None:
        if not loss < target:
            raise AssertionError(f"{name}: the loss is {loss} after {count} epochs")
        epochs.setdefault(name, []).append(count)

    def by_lamina() -> None:
        lamina.utils.set_random_seed(next(ours))
        model = lamina.Sequential([lamina.Input((1,)), layers.Dense(20, "tanh"), layers.Dense(1)])
        model.compile(lamina.optimizers.LevenbergMarquardt(), "mse")
        stop = stop_below(target)
        losses = model.fit(x, y, batch_size=1000, epochs=500, verbose=0, callbacks=[stop]).history["loss"]
        reached("lamina", len(losses), losses[-1])

    calls: dict[str, Call] = {"lamina": by_lamina}
    if b.has("torch") and b.has("torch_levenberg_marquardt"):
        import torch
        from torch_levenberg_marquardt import loss as losses
        from torch_levenberg_marquardt.training import LevenbergMarquardtModule

        rows, targets = torch.from_numpy(x), torch.from_numpy(y)

        def by_torch() -> None:
            torch.manual_seed(next(theirs))
            net = torch.nn.Sequential(torch.nn.Linear(1, 20), torch.nn.Tanh(), torch.nn.Linear(20, 1))
            module = LevenbergMarquardtModule(net, losses.MSELoss(), learning_rate=1.0, solve_method="cholesky")
            mean, count = float("inf"), 0
            while not mean < target and count < 500:
                order = torch.randperm(len(rows)).split(1000)
                mean = sum(float(module.training_step(rows[part], targets[part])[1]) for part in order) / len(order)
                count += 1
            reached("torch", count, mean)

        calls["torch-levenberg-marquardt"] = by_torch
    for call in calls.values():
        call()
    b.time(f"sinc, 1-20-1, batch 1000, to {target:g}: Levenberg–Marquardt", calls, {})
    b.results[-1].remarks = "; ".join(f"{name} {min(n)} to {max(n)} epochs" for name, n in epochs.items())


PARTS: dict[str, Callable[[Benchmark], None]] = {
    "loss": loss,
    "input": input_gradient,
    "jacobian": jacobian,
    "explanations": explanations,
    "lbfgs": lbfgs,
    "levenberg-marquardt": levenberg_marquardt,
}

if __name__ == "__main__":
    sys.exit(main())
