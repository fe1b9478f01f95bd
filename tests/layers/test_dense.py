"""Dense: values, shapes, refusals."""

from __future__ import annotations

import copy

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
        ({"units": 3, "activation": 3}, TypeError, "activation must be a name or a function"),
        ({"units": 3, "kernel_initializer": "glorot"}, ValueError, "initializer must be one of"),
        ({"units": 3, "dtype": "float16"}, ValueError, "dtype must be 'float32' or 'float64'"),
        ({"units": 3, "input_dim": 0}, ValueError, "input shape must hold positive ints"),
        ({"units": 3, "input_shape": (None, 0)}, ValueError, "input shape must hold positive ints"),
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


def test_a_changed_argument_of_an_activation_layer_acts():
    relu = layers.ReLU(max_value=1.0)
    model = lamina.Sequential([lamina.Input((1,)), layers.Dense(1, relu, kernel_initializer="ones")])
    model.compile("sgd", "mae")
    x, y = np.array([[4.0]]), np.array([[0.0]])
    assert (model.predict(x), model.layers[0](x), model.evaluate(x, y, verbose=0)) == (1.0, 1.0, 1.0)
    relu.max_value = 2.0
    assert (model.predict(x), model.layers[0](x), model.evaluate(x, y, verbose=0)) == (2.0, 2.0, 2.0)
    model.train_on_batch(x, y)
    relu.max_value = 3.0
    assert model.train_on_batch(x, y) == 3.0


def test_files_hold_the_noise_of_an_activation_layer(tmp_path):
    def weights_after(model):
        x = np.random.default_rng(0).standard_normal((32, 3))
        model.fit(x, x[:, :2], verbose=0)
        return model.get_weights()

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, layers.Dropout(0.5))])
    model.compile("sgd", "mse")
    weights_after(model)
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    for ours, theirs in zip(weights_after(again), weights_after(model), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_an_activation_of_ones_own_class_is_named_in_files(tmp_path):
    class Own(layers.ReLU):
        pass

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, Own())])
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="'Own' of the module .* must be registered"):
        lamina.models.load_model(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors", custom_objects={"Own": Own})
    assert type(again.layers[0].activation) is Own


def with_slopes(inside, x, kind="dense"):
    """A network whose activation has parameters: as an argument of its layer, or after it."""
    first = [layers.Dense(6, name="first"), layers.PReLU("ones", name="slopes")]
    if inside and kind == "dense":
        first = [layers.Dense(6, layers.PReLU("ones", name="slopes"), name="first")]
    elif inside:
        first = [layers.Dense(6, name="first"), layers.Activation(layers.PReLU("ones", name="slopes"))]
    model = lamina.Sequential([lamina.Input(x.shape[1:]), *first, layers.Dense(2, name="last")])
    model.compile("adam", "mse")
    return model


@pytest.mark.parametrize("kind", ["dense", "activation"])
def test_an_activation_may_have_parameters(kind, rng, tmp_path):
    x, y = rng.standard_normal((50, 4)).astype("f"), rng.standard_normal((50, 2))
    inside, after = with_slopes(True, x, kind), with_slopes(False, x)
    assert [v.name for v in inside.weights] == ["kernel", "bias", "alpha", "kernel", "bias"]
    inside.set_weights(after.get_weights())
    inside.seed = after.seed
    for model in (inside, after):
        model.fit(x, y, epochs=3, batch_size=16, verbose=0)
    for one, other in zip(inside.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (inside.get_weights()[2] != 1).any()
    assert inside.count_params() == after.count_params()
    assert lamina.utils.check_gradients(inside, x, y) < 1e-6
    for suffix in (".safetensors", ".keras", ".h5"):
        inside.save(tmp_path / f"m{suffix}")
        loaded = lamina.models.load_model(tmp_path / f"m{suffix}")
        np.testing.assert_array_equal(loaded.predict(x), inside.predict(x))
    twin = copy.deepcopy(inside)
    np.testing.assert_array_equal(twin.predict(x), inside.predict(x))
    clone = lamina.models.clone_model(inside)
    assert [w.shape for w in clone.get_weights()] == [w.shape for w in inside.get_weights()]
    inside.layers[0 if kind == "dense" else 1].trainable = False
    assert inside.trainable_weights == [
        v for v in inside.weights if "last" in v.path or (kind != "dense" and "first" in v.path)
    ]


def test_an_activation_with_parameters_belongs_to_one_layer(rng):
    shared = layers.PReLU()
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, shared)])
    with pytest.raises(ValueError, match="can be an argument of one layer only"):
        model.add(layers.Dense(4, shared))
    assert len(model.layers) == 1
    assert len(model.weights) == 3
    layer = layers.Dense(4, layers.PReLU("ones"))
    x = rng.standard_normal((5, 3)).astype("f")
    np.testing.assert_allclose(layer(x), x @ layer.kernel.numpy(), atol=1e-6)
    assert [w.shape for w in layer.get_weights()] == [(3, 4), (4,), (4,)]
    same = layers.LeakyReLU(0.2)
    both = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, same), layers.Dense(4, same)])
    assert both.predict(x).shape == (5, 4)


def test_activations_with_parameters_may_share_a_name_and_be_assigned(rng, tmp_path):
    x, y = rng.standard_normal((20, 6)).astype("f"), rng.standard_normal((20, 3))
    model = lamina.Sequential(
        [
            lamina.Input((6,)), layers.Dense(3, layers.PReLU("ones", name="p"), name="a"),
            layers.Dense(3, layers.PReLU(name="p"), name="b"),
        ]
    )  # fmt: skip
    assert [v.path for v in model.weights if "alpha" in v.path] == ["a/p/alpha", "b/p/alpha"]
    model.layers[0].activation = layers.PReLU("ones", name="q")
    assert len(model.weights) == 6
    model.compile("sgd", "mse")
    for save, load in (
        (model.save_weights, lambda path: model.load_weights(path) or model), (model.save, lamina.models.load_model),
    ):  # fmt: skip
        save(tmp_path / "m.safetensors")
        before = model.predict(x)
        model.fit(x, y, verbose=0)
        np.testing.assert_array_equal(load(tmp_path / "m.safetensors").predict(x), before)
    slopes = model.layers[1].activation
    slopes.trainable = False
    before = slopes.get_weights()[0].copy()
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(slopes.get_weights()[0], before)


def test_slopes_for_steps_are_for_so_many_steps():
    layer = layers.Dense(3, activation=layers.PReLU())
    assert layer(np.ones((2, 4, 5))).shape == (2, 4, 3)
    with pytest.raises(ValueError, match=r"\(n, 4, 5\)"):
        layer(np.ones((1, 5, 5)))
