from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import activations, layers


@pytest.mark.parametrize("name", [n for n in activations.__all__ if n not in ("get", "serialize")])
def test_dense_activation_by_name_and_function(name, rng):
    x = rng.standard_normal((3, 4))
    by_name = layers.Dense(5, activation=name, dtype="float64")
    y = by_name(x)
    expected = oracles.dense_forward(x, by_name.kernel.numpy(), by_name.bias.numpy(), name)
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-14)
    by_function = layers.Dense(5, activation=getattr(activations, name), dtype="float64")
    by_function.build((None, 4))
    by_function.set_weights(by_name.get_weights())
    np.testing.assert_array_equal(by_function(x), y)
    layer = layers.Activation(name, dtype="float64")
    np.testing.assert_allclose(layer(x), oracles.activation(name, x), rtol=1e-12, atol=1e-14)


def test_dense_shapes_and_initial_values():
    layer = layers.Dense(3, kernel_initializer="ones", bias_initializer=lamina.initializers.Constant(2))
    assert not layer.built
    assert layer.weights == []
    y = layer(np.ones((2, 4)))
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, np.full((2, 3), 6))
    assert layer.kernel.shape == (4, 3)
    assert layer.bias.shape == (3,)
    assert layer.count_params() == 15
    assert layer.input_shape == (None, 4)
    assert layer.output_shape == (None, 3)
    assert [w.path for w in layer.weights] == ["dense/kernel", "dense/bias"]
    no_bias = layers.Dense(3, use_bias=False)
    no_bias.build((None, 4))
    assert no_bias.bias is None
    assert no_bias.count_params() == 12


def test_dense_applies_to_the_last_axis(rng):
    x = rng.standard_normal((2, 5, 4))
    layer = layers.Dense(3, activation="tanh", dtype="float64")
    y = layer(x)
    assert y.shape == (2, 5, 3)
    flat = layers.Dense(3, activation="tanh", dtype="float64")
    flat.build((None, 4))
    flat.set_weights(layer.get_weights())
    np.testing.assert_array_equal(y.reshape(10, 3), flat(x.reshape(10, 4)))
    model = lamina.Sequential(
        [layers.Dense(6, activation="tanh"), layers.Dense(3, activation="gelu"), layers.Flatten(), layers.Dense(2)]
    )
    model.build((None, 5, 4))
    model.compile(loss="mse")
    assert lamina.utils.check_gradients(model, rng.standard_normal((3, 5, 4)), np.ones((3, 2))) < 1e-6


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"units": 0}, ValueError, "Dense 'dense.*': units must be >= 1; got 0"),
        ({"units": -3}, ValueError, "units must be >= 1"),
        ({"units": 2.5}, TypeError, "units must be an int; got float"),
        ({"units": "3"}, TypeError, "units must be an int; got str"),
        ({"units": True}, TypeError, "units must be an int; got bool"),
        ({"units": 3, "activation": "rellu"}, ValueError, "activation must be one of .*Did you mean 'relu'"),
        ({"units": 3, "activation": np.sin}, ValueError, "must be one of lamina.activations"),
        ({"units": 3, "kernel_initializer": "glorot"}, ValueError, "initializer must be one of"),
        ({"units": 3, "dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64'"),
        ({"units": 3, "input_dim": 0}, ValueError, "input shape must hold positive ints"),
        ({"units": 3, "input_shape": (None,)}, ValueError, "input shape must hold positive ints"),
        ({"units": 3, "input_dim": 2, "input_shape": (2,)}, ValueError, "give input_dim or input_shape"),
        ({"units": 3, "bogus": 1}, TypeError, "unknown argument 'bogus'"),
        ({"units": 3, "name": 7}, TypeError, "name must be a str"),
    ],
)
def test_dense_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        layers.Dense(**arguments)


def test_numpy_integers_are_units():
    assert layers.Dense(np.int32(3), input_dim=np.int64(2)).units == 3


def test_activation_layers(rng):
    x = rng.standard_normal((4, 7)) * 5
    for layer, name, alpha in (
        (layers.ReLU(dtype="float64"), "relu", None),
        (layers.ReLU(max_value=6, dtype="float64"), "relu6", None),
        (layers.ReLU(negative_slope=0.1, dtype="float64"), "leaky_relu", 0.1),
        (layers.LeakyReLU(dtype="float64"), "leaky_relu", 0.3),
        (layers.LeakyReLU(negative_slope=0.05, dtype="float64"), "leaky_relu", 0.05),
        (layers.Softmax(dtype="float64"), "softmax", None),
        (layers.Activation("mish", dtype="float64"), "mish", None),
    ):
        np.testing.assert_allclose(layer(x), oracles.activation(name, x, alpha), rtol=1e-12)
        # After a linear layer it is taken up by that one, after another activation it stands alone.
        for before in ("linear", "tanh"):
            stack = [layers.Dense(7, before, dtype="float64", input_dim=5), type(layer).from_config(layer.get_config())]
            model = lamina.Sequential([*stack, layers.Dense(3, dtype="float64")])
            model.compile(loss="mse")
            assert lamina.utils.check_gradients(model, rng.standard_normal((6, 5)), rng.standard_normal((6, 3))) < 1e-5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.ReLU(max_value=-3), "max_value must be >= 0"),
        (lambda: layers.ReLU(negative_slope=-1), "negative_slope must be >= 0"),
        (lambda: layers.LeakyReLU(negative_slope=-1), "negative_slope must be >= 0"),
        (lambda: layers.Softmax(axis=1)(np.zeros((2, 3, 4))), "axis must be the last axis"),
    ],
)
def test_activation_layers_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_flatten():
    x = np.arange(24, dtype="f").reshape(2, 3, 4)
    layer = layers.Flatten()
    np.testing.assert_array_equal(layer(x), x.reshape(2, 12))
    assert layer.compute_output_shape((None, 3, 4)) == (None, 12)
    assert not np.shares_memory(lamina.Sequential([layers.Flatten()]).predict(x), x)


def test_layer_call_checks_its_input():
    layer = layers.Dense(2, name="hidden")
    layer(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"Dense 'hidden': x must have shape \(n, 4\); got \(3, 5\)"):
        layer(np.ones((3, 5)))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 4\); got \(4,\)"):
        layer(np.ones(4))


def test_unbuilt_layers_say_so():
    layer = layers.Dense(3, name="late")
    for ask in (
        lambda: layer.kernel,
        lambda: layer.bias,
        layer.count_params,
        layer.get_weights,
        lambda: layer.output_shape,
    ):
        with pytest.raises(ValueError, match="Dense 'late': the layer must be built"):
            ask()


def test_layers_survive_configuration():
    for layer in (
        layers.Dense(3, activation="elu", use_bias=False, kernel_initializer="he_normal", name="d", input_dim=4),
        layers.Activation("softplus"),
        layers.ReLU(max_value=6),
        layers.LeakyReLU(0.2),
        layers.Softmax(),
        layers.Flatten(),
        layers.Input((3, 4)),
    ):
        again = layers.deserialize(layers.serialize(layer))
        assert type(again) is type(layer)
        assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="Did you mean 'Dense'"):
        layers.deserialize({"class_name": "dence", "config": {}})


def test_variable_copies_out_and_writes_in():
    layer = layers.Dense(2, kernel_initializer="zeros")
    layer.build((None, 3))
    kernel = layer.kernel
    kernel.numpy()[:] = 5
    np.asarray(kernel)[:] = 5
    assert (kernel.numpy() == 0).all()
    assert kernel.assign(np.ones((3, 2), int)) is kernel
    assert (np.asarray(kernel) == 1).all()
    assert np.asarray(kernel, dtype="float64").dtype == np.float64
    assert kernel.dtype == "float32"
    assert kernel.size == 6
    assert len(kernel) == 3
    assert kernel.ndim == 2
    kernel[0][:] = 9
    assert (kernel[0] == 1).all()
    assert "dense/kernel" in repr(kernel)
    with pytest.raises(ValueError, match=r"value must have shape \(3, 2\); got \(2, 3\)"):
        kernel.assign(np.ones((2, 3)))
    with pytest.raises(TypeError, match="must be real numbers"):
        kernel.assign(np.ones((3, 2), complex))
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(kernel, copy=False)
    assert (np.asarray(kernel) == 1).all()


def test_set_weights_writes_all_or_nothing():
    layer = layers.Dense(2)
    layer.build((None, 3))
    before = layer.get_weights()
    for wrong, error, message in (
        ([np.zeros((3, 2))], ValueError, "there must be 2 arrays, one a weight; got 1"),
        ([np.zeros((3, 2)), np.zeros(3)], ValueError, r"'dense/bias' must have shape \(2,\); got \(3,\)"),
        ([np.zeros((3, 2)), np.array(["a", "b"])], TypeError, "must be real numbers"),
    ):
        with pytest.raises(error, match=message):
            layer.set_weights(wrong)
        for ours, expected in zip(layer.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(
    "make",
    [lambda: layers.Dense(2), layers.BatchNormalization, layers.LayerNormalization, layers.PReLU, layers.Normalization,
     layers.RMSNormalization, lambda: layers.Embedding(5, 2)],
)  # fmt: skip
def test_a_second_build_is_refused(make):
    layer = make()
    layer.build((None, 3))
    before = layer.get_weights()
    for shape in ((None, 3), (None, 4)):
        with pytest.raises(ValueError, match="build must be called once"):
            layer.build(shape)
    assert all(map(np.array_equal, layer.get_weights(), before))
    x = np.zeros((2, 3), "int64" if isinstance(layer, layers.Embedding) else "f")
    assert len(layer(x)) == 2
