"""Keras models as scikit-learn estimators."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

import lamina
from lamina import layers

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.datasets import load_iris, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lamina.wrappers import SKLearnClassifier, SKLearnRegressor, SKLearnTransformer

IRIS = load_iris(return_X_y=True)


def classifier(X, y, units=16, classes=3):
    hidden, output = layers.Dense(units, "relu"), layers.Dense(classes, "softmax")
    model = lamina.Sequential([lamina.Input((X.shape[1],)), hidden, output])
    model.compile(lamina.optimizers.Adam(0.02), "categorical_crossentropy", metrics=["accuracy"])
    return model


def one_unit(X, y):
    model = lamina.Sequential([lamina.Input((X.shape[1],)), layers.Dense(1, "sigmoid")])
    model.compile(lamina.optimizers.Adam(0.05), "binary_crossentropy")
    return model


def regressor(X, y):
    outputs = 1 if y.ndim == 1 else y.shape[1]
    model = lamina.Sequential([lamina.Input((X.shape[1],)), layers.Dense(outputs)])
    model.compile(lamina.optimizers.Adam(0.2), "mse")
    return model


def test_a_classifier_in_a_pipeline_and_a_search(capsys):
    made = make_pipeline(StandardScaler(), SKLearnClassifier(classifier, fit_kwargs={"epochs": 40}))
    assert cross_val_score(made, *IRIS, cv=3).mean() > 0.9
    search = GridSearchCV(
        SKLearnClassifier(classifier, fit_kwargs={"epochs": 2}), {"model_kwargs": [{"units": 2}, {"units": 9}]}, cv=2
    )
    search.fit(*IRIS)
    assert search.best_estimator_.model_.layers[0].units in (2, 9)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("names", [np.array(["setosa", "versicolor", "virginica"]), np.array([10, 20, 35])])
def test_classes_may_have_any_names(names):
    X, y = IRIS[0], names[IRIS[1]]
    made = SKLearnClassifier(classifier, fit_kwargs={"epochs": 30}).fit(X, y)
    np.testing.assert_array_equal(made.classes_, names)
    assert set(made.predict(X)) <= set(names)
    assert made.score(X, y) > 0.7
    np.testing.assert_allclose(made.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert made.decision_function(X).shape == (150, 3)
    assert made.predict(X).shape == (150,)
    assert SKLearnClassifier(classifier).fit(X, y.reshape(-1, 1)).predict(X).shape == (150, 1)


def test_two_classes_may_have_one_unit():
    X, y = IRIS[0][:100], np.array(["no", "yes"])[IRIS[1][:100]]
    made = SKLearnClassifier(one_unit).fit(X, y, epochs=60)
    assert made.score(X, y) > 0.95
    assert made.predict_proba(X).shape == (100, 2)
    two = SKLearnClassifier(classifier, model_kwargs={"classes": 2}).fit(X, y, epochs=30)
    assert two.score(X, y) > 0.95


@pytest.mark.parametrize("targets", [1, 2])
def test_a_regressor(targets):
    X, y = make_regression(80, 4, n_targets=targets, random_state=0)
    made = SKLearnRegressor(regressor, fit_kwargs={"epochs": 300}).fit(X, y / 50)
    assert made.predict(X).shape == y.shape
    assert made.score(X, y / 50) > 0.95
    assert made.history_.epoch[-1] == 299


def test_a_transformer():
    def encoder(X, y):
        model = lamina.Sequential([lamina.Input((4,)), layers.Dense(2)])
        model.compile("adam", "mse")
        return model

    made = SKLearnTransformer(encoder)
    assert made.fit(IRIS[0], IRIS[0][:, :2]).transform(IRIS[0]).shape == (150, 2)


def test_a_model_is_copied_for_each_fit():
    model = classifier(*IRIS)
    before = model.get_weights()
    made = SKLearnClassifier(model).fit(*IRIS)
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    assert made.model_ is not model
    assert made.model_.optimizer is not model.optimizer


def test_a_warm_start_goes_on():
    made = SKLearnClassifier(classifier, warm_start=True).fit(*IRIS)
    first = made.model_
    assert made.fit(*IRIS).model_ is first
    made.set_params(warm_start=False)
    assert made.fit(*IRIS).model_ is not first


def test_estimators_are_cloned_and_pickled():
    made = SKLearnClassifier(classifier, fit_kwargs={"epochs": 3}).fit(*IRIS)
    again = pickle.loads(pickle.dumps(made))
    np.testing.assert_array_equal(again.predict(IRIS[0]), made.predict(IRIS[0]))
    fresh = clone(made)
    assert fresh.fit_kwargs == {"epochs": 3}
    with pytest.raises(NotFittedError):
        fresh.predict(IRIS[0])
    assert clone(SKLearnClassifier(classifier(*IRIS))).fit(*IRIS).n_features_in_ == 4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SKLearnClassifier(3).fit(*IRIS), "model must be a model, or a function"),
        (lambda: SKLearnClassifier(lambda X, y: 3).fit(*IRIS), "the function must return a model"),
        (lambda: SKLearnClassifier(classifier).fit(IRIS[0], IRIS[0][:, 0]), "Unknown label type|classif"),
        (lambda: SKLearnClassifier(classifier).fit(IRIS[0], np.ones(150, int)), "only one class"),
        (lambda: SKLearnClassifier(classifier).fit(IRIS[0], IRIS[1][:3]), "inconsistent numbers of samples"),
        (lambda: SKLearnRegressor(regressor).fit(*IRIS).predict(IRIS[0][:, :2]), "X has 2 features"),
        (lambda: SKLearnRegressor(regressor).fit(np.full((3, 2), np.nan), np.ones(3)), "NaN"),
    ],
)
def test_wrong_arguments_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_model_must_be_compiled():
    with pytest.raises(RuntimeError, match="the model must be compiled"):
        SKLearnRegressor(lamina.Sequential([layers.Dense(1)])).fit(*IRIS)


def test_they_are_loaded_when_they_are_used():
    code = (
        "import sys, lamina; assert 'sklearn' not in sys.modules; lamina.wrappers.SKLearnRegressor;"
        "assert 'sklearn' in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    code = "import sys; sys.modules['sklearn'] = None; import lamina.wrappers"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'lamina[sklearn]'" in found.stderr
