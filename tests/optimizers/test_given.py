"""Steps with gradients that come from outside: `Optimizer.apply`."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import constraints, optimizers
from lamina.optimizers.given import clipped


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rule", [constraints.MaxNorm, constraints.UnitNorm, constraints.MinMaxNorm])
def test_apply_constrains_a_variable_without_a_layer_as_the_matrix_that_it_is(rule, axis):
    start = np.array([[3.0, 0, 1], [4, 2, 1]])
    variable = lamina.Variable(start, dtype="float64")
    variable.constraint = rule(axis=axis)
    optimizers.SGD(1.0).apply([np.zeros((2, 3))], [variable])
    np.testing.assert_allclose(variable.numpy(), rule(axis=axis)(start), rtol=1e-12)


class InPython(optimizers.Optimizer):
    """SGD whose steps grow."""

    def update(self, variable, gradient):
        variable.assign(variable.numpy() - self.learning_rate.numpy() * gradient * (1 + self.iterations))


@pytest.mark.parametrize("kind", [optimizers.Adam, InPython])
@pytest.mark.parametrize(
    "settings",
    [{}, {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"use_ema": True}, {"gradient_accumulation_steps": 2}],
    ids=str,
)
def test_apply_takes_variables_of_several_dtypes(kind, settings, rng):
    values = [rng.standard_normal((2, 3)).astype(dtype) for dtype in ("float32", "float64", "float32")]
    gradients = [[rng.standard_normal((2, 3)) for _ in values] for _ in range(4)]
    together = [lamina.Variable(value) for value in values]
    optimizer = kind(0.1, **settings)
    for step in gradients:
        optimizer.apply(step, together)
    for i, (value, variable) in enumerate(zip(values, together, strict=True)):
        alone, single = lamina.Variable(value), kind(0.1, **settings)
        for step in gradients:
            single.apply([step[i]], [alone])
        assert variable.dtype == str(value.dtype)
        np.testing.assert_array_equal(variable.numpy(), alone.numpy())


def test_a_global_norm_is_that_of_all_dtypes():
    variables = [lamina.Variable(np.zeros(1, dtype)) for dtype in ("float32", "float64")]
    optimizers.SGD(1.0, global_clipnorm=1.0).apply([np.array([3.0]), np.array([4.0])], variables)
    np.testing.assert_allclose([float(v.numpy()[0]) for v in variables], [-0.6, -0.8], rtol=1e-6)


def test_apply_refuses_a_variable_twice():
    variable = lamina.Variable(np.zeros(2))
    with pytest.raises(ValueError, match="variables must be different; add the gradients"):
        optimizers.SGD(1.0).apply([np.ones(2), np.ones(2)], [variable, variable])
    np.testing.assert_array_equal(variable.numpy(), 0)


def test_a_refused_first_step_leaves_the_optimizer_unbuilt():
    optimizer, variable = optimizers.SGD(1.0), lamina.Variable(np.zeros(2))
    with pytest.raises(ValueError, match="must have shape"):
        optimizer.apply([np.ones(3)], [variable])
    assert not optimizer.built
    optimizer.apply([np.ones(2)], [variable])
    np.testing.assert_array_equal(variable.numpy(), -1)


def test_a_number_of_batches_is_checked():
    optimizer = optimizers.Nadam()
    for wrong, message in (
        (-1, "must be >= 0"),
        (2**63, "must be <= "),
        ("x", "must be an int"),
    ):
        with pytest.raises((ValueError, TypeError), match=f"batches {message}"):
            optimizer.batches = wrong
    assert optimizer.batches == 0


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ([3.0, -4.0], [12.0])),
        ({"clipvalue": 3.5}, ([3.0, -3.5], [3.5])),
        ({"clipnorm": 1.0}, ([0.6, -0.8], [1.0])),
        ({"clipnorm": 6.0}, ([3.0, -4.0], [6.0])),
        ({"global_clipnorm": 1.3}, ([0.3, -0.4], [1.2])),
        ({"global_clipnorm": 20.0}, ([3.0, -4.0], [12.0])),
    ],
    ids=str,
)
def test_gradients_are_clipped_without_a_step(settings, expected):
    def clip(gradients):
        return clipped("Adam", gradients, *optimizers.Adam(**settings).clipping)

    given = [np.array([3.0, -4.0]), None, np.array([12.0], np.float32)]
    found = clip(given)
    assert found[1] is None
    assert [one.dtype for one in (found[0], found[2])] == [np.float64, np.float32]
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[2], expected[1], rtol=1e-6)
    np.testing.assert_array_equal(given[0], [3.0, -4.0])
    assert clip([]) == []
    assert np.isnan(clip([np.array([np.nan, 1.0])])[0][0])
