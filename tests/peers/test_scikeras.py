"""scikeras's estimators around models of lamina's. scikeras itself imports real Keras."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from programs.data import houses, table

import lamina
from lamina import layers

pytest.importorskip("keras")
wrappers = pytest.importorskip("scikeras.wrappers")
model_selection = pytest.importorskip("sklearn.model_selection")
pytestmark = pytest.mark.filterwarnings("ignore")


def classifier(meta, units=8):
    model = lamina.Sequential(
        [
            lamina.Input((meta["n_features_in_"],)), layers.Dense(units, "relu"),
            layers.Dense(meta["n_classes_"], "softmax"),
        ]
    )  # fmt: skip
    model.compile(lamina.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def regressor():
    model = lamina.Sequential([lamina.Input((6,)), layers.Dense(16, "relu"), layers.Dense(1)])
    model.compile(lamina.optimizers.Adam(0.02), "mse")
    return model


def test_a_classifier_is_searched_and_pickled():
    x, y = table()
    names = np.array(["no", "yes"])[y]
    estimator = wrappers.KerasClassifier(model=classifier, model__units=12, epochs=20, verbose=0, random_state=1)
    assert model_selection.cross_val_score(estimator, x, names, cv=3).mean() > 0.75
    search = model_selection.GridSearchCV(estimator, {"model__units": [2, 16], "batch_size": [16]}, cv=2)
    search.fit(x, names)
    assert search.predict_proba(x).shape == (len(x), 2)
    assert set(search.predict(x)) == {"no", "yes"}
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    assert again.predict(x).tolist() == search.predict(x).tolist()


def test_a_regressor_goes_on():
    x, y = houses()
    x = (x - x.mean(0)) / x.std(0)
    estimator = wrappers.KerasRegressor(model=regressor, epochs=40, verbose=0)
    assert estimator.fit(x, y).score(x, y) > 0.5
    estimator.partial_fit(x, y)
    assert estimator.current_epoch == 41
