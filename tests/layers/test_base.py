"""What all layers share: building, calls, weights, configurations, penalties on the output."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import lamina
from lamina import layers, regularizers


def test_layer_call_checks_its_input():
    layer = layers.Dense(2, name="hidden")
    layer(np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"Dense 'hidden': inputs must have shape \(n, 4\); got \(3, 5\)"):
        layer(np.ones((3, 5)))
    with pytest.raises(ValueError, match=r"inputs must have shape \(n, 4\); got \(4,\)"):
        layer(np.ones(4))


def test_unbuilt_layers_say_so():
    layer = layers.Dense(3, name="late")
    for ask in (
        lambda: layer.kernel,
        lambda: layer.bias,
        layer.count_params,
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
        layers.InputLayer((3, 4)),
    ):
        again = layers.deserialize(layers.serialize(layer))
        assert type(again) is type(layer)
        assert again.get_config() == layer.get_config()
    with pytest.raises(ValueError, match="Did you mean 'Dense'"):
        layers.deserialize({"class_name": "dence", "config": {}})


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


def test_a_penalty_on_the_output_is_in_the_loss(rng):
    x, y = rng.standard_normal((12, 4)), rng.standard_normal((12, 2))
    layer = layers.Dense(2, activity_regularizer=regularizers.L1L2(0.1, 0.2), dtype="float64")
    model = lamina.Sequential([layers.Input((4,), dtype="float64"), layer])
    model.compile("sgd", "mse")
    z = x @ layer.kernel.numpy()
    penalty = (0.1 * np.abs(z).sum() + 0.2 * (z * z).sum()) / 12
    assert model.evaluate(x, y, batch_size=12) == pytest.approx(((z - y) ** 2).mean() + penalty, rel=1e-12)
    weighted = model.evaluate(x, y, batch_size=12, sample_weight=np.zeros(12))
    assert weighted == pytest.approx(penalty, rel=1e-12)
    halves = [np.abs(z[i : i + 6]).sum() * 0.1 / 6 + (z[i : i + 6] ** 2).sum() * 0.2 / 6 for i in (0, 6)]
    assert model.evaluate(x, y, batch_size=6) == pytest.approx(((z - y) ** 2).mean() + np.mean(halves), rel=1e-12)
    layer.activity_regularizer = None
    assert model.evaluate(x, y) == pytest.approx(((z - y) ** 2).mean(), rel=1e-12)


class Scaled(layers.Layer):
    """``x * scale``, written in Python."""

    def build(self, input_shape):
        self.mark_built(input_shape)
        self.scale = self.add_weight(input_shape[-1:], "ones", name="scale")

    def forward(self, x, *, training):
        return layers.Pass(x * self.scale.value, x)

    def backward(self, dy, forward_pass, *, need_dx):
        return dy * self.scale.value, [(dy * forward_pass.saved).sum(axis=0)]


def test_a_layer_written_in_python_trains(rng):
    x, y = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    layer = Scaled(dtype="float64")
    model = lamina.Sequential([lamina.Input((4,), dtype="float64"), layer])
    model.compile(lamina.optimizers.SGD(0.5), "mse")
    with lamina.utils.custom_object_scope({"Scaled": Scaled}):  # it makes a copy
        assert lamina.utils.check_gradients(model, x, y) < 1e-6
    model.train_on_batch(x, y)
    slope = (2 * (x - y) / x.size * x).sum(axis=0)
    np.testing.assert_allclose(layer.scale.numpy(), 1 - 0.5 * slope, rtol=1e-12)
    np.testing.assert_allclose(layer(x), x * layer.scale.numpy(), rtol=1e-15)
    assert [w.path for w in layer.weights] == [f"{layer.name}/scale"]


def test_losses_are_added_inside_of_a_call_alone():
    with pytest.raises(TypeError, match="add_loss must be called inside of a call that computes a batch"):
        layers.Dense(2).add_loss(1.0)
    with pytest.raises(AttributeError, match="Sequential has no 'add_loss': layers add losses in their call"):
        lamina.Sequential([layers.Dense(2)]).add_loss(1.0)


def test_trained_variables_come_first():
    """As in Keras: in the order of `weights`, `get_weights`, and `set_weights`, by what they were when made."""

    class Scaled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = self.add_weight(shape=(3,), initializer="zeros", trainable=False, name="mean")
            self.factor = self.add_weight(shape=(3,), initializer="ones", name="factor")

        def build(self, input_shape):
            self.count = self.add_weight(shape=(1,), initializer="zeros", trainable=False, name="count")
            self.shift = self.add_weight(shape=(3,), initializer="zeros", name="shift")
            if self.fails:
                raise OSError("now")
            super().build(input_shape)

        def call(self, x):
            return (x - self.mean) * self.factor + self.shift + self.count

    layer = Scaled()
    layer.fails = True
    model = lamina.Sequential([layer])
    with pytest.raises(OSError, match="now"):
        model.build((None, 3))
    assert [variable.name for variable in layer.weights] == ["factor", "mean"]
    layer.fails = False
    x = np.arange(6, dtype="f").reshape(2, 3)
    layer.mean.assign([1, 2, 3])
    model.build((None, 3))
    assert [variable.name for variable in layer.weights] == ["factor", "shift", "mean", "count"]
    layer.factor.trainable = False
    copied = copy.copy(layer)
    for one in (layer, copied):
        assert [variable.name for variable in one.weights] == ["factor", "shift", "mean", "count"]
    np.testing.assert_array_equal(model.predict(x, verbose=0), x - [1, 2, 3])
    model.set_weights([[2, 2, 2], [5, 6, 7], [1, 1, 1], [9]])
    np.testing.assert_array_equal(model.predict(x, verbose=0), (x - 1) * 2 + [5, 6, 7] + 9)
    np.testing.assert_array_equal(layer.shift, [5, 6, 7])
    model.compile(lamina.optimizers.SGD(1.0), "mse")
    before = [variable.numpy() for variable in (layer.factor, layer.mean, layer.count)]
    model.fit(x, x, verbose=0)
    for variable, value in zip((layer.factor, layer.mean, layer.count), before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert (layer.shift.numpy() != [5, 6, 7]).all()
