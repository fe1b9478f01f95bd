"""MLPClassifier and MLPRegressor beside scikit-learn's: the same weights where no rows are shuffled."""

from __future__ import annotations

import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse
from helpers import interrupted_after
from sklearn import neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import lamina
from lamina.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((120, 7))
WEIGHT = RNG.rand(120) * 2
CLASSES = RNG.randint(0, 3, 120)
BINARY = (X[:, 0] + 0.3 * RNG.standard_normal(120) > 0).astype(int)
LABELS = (RNG.rand(120, 4) > 0.5).astype(int)
NUMBERS = X @ RNG.standard_normal(7) + 0.1 * RNG.standard_normal(120)
COLUMNS = X @ RNG.standard_normal((7, 3))
COUNTS = RNG.poisson(np.exp(0.3 * X[:, 0]))
SOLVERS = [
    {"solver": "adam", "max_iter": 30, "batch_size": 50},  # the last batch has 20 rows
    {"solver": "sgd", "max_iter": 40, "batch_size": 30, "learning_rate_init": 0.01},
    {"solver": "sgd", "max_iter": 40, "batch_size": 60, "learning_rate": "invscaling", "learning_rate_init": 0.1},
    {"solver": "sgd", "max_iter": 300, "learning_rate": "adaptive", "tol": 1e-2, "n_iter_no_change": 3},
    {"solver": "sgd", "momentum": 0, "max_iter": 10, "nesterovs_momentum": False},
    {"solver": "adam", "max_iter": 60, "early_stopping": True, "n_iter_no_change": 3, "batch_size": 54},
]  # fmt: skip
TARGETS = {
    "classes": (neural_network.MLPClassifier, MLPClassifier, CLASSES, {}),
    "binary": (neural_network.MLPClassifier, MLPClassifier, BINARY, {}),
    "labels": (neural_network.MLPClassifier, MLPClassifier, LABELS, {}),
    "numbers": (neural_network.MLPRegressor, MLPRegressor, NUMBERS, {}),
    "columns": (neural_network.MLPRegressor, MLPRegressor, COLUMNS, {}),
    "counts": (neural_network.MLPRegressor, MLPRegressor, COUNTS, {"loss": "poisson"}),
}


def _both(target, weight=None, **settings):
    theirs, ours, y, more = TARGETS[target]
    settings = {"hidden_layer_sizes": (11, 5), "alpha": 0.01, "random_state": 3, "shuffle": False} | settings | more
    return [kind(**settings).fit(X, y, sample_weight=weight) for kind in (theirs, ours)]


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", SOLVERS, ids=str)
@pytest.mark.parametrize("target", TARGETS)
def test_weights_and_losses_are_those_of_scikit_learn(target, settings, weighted, activation):
    if target == "classes" and "early_stopping" in settings:
        pytest.skip("held-out rows of several classes are stratified here, as scikit-learn's documents say")
    if target == "columns" and "tol" in settings:
        pytest.skip("scikit-learn's loss of several outputs is not the one that it differentiates")
    if target == "columns":  # their losses differ by a factor, so one would stop before the other
        settings = settings | {"n_iter_no_change": 1000}
    theirs, ours = _both(target, WEIGHT if weighted else None, activation=activation, **settings)
    exact = 1e-7
    assert (ours.n_iter_, ours.t_, ours.out_activation_) == (theirs.n_iter_, theirs.t_, theirs.out_activation_)
    for one, other in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=exact, atol=exact)
    factor = 3 if target == "columns" else 1  # the loss that is differentiated is the sum over the outputs
    penalties = 0.005 * sum(np.sum(w**2) for w in theirs.coefs_)
    slack = penalties * 3 / 20 if factor == 3 else 0  # of which the penalties have no such factor
    np.testing.assert_allclose(ours.loss_, factor * theirs.loss_, rtol=exact, atol=slack)
    atol = slack + (0 if factor == 1 else 0.1)
    np.testing.assert_allclose(ours.loss_curve_, factor * np.array(theirs.loss_curve_), rtol=exact, atol=atol)
    scores = getattr(theirs, "validation_scores_", None)
    if scores is not None:
        np.testing.assert_allclose(ours.validation_scores_, scores, rtol=exact, atol=exact)
        assert ours.best_validation_score_ == pytest.approx(theirs.best_validation_score_, rel=exact)
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=exact * 10, atol=exact * 10)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("target", TARGETS)
def test_lbfgs_finds_the_minimum_that_scikit_learn_finds(target, weighted):
    # Without hidden layers there is one minimum; scikit-learn's loss of several outputs is not the differentiated one.
    settings = {"solver": "lbfgs", "hidden_layer_sizes": (), "tol": 1e-7, "max_iter": 500, "alpha": 1.0}
    theirs, ours = _both(target, WEIGHT if weighted else None, **settings)
    assert not hasattr(ours, "loss_curve_")
    if target == "columns":
        return
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-7)
    np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], atol=2e-4)
    settings = {"hidden_layer_sizes": 8, "activation": "tanh", "max_iter": 20, "alpha": 0.1}
    losses = [
        [
            model.loss_
            for model in _both(target, WEIGHT if weighted else None, solver="lbfgs", random_state=seed, **settings)
        ]
        for seed in range(5)
    ]
    theirs, ours = np.log(losses).mean(axis=0)
    assert abs(ours - theirs) < 0.1


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_warm_starts_of_lbfgs_are_one_fit(kind):  # scikit-learn's issue 13656
    settings = {"solver": "lbfgs", "random_state": 0, "hidden_layer_sizes": 20, "activation": "logistic", "alpha": 0}
    whole = kind(max_iter=60, **settings).fit(X, CLASSES)
    parts = kind(max_iter=1, warm_start=True, **settings)
    for _ in range(60):
        parts.fit(X, CLASSES)
    for one, other in zip(whole.coefs_, parts.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    copied = pickle.loads(pickle.dumps(parts))
    np.testing.assert_array_equal(copied.fit(X, CLASSES).coefs_[0], parts.fit(X, CLASSES).coefs_[0])


def test_lbfgs_warns_of_what_ended_it():
    settings = {"solver": "lbfgs", "random_state": 0, "tol": 1e-9}
    for limit in ({"max_iter": 7}, {"max_fun": 20}):
        with pytest.warns(ConvergenceWarning) as seen:
            model = MLPRegressor(**limit, **settings).fit(X, NUMBERS)
        words = str(seen[0].message)
        (name, number), *_ = limit.items()
        assert f"lbfgs failed to converge after {model.n_iter_} iteration(s) (status=1):" in words
        assert f"({name}={number})" in words
        assert model.n_iter_ == 7 or name == "max_fun"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, NUMBERS)
    assert 2 < model.n_iter_ < 200


def test_the_loss_of_several_outputs_is_the_one_that_is_differentiated():
    model = MLPRegressor(hidden_layer_sizes=4, solver="lbfgs", alpha=0.5, max_iter=3, random_state=0).fit(X, COLUMNS)
    error = ((model.predict(X) - COLUMNS) ** 2).sum(axis=1).mean() / 2
    penalty = 0.5 / 2 * sum((w * w).sum() for w in model.coefs_) / len(X)
    assert model.loss_ == pytest.approx(error + penalty, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtypes_are_kept(dtype):
    rows = X.astype(dtype)
    for model, y in ((MLPClassifier(max_iter=3), CLASSES), (MLPRegressor(max_iter=3), NUMBERS)):
        model.fit(rows, y)
        assert {w.dtype for w in model.coefs_ + model.intercepts_} == {np.dtype(dtype)}
    assert model.predict(rows).dtype == dtype


# Weights that users read, change and replace.


@pytest.mark.parametrize("how", ["in place", "in the list", "list", "another width"])
def test_changed_weights_are_used(how):
    theirs, ours = _both("classes", solver="adam", max_iter=3)
    ours.predict_proba(X)
    for model in (theirs, ours):
        kernel = model.coefs_[0]
        if how == "in place":
            kernel[:, 3] = 0
        elif how == "in the list":
            model.coefs_[0] = kernel * 0.5
        elif how == "list":
            model.coefs_ = [w + 0.1 for w in model.coefs_]
        else:
            model.coefs_ = [model.coefs_[0][:, :6], model.coefs_[1][:6], model.coefs_[2]]
            model.intercepts_ = [model.intercepts_[0][:6], *model.intercepts_[1:]]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    if how == "in place":  # the array is still the one that is used, also after predictions
        for model in (theirs, ours):
            model.coefs_[0][:, 4] = 1
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
        for model in (theirs, ours):
            model.partial_fit(X, CLASSES)
        np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-4)


def test_weights_that_were_read_do_not_change_in_training():
    model = MLPClassifier(max_iter=3, random_state=0).fit(X, CLASSES)
    kernel = model.coefs_[0]
    before = kernel.copy()
    model.partial_fit(X, CLASSES)
    np.testing.assert_array_equal(kernel, before)
    assert not np.array_equal(model.coefs_[0], before)


def test_activations_that_are_changed_after_fit_are_used():
    theirs, ours = _both("numbers", solver="adam", max_iter=3)
    for model in (theirs, ours):
        model.set_params(activation="tanh")
        model.out_activation_ = "logistic"
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=1e-9)


def test_the_optimizer_keeps_its_state_when_an_activation_changes():
    found = []
    for kind in (neural_network.MLPRegressor, MLPRegressor):
        model = kind(random_state=0, shuffle=False, max_iter=5, activation="tanh").fit(X, NUMBERS)
        found.append(model.set_params(activation="relu").partial_fit(X, NUMBERS).predict(X))
    np.testing.assert_allclose(*found, rtol=1e-9)


def test_without_weights_there_are_no_attributes():
    model = MLPClassifier()
    assert not hasattr(model, "coefs_")
    assert not hasattr(model, "intercepts_")
    model.coefs_ = [np.ones((7, 1))]
    assert not hasattr(model, "intercepts_")
    model = MLPClassifier()
    with pytest.raises(NotFittedError):
        model.predict(X)


def test_weights_may_be_deleted_and_given_without_a_fit():
    fitted = MLPRegressor(random_state=0, max_iter=5, hidden_layer_sizes=4).fit(X, NUMBERS)
    expected, kernels, biases = fitted.predict(X), fitted.coefs_, fitted.intercepts_
    del fitted.coefs_
    assert not hasattr(fitted, "coefs_")
    with pytest.raises(NotFittedError):
        fitted.predict(X)
    with pytest.raises(AttributeError):
        del fitted.coefs_
    fitted.coefs_ = kernels
    np.testing.assert_array_equal(fitted.predict(X), expected)
    model = MLPRegressor(hidden_layer_sizes=4)
    model.coefs_, model.intercepts_ = kernels, biases
    model.n_layers_, model.n_outputs_, model.out_activation_ = 3, 1, "identity"
    np.testing.assert_array_equal(model.predict(X), expected)
    del model.coefs_, model.intercepts_
    assert not hasattr(model, "intercepts_")


# Bugs that are open in scikit-learn.


def test_partial_fit_takes_labels_in_columns():  # scikit-learn's issue 12505
    fitted = MLPClassifier(random_state=0, max_iter=300).fit(X, LABELS)
    for classes in (None, list(range(4))):
        model = MLPClassifier(random_state=0)
        model.partial_fit(X, LABELS, classes=classes)
        for _ in range(fitted.n_iter_ - 1):
            model.partial_fit(X, LABELS)
        np.testing.assert_array_equal(model.predict(X), fitted.predict(X))
    model.partial_fit(X[:3], np.zeros((3, 4), int))
    assert model.predict(X).shape == LABELS.shape
    with pytest.raises(ValueError, match="outputs|classes|labels"):
        model.partial_fit(X[:3], np.ones((3, 5), int))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_partial_fit_after_early_stopping_trains(kind):  # scikit-learn's issue 25693
    model = kind(early_stopping=True, random_state=0, max_iter=20).fit(X, CLASSES)
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(X, CLASSES)
    before = model.coefs_[0].copy()
    model.set_params(early_stopping=False).partial_fit(X, CLASSES)
    assert not np.array_equal(model.coefs_[0], before)


def test_the_loss_of_a_warm_start_goes_on_falling():
    model = MLPRegressor(warm_start=True, solver="lbfgs", max_iter=5, random_state=0)
    losses = [model.fit(X, NUMBERS).loss_ for _ in range(5)]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] / 2


def test_another_solver_or_early_stopping_goes_on_from_the_weights():
    model = MLPRegressor(solver="lbfgs", max_iter=200, random_state=0, warm_start=True).fit(X, NUMBERS)
    score = model.score(X, NUMBERS)
    for changes in (
        {"solver": "adam", "learning_rate_init": 1e-5, "max_iter": 5},
        {"early_stopping": True},
        {"early_stopping": False},
        {"solver": "sgd"},
        {"solver": "lbfgs"},
    ):
        model.set_params(**changes).fit(X, NUMBERS)
        assert model.score(X, NUMBERS) > score - 0.01
    model.set_params(solver="adam").partial_fit(X, NUMBERS)
    assert (model.validation_scores_, model.n_iter_) == (None, 1)


@pytest.mark.parametrize("batch", ["auto", 50])
def test_partial_fits_are_determined_by_the_random_state(batch):
    found = []
    for _ in range(2):
        lamina.utils.set_random_seed(np.random.randint(1000))
        model = MLPClassifier(random_state=0, batch_size=batch)
        for _ in range(3):
            model.partial_fit(X, CLASSES, classes=[0, 1, 2])
        found.append(model.predict_proba(X))
    np.testing.assert_array_equal(*found)


SEQUENCES = {
    "invscaling": [("fit", {"solver": "sgd", "learning_rate": "invscaling"}), ("partial_fit", {}), ("partial_fit", {})],
    "invscaling by steps": [("partial_fit", {"solver": "sgd", "learning_rate": "invscaling"})] * 3,
    "invscaling, more batches": [
        ("fit", {"solver": "sgd", "learning_rate": "invscaling"}),
        *[("partial_fit", {"batch_size": 40})] * 3,
    ],
    "kept": [
        ("partial_fit", {"solver": "sgd", "learning_rate": "invscaling"}),
        *[("partial_fit", {"power_t": 2.0})] * 2,
    ],
    "adaptive": [("partial_fit", {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1})]
    * 9,
    "adam": [("partial_fit", {}), ("fit", {}), ("partial_fit", {}), ("partial_fit", {"alpha": 0.3})],
    "warm": [("fit", {}), ("fit", {"warm_start": True}), ("fit", {"alpha": 0.3}), ("partial_fit", {})],
}


@pytest.mark.parametrize("kind", ["MLPClassifier", "MLPRegressor"])
@pytest.mark.parametrize("case", SEQUENCES)
def test_sequences_of_calls_have_the_weights_of_scikit_learn(case, kind):
    models = [getattr(neural_network, kind), MLPClassifier if kind == "MLPClassifier" else MLPRegressor]
    models = [make(random_state=0, shuffle=False, max_iter=5, learning_rate_init=0.05) for make in models]
    for method, changes in SEQUENCES[case]:
        for model in models:
            more = {"classes": [0, 1]} if kind == "MLPClassifier" and method == "partial_fit" else {}
            getattr(model.set_params(**changes), method)(X, BINARY, **more)
        theirs, ours = models
        np.testing.assert_allclose(ours.coefs_[0], theirs.coefs_[0], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
        assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
        assert ours.best_loss_ == pytest.approx(theirs.best_loss_, rel=1e-9)


def test_warm_starts_with_early_stopping_go_on():
    model = MLPRegressor(early_stopping=True, warm_start=True, max_iter=5, random_state=0, tol=1.0)
    losses = [model.fit(X, NUMBERS).loss_ for _ in range(6)]
    assert len(set(losses)) == 6


def test_without_a_score_that_is_a_number_the_first_weights_are_kept():
    settings = {"early_stopping": True, "validation_fraction": 0.3, "max_iter": 5, "random_state": 0}
    model = MLPClassifier(solver="sgd", learning_rate_init=1e300, **settings).fit(X, LABELS)
    assert np.isfinite(model.predict_proba(X)).all()


def test_one_class_is_always_right():
    model = MLPClassifier(early_stopping=True, max_iter=3, random_state=0).fit(X, np.full(120, "q"))
    assert model.validation_scores_ == [1.0] * 3
    assert set(model.predict(X)) == {"q"}


# Data.


@pytest.mark.parametrize(
    "make", [scipy.sparse.csr_array, scipy.sparse.csc_matrix, np.asfortranarray, np.ndarray.tolist]
)
def test_kinds_of_rows(make):
    few = np.where(np.abs(X) > 1, X, 0)
    expected = MLPClassifier(random_state=0, max_iter=5).fit(few, CLASSES).predict_proba(few)
    rows = make(few)
    found = MLPClassifier(random_state=0, max_iter=5).fit(rows, CLASSES).predict_proba(rows)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_sparse_labels():
    theirs, ours = (
        kind(random_state=0, shuffle=False, max_iter=30).fit(X, scipy.sparse.csr_matrix(LABELS)).predict(X)
        for kind in (neural_network.MLPClassifier, MLPClassifier)
    )
    assert type(ours) is type(theirs)
    np.testing.assert_array_equal(ours.toarray(), theirs.toarray())


def test_sparse_rows_stay_sparse():
    rows = scipy.sparse.random_array((2000, 100_000), density=1e-4, format="csr", rng=np.random.default_rng(0))
    model = MLPClassifier((4,), max_iter=2, random_state=0)
    y = np.arange(2000) % 2
    lamina.runtime.set_num_threads(lamina.get_num_threads())
    model.fit(rows, y)
    model.partial_fit(rows, y)
    assert model.predict(rows).shape == (2000,)
    assert model.score(rows, y) >= 0


@pytest.mark.parametrize("labels", [np.array(["cat", "dog", "eel"]), np.array(["a", "b", "c"], object), [True, False]])
def test_names_of_classes(labels):
    labels = np.asarray(labels)
    y = labels[CLASSES % len(labels)]
    model = MLPClassifier(max_iter=5, random_state=0).fit(X, y)
    assert model.classes_.tolist() == sorted(set(labels.tolist()))
    assert set(model.predict(X).tolist()) <= set(labels.tolist())
    again = MLPClassifier(random_state=0)
    for _ in range(3):
        again.partial_fit(X, y, classes=labels)
    assert again.predict_proba(X).shape == (120, len(labels))
    with pytest.raises(ValueError, match="not in `self.classes_`"):
        again.partial_fit(X, np.where(CLASSES == 0, "zebra", "cat") if y.dtype.kind in "OU" else CLASSES + 5)


def test_plain_rows_are_checked_too():
    model = MLPClassifier(random_state=0).partial_fit(X, CLASSES, classes=[0, 1, 2])
    bad = X.copy()
    bad[3, 2] = np.nan
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.predict(bad)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        model.partial_fit(bad, CLASSES)
    with pytest.raises(ValueError, match="X has 6 features, but MLPClassifier is expecting 7"):
        model.predict(X[:, :6])
    with pytest.raises(ValueError, match="not in `self.classes_`"):
        model.partial_fit(X, CLASSES + 1)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.partial_fit(X, CLASSES[:100])
    large = np.full((2, 7), 1e308)  # its sum is infinite, its numbers are not
    assert model.predict(large).shape == (2,)
    regressor = MLPRegressor(random_state=0).partial_fit(X, NUMBERS)
    bad = NUMBERS.copy()
    bad[0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        regressor.partial_fit(X, bad)


def test_sample_weights_are_checked():
    model = MLPRegressor()
    for weight, words in (
        (np.ones(3), r"sample_weight.shape == \(3,\), expected \(120,\)!"),
        (np.ones((120, 1)), "1D array"),
        (np.full(120, np.nan), "contains NaN"),
        (np.zeros(120), "at least one non-zero"),
        (0, "at least one non-zero"),
        (np.tile([1.0, -1.0], 60), "sum to zero"),
    ):
        with pytest.raises(ValueError, match=words):
            model.fit(X, NUMBERS, sample_weight=weight)


def test_predictions_have_the_dtype_of_the_rows_or_a_larger_one():
    model = MLPRegressor(max_iter=2, random_state=0).fit(X.astype("f"), NUMBERS)
    for rows, dtype in ((X.astype("f"), "f"), (X, "d"), (np.ones((2, 7), int), "d")):
        assert model.predict(rows).dtype == dtype
    assert MLPRegressor(max_iter=2).fit(X, NUMBERS).predict(X.astype("f")).dtype == "d"


@pytest.mark.parametrize("weights", [np.r_[-0.1, np.ones(119)], None])
@pytest.mark.parametrize("size", [1.0, 1e160])
def test_early_stopping_with_odd_weights_and_targets(weights, size):
    settings = {"early_stopping": True, "max_iter": 3, "random_state": 0, "shuffle": False, "validation_fraction": 0.3}
    models = (neural_network.MLPRegressor(**settings), MLPRegressor(**settings))
    found = []
    for model in models:
        try:
            with np.errstate(all="ignore"):
                found.append(model.fit(X, size * NUMBERS, weights).validation_scores_)
        except ValueError as error:
            found.append(str(error)[:20])
    np.testing.assert_array_equal(*found) if size > 1 else np.testing.assert_allclose(*found, rtol=1e-9)


def test_a_warm_start_may_end_after_one_epoch():
    settings = {"solver": "sgd", "learning_rate_init": 1e-9, "n_iter_no_change": 2, "max_iter": 50, "random_state": 0}
    counts = []
    for kind in (neural_network.MLPRegressor, MLPRegressor):
        model = kind(warm_start=True, tol=1.0, **settings).fit(X, NUMBERS)
        counts.append([model.n_iter_, *(model.fit(X, NUMBERS).n_iter_ for _ in range(2))])
    assert counts[0] == counts[1] == [4, 1, 1]


def test_negative_counts_have_a_loss_that_is_no_number():
    for kind in (neural_network.MLPRegressor, MLPRegressor):
        with np.errstate(all="ignore"):
            model = kind(loss="poisson", max_iter=2, random_state=0).fit(X, NUMBERS)
        assert np.isnan(model.loss_curve_).all()
        assert model.best_loss_ == np.inf


def test_lbfgs_can_be_interrupted():
    model = MLPRegressor(solver="lbfgs", max_iter=10**6, tol=0, max_fun=10**8, random_state=0, activation="tanh")
    rows = np.random.RandomState(0).standard_normal((5000, 7))
    with interrupted_after(0.4), pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(rows, np.sin(5 * rows[:, 0]) * rows[:, 1])
    assert model.n_iter_ > 3
    assert model.predict(rows).shape == (5000,)


# Life with scikit-learn.


def test_a_fit_is_determined_by_its_random_state(restore_threads):
    found = []
    for threads in (1, 2):
        lamina.set_num_threads(threads)
        found.append(MLPClassifier(random_state=5, max_iter=10).fit(X, CLASSES))
    for one, other in zip(found[0].coefs_, found[1].coefs_, strict=True):
        np.testing.assert_array_equal(one, other)
    other = MLPClassifier(random_state=6, max_iter=10).fit(X, CLASSES)
    assert not np.array_equal(other.coefs_[0], found[0].coefs_[0])


@pytest.mark.parametrize("looked", [False, True])
def test_copies_predict_and_train_as_the_original(looked, tmp_path):
    model = MLPClassifier(random_state=0, max_iter=5).fit(X, CLASSES)
    if looked:
        model.coefs_[0][0] = 0
    joblib.dump(model, tmp_path / "model")
    for copied in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        np.testing.assert_array_equal(copied.predict_proba(X), model.predict_proba(X))
        twin = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(
            copied.partial_fit(X, CLASSES).predict_proba(X), twin.partial_fit(X, CLASSES).predict_proba(X)
        )
    assert not hasattr(clone(model), "coefs_")


def test_searches_and_pipelines():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier(random_state=0, max_iter=30))
    assert cross_val_score(pipeline, X, BINARY, cv=3).mean() > 0.7
    search = GridSearchCV(MLPRegressor(random_state=0, max_iter=20), {"alpha": [0.1, 1]}, cv=2)
    assert search.fit(X, NUMBERS).best_params_["alpha"] in (0.1, 1)


def test_verbose_output(capsys):
    MLPClassifier(verbose=True, max_iter=3, early_stopping=True, random_state=0).fit(X, CLASSES)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[0::2]] == ["Iteration 1", "Iteration 2", "Iteration 3"]
    assert all(line.startswith("Validation score: ") for line in lines[1::2])
    settings = {"verbose": True, "max_iter": 200, "n_iter_no_change": 2, "solver": "sgd", "random_state": 0, "tol": 0.5}
    for policy, words in (("constant", "Stopping."), ("adaptive", "Learning rate too small. Stopping.")):
        theirs = neural_network.MLPClassifier(learning_rate=policy, shuffle=False, **settings).fit(X, CLASSES)
        expected = capsys.readouterr().out.splitlines()
        ours = MLPClassifier(learning_rate=policy, shuffle=False, **settings).fit(X, CLASSES)
        assert capsys.readouterr().out.splitlines() == expected
        assert ours.n_iter_ == theirs.n_iter_
        assert expected[-1].endswith(words)
    MLPRegressor(verbose=True, solver="lbfgs", max_iter=3, random_state=0).fit(X, NUMBERS)
    assert capsys.readouterr().out.startswith("Iteration 1, loss = ")


def test_warnings_name_the_users_line():
    for call in (
        lambda: MLPClassifier(max_iter=1).fit(X, CLASSES),
        lambda: MLPClassifier(max_iter=1, solver="lbfgs").fit(X, CLASSES),
    ):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always", ConvergenceWarning)
            call()
        assert [one.filename for one in seen] == [__file__]
    with pytest.warns(UserWarning, match="Got `batch_size` less than 1 or larger than sample size") as seen:
        MLPClassifier(max_iter=1, batch_size=500).fit(X, CLASSES)
    assert seen[0].filename == __file__


def test_an_interrupt_keeps_what_was_trained():
    model = MLPRegressor(max_iter=10**6, tol=0, n_iter_no_change=10**6, random_state=0)
    with interrupted_after(0.4), pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, NUMBERS)
    assert model.n_iter_ == len(model.loss_curve_) > 10
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    assert model.predict(X).shape == (120,)
