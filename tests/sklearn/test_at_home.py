"""The estimators in programs of others: readers of weights, wrappers, scikit-learn's meta-estimators, workers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import joblib
import numpy as np
import pandas as pd
import pytest
from helpers import not_sanitized
from joblib import Parallel, delayed
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingClassifier, VotingRegressor
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lamina
from lamina.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((200, 6))
CLASSES = np.where(X[:, 0] > 0.9, 2, (X[:, 1] > 0).astype(int))
NUMBERS = X @ RNG.standard_normal(6) + 0.1 * RNG.standard_normal(200)

FORMULAS = {
    "identity": lambda z: z, "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh,
    "logistic": lambda z: 1 / (1 + np.exp(-z)), "exp": np.exp,
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=1, keepdims=True),
}  # fmt: skip


def _read(model, rows):
    """Compute outputs from the public attributes, as packages do that put a network into an optimization problem."""
    values = rows
    for i in range(model.n_layers_ - 1):
        name = model.out_activation_ if i == model.n_layers_ - 2 else model.activation
        values = FORMULAS[name](values @ model.coefs_[i] + model.intercepts_[i])
    return values


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
def test_readers_of_weights(activation):
    settings = {"hidden_layer_sizes": (9, 5), "activation": activation, "max_iter": 10, "random_state": 0}
    classifier = MLPClassifier(**settings).fit(X, CLASSES)
    np.testing.assert_allclose(_read(classifier, X), classifier.predict_proba(X), rtol=1e-9)
    for more in ({}, {"output_activation": "relu"}, {"dropout": 0.2}):
        regressor = MLPRegressor(**settings, **more).fit(X, np.abs(NUMBERS))
        np.testing.assert_allclose(_read(regressor, X)[:, 0], regressor.predict(X), rtol=1e-9)
    counts = MLPRegressor("poisson", **settings).fit(X, RNG.poisson(2, 200))
    np.testing.assert_allclose(_read(counts, X)[:, 0], counts.predict(X), rtol=1e-9)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_wrapper_of_an_automl_package(task, tmp_path):
    kind = MLPRegressor if task == "regression" else MLPClassifier
    y = {"binary": CLASSES > 0, "multiclass": CLASSES, "regression": NUMBERS}[task]
    frame, target = pd.DataFrame(X, columns=list("abcdef")), pd.Series(y)
    model = kind(
        hidden_layer_sizes=(32, 16), activation="relu", solver="adam", learning_rate="constant",
        learning_rate_init=0.05, alpha=0.0001, early_stopping=True, n_iter_no_change=50, max_iter=500, random_state=123,
    )  # fmt: skip
    assert not hasattr(model, "n_iter_")
    model.fit(frame, target, sample_weight=np.ones(200))
    assert model.n_iter_ > 0
    joblib.dump(model, tmp_path / "learner", compress=True)
    again = joblib.load(tmp_path / "learner")
    method = "predict" if task == "regression" else "predict_proba"
    np.testing.assert_array_equal(getattr(again, method)(frame), getattr(model, method)(frame))
    found = {name: getattr(again, name) for name in ("n_iter_", "best_validation_score_", "loss_")}
    assert all(np.isfinite(list(found.values())))
    assert again.get_params()["learning_rate_init"] == 0.05


def test_estimators_of_estimators():
    classifier = MLPClassifier(hidden_layer_sizes=8, solver="lbfgs", max_iter=30, random_state=0)
    regressor = MLPRegressor(hidden_layer_sizes=8, solver="lbfgs", max_iter=50, random_state=0)
    for model in (
        CalibratedClassifierCV(classifier), OneVsRestClassifier(classifier),
        StackingClassifier([("a", classifier), ("b", make_pipeline(StandardScaler(), classifier))]),
    ):  # fmt: skip
        assert model.fit(X, CLASSES).score(X, CLASSES) > 0.6
    for model in (
        TransformedTargetRegressor(regressor, transformer=StandardScaler()), VotingRegressor([("a", regressor)]),
    ):  # fmt: skip
        assert model.fit(X, NUMBERS).score(X, NUMBERS) > 0.9
    several = MultiOutputRegressor(regressor).fit(X, np.c_[NUMBERS, -NUMBERS])
    assert several.score(X, np.c_[NUMBERS, -NUMBERS]) > 0.9
    importance = permutation_importance(regressor.fit(X, NUMBERS), X, NUMBERS, random_state=0)
    assert importance.importances_mean.shape == (6,)


@not_sanitized
@pytest.mark.skipif(
    "LAMINA_NUM_THREADS" in os.environ or "OMP_NUM_THREADS" in os.environ,
    reason="these say how many threads, before the share of cores",
)
def test_worker_processes_share_the_cores():
    cores = joblib.cpu_count()
    assert (
        Parallel(n_jobs=2, backend="loky")(delayed(lamina.get_num_threads)() for _ in range(2))
        == [max(1, cores // 2)] * 2
    )
    grid = {"alpha": [1e-3, 1.0]}
    model = MLPClassifier(hidden_layer_sizes=8, max_iter=10, random_state=0)
    alone, shared = (GridSearchCV(model, grid, cv=3, n_jobs=jobs).fit(X, CLASSES) for jobs in (1, 2))
    np.testing.assert_array_equal(alone.cv_results_["mean_test_score"], shared.cv_results_["mean_test_score"])


def test_fits_and_predictions_in_threads():
    models = [MLPClassifier(max_iter=20, random_state=seed) for seed in range(8)]
    expected = [MLPClassifier(max_iter=20, random_state=seed).fit(X, CLASSES).predict_proba(X) for seed in range(8)]
    begin = threading.Barrier(8)

    def work(model):
        begin.wait()
        return model.fit(X, CLASSES).predict_proba(X)

    found = Parallel(n_jobs=8, backend="threading")(delayed(work)(model) for model in models)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    fitted = models[0]
    for one in Parallel(n_jobs=4, backend="threading")(delayed(fitted.predict_proba)(X) for _ in range(20)):
        np.testing.assert_array_equal(one, expected[0])


def test_nothing_more_is_imported_than_by_scikit_learns_perceptrons():
    program = "import sys; import {}; print(*sorted(name for name in sys.modules if name.startswith('sklearn.')))"
    theirs, ours = (
        set(
            subprocess.run(
                [sys.executable, "-c", program.format(name)], capture_output=True, text=True, check=True
            ).stdout.split()
        )
        for name in ("sklearn.neural_network", "lamina.sklearn")
    )
    assert {name for name in ours - theirs if name.count(".") == 1} == set()
