"""Gradients beside JAX's and SHAP's."""

import numpy as np
import pytest

import lamina
from lamina import layers

jax = pytest.importorskip("jax")

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jax.numpy.tanh, "gelu": lambda x: jax.nn.gelu(x, approximate=False)}


def _networks(activation, dtype):
    model = lamina.Sequential([
        lamina.Input((7,)),
        layers.Dense(33, activation, dtype=dtype),
        layers.LayerNormalization(epsilon=1e-3, dtype=dtype),
        layers.Dense(12, activation, dtype=dtype),
        layers.Dense(3, "softmax", dtype=dtype),
    ])  # fmt: skip
    function = ACTIVATIONS[activation]

    def run(weights, x):
        w, b, scale, shift, w2, b2, w3, b3 = weights
        x = function(x @ w + b)
        x = (x - x.mean(-1, keepdims=True)) / jax.numpy.sqrt(x.var(-1, keepdims=True) + 1e-3) * scale + shift
        return jax.nn.softmax(function(x @ w2 + b2) @ w3 + b3)

    return model, run, [jax.numpy.asarray(w) for w in model.get_weights()]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 5, 200])
def test_derivatives_are_those_of_jax(rng, activation, rows, dtype):
    model, run, weights = _networks(activation, dtype)
    x = rng.standard_normal((rows, 7)).astype(dtype)
    dy = rng.standard_normal((rows, 3)).astype(dtype)
    tolerance = {"rtol": 1e-3, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-9, "atol": 1e-11}

    y, pull_back = jax.vjp(run, weights, x)
    gradients, dx = pull_back(jax.numpy.asarray(dy))
    found = model.vjp(x, dy)
    np.testing.assert_allclose(found[0], y, **tolerance)
    np.testing.assert_allclose(found[1], dx, **tolerance)
    for one, two in zip(found[2], gradients, strict=True):
        np.testing.assert_allclose(one, two, **tolerance)

    jacobian = jax.vmap(jax.jacrev(run, 1), (None, 0))(weights, x)
    np.testing.assert_allclose(model.jacobian(x), jacobian, **tolerance)
    by_weights = jax.vmap(jax.jacrev(run), (None, 0))(weights, x)
    flat = np.concatenate([np.asarray(one).reshape(rows * 3, -1) for one in by_weights], axis=1)
    np.testing.assert_allclose(model.parameter_jacobian(x), flat, **tolerance)

    model.compile(loss="mse")
    sample_weight = rng.uniform(0.1, 2, rows).astype(dtype)

    def loss(weights):
        return (sample_weight[:, None] * (run(weights, x) - dy) ** 2).mean()

    value, gradients = jax.value_and_grad(loss)(weights)
    found = model.value_and_gradient(x, dy, sample_weight)
    np.testing.assert_allclose(found[0], value, **tolerance)
    for one, two in zip(found[1], gradients, strict=True):
        np.testing.assert_allclose(one, two, **tolerance)


def test_expected_gradients_are_those_of_shap(rng):
    shap, torch = pytest.importorskip("shap"), pytest.importorskip("torch")
    model = lamina.Sequential([lamina.Input((20,)), layers.Dense(32, "relu"), layers.Dense(4)])
    parts = []
    for layer in model.layers:
        kernel, bias = layer.get_weights()
        linear = torch.nn.Linear(*kernel.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(kernel.T.copy()), torch.from_numpy(bias.copy())
        parts += [linear, torch.nn.ReLU()]
    twin = torch.nn.Sequential(*parts[:-1])
    x, background = rng.random((6, 20), "f"), rng.random((50, 20), "f")
    explainer = shap.GradientExplainer(twin, torch.from_numpy(background))
    expected = explainer.shap_values(torch.from_numpy(x), nsamples=80, rseed=3)

    for output in range(4):
        dy = np.zeros((80, 4), "f")
        dy[:, output] = 1
        draws = np.random.RandomState(3)
        for i, row in enumerate(x):
            drawn = [(draws.choice(50), draws.uniform()) for _ in range(80)]
            others = background[[other for other, _ in drawn]]
            places = np.array([[place] for _, place in drawn], "f")
            gradients = model.vjp(others + places * (row - others), dy, need_gradients=False)[1]
            np.testing.assert_allclose((gradients * (row - others)).mean(0), expected[i, :, output], atol=1e-5)
