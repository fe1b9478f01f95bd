"""Constraints against their formulas, by themselves and in training."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import constraints, layers

SMALL = 1e-7


def scaled(w, axis, least, most, rate=1.0):
    norm = np.sqrt((w * w).sum(axis=axis, keepdims=True))
    wanted = rate * np.clip(norm, least, most) + (1 - rate) * norm
    return w * wanted / (norm + SMALL)


CASES = {
    "NonNeg": ({}, lambda w, axis: np.maximum(w, 0)),
    "MaxNorm": ({"max_value": 1.5}, lambda w, axis: scaled(w, axis, 0, 1.5)),
    "UnitNorm": ({}, lambda w, axis: scaled(w, axis, 1, 1)),
    "MinMaxNorm": (
        {"min_value": 0.8, "max_value": 1.2, "rate": 0.6}, lambda w, axis: scaled(w, axis, 0.8, 1.2, 0.6)),
}  # fmt: skip


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_values(name, axis, rng, dtype):
    settings, formula = CASES[name]
    own = {} if name == "NonNeg" else {"axis": axis}
    constraint = getattr(constraints, name)(**settings, **own)
    w = (rng.standard_normal((5, 7)) * [0.1, 0.5, 1, 1, 2, 2, 5]).astype(dtype)
    before = w.copy()
    limit = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(constraint(w), formula(w.astype(float), axis), rtol=limit, atol=limit)
    np.testing.assert_array_equal(w, before)
    again = constraints.get(constraints.serialize(constraint))
    assert (type(again), again.get_config()) == (type(constraint), constraint.get_config())
    snake = {"NonNeg": "non_neg", "MaxNorm": "max_norm", "UnitNorm": "unit_norm", "MinMaxNorm": "min_max_norm"}[name]
    assert type(constraints.get(snake)) is type(constraint)


@pytest.mark.parametrize("name", CASES)
def test_they_hold_after_every_step(name, rng):
    settings, formula = CASES[name]
    constraint = getattr(constraints, name)(**settings)
    layer = layers.Dense(3, kernel_constraint=constraint, dtype="float64")
    model = lamina.Sequential([lamina.Input((5,)), layer])
    model.compile(lamina.optimizers.SGD(0.5), "mse")
    x, y = rng.standard_normal((8, 5)), rng.standard_normal((8, 3))
    w, b = layer.get_weights()
    slope = 2 * (x @ w + b - y) / y.size
    model.train_on_batch(x, y)
    np.testing.assert_allclose(layer.kernel.numpy(), formula(w - 0.5 * x.T @ slope, 0), rtol=1e-10, atol=1e-12)


def test_refusals():
    with pytest.raises(ValueError, match="MaxNorm: axis must be one of the parameter's 2 axes"):
        constraints.MaxNorm(axis=2)(np.ones((2, 2)))
    with pytest.raises(ValueError, match="max_value must be >= min_value"):
        constraints.MinMaxNorm(2, 1)


def test_a_constraint_of_ones_own_is_called_after_each_step():
    class Rounded(constraints.Constraint):
        def __call__(self, w):
            return np.round(w)

    w = np.array([[0.6, -1.4]])
    plain = constraints.Constraint()(w)
    np.testing.assert_array_equal(plain, w)  # the base class changes nothing
    assert plain is not w
    layer = layers.Dense(2, kernel_constraint=Rounded(), use_bias=False, kernel_initializer="zeros", input_dim=1)
    layer.build((None, 1))
    lamina.optimizers.SGD(1.0).apply([-w], [layer.kernel])
    np.testing.assert_array_equal(layer.kernel, [[1, -1]])
