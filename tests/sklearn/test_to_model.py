"""Estimators as models: they predict the same, with everything around the network."""

import importlib.util
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from lamina import saving
from lamina.sklearn import MLPClassifier, MLPRegressor, register_onnx_converters

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)) * [1, 10, 0.1, 3, 1] + [0, 5, 0, -7, 1]
CLASSES = {
    "two": np.where(X[:, 0] > 0, "yes", "no"),
    "three": np.arange(120) % 3,
    "columns": (X[:, :2] > 0).astype(int),
}
TARGETS = {"one": 100 * X[:, 0] + 7, "two": X[:, :2] * 50}
OPTIONS = [
    {},
    {"standardize": True},
    {"batch_normalization": True, "dropout": 0.2},
    {"activation": ["gelu", "selu"], "standardize": True},
]


def fitted(estimator, y, x=X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_params(hidden_layer_sizes=(8, 6), max_iter=5, random_state=0).fit(x, y)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "plain")
@pytest.mark.parametrize("y", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classifiers(dtype, y, options):
    x = X.astype(dtype)
    estimator = fitted(MLPClassifier(**options), CLASSES[y], x)
    expected = estimator.predict_proba(x)
    for model in (estimator.to_model(), saving.from_sklearn(estimator)):
        assert model.dtype == dtype
        found = model.predict(x, verbose=0)
        found = np.hstack([1 - found, found]) if y == "two" else found
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "plain")
@pytest.mark.parametrize("y", TARGETS)
def test_regressors(y, options):
    estimator = fitted(MLPRegressor(**options), TARGETS[y])
    found = np.squeeze(estimator.to_model().predict(X, verbose=0))
    np.testing.assert_allclose(found, estimator.predict(X), rtol=1e-10, atol=1e-9)


def test_sparse_rows_keep_their_zeros():
    sparse = pytest.importorskip("scipy.sparse")
    rows = sparse.random(80, 6, density=0.3, format="csr", random_state=0)
    estimator = fitted(MLPRegressor(standardize=True), np.arange(80.0), rows)
    found = estimator.to_model().predict(rows.toarray(), verbose=0)[:, 0]
    np.testing.assert_allclose(found, estimator.predict(rows), rtol=1e-9)


def test_the_model_is_a_copy():
    estimator = fitted(MLPRegressor(), TARGETS["one"])
    model = estimator.to_model()
    before = model.predict(X, verbose=0)
    fitted(estimator, -TARGETS["one"])
    np.testing.assert_array_equal(model.predict(X, verbose=0), before)
    model.compile("adam", "mse")
    model.fit(X, TARGETS["one"], verbose=0)


def test_what_is_no_network_is_refused():
    with pytest.raises(NotFittedError):
        MLPClassifier().to_model()
    for estimator, y, message in (
        (MLPRegressor(loss="quantile", quantile=[0.1, 0.9]), TARGETS["one"], "several quantiles, which are sorted"),
        (MLPClassifier(calibrate="temperature"), CLASSES["three"], "calibrate, which asks several networks"),
        (MLPRegressor(impute="mean"), TARGETS["one"], "impute by steps of a pipeline"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(estimator, y).to_model()


def test_skl2onnx_is_asked_for_where_it_is_needed():
    if importlib.util.find_spec("skl2onnx") is None:
        with pytest.raises(ImportError, match="register_onnx_converters needs"):
            register_onnx_converters()
    else:
        register_onnx_converters()


def test_means_that_are_large_against_deviations():
    x = (1e-2 * RNG.normal(size=(200, 3)) + 1e4).astype("f")
    estimator = fitted(MLPRegressor(standardize=True), np.sin(300 * (x[:, 0] - 1e4)), x)
    found = estimator.to_model().predict(x, verbose=0)[:, 0]
    np.testing.assert_allclose(found, estimator.predict(x), atol=1e-4)


def test_a_single_class_has_no_network():
    with pytest.raises(ValueError, match="a single class, whose probability is 1"):
        fitted(MLPClassifier(), np.zeros(120)).to_model()
