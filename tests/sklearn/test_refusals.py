"""What the estimators refuse, and that it changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

import lamina
from lamina.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((150, 5))
CLASSES = np.where(X[:, 0] > 0.9, 2, (X[:, 1] > 0).astype(int))
NUMBERS = X @ RNG.standard_normal(5) + 0.1 * RNG.standard_normal(150)
COLUMNS = X @ RNG.standard_normal((5, 3))


@pytest.mark.parametrize(
    ("estimator", "y", "given", "words"),
    [
        (MLPClassifier(), CLASSES, np.eye(3, dtype=int)[CLASSES], "labels in columns if y has"),
        (MLPClassifier(), np.eye(3, dtype=int)[CLASSES], CLASSES, "labels in columns if y has"),
        (MLPClassifier(), np.eye(3, dtype=int)[CLASSES], np.eye(2, dtype=int)[CLASSES % 2], "number of classes|labels"),
        (MLPClassifier(), CLASSES, CLASSES + 1, "has classes not in"),
        (MLPClassifier(), CLASSES, NUMBERS, "Unknown label type"),
        (MLPRegressor(), NUMBERS, COLUMNS, "must have 1 outputs, as y; got 3"),
        (MLPRegressor(), COLUMNS, NUMBERS, "must have 3 outputs, as y; got 1"),
        (MLPRegressor("quantile", quantile=[0.1, 0.9]), NUMBERS, COLUMNS, "must have 1 outputs, as y; got 3"),
    ],
)
def test_held_out_targets_must_be_like_the_others(estimator, y, given, words):
    with pytest.raises(ValueError, match=words):
        clone(estimator).fit(X, y, validation_data=(X, given))


@pytest.mark.parametrize(
    ("kind", "wrong", "words"),
    [
        (MLPClassifier, {"dropout": [1.0]}, r"'dropout' parameter of MLPClassifier must be a float in the range \[0.0"),
        (MLPClassifier, {"dropout": ["a"]}, "'dropout' parameter of MLPClassifier"),
        (MLPClassifier, {"activation": ["swoosh"]}, "'activation' parameter of MLPClassifier must be a str among"),
        (MLPRegressor, {"quantile": [0.1, 1.5]}, "'quantile' parameter of MLPRegressor must be a float"),
        (
            MLPRegressor,
            {"loss": "quantile", "quantile": []},
            "must be a number, or a sequence of one at least",
        ),
    ],
)
def test_elements_of_lists_are_checked(kind, wrong, words):
    with pytest.raises(ValueError, match=words):
        kind(**wrong).fit(X, CLASSES)


def test_a_refused_fit_changes_nothing():
    model = MLPRegressor(max_iter=5, random_state=0).fit(X, NUMBERS)
    expected, attributes = model.predict(X), set(vars(model))
    few = X[:, :3]
    for wrong in (
        lambda: model.fit(few, NUMBERS, np.ones(3)),
        lambda: model.fit(few, NUMBERS, validation_data=(X, NUMBERS)),
        lambda: model.fit(few[:4], NUMBERS[:4]),  # too few to hold some out, after the weights were drawn
        lambda: model.partial_fit(X, COLUMNS),
    ):
        model.set_params(early_stopping=True, validation_fraction=0.1)
        with pytest.raises(ValueError, match=r"."):
            wrong()
        model.set_params(early_stopping=False)
        np.testing.assert_array_equal(model.predict(X), expected)
        assert set(vars(model)) == attributes
        assert (model.n_features_in_, len(model.loss_curve_)) == (5, 5)
    unfitted = MLPClassifier()
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        unfitted.fit(X, CLASSES[:10])
    assert set(vars(unfitted)) == set(vars(MLPClassifier()))


def test_parameters_of_subclasses_are_checked():
    class Strict(MLPRegressor):
        def __init__(self, alpha=-1.0):
            super().__init__(alpha=alpha)

    with pytest.raises(ValueError, match="'alpha' parameter of Strict must be a float in the range"):
        Strict().fit(X, NUMBERS)
    with pytest.raises(ValueError, match="'alpha' parameter of Strict"):
        Strict(0.5).set_params(alpha=-2.0).fit(X, NUMBERS)


class Refuses(lamina.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise ValueError("not this epoch")


@pytest.mark.parametrize("warm", [False, True])
def test_what_training_itself_refuses_changes_nothing(warm):
    model = MLPRegressor(max_iter=3, warm_start=warm, random_state=0).fit(X, NUMBERS)
    expected, curve = model.predict(X), list(model.loss_curve_)
    for wrong in ({"solver": "lm", "loss": "absolute_error"}, {"callbacks": [3]}, {"callbacks": [Refuses(0)]}):
        before = model.get_params()
        with pytest.raises((ValueError, TypeError)):
            model.set_params(**wrong).fit(X, NUMBERS)
        model.set_params(**before)
        np.testing.assert_array_equal(model.predict(X), expected)
        assert (model.n_iter_, model.t_, model.loss_curve_) == (3, 450, curve)
    new = MLPClassifier(callbacks=[3])
    with pytest.raises(TypeError):
        new.fit(X, CLASSES)
    assert not hasattr(new, "coefs_")
    with pytest.raises(ValueError, match="not this epoch"):  # what was trained before stays
        model.set_params(callbacks=[Refuses(1)], warm_start=False).fit(X, NUMBERS)
    assert model.n_iter_ == len(model.loss_curve_) == 1


def test_a_refused_first_step_does_not_learn_the_classes():
    model = MLPClassifier()
    for wrong in ((X * np.nan, CLASSES), (X, CLASSES + 1)):
        with pytest.raises(ValueError, match=r"."):
            model.partial_fit(*wrong, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="'alpha'"):
        model.set_params(alpha=-1).partial_fit(X, CLASSES, classes=[0, 1, 2])
    assert set(vars(model)) == set(vars(MLPClassifier()))
    model.set_params(alpha=0.1).partial_fit(X, CLASSES > 0, classes=[False, True])


def test_weights_that_are_all_zero():
    weight = np.zeros(150)
    weight[0] = 1
    for kind in (MLPClassifier, MLPRegressor):
        with pytest.raises(ValueError, match="at least one non-zero number"):
            kind(early_stopping=True, random_state=1).fit(X, CLASSES % 2, weight)
    with pytest.raises(ValueError, match="class_weight makes them 0"):
        MLPClassifier(class_weight=dict.fromkeys(range(3), 0)).fit(X, CLASSES)


def test_widths_and_labels_of_the_wrong_kind():
    with pytest.raises(TypeError, match="float"):
        MLPClassifier((10.7,)).fit(X, CLASSES)
    with pytest.raises(TypeError, match="bytes"):
        MLPClassifier().fit(X, np.array([b"a", b"b", b"c"])[CLASSES])
