"""lamina.sklearn's perceptrons beside scikit-learn's.

    python benchmarks/estimators.py
    python benchmarks/estimators.py --only digits partial_fit --json results.json

- iris, digits: `MLPClassifier().fit` with all defaults, until it stops
- regression: `MLPRegressor().fit`, 20,000 × 8, 10 epochs
- fashion, fashion32: `MLPClassifier().fit` on 60,000 × 784, float64 and float32, 2 epochs; Fashion-MNIST where it is
  installed, else random images
- text: sparse rows, 11,000 × 130,000 with one number in a thousand, 20 classes, 1 epoch
- partial_fit: 200 rows of digits
- predict_proba: one row of digits

Before anything is timed, weights after a few epochs without shuffling are compared with scikit-learn's. An exception
ends the run with a status other than 0.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _harness


def main() -> int:
    """Run the benchmark."""
    options = _harness.parse_arguments(
        __doc__, only={"nargs": "*", "choices": list(CASES), "help": "some of the cases"}
    )
    import lamina

    warnings.simplefilter("ignore")
    facts = _harness.machine_facts(options.threads)
    lamina.set_num_threads(options.threads)
    names = options.only or (["iris", "partial_fit", "predict_proba"] if options.short else list(CASES))
    results = []
    for name in names:
        results.append(CASES[name](name, options))
        print(f"checked and timed {name}", file=sys.stderr)
    _harness.report(results, facts, options)
    return 0


def kinds(name: str) -> dict[str, Any]:
    """Return lamina's and scikit-learn's class of a name."""
    from sklearn import neural_network

    import lamina.sklearn

    return {"lamina": getattr(lamina.sklearn, name), "scikit-learn": getattr(neural_network, name)}


def check(name: str, kind: str, x: Any, y: Any, **settings: Any) -> dict[str, float]:
    """Compare the changes of the weights in three epochs without shuffling."""
    made = {
        who: make(random_state=0, shuffle=False, max_iter=3, tol=0, **settings).fit(x, y)
        for who, make in kinds(kind).items()
    }
    ours, theirs = (model.coefs_ + model.intercepts_ for model in made.values())
    # In float32 steps of Adam on gradients that are almost zero may differ in their sign.
    tolerance, allowed = (5e-2, True) if x.dtype == "float32" else (1e-5, False)
    errors = [
        _harness.check(name, "lamina", one, other, tolerance, allowed) for one, other in zip(ours, theirs, strict=True)
    ]
    return {"lamina": max(errors)}


def fits(name: str, options: Any) -> _harness.Result:
    """Time whole fits."""
    kind, x, y, settings, text = data_of(name, options)
    errors = check(name, kind, x[:5000], y[:5000])
    calls: dict[str, Callable[[], Any]] = {
        who: lambda make=make: make(random_state=0, **settings).fit(x, y) for who, make in kinds(kind).items()
    }
    scores = {who: call().score(x, y) for who, call in calls.items()}
    timings = _harness.time_alternately(calls, options.seconds, options.threads)
    remarks = "score " + ", ".join(f"{value:.3f}" for value in scores.values())
    return _harness.Result(text, timings, None, errors, remarks=remarks)


def data_of(name: str, options: Any) -> tuple[str, Any, Any, dict[str, Any], str]:
    """Return the class, rows, targets and settings of a case, and its description."""
    import numpy as np
    import scipy.sparse
    from sklearn import datasets

    rng = np.random.default_rng(0)
    if name in ("iris", "digits"):
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        return "MLPClassifier", x, y, {"max_iter": 20} if options.short else {}, f"{name}, all defaults"
    if name == "regression":
        x = rng.standard_normal((20_000, 8))
        return "MLPRegressor", x, np.sin(x).sum(axis=1), {"max_iter": 10}, "20,000 × 8, 10 epochs"
    if name == "text":
        x = scipy.sparse.random_array((11_000, 130_000), density=1e-3, format="csr", rng=rng)
        return "MLPClassifier", x, rng.integers(0, 20, 11_000), {"max_iter": 1}, "sparse 11,000 × 130,000, 1 epoch"
    dtype = "float32" if name == "fashion32" else "float64"
    x, y = images(rng)
    return "MLPClassifier", x.astype(dtype), y, {"max_iter": 2}, f"60,000 × 784 {dtype}, 2 epochs"


def images(rng: Any) -> tuple[Any, Any]:
    """Return 60,000 images and their classes."""
    import lamina

    try:
        (x, y), _ = lamina.datasets.fashion_mnist.load_data()
    except OSError:
        x, y = rng.integers(0, 256, (60_000, 28, 28), dtype="uint8"), rng.integers(0, 10, 60_000)
    return x.reshape(len(x), -1) / 255, y


def calls_of(name: str, options: Any) -> _harness.Result:
    """Time calls of a fitted classifier."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x, y = x[:200], y[:200]
    errors = check(name, "MLPClassifier", x, y)
    models = {who: make(random_state=0, max_iter=5).fit(x, y) for who, make in kinds("MLPClassifier").items()}
    if name == "partial_fit":
        calls = {who: partial(model.partial_fit, x, y) for who, model in models.items()}
    else:
        calls = {who: partial(model.predict_proba, x[:1]) for who, model in models.items()}
    timings = _harness.time_alternately(calls, options.seconds, options.threads)
    text = "partial_fit, 200 rows of digits" if name == "partial_fit" else "predict_proba, one row of digits"
    return _harness.Result(text, timings, None, errors)


CASES: dict[str, Callable[[str, Any], _harness.Result]] = {
    "iris": fits,
    "digits": fits,
    "regression": fits,
    "fashion": fits,
    "fashion32": fits,
    "text": fits,
    "partial_fit": calls_of,
    "predict_proba": calls_of,
}

if __name__ == "__main__":
    sys.exit(main())
