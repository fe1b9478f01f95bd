"""Every public loss, as a class, as a function and by its names, against its formula; and its gradient."""

from __future__ import annotations

import inspect

import numpy as np
import oracles
import pytest

import lamina
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
    "PoissonDeviance": ({}, "poisson_deviance", "positive", None, ["poisson_deviance"]),
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


def test_several_quantiles(rng):
    y, p = rng.standard_normal(50), rng.standard_normal((50, 3))
    loss = losses.Quantile([0.1, 0.5, 0.9])
    expected = sum(losses.Quantile(q)(y[:, None], p[:, [j]]) for j, q in enumerate((0.1, 0.5, 0.9))) / 3
    for targets in (y, y[:, None], np.repeat(y[:, None], 3, axis=1)):
        assert loss(targets, p) == pytest.approx(float(expected), rel=1e-12)
    assert losses.Quantile.from_config(loss.get_config()).quantile == [0.1, 0.5, 0.9]
    with pytest.raises(ValueError, match="3 columns, one for each quantile; got 2"):
        loss(y, p[:, :2])
    for wrong in ([], [0.5, 2], "many"):
        with pytest.raises((ValueError, TypeError), match="quantile"):
            losses.Quantile(wrong)


def test_networks_are_trained_on_several_quantiles(rng):
    x = rng.uniform(-1, 1, (2000, 1))
    y = x[:, 0] + rng.uniform(0, 1, 2000)
    model = lamina.Sequential([lamina.Input((1,)), lamina.layers.Dense(3, dtype="float64")])
    model.compile(lamina.optimizers.Adam(0.05), losses.Quantile([0.1, 0.5, 0.9]))
    model.fit(x, y, batch_size=50, epochs=20, verbose=0)
    np.testing.assert_allclose((y[:, None] < model.predict(x, verbose=0)).mean(axis=0), [0.1, 0.5, 0.9], atol=0.05)
    model.compile("sgd", losses.Quantile([0.1, 0.9]))
    with pytest.raises(ValueError, match="the output must have 2 columns, one for each quantile; got 3"):
        model.fit(x, y, verbose=0)


def test_the_deviance_of_counts_includes_an_exponential_output(rng):
    x, y = rng.standard_normal((30, 3)), rng.poisson(1.5, (30, 2))
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2, "exponential", dtype="float64")])
    model.compile("sgd", "poisson_deviance")
    value, (kernel, bias) = model.value_and_gradient(x, y)
    p = model.predict(x, verbose=0)
    assert value == pytest.approx(oracles.LOSSES["poisson_deviance"](p, y.astype(float)).mean(), rel=1e-12)
    np.testing.assert_allclose(kernel, x.T @ (p - y) / 60, rtol=1e-10)
    np.testing.assert_allclose(bias, (p - y).mean(axis=0) / 2, rtol=1e-10)
    model.set_weights([np.zeros((3, 2)), np.full(2, -2000.0)])  # predictions of 0
    np.testing.assert_allclose(model.value_and_gradient(x, y)[1][1], -y.mean(axis=0) / 2, rtol=1e-10)
