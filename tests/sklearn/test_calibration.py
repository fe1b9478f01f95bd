"""Probabilities that are calibrated."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from helpers import interrupted_after
from sklearn.calibration import CalibratedClassifierCV

import lamina
from lamina.sklearn import MLPClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((150, 5))
CLASSES = np.where(X[:, 0] > 0.9, 2, (X[:, 1] > 0).astype(int))


@pytest.mark.parametrize("binary", [False, True])
def test_calibrated_probabilities(binary):
    y = np.array(["no", "yes", "maybe"])[np.minimum(CLASSES, 1) if binary else CLASSES]
    model = MLPClassifier(calibrate="temperature", random_state=0, max_iter=100).fit(X, y)
    plain = MLPClassifier(random_state=0, max_iter=100)
    theirs = CalibratedClassifierCV(plain, method="temperature").fit(X, y)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(model.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(model.coefs_[0], plain.fit(X, y).coefs_[0])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))
    with pytest.raises(ValueError, match="those of one network"):
        model.input_gradients(X)
    with pytest.raises(ValueError, match="partial_fit does not support calibrate"):
        model.partial_fit(X, y)
    with pytest.raises(ValueError, match="labels in columns"):
        model.fit(X, np.eye(3, dtype=int)[CLASSES])
    stale = pickle.loads(pickle.dumps(model)).set_params(calibrate=None).partial_fit(X, y)
    assert not hasattr(stale, "calibrator_")
    assert not hasattr(model.set_params(calibrate=None).fit(X, y), "calibrator_")


def test_weights_and_validation_data_are_for_all_networks():
    weight = RNG.uniform(0.2, 2, 150)
    settings = {"random_state": 0, "max_iter": 60, "early_stopping": True, "n_iter_no_change": 3}
    held_out = (X[:40], CLASSES[:40])
    model = MLPClassifier(calibrate="temperature", **settings).fit(X, CLASSES, weight, validation_data=held_out)
    with sklearn.config_context(enable_metadata_routing=True):
        plain = MLPClassifier(**settings).set_fit_request(sample_weight=True, validation_data=False)
        again = MLPClassifier(calibrate="temperature", **settings).fit(X, CLASSES, weight, validation_data=held_out)
    np.testing.assert_array_equal(model.predict_proba(X), again.predict_proba(X))

    class Held(MLPClassifier):
        def fit(self, X, y, sample_weight=None):
            return super().fit(X, y, sample_weight, validation_data=held_out)

    theirs = CalibratedClassifierCV(Held(**settings), method="temperature").fit(X, CLASSES, weight)
    np.testing.assert_allclose(model.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)
    np.testing.assert_array_equal(model.coefs_[0], plain.fit(X, CLASSES, weight, validation_data=held_out).coefs_[0])


def test_few_rows_of_a_class_and_one_class():
    model = MLPClassifier(calibrate="temperature", max_iter=5)
    with pytest.raises(ValueError, match="calibrate needs 5 rows of each class"):
        model.fit(X, np.r_[np.zeros(146), np.ones(4)])
    assert not hasattr(model, "classes_")
    model.fit(X, np.r_[np.zeros(145), np.ones(5)])
    np.testing.assert_allclose(model.predict_proba(X).sum(axis=1), 1)
    alone = model.fit(X, np.full(150, "yes"))
    assert set(alone.predict(X)) == {"yes"}
    np.testing.assert_array_equal(alone.predict_proba(X), np.ones((150, 1)))


def test_one_interrupt_ends_all_networks(monkeypatch):
    from lamina.sklearn import together

    def interrupted(*arguments, **more):
        raise KeyboardInterrupt

    model = MLPClassifier(calibrate="temperature", random_state=0, max_iter=5)
    with monkeypatch.context() as patch:
        patch.setattr(together, "fit_many", interrupted)
        with pytest.warns(UserWarning, match="Calibration interrupted by user"):
            model.fit(X, CLASSES)
    expected = MLPClassifier(random_state=0, max_iter=5).fit(X, CLASSES).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)

    slow = MLPClassifier(calibrate="temperature", max_iter=10**6, tol=0, n_iter_no_change=10**6)
    with interrupted_after(0.4), pytest.warns(UserWarning, match="Training interrupted by user"):
        slow.fit(X, CLASSES)  # five more would not end
    assert slow.n_iter_ > 10
    assert not hasattr(slow, "calibrator_")


def test_all_networks_of_the_folds_are_trained_at_once(monkeypatch):
    from lamina.sklearn import together

    calls = []
    real = together.fit_many
    monkeypatch.setattr(
        together, "fit_many", lambda models, *rest, **how: calls.append(len(models)) or real(models, *rest, **how)
    )
    MLPClassifier(calibrate="temperature", max_iter=5).fit(X, CLASSES)
    assert calls == [5]
    listening = MLPClassifier(calibrate="temperature", max_iter=5, callbacks=[lamina.callbacks.TerminateOnNaN()])
    assert listening.fit(X, CLASSES).predict_proba(X).shape == (150, 3)


@pytest.mark.parametrize("kind", [pd.Series, pd.DataFrame, list, "column", "shifted"])
def test_kinds_of_labels(kind):
    names = np.array(["no", "yes", "maybe"])[CLASSES]
    for y in (CLASSES, names):
        given = {"column": y.reshape(-1, 1), "shifted": pd.Series(y, index=np.arange(150) + 1000)}.get(kind)
        given = kind(y) if given is None else given
        settings = {"calibrate": "temperature", "random_state": 0, "max_iter": 10}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a column
            model = MLPClassifier(**settings).fit(X, given)
        np.testing.assert_array_equal(model.predict_proba(X), MLPClassifier(**settings).fit(X, y).predict_proba(X))


def test_a_refused_calibration_changes_nothing():
    model = MLPClassifier(calibrate="temperature", random_state=0, max_iter=10).fit(X, CLASSES)
    expected = model.predict_proba(X)
    folds = np.r_[np.zeros(120), np.ones(30)]
    with pytest.raises(ValueError, match="a row in each fold whose weight is not 0"):
        model.fit(X, np.sort(CLASSES), folds * 0 + (np.arange(150) == 0))
    with pytest.raises(ValueError, match="sample_weight.shape"):
        model.fit(X, CLASSES, folds[:-1])
    np.testing.assert_array_equal(model.predict_proba(X), expected)
