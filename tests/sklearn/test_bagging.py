"""Ensembles: their members, out-of-bag scores, spreads and intervals."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.ensemble import BaggingRegressor
from sklearn.metrics import accuracy_score, d2_pinball_score, r2_score
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

import lamina
from lamina.sklearn import BaggingMLPClassifier, BaggingMLPRegressor, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((150, 5))
CLASSES = np.where(X[:, 0] > 0.9, 2, (X[:, 1] > 0).astype(int))
NAMES = np.array(["no", "yes", "maybe"])[CLASSES]
NUMBERS = X @ RNG.standard_normal(5) + 0.1 * RNG.standard_normal(150)
MEMBER = {"hidden_layer_sizes": 6, "max_iter": 20}


def test_members_are_fits_with_weights_of_their_own(restore_threads):
    weight = RNG.rand(150)
    found = []
    for threads in (1, 2):
        lamina.set_num_threads(threads)
        model = BaggingMLPClassifier(MLPClassifier(**MEMBER), 4, random_state=3).fit(X, NAMES, weight)
        found.append(model.predict_proba(X))
    np.testing.assert_array_equal(*found)
    for member, chosen in zip(model.estimators_, model.estimators_samples_, strict=True):
        times = np.bincount(chosen, minlength=150)
        assert times.sum() == 150
        rows = times > 0
        alone = clone(member).fit(X[rows], NAMES[rows], (weight * times)[rows])
        np.testing.assert_array_equal(alone.coefs_[0], member.coefs_[0])
    np.testing.assert_allclose(model.predict_proba(X), np.mean([m.predict_proba(X) for m in model.estimators_], axis=0))
    assert model.classes_.tolist() == ["maybe", "no", "yes"]
    np.testing.assert_array_equal(model.predict(X), model.classes_[model.predict_proba(X).argmax(axis=1)])
    assert len({member.random_state for member in model.estimators_}) == 4
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize(
    "settings", [{"batch_normalization": True}, {"class_weight": "balanced"}, {"standardize": True, "batch_size": 30}]
)
def test_members_know_their_own_rows_only(settings):
    model = BaggingMLPClassifier(MLPClassifier(**settings, **MEMBER), 3, random_state=0).fit(X, NAMES)
    for member, chosen in zip(model.estimators_, model.estimators_samples_, strict=True):
        rows, times = np.unique(chosen, return_counts=True)
        alone = clone(member).fit(X[rows], NAMES[rows], times)
        np.testing.assert_array_equal(alone.predict_proba(X), member.predict_proba(X))
        assert member.t_ == 20 * len(rows)


def test_members_may_lack_classes():
    y = NAMES.copy()
    y[:3] = "rare"
    model = BaggingMLPClassifier(MLPClassifier(**MEMBER), 8, max_samples=0.2, random_state=0).fit(X, y)
    assert {len(member.classes_) for member in model.estimators_} >= {3, 4}
    assert model.classes_.tolist() == ["maybe", "no", "rare", "yes"]
    expected = np.zeros((150, 4))
    for member in model.estimators_:
        for column, name in enumerate(member.classes_):
            expected[:, model.classes_.tolist().index(name)] += member.predict_proba(X)[:, column] / 8
    np.testing.assert_allclose(model.predict_proba(X), expected)
    alone = BaggingMLPClassifier(MLPClassifier(**MEMBER), 5, max_samples=0.01, random_state=0).fit(X, NAMES)
    assert {len(member.classes_) for member in alone.estimators_} == {1}
    np.testing.assert_allclose(alone.predict_proba(X).sum(axis=1), 1)


@pytest.mark.filterwarnings("ignore:fit_many")
def test_a_refused_fit_leaves_the_ensemble():
    model = BaggingMLPRegressor(MLPRegressor(**MEMBER), 3, oob_score=True, random_state=0)
    with pytest.warns(UserWarning, match="no out-of-bag predictions"):
        model.fit(X, NUMBERS)
    expected, attributes = model.predict_interval(X), set(vars(model))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X[:, :2], NUMBERS[:10])
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X[:, :2], np.where(NUMBERS > 1, np.nan, NUMBERS))
    with pytest.raises(ValueError, match="Solver produced non-finite"):
        model.set_params(estimator=MLPRegressor(solver="sgd", learning_rate_init=1e300)).fit(X[:, :2], NUMBERS)
    assert set(vars(model)) == attributes
    np.testing.assert_array_equal(model.predict_interval(X), expected)
    np.testing.assert_array_equal(model.predict_interval(X, np.float32(0.9)).shape, expected.shape)


def test_without_drawing_members_differ_by_their_seeds():
    model = BaggingMLPRegressor(MLPRegressor(**MEMBER), 3, bootstrap=False, random_state=0).fit(X, NUMBERS)
    for member in model.estimators_:
        np.testing.assert_array_equal(clone(member).fit(X, NUMBERS).coefs_[0], member.coefs_[0])
    mean, deviation = model.predict(X, return_std=True)
    outputs = np.stack([member.predict(X) for member in model.estimators_])
    np.testing.assert_allclose(mean, outputs.mean(axis=0))
    np.testing.assert_allclose(deviation, outputs.std(axis=0))
    with pytest.raises(AttributeError, match="were not trained on all rows"):
        model.predict_interval(X)
    with pytest.raises(ValueError, match="oob_score needs"):
        model.set_params(oob_score=True).fit(X, NUMBERS)
    parts = BaggingMLPRegressor(MLPRegressor(**MEMBER), 3, bootstrap=False, max_samples=0.5).fit(X, NUMBERS)
    assert [len(np.unique(chosen)) for chosen in parts.estimators_samples_] == [75] * 3


def test_scores_of_rows_that_members_have_not_seen():
    model = BaggingMLPClassifier(MLPClassifier(**MEMBER), 25, oob_score=True, random_state=0).fit(X, NAMES)
    row = 17
    outside = [m for m, chosen in zip(model.estimators_, model.estimators_samples_, strict=True) if row not in chosen]
    expected = np.mean([member.predict_proba(X[[row]])[0] for member in outside], axis=0)
    np.testing.assert_allclose(model.oob_decision_function_[row], expected)
    decided = model.classes_[model.oob_decision_function_.argmax(axis=1)]
    assert model.oob_score_ == accuracy_score(NAMES, decided)
    model = BaggingMLPRegressor(MLPRegressor(**MEMBER), 25, oob_score=True, random_state=0).fit(X, NUMBERS)
    assert model.oob_score_ == pytest.approx(r2_score(NUMBERS, model.oob_prediction_))
    few = BaggingMLPRegressor(MLPRegressor(**MEMBER), 2, oob_score=True, random_state=0)
    with pytest.warns(UserWarning, match="some of the rows, which have no out-of-bag predictions"):
        few.fit(X, NUMBERS)
    known = np.isfinite(few.oob_prediction_)
    assert 0 < known.sum() < 150
    assert few.oob_score_ == pytest.approx(r2_score(NUMBERS[known], few.oob_prediction_[known]))
    assert not hasattr(model.set_params(oob_score=False).fit(X, NUMBERS), "oob_score_")


@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_intervals_cover_what_they_promise(coverage):
    covered = []
    for seed in range(20):
        rng = np.random.RandomState(seed)
        x = rng.uniform(-2, 2, (500, 2))
        y = np.sin(2 * x[:, 0]) + x[:, 1] + 0.3 * rng.standard_normal(500)
        member = MLPRegressor(hidden_layer_sizes=20, max_iter=30, batch_size=20)
        model = BaggingMLPRegressor(member, 12, random_state=seed).fit(x[:300], y[:300])
        low, high = model.predict_interval(x[300:], coverage).T
        covered.append(np.mean((low <= y[300:]) & (y[300:] <= high)))
    assert coverage - 0.015 < np.mean(covered) < coverage + 0.06


def test_rows_without_weight_do_not_count():
    weight = np.ones(150)
    weight[:50] = 0
    wild = np.where(weight == 0, 1e3, NUMBERS)
    settings = {"oob_score": True, "random_state": 0, "n_estimators": 20}
    model = BaggingMLPRegressor(MLPRegressor(**MEMBER), **settings).fit(X, wild, weight)
    low, high = model.predict_interval(X, 0.9).T
    assert np.all(high - low < 20)
    assert model.oob_score_ > -2
    doubled = BaggingMLPRegressor(MLPRegressor(**MEMBER), **settings).fit(X, NUMBERS, 2 * np.ones(150))
    assert doubled.oob_score_ == pytest.approx(r2_score(NUMBERS, doubled.oob_prediction_))
    classes = BaggingMLPClassifier(MLPClassifier(**MEMBER), **settings).fit(X, NAMES, weight)
    decided = classes.classes_[classes.oob_decision_function_.argmax(axis=1)]
    assert classes.oob_score_ == accuracy_score(NAMES, decided, sample_weight=weight)


def test_tags_are_those_of_members():
    assert BaggingMLPClassifier().__sklearn_tags__().classifier_tags.multi_label
    tags = BaggingMLPRegressor(MLPRegressor(impute="mean", categorical_features=[0])).__sklearn_tags__()
    assert (tags.input_tags.allow_nan, tags.input_tags.categorical, tags.input_tags.sparse) == (True, True, True)


def test_intervals_by_hand():
    y = np.c_[NUMBERS, -NUMBERS]
    model = BaggingMLPRegressor(MLPRegressor(**MEMBER), 8, random_state=0).fit(X, y)
    found = model.predict_interval(X[:3], 0.9)
    assert found.shape == (3, 2, 2)
    ends = []
    for i in range(150):
        members = [m for m, chosen in zip(model.estimators_, model.estimators_samples_, strict=True) if i not in chosen]
        if not members:
            continue
        error = abs(y[i, 1] - np.mean([m.predict(X[[i]])[0, 1] for m in members]))
        around = np.mean([m.predict(X[:1])[0, 1] for m in members])
        ends.append((around - error, around + error))
    low, high = np.sort(ends, axis=0).T
    count = len(ends)
    assert 130 < count < 150
    rank = int(np.ceil((count + 1) * 0.9))
    np.testing.assert_allclose(found[0, 1], [low[count - rank], high[rank - 1]])
    for wrong in (0, 1.0, "most"):
        with pytest.raises(ValueError, match=r"coverage must be a number in \(0, 1\)"):
            model.predict_interval(X, wrong)
    with pytest.raises(ValueError, match="needs more rows than 1"):
        model.predict_interval(X, 0.999)


def test_data_of_all_kinds():
    rows = scipy.sparse.csr_array(np.where(X > 0, X, 0))
    assert BaggingMLPClassifier(MLPClassifier(**MEMBER), 3).fit(rows, CLASSES).predict(rows).shape == (150,)
    labels = np.c_[CLASSES > 0, CLASSES > 1].astype(int)
    model = BaggingMLPClassifier(MLPClassifier(**MEMBER), 3, random_state=0).fit(X, labels)
    assert set(np.unique(model.predict(X))) <= {0, 1}
    assert model.predict(X).shape == (150, 2)
    sparse = scipy.sparse.csr_matrix(labels)
    again = BaggingMLPClassifier(MLPClassifier(**MEMBER), 20, oob_score=True, random_state=0).fit(X, sparse)
    assert again.oob_score_ == accuracy_score(labels, again.oob_decision_function_ > 0.5)
    assert scipy.sparse.issparse(again.predict(X))
    table = pd.DataFrame({"kind": NAMES, "size": X[:, 0]})
    member = MLPRegressor(categorical_features="from_dtype", **MEMBER)
    model = BaggingMLPRegressor(member, 3, random_state=0).fit(table, NUMBERS)
    assert model.feature_names_in_.tolist() == ["kind", "size"]
    assert model.predict(table).shape == (150,)
    theirs = BaggingRegressor(MLPRegressor(solver="lbfgs", **MEMBER), 5, random_state=0).fit(X, NUMBERS)
    ours = BaggingMLPRegressor(MLPRegressor(solver="lbfgs", **MEMBER), 5, random_state=0)
    assert cross_val_score(ours, X, NUMBERS, cv=3).mean() > 0.9 * theirs.score(X, NUMBERS)


def test_wrong_parameters():
    for kind, other in ((BaggingMLPRegressor, MLPClassifier), (BaggingMLPClassifier, MLPRegressor)):
        with pytest.raises(ValueError, match="'estimator' parameter"):
            kind(other()).fit(X, NUMBERS)
        with pytest.raises(ValueError, match="0 sample"):
            kind().fit(X[:0], NUMBERS[:0])
        with pytest.raises(ValueError, match="requires y to be passed"):
            kind().fit(X, None)
    for wrong in ({"n_estimators": 0}, {"max_samples": 1.5}, {"estimator": "mlp"}, {"bootstrap": "no"}):
        with pytest.raises(ValueError, match="parameter of BaggingMLPRegressor"):
            BaggingMLPRegressor(**wrong).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="'alpha' parameter of MLPRegressor"):
        BaggingMLPRegressor(MLPRegressor(alpha=-1)).fit(X, NUMBERS)
    several = MLPRegressor("quantile", quantile=[0.1, 0.9], **MEMBER)
    with pytest.raises(ValueError, match="oob_score needs an estimator that predicts one number"):
        BaggingMLPRegressor(several, oob_score=True).fit(X, NUMBERS)
    model = BaggingMLPRegressor(several, 3, random_state=0).fit(X, NUMBERS)
    with pytest.raises(AttributeError, match="members that predict one number"):
        model.predict_interval(X)
    expected = np.mean([d2_pinball_score(NUMBERS, model.predict(X)[:, j], alpha=q) for j, q in enumerate([0.1, 0.9])])
    assert model.score(X, NUMBERS) == pytest.approx(expected)


def _drawn(estimator):
    """Return the checks that cannot hold for rows that are drawn, as for scikit-learn's own ensembles."""
    names = ("check_sample_weight_equivalence_on_dense_data", "check_sample_weight_equivalence_on_sparse_data")
    return dict.fromkeys(names, "other rows are drawn from repeated ones")


@parametrize_with_checks(
    [BaggingMLPClassifier(MLPClassifier(max_iter=50), 3), BaggingMLPRegressor(MLPRegressor(max_iter=50), 3)],
    expected_failed_checks=_drawn,
)
@pytest.mark.filterwarnings("ignore")
def test_checks(estimator, check):
    check(estimator)
