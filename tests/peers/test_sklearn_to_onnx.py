"""Pipelines with lamina's estimators through skl2onnx: ONNX Runtime predicts what they do."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")
# Below what says that they may be missing.
from sklearn.exceptions import ConvergenceWarning  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from lamina.sklearn import MLPClassifier, MLPRegressor, register_onnx_converters  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 5)).astype("f") * 3 + 1
OPTIONS = [{}, {"standardize": True}, {"activation": ["gelu", "mish"]}, {"batch_normalization": True, "dropout": 0.1}]
CLASSES = {
    "words": np.array(["a", "bb", "ccc"])[np.arange(90) % 3],
    "two words": np.where(X[:, 0] > 1, "yes", "no"),
    "numbers": np.arange(90) % 4 + 3,
    "two numbers": (X[:, 1] > 1).astype(int),
    "columns": (X[:, :3] > 1).astype(int),
}


def fitted(pipeline, x, y):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        pipeline[-1].set_params(hidden_layer_sizes=(8, 6), max_iter=5, random_state=0)
        return pipeline.fit(x, y)


def run(pipeline, x, **options):
    register_onnx_converters()
    made = skl2onnx.to_onnx(pipeline, x[:1], **options)
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: x})


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "plain")
@pytest.mark.parametrize("y", CLASSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_classifiers(dtype, y, options):
    x = X.astype(dtype)
    pipeline = fitted(make_pipeline(StandardScaler(), MLPClassifier(**options)), x, CLASSES[y])
    labels, probabilities = run(pipeline, x, options={"zipmap": False})
    assert probabilities.dtype == dtype
    np.testing.assert_allclose(probabilities, pipeline.predict_proba(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(labels, pipeline.predict(x))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: " ".join(options) or "plain")
@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_regressors(dtype, columns, options):
    x = X.astype(dtype)
    y = x[:, 0] * 10 if columns == 1 else x[:, :2] * 10
    pipeline = fitted(make_pipeline(StandardScaler(), MLPRegressor(**options)), x, y)
    (found,) = run(pipeline, x)
    assert found.shape == (90, columns)
    np.testing.assert_allclose(found.reshape(y.shape), pipeline.predict(x), rtol=1e-4, atol=1e-4)


def test_zipmap_gives_dictionaries_by_default():
    pipeline = fitted(make_pipeline(MLPClassifier()), X, CLASSES["words"])
    _, probabilities = run(pipeline, X)
    assert set(probabilities[0]) == {"a", "bb", "ccc"}


def test_whole_numbers_are_rows_too():
    x = RNG.integers(0, 9, (60, 4))
    pipeline = fitted(make_pipeline(MLPRegressor()), x, x[:, 0] * 1.0)
    (found,) = run(pipeline, x)
    np.testing.assert_allclose(found[:, 0], pipeline.predict(x), rtol=1e-4, atol=1e-4)


def test_what_is_no_network_is_refused():
    pipeline = fitted(make_pipeline(MLPClassifier(calibrate="temperature")), X, CLASSES["words"])
    with pytest.raises(ValueError, match="calibrate, which asks several networks"):
        run(pipeline, X)
