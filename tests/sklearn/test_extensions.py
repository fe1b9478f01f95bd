"""What the estimators can do beyond scikit-learn's parameters."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.metrics import d2_pinball_score, log_loss, r2_score
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.utils.class_weight import compute_sample_weight

import lamina
from lamina.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.standard_normal((150, 5))
CLASSES = np.where(X[:, 0] > 0.9, 2, (X[:, 1] > 0).astype(int))
NUMBERS = X @ RNG.standard_normal(5) + 0.1 * RNG.standard_normal(150)
COLUMNS = X @ RNG.standard_normal((5, 3))
PLAIN = {"random_state": 0, "shuffle": False, "max_iter": 20, "hidden_layer_sizes": 8}


def same(one, other):
    for a, b in zip(one.coefs_ + one.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


# Class weights.


@pytest.mark.parametrize("class_weight", ["balanced", {"no": 0.5, "yes": 3.0, "maybe": 1.0}])
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weights_are_factors_of_sample_weights(class_weight, weighted):
    y = np.array(["no", "yes", "maybe"])[CLASSES]
    own = RNG.rand(150) if weighted else None
    found = MLPClassifier(class_weight=class_weight, **PLAIN).fit(X, y, own)
    factor = compute_sample_weight(class_weight, y)
    same(found, TheirClassifier(**PLAIN).fit(X, y, factor if own is None else factor * own))


def test_class_weights_of_held_out_rows_do_not_count():
    plain = {**PLAIN, "early_stopping": True}
    weight = {0: 1.0, 1: 5.0, 2: 0.1}
    found = MLPClassifier(class_weight=weight, **plain).fit(X, CLASSES)
    assert all((score * 15).is_integer() for score in found.validation_scores_)


def test_class_weights_of_labels_and_steps():
    labels = np.stack([CLASSES == 1, CLASSES == 2], axis=1).astype(int)
    weight = [{0: 1, 1: 2}, {0: 1, 1: 3}]
    found = MLPClassifier(class_weight=weight, **PLAIN).fit(X, labels)
    same(found, TheirClassifier(**PLAIN).fit(X, labels, compute_sample_weight(weight, labels)))
    steps = MLPClassifier(class_weight={0: 1, 1: 4, 2: 1}, **PLAIN).partial_fit(X, CLASSES, classes=[0, 1, 2])
    once = {**PLAIN, "max_iter": 1, "batch_size": 150}
    same(steps, TheirClassifier(**once).fit(X, CLASSES, np.where(CLASSES == 1, 4.0, 1.0)))
    with pytest.raises(ValueError, match="class_weight 'balanced' is not supported for partial_fit"):
        steps.set_params(class_weight="balanced").partial_fit(X, CLASSES)
    with pytest.raises(ValueError, match="class_weight"):
        MLPClassifier(class_weight="heavy").fit(X, CLASSES)


# The network.


def test_dropout_is_noise_in_training_only():
    settings = {**PLAIN, "max_iter": 3}
    plain = MLPClassifier(**settings).fit(X, CLASSES)
    noisy, again = (MLPClassifier(dropout=0.5, **settings).fit(X, CLASSES) for _ in range(2))
    same(noisy, again)
    assert not np.allclose(noisy.coefs_[0], plain.coefs_[0])
    np.testing.assert_array_equal(noisy.predict_proba(X), noisy.predict_proba(X))
    by_hand = noisy.predict_proba(X)
    hidden = np.maximum(X @ noisy.coefs_[0] + noisy.intercepts_[0], 0)
    logits = hidden @ noisy.coefs_[1] + noisy.intercepts_[1]
    expected = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(by_hand, expected / expected.sum(axis=1, keepdims=True), rtol=1e-9)
    rates = [0.0, (0.0, 0.0), (0.0, 0.5), (0.5, 0.0), [0.5, 0.0]]
    found = [MLPClassifier((8, 6), dropout=rate, max_iter=3, random_state=0).fit(X, CLASSES).loss_ for rate in rates]
    assert found[0] == found[1]
    assert found[3] == found[4]
    assert len(set(found)) == 3
    with pytest.raises(ValueError, match="dropout must have one value, or one for each of 1 hidden layers; got 2"):
        MLPClassifier(dropout=(0.1, 0.2)).fit(X, CLASSES)
    with pytest.raises(ValueError, match="'dropout' parameter"):
        MLPClassifier(dropout=1.0).fit(X, CLASSES)


def test_dropout_that_is_changed_goes_on_from_the_weights():
    model = MLPRegressor(warm_start=True, **{**PLAIN, "max_iter": 200}).fit(X, NUMBERS)
    before = model.score(X, NUMBERS)
    kept = model.coefs_[0].copy()
    model.set_params(dropout=0.2, max_iter=1, learning_rate_init=1e-4).fit(X, NUMBERS)
    assert np.abs(model.coefs_[0] - kept).max() < 1e-3
    assert model.score(X, NUMBERS) > before - 0.02


def test_batch_normalization():
    scales = 10.0 ** np.arange(-2, 3)
    settings = {"hidden_layer_sizes": (16, 16), "max_iter": 200, "random_state": 0, "activation": "tanh"}
    plain = MLPClassifier(**settings).fit(X * scales, CLASSES)
    normalized = MLPClassifier(batch_normalization=True, **settings).fit(X * scales, CLASSES)
    assert normalized.loss_ < plain.loss_
    assert [w.shape for w in normalized.coefs_] == [(5, 16), (16, 16), (16, 3)]
    copied = pickle.loads(pickle.dumps(normalized))
    np.testing.assert_array_equal(copied.predict_proba(X * scales), normalized.predict_proba(X * scales))
    before = normalized.predict_proba(X)
    normalized.coefs_[0][:] = 0  # still the network's
    assert not np.allclose(normalized.predict_proba(X), before)
    normalized.partial_fit(X, CLASSES)


def test_what_batch_normalization_has_learnt_survives_other_parameters():
    model = MLPRegressor(batch_normalization=True, dropout=0.2, standardize=True, max_iter=60, random_state=0)
    before = model.fit(3 * X + 1, NUMBERS).predict(X)
    np.testing.assert_allclose(model.set_params(dropout=0.1).predict(X), before, rtol=1e-9)
    model.set_params(activation="tanh").predict(X)
    np.testing.assert_allclose(model.set_params(activation="relu").predict(X), before, rtol=1e-9)
    kernels = model.coefs_
    del model.coefs_
    model.coefs_ = kernels
    assert model.predict(X).shape == (150,)


def test_each_layer_has_its_activation():
    settings = {"hidden_layer_sizes": (6, 4), "random_state": 0, "max_iter": 5}
    model = MLPRegressor(activation=["tanh", "softplus"], **settings).fit(X, NUMBERS)
    hidden = np.tanh(X @ model.coefs_[0] + model.intercepts_[0])
    hidden = np.log1p(np.exp(hidden @ model.coefs_[1] + model.intercepts_[1]))
    expected = hidden @ model.coefs_[2] + model.intercepts_[2]
    np.testing.assert_allclose(model.predict(X), expected[:, 0], rtol=1e-9)
    same(MLPRegressor(activation=np.array(["relu", "relu"]), **settings).fit(X, NUMBERS),
         MLPRegressor(activation="relu", **settings).fit(X, NUMBERS))  # fmt: skip
    with pytest.raises(ValueError, match="activation must have one value, or one for each of 2 hidden layers; got 1"):
        MLPRegressor(activation=["tanh"], **settings).fit(X, NUMBERS)
    with pytest.raises(ValueError, match="'activation' parameter"):
        MLPRegressor(activation="ghost").fit(X, NUMBERS)
    with pytest.raises(ValueError, match="ghost"):
        MLPRegressor(activation=["ghost", "relu"], **settings).fit(X, NUMBERS)


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "leaky_relu", "mish", "selu", "softsign", "hard_sigmoid"])
def test_more_activations(name):
    model = MLPRegressor(activation=name, hidden_layer_sizes=20, solver="lbfgs", max_iter=100, random_state=0).fit(
        X, NUMBERS
    )
    assert model.score(X, NUMBERS) > 0.95


def test_output_activation():
    y = 1 / (1 + np.exp(-NUMBERS))
    model = MLPRegressor(output_activation="logistic", max_iter=300, random_state=0).fit(X, y)
    assert model.out_activation_ == "logistic"
    assert 0 < model.predict(100 * X).min() < model.predict(100 * X).max() <= 1
    assert model.score(X, y) > 0.9


# Losses.


LOSSES = {
    "absolute_error": np.abs,
    "huber": lambda e: np.where(np.abs(e) <= 0.7, e * e / 2, 0.7 * np.abs(e) - 0.245),
    "log_cosh": lambda e: np.log(np.cosh(e)),
    "quantile": lambda e: np.maximum(0.8 * e, -0.2 * e),
    "squared_error": lambda e: e * e / 2,
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("y", [NUMBERS, COLUMNS], ids=["one", "columns"])
def test_losses(loss, solver, y):
    settings = {"delta": 0.7, "quantile": 0.8, "alpha": 0.0, "random_state": 0, "hidden_layer_sizes": 4}
    model = MLPRegressor(loss=loss, solver=solver, max_iter=1 if solver == "adam" else 8, **settings)
    start = clone(model).set_params(solver="sgd", learning_rate_init=1e-300, max_iter=1).fit(X, y)
    model.fit(X, y)
    at = model if solver == "lbfgs" else start  # the loss of Adam's epoch is the one before its step
    errors = LOSSES[loss](y - at.predict(X)).reshape(150, -1)
    assert model.loss_ == pytest.approx(errors.sum(axis=1).mean(), rel=1e-9)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_a_quantile_of_noise(quantile):
    x = RNG.uniform(-1, 1, (3000, 1))
    y = x[:, 0] + RNG.uniform(0, 1, 3000) * (1 + x[:, 0])
    model = MLPRegressor("quantile", quantile=quantile, max_iter=200, batch_size=1000, random_state=0).fit(x, y)
    assert np.mean(y < model.predict(x)) == pytest.approx(quantile, abs=0.02)
    assert model.score(x, y) == pytest.approx(d2_pinball_score(y, model.predict(x), alpha=quantile))


@pytest.mark.parametrize("settings", [{}, {"standardize": True}, {"early_stopping": True}], ids=str)
def test_several_quantiles_do_not_cross(settings):
    x = RNG.uniform(-1, 1, (2000, 2))
    y = 100 * (x[:, 0] + RNG.uniform(0, 1, 2000) * 0.2) + 1000
    wanted = [0.9, 0.05, 0.5, 0.25]
    steps = {"max_iter": 150, "batch_size": 1000, "learning_rate_init": 0.01}
    model = MLPRegressor("quantile", quantile=wanted, random_state=0, **steps, **settings)
    found = model.fit(x, y).predict(3 * x)
    assert found.shape == (2000, 4)
    assert np.all(np.diff(found[:, np.argsort(wanted)], axis=1) >= 0)
    if "standardize" in settings:
        np.testing.assert_allclose((y[:, None] < model.predict(x)).mean(axis=0), wanted, atol=0.03)
    assert model.score(x, y) <= 1
    assert model.input_gradients(x[:3]).shape == (3, 4, 2)
    with pytest.raises(ValueError, match="one output for several quantiles; got 2"):
        model.fit(x, np.stack([y, y], axis=1))


def test_levenberg_marquardt():
    y = np.sin(2 * X[:, 0])
    settings = {"hidden_layer_sizes": 8, "activation": "tanh", "random_state": 0, "alpha": 0.0}
    model = MLPRegressor(solver="lm", max_iter=60, **settings).fit(X, y)
    adam = MLPRegressor(max_iter=60, **settings).fit(X, y)
    assert model.loss_ < adam.loss_ / 1000
    assert len(model.loss_curve_) == model.n_iter_
    stopped = MLPRegressor(solver="lm", max_iter=500, early_stopping=True, **settings).fit(X, NUMBERS)
    assert stopped.n_iter_ < 500
    with pytest.raises(ValueError, match="sum of squares"):
        MLPRegressor("huber", solver="lm", **settings).fit(X, y)
    with pytest.raises(ValueError, match="'solver' parameter"):
        MLPClassifier(solver="lm").fit(X, CLASSES)


# Training.


def test_an_optimizer_as_solver():
    given = lamina.optimizers.Adam(0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-8)
    settings = {**PLAIN, "max_iter": 20}
    same(MLPClassifier(solver=given, **settings).fit(X, CLASSES), MLPClassifier(**settings).fit(X, CLASSES))
    assert int(given.iterations) == 0
    model = MLPClassifier(solver=lamina.optimizers.AdamW(0.01, weight_decay=0.1), max_iter=50, random_state=0)
    copied = clone(model)
    assert copied.solver is not model.solver
    np.testing.assert_array_equal(copied.fit(X, CLASSES).coefs_[0], model.fit(X, CLASSES).coefs_[0])
    model.partial_fit(X, CLASSES)
    whole = MLPClassifier(solver=lamina.optimizers.LBFGS(), max_iter=30, random_state=0, tol=0).fit(X, CLASSES)
    assert whole.loss_ < 0.05
    assert not hasattr(whole, "partial_fit")


@pytest.mark.parametrize("stops", [False, True])
def test_validation_data(stops):
    settings = {"random_state": 0, "max_iter": 30, "n_iter_no_change": 3, "early_stopping": stops}
    model = MLPClassifier(**settings).fit(X[:100], CLASSES[:100], validation_data=(X[100:], CLASSES[100:]))
    assert len(model.validation_loss_curve_) == model.n_iter_
    assert model.validation_loss_curve_[-1] == pytest.approx(
        log_loss(CLASSES[100:], model.predict_proba(X[100:]), labels=[0, 1, 2]), abs=2e-3 if not stops else 0.3
    )
    if stops:
        assert model.score(X[100:], CLASSES[100:]) == model.best_validation_score_ == max(model.validation_scores_)
    else:
        assert model.validation_scores_ is None
        plain = MLPClassifier(**settings).fit(X[:100], CLASSES[:100])
        assert plain.validation_loss_curve_ is None
        same(plain, model)
    regressor = MLPRegressor(solver="lbfgs", random_state=0).fit(
        X, COLUMNS, validation_data=[X[:9], COLUMNS[:9], np.ones(9)]
    )
    assert len(regressor.validation_loss_curve_) == regressor.n_iter_
    for wrong, words in (
        ((X,), "must be a tuple"), ((X[:9], CLASSES[:8]), "inconsistent numbers of samples"),
        ((X[:, :2], CLASSES), "X has 2 features"), ((X, CLASSES + 7), "not in `self.classes_`"),
        ((X * np.nan, CLASSES), "contains NaN"), ((X, CLASSES, np.ones(3)), "sample_weight.shape"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            model.fit(X, CLASSES, validation_data=wrong)
    with pytest.raises(ValueError, match="validation_data must have 3 outputs, as y; got 1"):
        regressor.fit(X, COLUMNS, validation_data=(X, NUMBERS))


def test_callbacks_listen():
    seen = []
    count = lamina.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    model = MLPRegressor(callbacks=[count], **{**PLAIN, "max_iter": 4}).fit(X, NUMBERS)
    assert seen == model.loss_curve_
    model.partial_fit(X, NUMBERS)
    assert len(seen) == 5
    stop = lamina.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", True))
    assert MLPRegressor(callbacks=[stop]).fit(X, NUMBERS).n_iter_ == 1


# Standardization.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_and_targets_are_standardized(dtype):
    wide = (X * [1, 10, 100, 1e-3, 1] + [0, 1e3, 0, 5, 1]).astype(dtype)
    y = 1e4 * NUMBERS + 1e5
    settings = {"max_iter": 100, "random_state": 0, "learning_rate_init": 0.01}
    model = MLPRegressor(standardize=True, **settings).fit(wide, y)
    by_hand, targets = StandardScaler().fit(wide), StandardScaler().fit(y[:, None])
    plain = MLPRegressor(**settings).fit(by_hand.transform(wide), targets.transform(y[:, None])[:, 0])
    np.testing.assert_allclose(model.coefs_[0], plain.coefs_[0], rtol=1e-3 if dtype == "float32" else 1e-7)
    expected = targets.inverse_transform(plain.predict(by_hand.transform(wide))[:, None])[:, 0]
    np.testing.assert_allclose(model.predict(wide), expected, rtol=1e-4)
    assert model.predict(wide).dtype == dtype
    assert model.score(wide, y) > 0.95
    assert r2_score(y, MLPRegressor(**settings).fit(wide, y).predict(wide)) < model.score(wide, y)
    model.partial_fit(wide, y)
    model.set_params(standardize=False).fit(X, NUMBERS)
    assert not hasattr(model, "x_scaler_")
    assert not hasattr(model, "y_scaler_")


def test_what_is_standardized():
    counts = RNG.poisson(2, 150)
    assert not hasattr(MLPRegressor("poisson", standardize=True, max_iter=2).fit(X, counts), "y_scaler_")
    assert not hasattr(MLPClassifier(standardize=True, max_iter=2).fit(X, CLASSES), "y_scaler_")
    rows = scipy.sparse.random_array((150, 40), density=0.1, format="csr", rng=np.random.default_rng(0))
    model = MLPClassifier(standardize=True, max_iter=2).fit(rows, CLASSES)
    assert model.x_scaler_.mean_ is None or not model.x_scaler_.with_mean
    assert model.predict(rows).shape == (150,)
    weights = np.r_[np.ones(75), np.zeros(75)]
    model = MLPRegressor(standardize=True, max_iter=2).fit(X, NUMBERS, weights)
    np.testing.assert_allclose(model.x_scaler_.mean_, X[:75].mean(axis=0))


# Gradients.


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("target", ["numbers", "columns", "classes", "binary", "quantiles"])
def test_input_gradients_are_finite_differences(target, standardize):
    rows = X * 3 + 1
    y = {"numbers": NUMBERS, "columns": COLUMNS, "quantiles": 50 * NUMBERS}.get(target, CLASSES)
    y = np.minimum(y, 1) if target == "binary" else y
    settings = {"activation": "tanh", "max_iter": 20, "random_state": 0, "standardize": standardize}
    if target in ("classes", "binary"):
        model = MLPClassifier(**settings).fit(rows, y)
        outputs = model.predict_proba
    else:
        more = {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]} if target == "quantiles" else {}
        model = MLPRegressor(**settings, **more).fit(rows, y)
        outputs = model.predict
    found = model.input_gradients(rows[:7])
    for j in range(5):
        step = np.zeros(5)
        step[j] = 1e-5
        expected = (outputs(rows[:7] + step) - outputs(rows[:7] - step)) / 2e-5
        np.testing.assert_allclose(found[..., j], expected, rtol=1e-5, atol=1e-6)


# Uncertainty.


def _made(seed, n=1500):
    rng = np.random.RandomState(seed)
    x = rng.uniform(-2, 2, (n, 2))
    return x, 5 * np.sin(2 * x[:, 0]) + x[:, 1] + (0.2 + np.abs(x[:, 0])) * rng.standard_normal(n)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "quantile", "quantile": [0.1, 0.9]},
        {"standardize": True, "solver": "lbfgs"},
        {"early_stopping": True},
    ],
    ids=str,
)
@pytest.mark.parametrize("interval", [0.8, 0.9])
def test_intervals_cover_what_they_promise(settings, interval):
    covered, widths = [], []
    for seed in range(20):
        x, y = _made(seed)
        model = MLPRegressor(interval=interval, max_iter=8, random_state=seed, **settings).fit(x[:1000], y[:1000])
        found = model.predict_interval(x[1000:])
        assert found.shape == (500, 2)
        covered.append(np.mean((found[:, 0] <= y[1000:]) & (y[1000:] <= found[:, 1])))
        widths.append(np.ptp(found[:, 1] - found[:, 0]))
    assert np.mean(covered) == pytest.approx(interval, abs=0.015)
    assert (np.mean(widths) > 0.1) == ("quantile" in settings)


def test_intervals_of_columns_and_wrong_use():
    model = MLPRegressor(interval=0.9, max_iter=20, random_state=0).fit(X, COLUMNS)
    found = model.predict_interval(X)
    assert found.shape == (150, 3, 2)
    np.testing.assert_allclose(found.mean(axis=2), model.predict(X))
    assert model.interval_radius_.shape == (3,)
    with pytest.raises(ValueError, match="interval=0.99 needs at least 99 rows to calibrate with; .* holds 30 out"):
        MLPRegressor(interval=0.99).fit(X, NUMBERS)
    with pytest.raises(AttributeError, match="needs a fit with interval="):
        MLPRegressor(max_iter=2).fit(X, NUMBERS).predict_interval(X)
    with pytest.raises(ValueError, match="partial_fit does not support interval"):
        model.partial_fit(X, COLUMNS)
    stale = pickle.loads(pickle.dumps(model)).set_params(interval=None).partial_fit(X, COLUMNS)
    assert not hasattr(stale, "interval_radius_")
    assert not hasattr(model.set_params(interval=None).fit(X, COLUMNS), "interval_radius_")
    for wrong in ({"interval": 1.0}, {"interval": 0.9, "calibration_fraction": 0}):
        with pytest.raises(ValueError, match="parameter of MLPRegressor"):
            MLPRegressor(**wrong).fit(X, NUMBERS)


def test_changes_between_fits():
    settings = {"max_iter": 3, "random_state": 0, "warm_start": True}
    for change, words in (
        ({"standardize": True}, "standardize cannot be changed"),
        ({"interval": 0.5}, "no fit has seen"),
    ):
        model = MLPRegressor(**settings).fit(X, NUMBERS)
        with pytest.raises(ValueError, match=words):
            model.set_params(**change).fit(X, NUMBERS)
    model = MLPRegressor(solver="lbfgs", max_iter=5).fit(X, NUMBERS)
    before = model.score(X, NUMBERS)
    assert model.set_params(solver="adam").partial_fit(X, NUMBERS).score(X, NUMBERS) > before - 0.2
    plain = MLPRegressor(max_iter=3).fit(X, NUMBERS)
    expected = plain.predict(X)
    np.testing.assert_array_equal(plain.set_params(impute="mean").predict(X), expected)
    model = MLPRegressor("quantile", quantile=[0.9, 0.1], standardize=True, max_iter=60, random_state=0).fit(X, NUMBERS)
    ordered = MLPRegressor("quantile", quantile=[0.1, 0.9], standardize=True, max_iter=60, random_state=0)
    assert model.score(X, NUMBERS) > 0.5
    assert np.all(model.predict(X)[:, 0] >= model.predict(X)[:, 1])
    assert ordered.fit(X, NUMBERS).predict(X)[:, 1].mean() > ordered.predict(X)[:, 0].mean()


def test_sparse_and_dense_rows_together():
    few = np.where(X > 1, X, 0)
    rows = scipy.sparse.csr_array(few)
    for trained, other in ((few, rows), (rows, few)):
        for standardize in (False, True):
            model = MLPRegressor(max_iter=3, random_state=0, standardize=standardize)
            model.fit(trained, NUMBERS, validation_data=(other, NUMBERS))
            np.testing.assert_allclose(model.predict(other), model.predict(trained), rtol=1e-9)
            assert len(model.validation_loss_curve_) == 3


def test_the_curve_of_held_out_losses_goes_on_in_warm_starts():
    held_out = (X[:30], NUMBERS[:30])
    model = MLPRegressor(max_iter=4, tol=0, warm_start=True, random_state=0)
    first = list(model.fit(X, NUMBERS, validation_data=held_out).validation_loss_curve_)
    model.fit(X, NUMBERS, validation_data=held_out)
    assert len(model.validation_loss_curve_) == len(model.loss_curve_) == 8
    assert model.validation_loss_curve_[:4] == first
    model.set_params(warm_start=False).fit(X, NUMBERS, validation_data=held_out)
    assert model.validation_loss_curve_ == first
    assert model.fit(X, NUMBERS).validation_loss_curve_ is None


def test_predictions_have_the_quantiles_of_the_fit():
    model = MLPRegressor("quantile", quantile=[0.9, 0.1], max_iter=20, random_state=0).fit(X, NUMBERS)
    expected = model.predict(X)
    assert model.quantiles_ == [0.9, 0.1]
    np.testing.assert_array_equal(model.set_params(quantile=[0.1, 0.9]).predict(X), expected)
    assert (expected[:, 0] >= expected[:, 1]).all()
    assert MLPRegressor("quantile", max_iter=2).fit(X, NUMBERS).quantiles_ is None


def test_many_classes_with_few_held_out_rows():
    model = MLPClassifier(early_stopping=True, max_iter=3, random_state=0).fit(X, np.arange(150) % 40)
    assert len(model.validation_scores_) == 3


def test_a_warm_start_with_early_stopping_keeps_its_own_best_epoch():
    held_out = (X[100:], NUMBERS[100:])
    model = MLPRegressor(early_stopping=True, warm_start=True, random_state=0, learning_rate_init=0.02, max_iter=30)
    model.fit(X[:100], NUMBERS[:100], validation_data=held_out)
    count = len(model.validation_scores_)
    model.set_params(max_iter=5, learning_rate_init=0.003, alpha=200.0)
    model.fit(X[:100], NUMBERS[:100], validation_data=held_out)
    own = model.validation_scores_[count:]
    assert len(own) == 5
    assert max(own) == model.best_validation_score_ == pytest.approx(model.score(*held_out))


def test_intervals_of_rows_without_weight():
    wild, weight = NUMBERS.copy(), np.ones(150)
    wild[::3], weight[::3] = 1e3, 0
    model = MLPRegressor(interval=0.9, calibration_fraction=0.5, max_iter=300, random_state=0).fit(X, wild, weight)
    assert model.interval_radius_[0] < 20
