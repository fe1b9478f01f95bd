"""Losses, metrics, optimizers and schedules, each against Keras's own on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")

pytestmark = pytest.mark.filterwarnings("ignore")

LOSSES = {
    "mse": ("MeanSquaredError", {}),
    "mae": ("MeanAbsoluteError", {}),
    "mape": ("MeanAbsolutePercentageError", {}),
    "msle": ("MeanSquaredLogarithmicError", {}),
    "huber": ("Huber", {"delta": 0.7}),
    "log_cosh": ("LogCosh", {}),
    "poisson": ("Poisson", {}),
    "kl_divergence": ("KLDivergence", {}),
    "hinge": ("Hinge", {}),
    "squared_hinge": ("SquaredHinge", {}),
    "categorical_hinge": ("CategoricalHinge", {}),
    "cosine": ("CosineSimilarity", {}),
    "bce": ("BinaryCrossentropy", {}),
    "bce smoothed": ("BinaryCrossentropy", {"label_smoothing": 0.2}),
    "bce logits": ("BinaryCrossentropy", {"from_logits": True}),
    "cce": ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
    "cce logits": ("CategoricalCrossentropy", {"from_logits": True}),
    "scce": ("SparseCategoricalCrossentropy", {}),
    "scce logits": ("SparseCategoricalCrossentropy", {"from_logits": True}),
    "scce ignored": ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": -1}),
    "scce ignored 1": ("SparseCategoricalCrossentropy", {"ignore_class": 1}),
    "bfce": ("BinaryFocalCrossentropy", {}),
    "bfce balanced": ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5}),
    "bfce logits": ("BinaryFocalCrossentropy", {"from_logits": True, "label_smoothing": 0.1, "gamma": 3.0}),
    "cfce": ("CategoricalFocalCrossentropy", {"alpha": 0.4}),
    "cfce logits": ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 1.0, "label_smoothing": 0.1}),
}


def batch(name, rng, rows=37, columns=5):
    """Return targets and predictions that suit a loss or metric."""
    kind, settings = LOSSES[name]
    logits = rng.standard_normal((rows, columns)).astype("f") * 2
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    if kind.startswith("Sparse"):
        y = rng.integers(-1 if settings.get("ignore_class") == -1 else 0, columns, rows)
    elif kind.startswith("Categorical"):
        y = np.eye(columns, dtype="f")[rng.integers(0, columns, rows)]
    elif "rossentropy" in kind or "Hinge" in kind:
        y = rng.integers(0, 2, (rows, columns)).astype("f")
    elif kind in ("KLDivergence",):
        y = rng.dirichlet(np.ones(columns), rows).astype("f")
    elif kind in ("Poisson", "MeanSquaredLogarithmicError"):
        y = rng.poisson(2.0, (rows, columns)).astype("f")
    else:
        y = rng.standard_normal((rows, columns)).astype("f")
    if settings.get("from_logits"):
        return y, logits
    if "Categorical" in kind and "Hinge" not in kind:
        return y, shares
    if "rossentropy" in kind or kind in ("KLDivergence", "Poisson"):
        return y, (1 / (1 + np.exp(-logits))).astype("f")
    return y, logits


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "none", "mean_with_sample_weight"])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name, weighted, reduction):
    rng = np.random.default_rng(1)
    y, p = batch(name, rng)
    weights = rng.uniform(0, 2, len(y)).astype("f") if weighted else None
    kind, settings = LOSSES[name]
    theirs = getattr(keras.losses, kind)(**settings, reduction=reduction)(y, p, weights)
    ours = getattr(lamina.losses, kind)(**settings, reduction=reduction)(y, p, weights)
    np.testing.assert_allclose(ours, np.asarray(theirs), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_losses(name, weighted):
    jax = pytest.importorskip("jax")
    rng = np.random.default_rng(2)
    y, p = batch(name, rng)
    weights = rng.uniform(0, 2, len(y)).astype("f") if weighted else None
    kind, settings = LOSSES[name]
    theirs = jax.grad(lambda p: getattr(keras.losses, kind)(**settings)(y, p, weights))(p)
    model = lamina.Sequential([lamina.layers.Dense(p.shape[1], use_bias=False, input_dim=p.shape[1])])
    model.set_weights([np.eye(p.shape[1], dtype="f")])
    model.compile(lamina.optimizers.SGD(1.0), getattr(lamina.losses, kind)(**settings))
    model.train_on_batch(p, y, weights)
    ours = np.eye(p.shape[1], dtype="f") - model.get_weights()[0]
    np.testing.assert_allclose(ours, p.T @ np.asarray(theirs), rtol=1e-4, atol=2e-5)


def test_losses_of_other_ranks():
    rng = np.random.default_rng(3)
    y, p = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 5)).astype("f")
    for kind in ("MeanSquaredError", "Huber", "CosineSimilarity"):
        for weights in (None, rng.uniform(0, 1, (4, 3)), rng.uniform(0, 1, (4, 1))):
            theirs = getattr(keras.losses, kind)()(y, p, weights)
            np.testing.assert_allclose(getattr(lamina.losses, kind)()(y, p, weights), float(theirs), rtol=1e-5)
        np.testing.assert_allclose(
            getattr(lamina.losses, kind)()(y[0, 0], p[0, 0]), float(getattr(keras.losses, kind)()(y[0, 0], p[0, 0])),
            rtol=1e-5,
        )  # fmt: skip


FUNCTIONS = lamina.losses.functions.__all__


@pytest.mark.parametrize("name", FUNCTIONS)
def test_losses_as_functions(name):
    kind = lamina.losses.functions.CLASS_OF[getattr(lamina.losses, name)].__name__
    key = next(key for key, (other, settings) in LOSSES.items() if other == kind and not settings.get("from_logits"))
    y, p = batch(key, np.random.default_rng(4))
    theirs = getattr(keras.losses, name)(y, p)
    np.testing.assert_allclose(getattr(lamina.losses, name)(y, p), np.asarray(theirs), rtol=2e-5, atol=2e-6)


OPTIMIZERS = {
    "SGD": [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}],
    "Adam": [{}, {"amsgrad": True, "weight_decay": 0.01}, {"beta_1": 0.5, "beta_2": 0.8, "epsilon": 1e-3}],
    "AdamW": [{}, {"weight_decay": 0.1}],
    "Adamax": [{}, {"beta_1": 0.8, "weight_decay": 0.01}],
    "Nadam": [{}, {"beta_1": 0.8, "beta_2": 0.99}, {"weight_decay": 0.01}],
    "RMSprop": [{}, {"momentum": 0.9}, {"centered": True}, {"centered": True, "momentum": 0.5, "weight_decay": 0.01}],
    "Adagrad": [{}, {"initial_accumulator_value": 0.5, "weight_decay": 0.01}],
    "Adadelta": [{}, {"rho": 0.8, "weight_decay": 0.01}],
    "Lion": [{}, {"beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.01}],
}
SHARED = [{}, {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.5}, {"use_ema": True, "ema_momentum": 0.9},
          {"gradient_accumulation_steps": 3}, {"use_ema": True, "ema_overwrite_frequency": 4}]  # fmt: skip


@pytest.mark.parametrize("shared", SHARED, ids=str)
@pytest.mark.parametrize(("name", "settings"), [(n, s) for n, all_ in OPTIMIZERS.items() for s in all_], ids=str)
def test_optimizers(name, settings, shared):
    rng = np.random.default_rng(5)
    x, y = rng.standard_normal((48, 6)).astype("f"), rng.standard_normal((48, 3)).astype("f")
    rate = keras.optimizers.schedules.ExponentialDecay(0.02, 5, 0.9)
    start = [rng.standard_normal((6, 3)).astype("f"), rng.standard_normal(3).astype("f")]
    results = []
    for library in (keras, lamina):
        model = library.Sequential([library.layers.Input((6,)), library.layers.Dense(3, activation="tanh")])
        model.set_weights(start)
        rate = library.optimizers.schedules.ExponentialDecay(0.02, 5, 0.9)
        optimizer = getattr(library.optimizers, name)(rate, **settings, **shared)
        model.compile(optimizer=optimizer, loss="mse")
        history = model.fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0).history["loss"]
        results.append((history, model.get_weights(), float(np.asarray(optimizer.learning_rate))))
    (history, weights, rate), (own_history, own_weights, own_rate) = results
    np.testing.assert_allclose(own_history, history, rtol=1e-4)
    np.testing.assert_allclose(own_rate, rate, rtol=1e-5)
    for own, other in zip(own_weights, weights, strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-3, atol=1e-4)


SCHEDULES = [
    ("ExponentialDecay", (0.1, 10, 0.5), {}),
    ("ExponentialDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {}),
    ("InverseTimeDecay", (0.1, 10, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([5, 20, 33], [0.1, 0.05, 0.02, 0.01]), {}),
    ("PolynomialDecay", (0.1, 20), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 20), {"cycle": True, "end_learning_rate": 0.01}),
    ("CosineDecay", (0.1, 30), {"alpha": 0.1}),
    ("CosineDecay", (0.01, 30), {"warmup_target": 0.1, "warmup_steps": 7}),
    ("CosineDecayRestarts", (0.1, 8), {}),
    ("CosineDecayRestarts", (0.1, 8), {"t_mul": 1.0, "m_mul": 0.7, "alpha": 0.05}),
    ("CosineDecayRestarts", (0.1, 7), {"t_mul": 1.5, "m_mul": 0.9}),
]


@pytest.mark.parametrize(("name", "positional", "named"), SCHEDULES, ids=str)
def test_schedules(name, positional, named):
    theirs = getattr(keras.optimizers.schedules, name)(*positional, **named)
    ours = getattr(lamina.optimizers.schedules, name)(*positional, **named)
    for step in (*range(60), 1000):
        np.testing.assert_allclose(ours(step), float(theirs(step)), rtol=2e-5, atol=1e-7, err_msg=f"step {step}")
    again = lamina.optimizers.schedules.deserialize(lamina.optimizers.schedules.serialize(ours))
    assert again.get_config() == ours.get_config()
    assert ours.get_config().keys() == theirs.get_config().keys()


def metric_cases():
    """Yield (class name, settings, kind of targets)."""
    for name in ("MeanSquaredError", "RootMeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError",
                 "LogCoshError", "CosineSimilarity", "R2Score"):  # fmt: skip
        yield name, {}, "numbers"
    yield "R2Score", {"class_aggregation": None}, "numbers"
    yield "R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 3}, "numbers"
    yield "MeanSquaredLogarithmicError", {}, "counts"
    yield "Poisson", {}, "counts"
    yield "KLDivergence", {}, "shares"
    for name in ("Hinge", "SquaredHinge", "BinaryAccuracy", "BinaryCrossentropy", "Precision", "Recall", "AUC",
                 "TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"):  # fmt: skip
        yield name, {}, "flags"
    for name in ("Precision", "Recall", "TruePositives", "FalseNegatives"):
        yield name, {"thresholds": [0.7, 0.2, 0.5]}, "flags"
    yield "Precision", {"top_k": 2}, "flags"
    yield "Recall", {"top_k": 2, "class_id": 1}, "flags"
    yield "Recall", {"class_id": 2}, "flags"
    for settings in ({"curve": "PR"}, {"summation_method": "minoring"}, {"summation_method": "majoring", "curve": "PR"},
                     {"num_thresholds": 20}, {"thresholds": [0.3, 0.8]}, {"multi_label": True},
                     {"multi_label": True, "curve": "PR", "label_weights": [1.0, 2.0, 0.5, 1.0]}):  # fmt: skip
        yield "AUC", settings, "flags"
    yield "SensitivityAtSpecificity", {"specificity": 0.6}, "flags"
    yield "SpecificityAtSensitivity", {"sensitivity": 0.6}, "flags"
    yield "PrecisionAtRecall", {"recall": 0.6}, "flags"
    yield "RecallAtPrecision", {"precision": 0.6}, "flags"
    for name in ("CategoricalAccuracy", "CategoricalCrossentropy", "CategoricalHinge", "F1Score"):
        yield name, {}, "one-hot"
    yield "TopKCategoricalAccuracy", {"k": 2}, "one-hot"
    for average in ("micro", "macro", "weighted"):
        yield "F1Score", {"average": average}, "one-hot"
        yield "FBetaScore", {"average": average, "beta": 2.0, "threshold": 0.3}, "one-hot"
    yield "SparseCategoricalAccuracy", {}, "labels"
    yield "SparseCategoricalCrossentropy", {}, "labels"
    yield "SparseTopKCategoricalAccuracy", {"k": 3}, "labels"


def metric_targets(kind, rng, rows):
    if kind == "numbers":
        return rng.standard_normal((rows, 4)).astype("f")
    if kind == "counts":
        return rng.poisson(2.0, (rows, 4)).astype("f")
    if kind == "shares":
        return rng.dirichlet(np.ones(4), rows).astype("f")
    if kind == "flags":
        return rng.integers(0, 2, (rows, 4)).astype("f")
    labels = rng.integers(0, 4, rows)
    return np.eye(4, dtype="f")[labels] if kind == "one-hot" else labels


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize(("name", "settings", "kind"), list(metric_cases()), ids=str)
def test_metrics(name, settings, kind, weighted):
    rng = np.random.default_rng(6)
    theirs, ours = getattr(keras.metrics, name)(**settings), getattr(lamina.metrics, name)(**settings)
    assert ours.name.split("_")[:1] == theirs.name.split("_")[:1]
    assert np.all(np.asarray(ours.result()) == 0)
    for rows in (13, 20, 1):
        logits = rng.standard_normal((rows, 4)).astype("f")
        p = logits if kind == "numbers" else (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype("f")
        y = metric_targets(kind, rng, rows)
        weights = rng.uniform(0, 2, rows).astype("f") if weighted else None
        theirs.update_state(y, p, weights)
        ours.update_state(y, p, weights)
        np.testing.assert_allclose(ours.result(), np.asarray(theirs.result()), rtol=2e-4, atol=1e-5)
    ours.reset_state()
    assert np.all(np.asarray(ours.result()) == 0)


@pytest.mark.parametrize("pool", ["GlobalAveragePooling1D", "GlobalMaxPool1D", "Flatten"])
@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize(
    "between", [(), ("Dense",), ("LayerNormalization", "Dense"), ("RMSNormalization",), ("Rescaling",), ("Reshape",)]
)
def test_networks_of_words(pool, mask_zero, between):
    """Embedding, layers that pass masks on or not, and pooling: predictions, losses and weights."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 30, (70, 9)), rng.integers(0, 2, 70)
    x[:, 4:] *= rng.integers(0, 2, (70, 5))
    x[:, 0] = 1 + x[:, 0] % 29
    settings = {"Dense": (6, "tanh"), "Rescaling": (0.5,), "Reshape": ((18, 4),)}
    models = []
    for library in (keras, lamina):
        made = [getattr(library.layers, name)(*settings.get(name, ())) for name in between]
        table = library.layers.Embedding(30, 8, mask_zero=mask_zero)
        output = library.layers.Dense(1, "sigmoid")
        models.append(library.Sequential([library.Input((9,)), table, *made, getattr(library.layers, pool)(), output]))
    theirs, ours = models
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours.predict(x, verbose=0), theirs.predict(x, verbose=0), atol=1e-6)
    histories = []
    for library, model in zip((keras, lamina), models, strict=True):
        model.compile(library.optimizers.SGD(0.1), "binary_crossentropy", metrics=["accuracy"])
        histories.append(model.fit(x, y, batch_size=16, epochs=3, shuffle=False, verbose=0).history)
    np.testing.assert_allclose(histories[1]["loss"], histories[0]["loss"], rtol=1e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
