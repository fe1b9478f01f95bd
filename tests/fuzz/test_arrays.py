"""Every public call that takes numbers, with arrays in every form: the right answer, or a refusal that changes nothing.

Numbers are small and whole, so that each type holds them exactly: the answer must have the same bits as for a plain
array of float32 or float64. What is wrong in form, type or shape must be refused in words.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import lamina
from fuzz.arrays import WRONG, forms
from fuzz.test_arguments import assert_in_words
from lamina import activations, initializers, kernels, layers, losses, metrics, models, ops, utils
from lamina.sklearn import MLPClassifier, MLPRegressor

EXAMPLES = 40_000 if os.environ.get("LAMINA_FUZZ") == "long" else 4_000

X = np.array([[0, 1, 2], [3, 0, 1], [1, 1, 0], [2, 3, 1], [0, 0, 3]], np.float32)
ONES = np.ones_like(X)
FLAGS = (X > 1).astype(np.float32)
TABLE = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]]
LABELS = np.array([0, 1, 2, 0, 1], np.float32)
WEIGHT = np.array([1, 2, 0, 1, 3], np.float32)
TOKENS = np.array([[0, 1], [2, 3], [3, 0], [1, 1], [2, 0]], np.float32)


def _model(loss="mse", activation=None, **compiled):
    lamina.utils.set_random_seed(3)
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(3, activation)])
    model.compile("adam", loss, **compiled)
    return model


MODEL, LABELLED = _model(metrics=["mae"]), _model("sparse_categorical_crossentropy", "softmax", metrics=["accuracy"])
READER = lamina.Sequential([layers.Embedding(4, 2), layers.Flatten(), layers.Dense(1)])
READER.build((None, 2))
ENSEMBLE = models.Ensemble([MODEL, _model()])
CLASSIFIER = MLPClassifier(random_state=0, max_iter=3, hidden_layer_sizes=4)
REGRESSOR = MLPRegressor(random_state=0, max_iter=3, hidden_layer_sizes=4)
START = {id(model): model.get_weights() for model in (MODEL, LABELLED)}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CLASSIFIER.fit(X, LABELS.astype(int))
    REGRESSOR.fit(X, X)


def _trained(model, method, *data, **named):
    """Return the weights after a step, and put back what it has changed."""
    found = getattr(model, method)(*data, **named)
    weights, before = model.get_weights(), START[id(model)]
    model.set_weights(before)
    model.compile("adam", model.loss, metrics=["mae" if model is MODEL else "accuracy"])
    return [*weights, np.array(found.history["loss"] if method == "fit" else found)]


def _updated(metric, *data):
    metric.update_state(*data)
    return [np.asarray(metric.result())]


def _adapted(data):
    layer = layers.Normalization()
    layer.adapt(data)
    return layer.get_weights()


def _set(array):
    layer = layers.Dense(3)
    layer.build((None, 5))
    layer.set_weights([array, np.zeros(3)])
    return layer.get_weights()


def _fitted(estimator, X, y):
    made = type(estimator)(**estimator.get_params())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit(X, y)
    return [*made.coefs_, *made.intercepts_]


def _ones_like(array, *shape):
    return np.ones(shape, getattr(array, "dtype", np.float32))


def _one(function):
    return lambda array: [np.asarray(function(array))]


# Name → (a right array, function of it that returns arrays).
CALLS = {
    "predict": (X, _one(lambda a: MODEL.predict(a, verbose=0))),
    "predict_on_batch": (X, _one(MODEL.predict_on_batch)),
    "call": (X, _one(MODEL)),
    "call of a layer": (X, _one(MODEL.layers[0])),
    "indices": (TOKENS, _one(lambda a: READER.predict(a, verbose=0))),
    "evaluate: x": (X, _one(lambda a: MODEL.evaluate(a, X, verbose=0))),
    "evaluate: y": (X, _one(lambda a: MODEL.evaluate(X, a, verbose=0))),
    "evaluate: labels": (LABELS, _one(lambda a: LABELLED.evaluate(X, a, verbose=0))),
    "evaluate: sample_weight": (WEIGHT, _one(lambda a: MODEL.evaluate(X, X, sample_weight=a, verbose=0))),
    "fit: x": (X, lambda a: _trained(MODEL, "fit", a, X, verbose=0)),
    "fit: y": (X, lambda a: _trained(MODEL, "fit", X, a, verbose=0)),
    "fit: labels": (LABELS, lambda a: _trained(LABELLED, "fit", X, a, verbose=0)),
    "fit: sample_weight": (WEIGHT, lambda a: _trained(MODEL, "fit", X, X, sample_weight=a, verbose=0)),
    "fit: validation x": (X, lambda a: _trained(MODEL, "fit", X, X, validation_data=(a, X), verbose=0)),
    "fit: validation y": (X, lambda a: _trained(MODEL, "fit", X, X, validation_data=(X, a), verbose=0)),
    "train_on_batch: x": (X, lambda a: _trained(MODEL, "train_on_batch", a, X)),
    "train_on_batch: y": (X, lambda a: _trained(MODEL, "train_on_batch", X, a)),
    "train_on_batch: weight": (WEIGHT, lambda a: _trained(MODEL, "train_on_batch", X, X, sample_weight=a)),
    "test_on_batch": (X, _one(lambda a: MODEL.test_on_batch(a, X))),
    "value_and_gradient": (X, lambda a: [np.asarray(MODEL.value_and_gradient(a, X)[0])]),
    "jacobian": (X, _one(MODEL.jacobian)),
    "vjp": (X, lambda a: [np.asarray(MODEL.vjp(X, a)[0])]),
    "ensemble": (X, _one(ENSEMBLE.predict)),
    "spread": (X, _one(ENSEMBLE.spread)),
    "predict_many": (X, lambda a: [*models.predict_many([MODEL], a)]),
    "adapt": (X, _adapted),
    "set_weights": (np.ascontiguousarray(np.arange(15.0).reshape(5, 3)), _set),
    "Variable": (X, lambda a: [lamina.Variable(np.zeros((5, 3), "f")).assign(a).numpy()]),
    "dense_forward": (X, _one(lambda a: kernels.dense_forward(a, _ones_like(a, 3, 2)))),
    "softmax kernel": (X, _one(kernels.softmax)),
    "mse kernel": (X, lambda a: [np.asarray(part) for part in kernels.mse(a, _ones_like(a, 5, 3))]),
    "to_categorical": (LABELS, _one(lambda a: utils.to_categorical(a, 3))),
    "normalize": (X + 1, _one(utils.normalize)),
    "Constant": (X, _one(lambda a: initializers.Constant(a)((5, 3)))),
    "ops.matmul": (X, _one(lambda a: ops.matmul(a, np.ones((3, 2), np.float32)))),
    "ops.sum": (X, _one(lambda a: ops.sum(a, axis=0))),
    **{f"activation {name}": (X, _one(getattr(activations, name))) for name in ("relu", "tanh", "softmax", "gelu")},
    **{
        f"loss {kind.__name__}: {which}": (base, _one(call))
        for kind, targets, outputs in (
            (losses.MeanSquaredError, X, ONES), (losses.Huber, X, ONES), (losses.BinaryCrossentropy, FLAGS, FLAGS),
            (losses.CategoricalCrossentropy, TABLE, TABLE), (losses.CosineSimilarity, X, ONES),
            (losses.SparseCategoricalCrossentropy, LABELS, TABLE), (losses.Poisson, X, ONES),
        )
        for which, base, call in (
            ("y_true", targets, lambda a, kind=kind, other=outputs: kind()(a, other)),
            ("y_pred", outputs, lambda a, kind=kind, other=targets: kind()(other, a)),
        )
    },
    **{
        f"metric {kind.__name__}: {which}": (base, call)
        for kind, targets, outputs in (
            (metrics.MeanSquaredError, X, ONES), (metrics.AUC, FLAGS, FLAGS), (metrics.Precision, FLAGS, FLAGS),
            (metrics.SparseCategoricalAccuracy, LABELS, TABLE), (metrics.CategoricalAccuracy, TABLE, TABLE),
            (metrics.R2Score, X, ONES), (metrics.F1Score, TABLE, TABLE),
        )
        for which, base, call in (
            ("y_true", targets, lambda a, kind=kind, other=outputs: _updated(kind(), a, other)),
            ("y_pred", outputs, lambda a, kind=kind, other=targets: _updated(kind(), other, a)),
        )
    },
    "Mean": (WEIGHT, lambda a: _updated(metrics.Mean(), a)),
    "classifier: fit": (X, lambda a: _fitted(CLASSIFIER, a, LABELS.astype(int))),
    "classifier: predict_proba": (X, _one(CLASSIFIER.predict_proba)),
    "regressor: fit": (X, lambda a: _fitted(REGRESSOR, a, X)),
    "regressor: y": (X, lambda a: _fitted(REGRESSOR, X, a)),
    "regressor: predict": (X, _one(REGRESSOR.predict)),
}  # fmt: skip
# Those whose numbers may be of any shape, or of many: what is wrong in shape alone may be right.
ANY_SHAPE = {
    "ops.sum", "ops.matmul", "Mean", "normalize", "to_categorical", "Constant", "adapt", "softmax kernel", "mse kernel",
    "dense_forward",
}  # fmt: skip
# Right, and takes days for those that look at every number.
ENDLESS = {"huge", "wide"}
READS_ALL = {*ANY_SHAPE, *(name for name in CALLS if name.startswith(("classifier", "regressor")))}
SHAPES = {"no rows", "no columns", "a number", "one axis more", "a row less", "a column less"}

# Those whose rows stand alone: there may be any number of them.
ALONE = {
    "predict", "predict_on_batch", "call", "call of a layer", "indices", "ensemble", "spread", "predict_many",
    "jacobian", "classifier: predict_proba", "regressor: predict",
}  # fmt: skip
ROWS = {"no rows", "a row less"}
OWN_TYPES = {"normalize", "ops.sum", "ops.matmul"}  # which compute in NumPy's type of the numbers
# What scikit-learn itself converts, or refuses in its own way: estimators do as it does.
CONVERTED = {"text", "bytes", "dates", "spans", "masked", "too large"}

COUNTED = Counter()


def state():
    arrays = [array for model in (MODEL, LABELLED, READER) for array in model.get_weights()]
    steps = [model.optimizer.batches for model in (MODEL, LABELLED)]
    return [array.tobytes() for array in (*arrays, *CLASSIFIER.coefs_)], steps


def same(found, expected):
    return len(found) == len(expected) and all(
        one.shape == other.shape and np.array_equal(one, other, equal_nan=True)
        for one, other in zip(found, expected, strict=True)
    )


@pytest.fixture(scope="module", autouse=True)
def report():
    yield
    print(", ".join(f"{count} {what}" for what, count in COUNTED.items()))


CHECKED = {"max_examples": EXAMPLES, "deadline": None, "database": None, "derandomize": True}
QUICK = settings(**CHECKED, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@QUICK
@given(name=st.sampled_from(sorted(CALLS)), drawn=forms())
@pytest.mark.filterwarnings("ignore")
def test_the_same_numbers_in_another_form_give_the_same_answer(name, drawn):
    form, change = drawn
    base, call = CALLS[name]
    if name == "adapt" and form.endswith("tuple of arrays"):
        return  # which are batches
    before = state()
    try:
        found = call(change(base))
    except (TypeError, ValueError) as error:
        COUNTED["forms refused"] += 1
        if not name.startswith(("classifier", "regressor")):
            assert_in_words(error, name, form)
    else:
        COUNTED["forms taken"] += 1
        plain = [call(base.astype(dtype)) for dtype in ("f4", "f8")]
        if name in OWN_TYPES:
            np.testing.assert_allclose(np.asarray(found[0], np.float64), plain[1][0], 1e-3)
        else:
            assert any(same(found, expected) for expected in plain), (name, form)
    assert state() == before, (name, form)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (name, wrong)
        for name, wrong in itertools.product(CALLS, WRONG)
        if not (wrong in ENDLESS and name in READS_ALL)
        and not (wrong in CONVERTED and name.startswith(("classifier", "regressor")))
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_is_wrong_is_refused(name, wrong):
    base, call = CALLS[name]
    before = state()
    try:
        found = call(WRONG[wrong](base))
    except (TypeError, ValueError, MemoryError) as error:
        COUNTED["wrong refused"] += 1
        others_words = name.startswith(("classifier", "regressor")) or (name.startswith("ops.") and wrong in SHAPES)
        if not others_words and not isinstance(error, MemoryError):
            assert_in_words(error, name, wrong)
    else:
        free = name in ANY_SHAPE or name.startswith(("classifier", "regressor", "activation"))
        free = free or (wrong == "one axis more" and name.endswith("labels"))
        assert (wrong in SHAPES and free) or (wrong in ROWS and name in ALONE), (name, wrong, found)
    assert state() == before, (name, wrong)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["predict", "predict_on_batch", "call", "ensemble", "predict_many"])
def test_a_row_that_is_not_finite_touches_no_other_row(name, value):
    base, call = CALLS[name]
    plain = call(base)[0]
    for row in range(len(base)):
        x = base.copy()
        x[row, 1] = value
        found = call(x)[0]
        others = np.arange(len(base)) != row
        np.testing.assert_array_equal(found[..., others, :], plain[..., others, :])
        if np.isnan(value):
            assert np.isnan(found[..., row, :]).all()
