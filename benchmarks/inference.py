"""Predictions against NumPy and whichever of ONNX Runtime, PyTorch, JAX, Keras and scikit-learn are installed.

    python benchmarks/inference.py
    python benchmarks/inference.py --threads 1 --only 784-128-10 --json results.json

NumPy array in, NumPy array out. Every implementation holds the same ReLU network with a softmax output, and the same
threads; each is compared with a float64 oracle before anything is timed. An exception ends the run with a status other
than 0.
"""

from __future__ import annotations

import functools
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
    ((784, 128, 10), 1), ((784, 128, 10), 32), ((784, 128, 10), 1024), ((20, 64, 64, 2), 1), ((20, 64, 64, 2), 256),
    ((64, 32, 10), 1), ((784, 512, 512, 10), 1), ((784, 512, 512, 10), 256), ((300, 1000, 1000, 20), 200),
    ((1024, 2048, 2048, 1000), 32),
]  # fmt: skip
SHORT = [((64, 32, 10), 1), ((64, 32, 10), 40)]

# An implementation: made from (units, weights), it maps an array (n, units[0]) to probabilities (n, units[-1]).
Maker = Callable[[tuple[int, ...], list[Any]], Callable[[Any], Any] | None]


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__,
        only={"help": "one network, as 784-128-10"},
        without={"nargs": "*", "default": [], "help": "peers to leave out"},
    )
    if "KERAS_BACKEND" not in os.environ and importlib.util.find_spec("jax"):
        os.environ["KERAS_BACKEND"] = "jax"
    import numpy as np

    import lamina

    facts = _harness.machine_facts(options.threads)
    peak = facts["peak_gflops_per_core"] * 1e9 * options.threads
    lamina.set_num_threads(options.threads)
    absent = {name for name, module in PEERS.items() if not importlib.util.find_spec(module)} | set(options.without)
    results = []
    for units, n in SHORT if options.short else CASES:
        case = "-".join(map(str, units))
        if options.only and case != options.only:
            continue
        case += f", {n}"
        rng = np.random.default_rng(0)
        x = rng.standard_normal((n, units[0])).astype("f")
        weights = []
        for inputs, out in pairwise(units):
            weights += [
                (rng.standard_normal((inputs, out)) * (2 / inputs) ** 0.5).astype("f"),
                rng.standard_normal(out).astype("f"),
            ]
        expected = forward(np, x.astype(np.float64), [w.astype(np.float64) for w in weights])
        calls, errors = {}, {}
        for name, maker in MAKERS.items():
            predict = None if name in absent else maker(units, weights)
            if predict is None:
                continue
            errors[name] = _harness.check(case, name, predict(x), expected, 1e-4)
            calls[name] = functools.partial(predict, x)
        timings = _harness.time_alternately(calls, options.seconds, options.threads)
        operations = sum(2.0 * n * i * o for i, o in pairwise(units))
        results.append(_harness.Result(case, timings, operations / peak, errors))
        print(f"checked and timed {case}", file=sys.stderr)
    _harness.report(results, facts, options)
    return 0


def forward(np: Any, x: Any, weights: list[Any]) -> Any:
    """Return the probabilities, as a NumPy user computes them."""
    for i in range(0, len(weights), 2):
        x = x @ weights[i]
        x += weights[i + 1]
        if i + 2 < len(weights):
            np.maximum(x, 0, out=x)
    x -= x.max(axis=1, keepdims=True)
    np.exp(x, out=x)
    x /= x.sum(axis=1, keepdims=True)
    return x


def make_lamina(units, weights):
    import lamina
    from lamina import layers

    model = lamina.Sequential([lamina.Input((units[0],))])
    for width in units[1:-1]:
        model.add(layers.Dense(width, activation="relu"))
    model.add(layers.Dense(units[-1], activation="softmax"))
    model.set_weights(weights)
    return model.predict_on_batch


def make_numpy(units, weights):
    import numpy as np

    return lambda x: forward(np, x, weights)


def make_onnxruntime(units, weights):
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, name = [], "x"
    for i in range(0, len(weights), 2):
        nodes.append(helper.make_node("Gemm", [name, f"w{i}", f"b{i}"], [f"z{i}"]))
        name = f"h{i}" if i + 2 < len(weights) else "y"
        kind = "Relu" if i + 2 < len(weights) else "Softmax"
        nodes.append(helper.make_node(kind, [f"z{i}"], [name]))
    constants = [numpy_helper.from_array(w, f"{'wb'[k % 2]}{k - k % 2}") for k, w in enumerate(weights)]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, units[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, units[-1]])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, ["CPUExecutionProvider"])
    return lambda x: session.run(None, {"x": x})[0]


def make_torch(units, weights):
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    parts = []
    for i in range(0, len(weights), 2):
        linear = torch.nn.Linear(*weights[i].shape)
        linear.weight.data = torch.from_numpy(weights[i].T.copy())
        linear.bias.data = torch.from_numpy(weights[i + 1].copy())
        parts += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*parts[:-1], torch.nn.Softmax(dim=1)).eval()

    def predict(x):
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()

    return predict


def make_jax(units, weights):
    import jax
    import numpy as np

    @jax.jit
    def run(weights, x):
        for i in range(0, len(weights), 2):
            x = x @ weights[i] + weights[i + 1]
            if i + 2 < len(weights):
                x = jax.nn.relu(x)
        return jax.nn.softmax(x)

    held = [jax.numpy.asarray(w) for w in weights]
    return lambda x: np.asarray(run(held, x))


def make_keras(units, weights):
    import keras
    import numpy as np

    model = keras.Sequential([keras.Input((units[0],))])
    for width in units[1:-1]:
        model.add(keras.layers.Dense(width, activation="relu"))
    model.add(keras.layers.Dense(units[-1], activation="softmax"))
    model.set_weights(weights)
    return lambda x: np.asarray(model.predict_on_batch(x))


def make_sklearn(units, weights):
    import numpy as np
    from sklearn.neural_network import MLPClassifier

    if units[-1] == 2:  # one logistic unit there: another network
        return None
    model = MLPClassifier(units[1:-1])
    model.partial_fit(np.zeros((1, units[0]), "f"), [0], classes=np.arange(units[-1]))
    for i in range(len(units) - 1):
        model.coefs_[i][:] = weights[2 * i]
        model.intercepts_[i][:] = weights[2 * i + 1]
    return model.predict_proba


PEERS = {"onnxruntime": "onnxruntime", "torch": "torch", "jax": "jax", "keras": "keras", "scikit-learn": "sklearn"}
MAKERS: dict[str, Maker] = {
    "lamina": make_lamina,
    "numpy": make_numpy,
    "onnxruntime": make_onnxruntime,
    "torch": make_torch,
    "jax": make_jax,
    "keras": make_keras,
    "scikit-learn": make_sklearn,
}

if __name__ == "__main__":
    sys.exit(main())
