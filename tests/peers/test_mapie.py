"""MAPIE's conformal predictors take the estimators, and cover what they promise."""

from __future__ import annotations

import numpy as np
import pytest

from lamina.sklearn import MLPClassifier, MLPRegressor

pytest.importorskip("mapie")
from mapie.classification import SplitConformalClassifier
from mapie.regression import ConformalizedQuantileRegressor, CrossConformalRegressor, SplitConformalRegressor

pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.RandomState(0)
X = RNG.uniform(-2, 2, (1200, 2))
Y = np.sin(2 * X[:, 0]) + (0.1 + 0.2 * np.abs(X[:, 1])) * RNG.standard_normal(1200)
CLASSES = (Y > 0).astype(int) + (Y > 0.7)
SETTINGS = {"max_iter": 30, "random_state": 0}
TRAINED, HELD_OUT, NEW = slice(0, 500), slice(500, 900), slice(900, None)


def _covered(intervals):
    low, high = intervals[:, 0, 0], intervals[:, 1, 0]
    return np.mean((low <= Y[NEW]) & (Y[NEW] <= high))


def test_intervals():
    model = SplitConformalRegressor(MLPRegressor(**SETTINGS), confidence_level=0.9, prefit=False)
    model.fit(X[TRAINED], Y[TRAINED]).conformalize(X[HELD_OUT], Y[HELD_OUT])
    assert _covered(model.predict_interval(X[NEW])[1]) == pytest.approx(0.9, abs=0.05)
    model = CrossConformalRegressor(MLPRegressor(**SETTINGS), confidence_level=0.9, cv=5)
    model.fit_conformalize(X[:900], Y[:900])
    assert _covered(model.predict_interval(X[NEW])[1]) == pytest.approx(0.9, abs=0.05)


def test_intervals_of_quantiles():
    members = [MLPRegressor("quantile", quantile=q, **SETTINGS).fit(X[TRAINED], Y[TRAINED]) for q in (0.05, 0.95, 0.5)]
    model = ConformalizedQuantileRegressor(members, confidence_level=0.9, prefit=True)
    model.conformalize(X[HELD_OUT], Y[HELD_OUT])
    assert _covered(model.predict_interval(X[NEW])[1]) == pytest.approx(0.9, abs=0.05)


def test_sets_of_classes():
    model = SplitConformalClassifier(MLPClassifier(**SETTINGS), confidence_level=0.9, prefit=False)
    model.fit(X[TRAINED], CLASSES[TRAINED]).conformalize(X[HELD_OUT], CLASSES[HELD_OUT])
    _, sets = model.predict_set(X[NEW])
    assert sets[np.arange(300), CLASSES[NEW], 0].mean() == pytest.approx(0.9, abs=0.05)
