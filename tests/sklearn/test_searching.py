"""Cross-validation and searches in one call: bit for bit those of scikit-learn with the same estimators."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.stats
import sklearn
from helpers import interrupted_after
from sklearn import model_selection
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lamina
from lamina.sklearn import MLPClassifier, MLPRegressor, cross_validate, search

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((150, 5))
CLASSES = np.where(X[:, 0] > 0.9, 2, (X[:, 1] > 0).astype(int))
NAMES = np.array(["no", "yes", "maybe"])[CLASSES]
NUMBERS = X @ RNG.standard_normal(5) + 0.1 * RNG.standard_normal(150)
FAST = {"hidden_layer_sizes": 6, "max_iter": 12, "random_state": 0}

ESTIMATORS = {
    "classes": (MLPClassifier(**FAST), X, NAMES),
    "float32": (MLPClassifier(**FAST), X.astype("f"), CLASSES),
    "binary": (MLPClassifier(**FAST, batch_size=20), X, CLASSES > 0),
    "regressor": (MLPRegressor(**FAST), X, NUMBERS),
    "standardized": (MLPRegressor(standardize=True, **FAST), X, NUMBERS),
    "two columns": (MLPRegressor(**FAST), X, np.c_[NUMBERS, -NUMBERS]),
    "pipeline": (make_pipeline(StandardScaler(), MLPClassifier(**FAST)), X, CLASSES),
    "early stopping": (MLPClassifier(early_stopping=True, n_iter_no_change=2, **FAST), X, CLASSES),
    "computed score": (MLPClassifier(early_stopping=True, **FAST), X, np.c_[CLASSES > 0, CLASSES > 1].astype(int)),
    "lbfgs": (MLPClassifier(solver="lbfgs", **FAST), X, CLASSES),
    "lm": (MLPRegressor(solver="lm", **FAST), X, NUMBERS),
    "adaptive": (
        MLPRegressor(solver="sgd", learning_rate="adaptive", tol=0.1, n_iter_no_change=2, max_iter=200), X, NUMBERS),
    "noise": (MLPClassifier(dropout=0.3, batch_normalization=True, **FAST), X, CLASSES),
    "class weights": (MLPClassifier(class_weight="balanced", **FAST), X, CLASSES),
    "sparse": (MLPClassifier(**FAST), scipy.sparse.csr_array(np.where(X > 1, X, 0)), CLASSES),
    "data frame": (
        MLPRegressor(categorical_features=["kind"], **FAST), pd.DataFrame(X, columns=[*"abcd", "kind"]).round(),
        NUMBERS),
    "calibrated": (MLPClassifier(calibrate="temperature", **FAST), X, CLASSES),
    "interval": (MLPRegressor(interval=0.8, **FAST), X, NUMBERS),
    "callbacks": (MLPRegressor(callbacks=[lamina.callbacks.TerminateOnNaN()], **FAST), X, NUMBERS),
    "stranger": (LogisticRegression(), X, CLASSES),
}  # fmt: skip


def same(theirs, ours):
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        if name.endswith("_score") or name.startswith(("param_", "rank_", "split")):
            np.testing.assert_array_equal(ours[name], values)
    assert all(np.all(ours[name] > 0) for name in ours if name.endswith("fit_time") and "std" not in name)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_scores_are_those_of_scikit_learn(name, restore_threads):
    estimator, rows, y = ESTIMATORS[name]
    estimator = estimator if name != "adaptive" else estimator.set_params(random_state=0, hidden_layer_sizes=6)
    how = {"return_train_score": True, "return_estimator": True, "return_indices": True}
    theirs = model_selection.cross_validate(estimator, rows, y, **how)
    for threads in (1, 2):
        lamina.set_num_threads(threads)
        ours = cross_validate(estimator, rows, y, **how)
        same(theirs, ours)
        for one, other in zip(theirs["estimator"], ours["estimator"], strict=True):
            assert type(one) is type(other)
            np.testing.assert_array_equal(one.predict(rows), other.predict(rows))
            if name == "calibrated":
                np.testing.assert_array_equal(one.predict_proba(rows), other.predict_proba(rows))
            if name == "interval":
                np.testing.assert_array_equal(one.predict_interval(rows), other.predict_interval(rows))
    assert not hasattr(estimator, "classes_")


def test_what_the_estimators_of_folds_have_learnt():
    estimator = MLPClassifier(early_stopping=True, max_iter=60, n_iter_no_change=3, random_state=0)
    theirs = model_selection.cross_validate(estimator, X, CLASSES, return_estimator=True)["estimator"]
    ours = cross_validate(estimator, X, CLASSES, return_estimator=True)["estimator"]
    names = ("n_iter_", "t_", "loss_", "loss_curve_", "validation_scores_", "best_validation_score_", "best_loss_",
             "validation_loss_curve_", "n_features_in_")  # fmt: skip
    for one, other in zip(theirs, ours, strict=True):
        for name in names:
            assert getattr(one, name) == getattr(other, name)
        np.testing.assert_array_equal(one.coefs_[0], other.coefs_[0])
        one.set_params(early_stopping=False).partial_fit(X, CLASSES)
        other.set_params(early_stopping=False).partial_fit(X, CLASSES)
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))


def test_arguments_of_scikit_learn():
    groups = np.arange(150) // 15
    how = {"groups": groups, "cv": GroupKFold(3), "scoring": ["accuracy", "neg_log_loss"]}
    estimator = MLPClassifier(**FAST)
    same(model_selection.cross_validate(estimator, X, CLASSES, **how), cross_validate(estimator, X, CLASSES, **how))
    weight = RNG.rand(150)
    how = {"params": {"sample_weight": weight}, "cv": KFold(3, shuffle=True, random_state=1)}
    same(model_selection.cross_validate(estimator, X, CLASSES, **how), cross_validate(estimator, X, CLASSES, **how))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cross_validate(estimator, X, CLASSES[:100])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize("scoring", [None, "neg_log_loss", ["accuracy", "neg_log_loss"]])
@pytest.mark.parametrize("weighted", ["fit", "score", "both"])
def test_arguments_are_routed(routing, scoring, weighted):
    estimator = MLPClassifier(**FAST).set_fit_request(sample_weight=weighted != "score")
    estimator.set_score_request(sample_weight=weighted != "fit")
    asks = {"sample_weight": weighted != "fit"}
    if isinstance(scoring, str):
        scoring = get_scorer(scoring).set_score_request(**asks)
    elif scoring is not None:
        scoring = {name: get_scorer(name).set_score_request(**asks) for name in scoring}
    params = {"sample_weight": RNG.uniform(0.1, 2, 150), "groups": np.arange(150) // 15}
    how = {"cv": GroupKFold(3), "scoring": scoring}
    theirs = model_selection.cross_validate(estimator, X, CLASSES, params=params, **how)
    same(theirs, cross_validate(estimator, X, CLASSES, params=params, **how))
    how["refit"] = "accuracy" if isinstance(scoring, dict) else True
    theirs = model_selection.GridSearchCV(estimator, GRID, **how).fit(X, CLASSES, **params)
    ours = search(estimator, GRID, X, CLASSES, params=params, **how)
    same(theirs.cv_results_, ours.cv_results_)
    np.testing.assert_array_equal(theirs.predict_proba(X), ours.predict_proba(X))


def test_arguments_that_nobody_asks_for(routing):
    with pytest.raises(ValueError, match="not explicitly set as requested or not requested"):
        cross_validate(MLPClassifier(**FAST), X, CLASSES, params={"sample_weight": np.ones(150)})
    with pytest.raises(ValueError, match="only be passed if metadata routing is not enabled"):
        cross_validate(MLPClassifier(**FAST), X, CLASSES, groups=np.arange(150), cv=GroupKFold(3))
    groups = np.arange(150) // 15
    found = search(MLPClassifier(**FAST), GRID, X, CLASSES, groups=groups, cv=GroupKFold(3))
    theirs = model_selection.GridSearchCV(MLPClassifier(**FAST), GRID, cv=GroupKFold(3)).fit(X, CLASSES, groups=groups)
    same(theirs.cv_results_, found.cv_results_)


def test_random_folds_are_drawn_once():
    estimator, state = MLPClassifier(**FAST), np.random.RandomState
    theirs = model_selection.cross_validate(estimator, X, CLASSES, cv=KFold(3, shuffle=True, random_state=state(1)))
    same(theirs, cross_validate(estimator, X, CLASSES, cv=KFold(3, shuffle=True, random_state=state(1))))
    pairs = list(KFold(3).split(X))
    same(
        model_selection.cross_validate(estimator, X, CLASSES, cv=iter(pairs)),
        cross_validate(estimator, X, CLASSES, cv=iter(pairs)),
    )


def test_estimators_with_a_fit_of_their_own():
    class Doubled(MLPClassifier):
        def fit(self, X, y, sample_weight=None):
            return super().fit(np.concatenate([X, X]), np.concatenate([y, y]))

    estimator = Doubled(**FAST)
    how = {"return_estimator": True}
    theirs = model_selection.cross_validate(estimator, X, CLASSES, **how)
    ours = cross_validate(estimator, X, CLASSES, **how)
    same(theirs, ours)
    assert ours["estimator"][0].t_ == 12 * 2 * 120


def test_validation_data_is_an_argument_of_fits():
    params = {"validation_data": (X[:20], CLASSES[:20])}
    estimator = MLPClassifier(early_stopping=True, max_iter=60, n_iter_no_change=2, random_state=0)
    ours = cross_validate(estimator, X, CLASSES, params=params, return_estimator=True)
    theirs = model_selection.cross_validate(estimator, X, CLASSES, params=params, return_estimator=True)
    same(theirs, ours)
    assert [one.validation_scores_ for one in ours["estimator"]] == [
        one.validation_scores_ for one in theirs["estimator"]]  # fmt: skip


def test_one_interrupt_ends_all_fits(monkeypatch):
    calls = []

    class Impatient(lamina.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            calls.append(epoch)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(MLPClassifier(callbacks=[Impatient()], **FAST), X, CLASSES)
    assert calls == [0]


def test_one_interrupt_ends_fits_of_other_estimators(monkeypatch):
    calls = []

    class Slow(MLPRegressor):
        def fit(self, X, y):
            calls.append(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(TransformedTargetRegressor(Slow()), X, NUMBERS)
    assert len(calls) == 1
    slow = MLPClassifier(max_iter=10**6, tol=0, n_iter_no_change=10**6)
    calibrating = clone(slow).set_params(calibrate="temperature")
    voting = VotingClassifier([("one", slow)])
    for estimator in (calibrating, voting):
        with interrupted_after(0.4), pytest.raises(KeyboardInterrupt):
            cross_validate(estimator, X, CLASSES)


def test_rows_are_kept_once():
    from lamina.sklearn.rows import Distinct

    distinct = Distinct()
    for rows in (X, np.asfortranarray(X), X[::2], NAMES, NAMES.astype(object), CLASSES > 0, np.zeros((0, 5))):
        first = distinct.of(rows)
        assert distinct.of(rows.copy()) is first
        assert distinct.of(first) is first
        np.testing.assert_array_equal(first, rows)
    assert distinct.of(X.astype("f")) is not distinct.of(X)
    other = X.copy()
    other[-1, -1] += 1
    assert distinct.of(other) is other
    table = pd.DataFrame(X)
    assert distinct.of(table) is table


GRID = {"alpha": [1e-3, 1.0], "hidden_layer_sizes": [(4,), (3, 5)]}


@pytest.mark.parametrize("refit", [True, False])
def test_a_grid(refit):
    estimator = MLPClassifier(max_iter=15, random_state=0)
    theirs = model_selection.GridSearchCV(estimator, GRID, refit=refit, return_train_score=True).fit(X, NAMES)
    ours = search(estimator, GRID, X, NAMES, refit=refit, return_train_score=True)
    same(theirs.cv_results_, ours.cv_results_)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    assert (ours.best_params_, ours.best_index_, ours.best_score_) == (
        theirs.best_params_, theirs.best_index_, theirs.best_score_)  # fmt: skip
    assert ours.estimator is estimator
    assert hasattr(ours, "best_estimator_") == refit
    if refit:
        assert type(ours.best_estimator_) is MLPClassifier
        np.testing.assert_array_equal(ours.predict_proba(X), theirs.predict_proba(X))
        assert ours.classes_.tolist() == ["maybe", "no", "yes"]
        again = ours.fit(X, NAMES)  # a search of scikit-learn
        assert again.best_params_ == theirs.best_params_


def test_early_stopping_or_not_with_weights():
    grid, how = {"early_stopping": [False, True]}, {"params": {"sample_weight": RNG.uniform(0.5, 1, 150)}}
    ours = search(MLPClassifier(**FAST), grid, X, CLASSES, cv=2, **how)
    theirs = model_selection.GridSearchCV(MLPClassifier(**FAST), grid, cv=2).fit(X, CLASSES, **how["params"])
    same(theirs.cv_results_, ours.cv_results_)
    assert len(pickle.dumps(ours)) < 3 * len(pickle.dumps(theirs))


@pytest.mark.parametrize("seed", [0, None, "state"])
def test_samples_of_a_pipeline(seed):
    estimator = make_pipeline(StandardScaler(), MLPRegressor(solver="lbfgs", max_iter=5, random_state=0))
    name = "mlpregressor__alpha"
    spread = {name: scipy.stats.loguniform(1e-4, 1e2)}
    seed = np.random.RandomState(3) if seed == "state" else seed
    ours = search(estimator, spread, X, NUMBERS, n_iter=4, random_state=seed, cv=3, scoring="r2")
    assert type(ours) is model_selection.RandomizedSearchCV
    assert ours.predict(X).shape == (150,)
    if seed == 0:
        theirs = model_selection.RandomizedSearchCV(estimator, spread, n_iter=4, random_state=0, cv=3, scoring="r2")
        same(theirs.fit(X, NUMBERS).cv_results_, ours.cv_results_)
    assert len(set(ours.cv_results_[f"param_{name}"].tolist())) == 4


@pytest.mark.filterwarnings("ignore")
def test_several_scores_and_failing_candidates():
    estimator = MLPClassifier(**FAST)
    grid = {"alpha": [1e-3, -1.0, 1e-2]}
    how = {"scoring": ["accuracy", "neg_log_loss"], "refit": "accuracy"}
    theirs = model_selection.GridSearchCV(estimator, grid, **how).fit(X, CLASSES)
    with pytest.warns(FitFailedWarning, match="5 fits failed out of a total of 15"):
        ours = search(estimator, grid, X, CLASSES, **how)
    same(theirs.cv_results_, ours.cv_results_)
    assert np.isnan(ours.cv_results_["mean_test_accuracy"]).tolist() == [False, True, False]
    with pytest.raises(ValueError, match="'alpha' parameter"):
        search(estimator, grid, X, CLASSES, error_score="raise", **how)
    wild = {"learning_rate_init": [1e-3, 1e300]}
    settings = {**FAST, "solver": "sgd", "max_iter": 30}
    found = search(MLPRegressor(**settings), wild, X, NUMBERS)
    assert np.isnan(found.cv_results_["mean_test_score"]).tolist() == [False, True]


def test_large_rows_are_trained_a_few_fits_at_a_time(monkeypatch):
    from lamina.sklearn import together

    calls = []
    real = together.fit_many
    monkeypatch.setattr(
        together, "fit_many", lambda models, *rest, **how: calls.append(len(models)) or real(models, *rest, **how)
    )
    estimator = make_pipeline(StandardScaler(), MLPClassifier(**FAST))  # which makes rows of its own for each fold
    expected = cross_validate(estimator, X, CLASSES)
    monkeypatch.setattr(together, "MOST_BYTES", 2 * 120 * 5 * 8)
    found = cross_validate(estimator, X, CLASSES)
    np.testing.assert_array_equal(found["test_score"], expected["test_score"])
    assert calls == [5, 2, 2, 1]


@pytest.mark.parametrize(
    "rows", [np.random.RandomState(0).standard_normal((20000, 50)), "sparse"], ids=["dense", "csr"]
)
@pytest.mark.parametrize("alone", [False, True])
def test_rows_are_not_copied_for_each_fold(rows, alone):
    if isinstance(rows, str):
        rows = scipy.sparse.random_array((20000, 500), density=0.1, format="csr", random_state=0)
    y = np.arange(20000) % 2
    listeners = [lamina.callbacks.TerminateOnNaN()] if alone else None
    estimator = MLPClassifier(hidden_layer_sizes=2, max_iter=1, random_state=0, callbacks=listeners)
    tracemalloc.start()
    model_selection.cross_validate(estimator, rows, y, cv=20)
    theirs = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    cross_validate(estimator, rows, y, cv=20)
    ours = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ours < 2.5 * theirs


@pytest.mark.filterwarnings("ignore:One or more of the test scores are non-finite")
def test_candidates_that_are_refused_do_not_touch_the_others():
    grid = [{"solver": ["adam", "lm"], "loss": ["squared_error", "absolute_error"], "dropout": [0, 0.5]}]
    estimator = MLPRegressor(**FAST)
    how = {"cv": 2, "refit": False}
    with pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 16"):
        theirs = model_selection.GridSearchCV(estimator, grid, **how).fit(X, NUMBERS)
    with pytest.warns(FitFailedWarning, match="6 fits failed out of a total of 16"):
        ours = search(estimator, grid, X, NUMBERS, **how)
    same(theirs.cv_results_, ours.cv_results_)


@pytest.mark.parametrize("seed", ["state", None])
def test_candidates_are_those_of_scikit_learn(seed):
    spread = {"alpha": scipy.stats.loguniform(1e-4, 1e2)}
    found = []
    for run in ("theirs", "ours"):
        np.random.seed(7)
        state = np.random.RandomState(5) if seed == "state" else None
        if run == "theirs":
            made = model_selection.RandomizedSearchCV(MLPClassifier(**FAST), spread, n_iter=3, cv=2, random_state=state)
            made.fit(X, CLASSES)
        else:
            made = search(MLPClassifier(**FAST), spread, X, CLASSES, n_iter=3, cv=2, random_state=state)
        assert made.random_state is state
        found.append((made.cv_results_, np.random.rand() if state is None else state.rand()))
    same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_folds_as_masks():
    masks = [(np.arange(150) % 3 != fold, np.arange(150) % 3 == fold) for fold in range(3)]
    estimator = MLPClassifier(**FAST)
    same(
        model_selection.cross_validate(estimator, X, CLASSES, cv=masks), cross_validate(estimator, X, CLASSES, cv=masks)
    )
