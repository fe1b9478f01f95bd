"""Every public loss, as a class, as a function and by its names, against its formula; and its gradient."""

from __future__ import annotations

import inspect

import numpy as np
import oracles
import pytest

from lamina import losses

# Class: settings, the formula of a row, what it is of, the function, other names.
CASES = {
    "MeanSquaredError": ({}, "mse", "numbers", "mean_squared_error", ["mse", "MSE"]),
    "MeanAbsoluteError": ({}, "mae", "numbers", "mean_absolute_error", ["mae", "MAE"]),
    "MeanAbsolutePercentageError": ({}, "mape", "apart", "mean_absolute_percentage_error", ["mape", "MAPE"]),
    "MeanSquaredLogarithmicError": ({}, "msle", "positive", "mean_squared_logarithmic_error", ["msle", "MSLE"]),
    "L2Norm": ({}, "l2_norm", "numbers", None, ["l2_norm"]),
    "Huber": ({}, "huber", "numbers", "huber", ["huber"]),
    "LogCosh": ({}, "log_cosh", "numbers", "log_cosh", ["log_cosh", "logcosh"]),
    "Quantile": ({}, "quantile", "numbers", None, []),
    "Hinge": ({}, "hinge", "signs", "hinge", ["hinge"]),
    "SquaredHinge": ({}, "squared_hinge", "signs", "squared_hinge", ["squared_hinge"]),
    "CategoricalHinge": ({}, "categorical_hinge", "one-hot", "categorical_hinge", ["categorical_hinge"]),
    "CosineSimilarity": ({}, "cosine_similarity", "numbers", "cosine_similarity", ["cosine_similarity"]),
    "KLDivergence": ({}, "kl_divergence", "shares", "kl_divergence", ["kl_divergence", "kld"]),
    "Poisson": ({}, "poisson", "positive", "poisson", ["poisson"]),
    "BinaryCrossentropy": ({}, "binary_cross_entropy", "binary", "binary_crossentropy", ["bce", "BCE"]),
    "BinaryFocalCrossentropy": (
        {"alpha": 0.25, "apply_class_balancing": True}, None, "binary", "binary_focal_crossentropy", []),
    "CategoricalCrossentropy": ({}, "categorical_cross_entropy", "shares", "categorical_crossentropy", []),
    "CategoricalFocalCrossentropy": (
        {}, "categorical_focal_cross_entropy", "shares", "categorical_focal_crossentropy", []),
    "SparseCategoricalCrossentropy": (
        {}, "categorical_cross_entropy", "labels", "sparse_categorical_crossentropy", []),
}  # fmt: skip


def focal(p, t):
    """Lin et al. 2017, equation 5: ``-α_t (1 - p_t)² log p_t``."""
    likely, balance = np.where(t == 1, p, 1 - p), np.where(t == 1, 0.25, 0.75)
    return -(balance * (1 - likely) ** 2 * np.log(likely)).mean(axis=1)


def rows_of(kind, rng, n=7, c=4):
    """Return targets as the loss takes them, outputs, and targets as the formula takes them."""
    if kind == "apart":
        y = rng.choice([-1, 1], (n, c)) * rng.uniform(0.5, 2, (n, c))
        return y, rng.standard_normal((n, c)), y
    if kind == "positive":
        return (y := rng.uniform(0.1, 3, (n, c))), rng.uniform(0.1, 3, (n, c)), y
    if kind == "signs":
        return (y := rng.choice([-1.0, 1.0], (n, c))), rng.standard_normal((n, c)), y
    if kind == "binary":
        return (y := rng.integers(0, 2, (n, c)).astype(float)), rng.uniform(0.05, 0.95, (n, c)), y
    if kind == "numbers":
        return (y := rng.standard_normal((n, c))), rng.standard_normal((n, c)), y
    labels, p = rng.integers(0, c, n), rng.dirichlet(np.full(c, 3), n)
    if kind == "shares":
        return (y := rng.dirichlet(np.ones(c), n)), p, y
    return labels if kind == "labels" else np.eye(c)[labels], p, np.eye(c)[labels]


def formula(name):
    return focal if CASES[name][1] is None else oracles.LOSSES[CASES[name][1]]


@pytest.mark.parametrize("name", CASES)
def test_values_in_every_reduction(name, rng):
    settings, _, kind, function, names = CASES[name]
    loss, (y, p, t), w = getattr(losses, name), rows_of(kind, rng), rng.uniform(0, 2, 7)
    rows = formula(name)(p, t)
    assert loss(**settings)(y, p) == pytest.approx(rows.mean(), rel=1e-11)
    assert loss(**settings)(y, p, sample_weight=w) == pytest.approx((w * rows).mean(), rel=1e-11)
    assert loss(**settings, reduction="sum")(y, p, w) == pytest.approx((w * rows).sum(), rel=1e-11)
    for none in ("none", None):
        np.testing.assert_allclose(loss(**settings, reduction=none)(y, p, w), w * rows, rtol=1e-11)
    found = loss(**settings, reduction="mean_with_sample_weight")(y, p, w)
    assert found == pytest.approx(np.average(rows, weights=w), rel=1e-11)
    assert isinstance(loss(**settings)(y.tolist(), p.tolist()).numpy(), float)
    again = losses.loss_of(losses.serialize(loss(**settings, name="own")))
    assert (type(again), again.name, again.get_config()) == (loss, "own", loss(**settings, name="own").get_config())
    for other in (name, *names):
        assert type(losses.loss_of(other)) is loss
    if function is not None:
        np.testing.assert_allclose(getattr(losses, function)(y, p, **settings), rows, rtol=1e-11)
        assert type(losses.loss_of(function)) is loss


@pytest.mark.parametrize("name", CASES)
def test_the_gradient_is_that_of_the_value(name, rng):
    settings, _, kind, _, _ = CASES[name]
    loss, (y, p, t) = getattr(losses, name)(**settings), rows_of(kind, rng)
    found = loss.evaluate(loss.targets("test", y, p.shape[1], "float64"), p, need_gradient=True)
    rows = formula(name)
    slopes = np.empty_like(p)
    for i, j in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[i, j] = 1e-6
        slopes[i, j] = (rows(p + step, t) - rows(p - step, t))[i] / 2e-6
    np.testing.assert_allclose(found.gradient, slopes, rtol=1e-5, atol=1e-7)


def test_every_public_loss_is_here():
    classes = {name for name in losses.__all__ if inspect.isclass(getattr(losses, name))}
    assert classes - {"Loss", "RowLosses"} == set(CASES)
    functions = {name for name in losses.__all__ if name[0].islower()} - {"get", "loss_of", "serialize", "deserialize"}
    assert functions == {case[3] for case in CASES.values()} - {None}
