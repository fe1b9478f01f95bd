from __future__ import annotations

import numpy as np
import oracles
import pytest
import tolerances

from lamina import _core, activations, kernels

SIZES = (0, 1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 1000)
NAMES = tuple(oracles.ACTIVATIONS)
SMOOTH = tuple(n for n in NAMES if n not in ("relu", "leaky_relu", "relu6", "hard_sigmoid"))


def test_activation_table_is_complete():
    assert set(_core.activation_table()) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_activation_forward_matches_oracle(name, dtype, isa, rng):
    for size in SIZES:
        x = (rng.standard_normal((2, size)) * 4).astype(dtype)
        expected = np.empty((2, 0)) if size == 0 else oracles.activation(name, x)
        eps = tolerances.EPS[dtype]
        np.testing.assert_allclose(kernels.activation_forward(name, x), expected, rtol=10 * eps, atol=10 * eps)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in oracles.ROWWISE])
def test_activation_bits_do_not_depend_on_position(name, dtype, isa, rng):
    x = (rng.standard_normal(99) * 4).astype(dtype)
    whole = kernels.activation_forward(name, x)
    one_by_one = np.array([kernels.activation_forward(name, x[i : i + 1])[0] for i in range(99)])
    np.testing.assert_array_equal(whole, one_by_one)


@pytest.mark.parametrize("name", NAMES)
def test_activation_backward_matches_finite_differences(name, isa, rng):
    x = rng.standard_normal((3, 21)) * 3
    if name not in SMOOTH:  # keep away from the kinks
        x = np.where(np.abs(x) < 1e-3, 0.5, x)
        x = np.where(np.abs(np.abs(x) - 3) < 1e-3, 2.0, x)
    dy = rng.standard_normal((3, 21))
    value = x if name in oracles.FROM_INPUT else kernels.activation_forward(name, x)
    ours = kernels.activation_backward(name, value, dy)
    expected = oracles.numeric_vjp(lambda v: oracles.activation(name, v), x, dy)
    np.testing.assert_allclose(ours, expected, rtol=tolerances.FINITE_DIFFERENCE, atol=tolerances.FINITE_DIFFERENCE)


@pytest.mark.parametrize("name", NAMES)
def test_activation_backward_float32_is_close_to_float64(name, isa, rng):
    x, dy = rng.standard_normal((2, 5, 40)) * 3
    x32, dy32 = x.astype(np.float32), dy.astype(np.float32)
    x, dy = x32.astype(np.float64), dy32.astype(np.float64)

    def backward(x, dy):
        return kernels.activation_backward(
            name, x if name in oracles.FROM_INPUT else kernels.activation_forward(name, x), dy
        )

    expected = backward(x, dy)
    scale = np.abs(expected).max() + 1
    bound = tolerances.DERIVATIVE_EPS * tolerances.EPS[np.dtype("float32")] * scale
    np.testing.assert_allclose(backward(x32, dy32), expected, rtol=0, atol=bound)


def test_relu_derivative_at_zero_is_zero(dtype, isa):
    zero, one = np.zeros(1, dtype), np.ones(1, dtype)
    assert kernels.activation_backward("relu", zero, one)[0] == 0
    assert kernels.activation_backward("relu6", zero, one)[0] == 0
    assert kernels.activation_backward("relu6", 6 * one, one)[0] == 0


@pytest.mark.parametrize("alpha", [0.0, 0.01, 0.3, 1.0, 2.5])
@pytest.mark.parametrize("name", ["leaky_relu", "elu"])
def test_activation_alpha(name, alpha, dtype, isa, rng):
    x = rng.standard_normal(50).astype(dtype)
    eps = tolerances.EPS[dtype]
    y = kernels.activation_forward(name, x, alpha=alpha)
    np.testing.assert_allclose(y, oracles.activation(name, x, alpha), rtol=10 * eps, atol=10 * eps)
    dy = rng.standard_normal(50).astype(dtype)
    expected = oracles.numeric_vjp(lambda v: oracles.activation(name, v, alpha), x, dy)
    ours = kernels.activation_backward(name, y, dy, alpha=alpha)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("alpha", [-0.1, float("nan"), float("inf")])
def test_activation_alpha_out_of_range_raises(alpha):
    with pytest.raises(ValueError, match="alpha must be finite and >= 0"):
        kernels.activation_forward("leaky_relu", np.ones(3), alpha=alpha)


def test_activation_alpha_where_there_is_none_raises():
    with pytest.raises(ValueError, match="alpha must be None"):
        kernels.activation_forward("relu", np.ones(3), alpha=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_activation_extremes(name, dtype, isa):
    huge = np.array([[1e4, -1e4, 0.0, 5.0]], dtype)
    y = kernels.activation_forward(name, huge)
    if name == "exponential":
        assert np.isposinf(y[0, 0])
        y = y[:, 1:]
    assert np.isfinite(y).all()
    limits = np.array([[np.inf, -np.inf]], dtype)
    if name not in oracles.ROWWISE:
        y = kernels.activation_forward(name, limits)[0]
        with np.errstate(over="ignore", divide="ignore"):
            far = oracles.activation(name, np.array([1e100, -1e100]))
        expected = np.where(abs(far) > 1e50, np.copysign(np.inf, far), far)
        np.testing.assert_allclose(y, expected.astype(dtype), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_activation_nan_goes_through(name, dtype, isa):
    x = np.array([[1.0, np.nan, -1.0] * 8], dtype)
    y = kernels.activation_forward(name, x)
    if name in oracles.ROWWISE:
        assert np.isnan(y).all()
        return
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    value = x if name in oracles.FROM_INPUT else y
    if name != "linear":
        dx = kernels.activation_backward(name, value, np.ones_like(x))
        np.testing.assert_array_equal(np.isnan(dx), np.isnan(x))
    dy = np.where(np.isnan(x), np.nan, 1).astype(dtype)
    dx = kernels.activation_backward(name, np.ones_like(x) * dtype.type(0.5), dy)
    np.testing.assert_array_equal(np.isnan(dx), np.isnan(dy))


def test_softmax_is_stable_and_sums_to_one(dtype, isa):
    x = np.array([[1e4, 0, -1e4], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4 - 1], [0, -np.inf, 0]], dtype)
    y = kernels.softmax(x)
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(y[0], [1, 0, 0])
    np.testing.assert_allclose(y[1], 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(y[3], [0.5, 0, 0.5])
    np.testing.assert_allclose(kernels.log_softmax(x[:1]), [[0, -1e4, -2e4]])


def test_softmax_last_axis_of_any_rank(dtype, rng):
    x = rng.standard_normal((2, 3, 4)).astype(dtype)
    np.testing.assert_allclose(kernels.softmax(x), oracles.softmax(x.astype(np.float64)), rtol=1e-5)
    np.testing.assert_allclose(kernels.softmax(x[0, 0]), oracles.softmax(x[0, 0].astype(np.float64)), rtol=1e-5)
    with pytest.raises(ValueError, match="at least one dimension"):
        kernels.softmax(np.array(1.0))


def test_softmax_worked_example():
    y = kernels.softmax(np.array([2.0, -1, 5, 0]))
    np.testing.assert_allclose(y, [0.04701312, 0.00234065, 0.9442837, 0.00636253], atol=5e-9)


@pytest.mark.parametrize("name", NAMES)
def test_activation_in_place(name, dtype, rng):
    x = rng.standard_normal((3, 17)).astype(dtype)
    expected = kernels.activation_forward(name, x)
    y = x.copy()
    assert kernels.activation_forward(name, y, out=y) is y
    np.testing.assert_array_equal(y, expected)
    dy = rng.standard_normal((3, 17)).astype(dtype)
    expected = kernels.activation_backward(name, y, dy)
    np.testing.assert_array_equal(kernels.activation_backward(name, y, dy, out=dy), expected)


def test_public_functions_have_kernels():
    for name in activations.__all__:
        if name in ("get", "serialize"):
            continue
        function = activations.get(name)
        assert activations.serialize(function) == name
        kernel = activations.kernel_of(function, "test")
        x = np.linspace(-2, 2, 8).reshape(2, 4)
        np.testing.assert_array_equal(function(x), kernels.activation_forward(kernel.name, x, kernel.alpha))


def test_public_functions_convert_and_refuse():
    assert activations.relu([1, -1]).dtype == np.float32
    assert activations.relu(np.float64(2.0)) == 2
    np.testing.assert_allclose(activations.gelu([1.0], approximate=True), oracles.activation("gelu_tanh", [1.0]))
    np.testing.assert_allclose(
        activations.softmax(np.array([[1.0, 2.0], [3.0, 5.0]]), axis=0).sum(axis=0), [1, 1], rtol=1e-12
    )
    with pytest.raises(ValueError, match="axis must be in"):
        activations.softmax([1.0, 2.0], axis=1)
    with pytest.raises(TypeError, match="complex"):
        activations.relu([1j])
    with pytest.raises(ValueError, match="Did you mean 'sigmoid'"):
        activations.get("sigmoit")
    with pytest.raises(TypeError, match="name or a function"):
        activations.get(3)


def test_the_docstring_names_what_is_derived_from_the_input():
    text = kernels.activation_backward.__doc__.partition("The input of ")[2].partition(", the output of all others")[0]
    named = {word.strip('`",') for word in text.replace(" and", "").split()}
    assert named == {name for name, row in _core.activation_table().items() if row["derivative_of"] == "input"}
