"""Models from scikit-learn's perceptrons, and perceptrons from models, predict the same."""

import warnings

import numpy as np
import pytest

import lamina
from lamina import layers, saving

pytest.importorskip("sklearn")
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor

from lamina import sklearn as estimators

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
Y = {
    "two classes": np.where(X[:, 0] > 0, "yes", "no"),
    "three classes": np.array([3, 7, 9])[np.arange(90) % 3],
    "several labels": (X[:, :3] > 0).astype(int),
}
TARGETS = {"one target": X[:, 0] * X[:, 1], "two targets": X[:, :2] ** 2}


def fitted(estimator, y, x=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(x, y)


@pytest.mark.parametrize("source", [MLPClassifier, estimators.MLPClassifier])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("y", Y)
def test_classifiers(y, activation, source):
    given = fitted(source(hidden_layer_sizes=(6, 5), activation=activation, max_iter=10, random_state=0), Y[y])
    expected = given.predict_proba(X)
    model = saving.from_sklearn(given)
    assert model.dtype == "float64"
    found = model.predict(X, verbose=0)
    found = np.hstack([1 - found, found]) if y == "two classes" else found
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    again = saving.to_sklearn(model, None if y == "several labels" else given.classes_)
    assert type(again) is MLPClassifier
    np.testing.assert_allclose(again.predict_proba(X), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_array_equal(again.predict(X), given.predict(X))
    assert again.score(X, Y[y]) == given.score(X, Y[y])


@pytest.mark.parametrize("source", [MLPRegressor, estimators.MLPRegressor])
@pytest.mark.parametrize("y", TARGETS)
def test_regressors(y, source):
    given = fitted(source(hidden_layer_sizes=7, activation="tanh", max_iter=10, random_state=0), TARGETS[y])
    model = saving.from_sklearn(given)
    np.testing.assert_allclose(np.squeeze(model.predict(X, verbose=0)), given.predict(X), rtol=1e-9, atol=1e-12)
    again = saving.to_sklearn(model)
    assert type(again) is MLPRegressor
    np.testing.assert_allclose(again.predict(X), given.predict(X), rtol=1e-9, atol=1e-12)


def test_float32_stays_float32():
    given = fitted(MLPRegressor(max_iter=2), X[:, 0].astype("f"), X.astype("f"))
    model = saving.from_sklearn(given)
    assert model.dtype == "float32"
    assert saving.to_sklearn(model).coefs_[0].dtype == np.float32


@pytest.mark.parametrize("columns", [2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_softmax_becomes_a_classifier(dtype, columns):
    model = lamina.Sequential([
        lamina.Input((4,), dtype=dtype), layers.Dense(6, "relu", dtype=dtype), layers.Dropout(0.5, dtype=dtype),
        layers.Dense(5, "relu", dtype=dtype), layers.Dense(columns, use_bias=False, dtype=dtype),
        layers.Softmax(dtype=dtype),
    ])  # fmt: skip
    found = saving.to_sklearn(model)
    expected = model.predict(X, verbose=0)
    np.testing.assert_allclose(found.predict_proba(X.astype(dtype)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.predict(X.astype(dtype)), expected.argmax(axis=1))
    np.testing.assert_array_equal(saving.to_sklearn(model, list("abc")[:columns]).classes_, list("abc")[:columns])


def test_a_linear_model_becomes_a_perceptron_without_hidden_layers():
    model = lamina.Sequential([lamina.Input((4,), dtype="float64"), layers.Dense(1, dtype="float64")])
    found = saving.to_sklearn(model)
    np.testing.assert_allclose(found.predict(X), model.predict(X, verbose=0)[:, 0], rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (3, TypeError, "estimator must be an MLPClassifier or MLPRegressor; got int"),
        (LogisticRegression(), TypeError, "must be an MLPClassifier or MLPRegressor; got LogisticRegression"),
        (MLPClassifier(), ValueError, "the MLPClassifier must be fitted"),
    ],
)
def test_estimators_that_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        saving.from_sklearn(given)


def chain(*parts):
    return lamina.Sequential([lamina.Input((4,)), *parts])


@pytest.mark.parametrize(
    ("model", "classes", "message"),
    [
        (chain(layers.Dense(3, "relu"), layers.Dense(3, "tanh"), layers.Dense(2)), None, "hidden layers must all have"),
        (chain(layers.Dense(3, "softmax"), layers.Dense(2)), None, "hidden layers must all have"),
        (chain(layers.Dense(3, "tanh")), None, "the last one none, sigmoid or softmax; they are tanh"),
        (chain(layers.Dense(3, "gelu"), layers.Dense(2)), None, "a multi-layer perceptron has no gelu"),
        (chain(layers.LayerNormalization(), layers.Dense(2)), None, "has no RowNorm"),
        (chain(layers.Dropout(0.2)), None, "the model must have dense layers"),
        (chain(layers.Dense(2)), [0, 1], "classes must be None for a model that ends without an activation"),
        (chain(layers.Dense(3, "softmax")), [0, 1], "classes must be 3 different labels"),
        (chain(layers.Dense(1, "sigmoid")), ["b", "a"], "classes must be 2 different labels in ascending order"),
        (chain(layers.Dense(1, "softmax")), None, "a softmax must have several columns"),
        (lamina.Sequential([layers.Dense(2)]), None, "must be built"),
    ],
)
def test_models_that_are_refused(model, classes, message):
    with pytest.raises(ValueError, match=message):
        saving.to_sklearn(model, classes)


@pytest.mark.parametrize("seed", range(200))
def test_random_perceptrons(seed):
    rng = np.random.default_rng(seed)
    dtype = str(rng.choice(["float32", "float64"]))
    features, rows = int(rng.integers(1, 12)), int(rng.integers(5, 30))
    x = rng.normal(size=(rows, features)).astype(dtype)
    arguments = {
        "hidden_layer_sizes": tuple(map(int, rng.integers(1, 20, rng.integers(1, 5)))),
        "activation": str(rng.choice(["identity", "logistic", "tanh", "relu"])),
        "random_state": seed,
    }
    kind = rng.choice(["classes", "labels", "numbers"])
    columns = int(rng.integers(1, 5))
    if kind == "numbers":
        y = rng.normal(size=(rows, columns)) if columns > 1 else rng.normal(size=rows)
        given, classes = MLPRegressor(**arguments).partial_fit(x, y), None
    elif kind == "labels":
        y = rng.integers(0, 2, (rows, columns + 1))
        given, classes = MLPClassifier(**arguments).partial_fit(x, y, classes=np.arange(columns + 1)), None
    else:
        classes = np.sort(rng.choice(100, columns + 1, replace=False))
        given = MLPClassifier(**arguments).partial_fit(x, rng.choice(classes, rows), classes=classes)
    again = saving.to_sklearn(saving.from_sklearn(given), classes)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    ask = "predict" if kind == "numbers" else "predict_proba"
    np.testing.assert_allclose(getattr(again, ask)(x), getattr(given, ask)(x), rtol=tolerance, atol=tolerance)
    for one, other in zip(given.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_but_the_estimator_changes():
    model = chain(layers.Dense(6, "relu"), layers.Dense(3, "softmax"))
    np.random.seed(5)
    before = np.random.get_state()[1].copy()
    found = saving.to_sklearn(model)
    np.testing.assert_array_equal(np.random.get_state()[1], before)
    assert found.random_state is None
    assert (found.t_, found.n_iter_, found.loss_curve_, hasattr(found, "loss_")) == (0, 0, [], False)
    kernel = found.coefs_[0].copy()
    found.partial_fit(X, np.arange(90) % 3)
    assert found.t_ == 90
    assert not np.array_equal(found.coefs_[0], kernel)


@pytest.mark.parametrize(
    ("classes", "error", "message"),
    [
        ([None, 1, 2], TypeError, "classes must be labels of one type"),
        ([0.5, 1.5, 2.5], ValueError, "classes must be labels for scikit-learn"),
        ([2, 1, 0], ValueError, "classes must be 3 different labels in ascending order"),
    ],
)
def test_classes_that_are_none(classes, error, message):
    with pytest.raises(error, match=message):
        saving.to_sklearn(chain(layers.Dense(3, "softmax")), classes)


def test_labels_in_columns_are_their_numbers():
    with pytest.raises(ValueError, match="classes must be None for several columns of a sigmoid"):
        saving.to_sklearn(chain(layers.Dense(3, "sigmoid")), ["a", "b", "c"])


class OfOthers:
    def to_model(self):
        return 3


def test_what_is_no_estimator():
    with pytest.raises(TypeError, match="to_model of the OfOthers must return a model"):
        saving.from_sklearn(OfOthers())
    with pytest.raises(TypeError, match="got the class MLPClassifier"):
        saving.from_sklearn(estimators.MLPClassifier)


def test_a_mean_of_counts():
    if "loss" not in MLPRegressor().get_params():
        pytest.skip("scikit-learn before 1.7 has no such loss")
    given = fitted(MLPRegressor(loss="poisson", max_iter=5), np.abs(X[:, 0]))
    model = saving.from_sklearn(given)
    np.testing.assert_allclose(model.predict(X, verbose=0)[:, 0], given.predict(X), rtol=1e-9)
    with pytest.raises(ValueError, match="they are relu, exponential|has no exponential"):
        saving.to_sklearn(model)
