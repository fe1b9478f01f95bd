"""What all optimizers share: learning rate, clipping, loss scale, whose variables they step on."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, optimizers


def test_optimizer_configuration_and_learning_rate():
    optimizer = optimizers.SGD(1, momentum=np.float32(0.5), nesterov=True, weight_decay=0.01)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()
    optimizer.learning_rate = np.float64(0.5)
    assert optimizer.learning_rate == 0.5
    assert optimizers.get("SGD").learning_rate == 0.01
    layer = layers.Dense(1, kernel_initializer="zeros", use_bias=False)
    layer.build((None, 1))
    optimizers.SGD(0.5).apply_gradients([(np.ones((1, 1), "f"), layer.kernel)])
    assert layer.kernel.numpy() == -0.5


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"learning_rate": -1}, ValueError, "learning_rate must be >= 0"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate must be >= 0 and finite"),
        ({"learning_rate": "0.1"}, TypeError, "learning_rate must be a number; got str"),
        ({"momentum": 2}, ValueError, r"momentum must be in \[0, 1\]; got 2"),
        ({"momentum": -0.1}, ValueError, r"momentum must be in \[0, 1\]"),
        ({"weight_decay": -0.1}, ValueError, "weight_decay must be >= 0"),
    ],
)
def test_optimizers_refuse(arguments, error, message):
    with pytest.raises(error, match=f"SGD: {message}"):
        optimizers.SGD(**arguments)
    with pytest.raises(ValueError, match="Did you mean 'sgd'"):
        optimizers.get("sdg")
    optimizer = optimizers.SGD()
    with pytest.raises(ValueError, match="learning_rate must be"):
        optimizer.learning_rate = -1
    assert optimizer.learning_rate == 0.01


def test_learning_rate_reads_like_a_number_and_like_a_variable():
    optimizer = optimizers.Adam(0.5)
    assert optimizer.learning_rate == 0.5
    assert optimizer.learning_rate.numpy().dtype == np.float32
    optimizer.learning_rate.assign(0.25)
    assert optimizer.learning_rate * 2 == 0.5
    rates = iter([0.1, 0.2])
    assert optimizers.SGD(lambda: next(rates)).learning_rate == 0.1
    with pytest.raises(ValueError, match="learning_rate must be >= 0"):
        optimizers.SGD(lambda: -1.0).learning_rate  # noqa: B018


@pytest.mark.parametrize("in_python", [False, True])
def test_an_optimizer_that_models_share_has_state_for_each_of_them(in_python, tmp_path):
    class Own(lamina.optimizers.Adam):
        def update(self, *values):
            return super().update(*values)

    optimizer = (Own if in_python else lamina.optimizers.Adam)(0.05)
    x, y = np.random.default_rng(0).standard_normal((8, 3)), np.ones(8)
    first, second = (lamina.Sequential([lamina.Input((3,)), layers.Dense(2), layers.Dense(1)]) for _ in range(2))
    for model in (first, second):
        model.compile(optimizer, "mse")
    first.train_on_batch(x, y)
    with pytest.warns(UserWarning, match="Adam|Own: the optimizer has taken 1 steps on the variables of another model"):
        second.train_on_batch(x, y)
    for model in (first, second, second, first):  # warned of once
        model.train_on_batch(x, y)
    assert optimizer.iterations == 6
    moments = {id(model): [optimizer.slot("momentum", v).numpy() for v in model.weights] for model in (first, second)}
    assert not any(map(np.array_equal, *moments.values()))
    for model in (first, second):
        model.save(tmp_path / "m.safetensors")
        again = lamina.models.load_model(tmp_path / "m.safetensors", custom_objects={"Own": Own})
        found = [again.optimizer.slot("momentum", v).numpy() for v in again.weights]
        assert all(map(np.array_equal, found, moments[id(model)]))
        pytest.importorskip("h5py")
        model.save(tmp_path / "m.keras")
        again = lamina.models.load_model(tmp_path / "m.keras", custom_objects={"Own": Own})
        found = [again.optimizer.slot("momentum", v).numpy() for v in again.weights]
        assert all(map(np.array_equal, found, moments[id(model)]))


def test_nothing_to_apply_is_no_step():
    optimizer = lamina.optimizers.SGD(0.1)
    optimizer.apply_gradients([])
    assert optimizer.iterations == 0


class Plain(optimizers.Optimizer):
    def update(self, variable, gradient):
        variable.assign(variable.numpy() - self.learning_rate * gradient)


class Free(lamina.regularizers.Regularizer):
    def value_and_gradient(self, w):
        return 0.0, np.zeros_like(w)


@pytest.mark.parametrize("scale", [8.0, 3.0])
@pytest.mark.parametrize(
    ("optimizer", "regularizer"), [(optimizers.SGD, None), (optimizers.SGD, Free), (Plain, None)], ids=str
)
def test_fit_takes_the_same_steps_with_a_loss_scale(optimizer, regularizer, scale, rng):
    x, y = rng.standard_normal((20, 4)), rng.standard_normal((20, 2))

    def weights_with(factor):
        lamina.utils.set_random_seed(0)
        rule = None if regularizer is None else regularizer()
        model = lamina.Sequential([lamina.Input((4,)), layers.Dense(2, kernel_regularizer=rule)])
        model.compile(optimizer(0.1, loss_scale_factor=factor), "mse")
        model.fit(x, y, batch_size=7, verbose=0)
        return model.get_weights()

    for plain, scaled in zip(weights_with(None), weights_with(scale), strict=True):
        np.testing.assert_allclose(scaled, plain, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_no_clipping_with_zero(name):
    layer = layers.Dense(2, use_bias=False, kernel_initializer="zeros")
    layer.build((None, 1))
    optimizers.SGD(1.0, **{name: 0}).apply([np.array([[3.0, -4.0]])], layer.trainable_weights)
    np.testing.assert_array_equal(layer.get_weights()[0], [[-3.0, 4.0]])


def test_optimizers_by_themselves():
    first, second = lamina.Variable([1.0, 2.0]), lamina.Variable([[3.0]])
    optimizer = lamina.optimizers.Adam(0.1)
    with pytest.raises(ValueError, match="must be built"):
        optimizer.set_weights([])
    with pytest.warns(UserWarning, match="have no gradient"):
        optimizer.apply([[0.5, 0.5], None], [first, second])
    np.testing.assert_allclose(first, [0.9, 1.9], rtol=1e-6)
    np.testing.assert_array_equal(second, [[3.0]])
    optimizer.apply([np.zeros(2), np.ones((1, 1))])  # of the variables that it was built for
    assert optimizer.iterations == 2
    assert len(optimizer.variables) == 2 + 4
    other = lamina.optimizers.Adam(0.5)
    other.build([first, second])
    other.set_weights(optimizer.variables)
    for ours, expected in zip(other.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())
    for wrong in ([[0.5]], [None, None], [np.zeros(3), np.zeros((1, 1))]):
        with pytest.raises(ValueError, match="Adam: "):
            optimizer.apply(wrong)
    scaled = lamina.optimizers.SGD(1.0, loss_scale_factor=4.0)
    scaled.apply([np.array([4.0, 8.0])], [first])
    assert scaled.scale_loss(2.0) == 8.0
    np.testing.assert_allclose(first, np.array([0.9, 1.9]) - [1, 2], atol=0.2)
    with pytest.warns(UserWarning, match="decay is no longer"):
        lamina.optimizers.SGD(decay=1e-6)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"clipnorm": 1, "clipvalue": 1}, ValueError, "only one"),
        ({"clipnorm": -1}, ValueError, "clipnorm must be >= 0"),
        ({"gradient_accumulation_steps": 1}, ValueError, ">= 2"),
        ({"ema_momentum": 2}, ValueError, "ema_momentum"),
        ({"loss_scale_factor": -8}, ValueError, "loss_scale_factor"),
        ({"nonsense": 1}, TypeError, "nonsense"),
    ],
)
def test_nonsense_settings_raise(settings, error, words):
    with pytest.raises(error, match=words):
        optimizers.SGD(0.1, **settings)


def test_exclusion_looks_at_names_and_the_last_call_counts():
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    layer = layers.Dense(2, name="debias", input_shape=(3,))
    lamina.Sequential([layer])
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    assert [optimizer.decays(v) for v in layer.weights] == [True, False]
    optimizer.exclude_from_weight_decay(var_list=[layer.weights[0]])
    assert [optimizer.decays(v) for v in layer.weights] == [False, True]


def test_an_optimizer_is_made_from_its_configuration():
    optimizer = optimizers.Adam(0.5, beta_1=0.25, clipnorm=2.0, name="own")
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    assert type(again) is optimizers.Adam
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize(
    ("optimizer", "order"),
    [
        (optimizers.SGD(momentum=0.9), "velocity/kernel velocity/bias"),
        (optimizers.Adam(amsgrad=True), "momentum/kernel velocity/kernel momentum/bias velocity/bias "
         "velocity_hat/kernel velocity_hat/bias"),
        (optimizers.Adamax(), "momentum/kernel norm/kernel momentum/bias norm/bias"),
        (optimizers.Nadam(), "momentum/kernel velocity/kernel momentum/bias velocity/bias u_product"),
        (optimizers.Adadelta(), "accumulated_grad/kernel accumulated_delta_var/kernel accumulated_grad/bias "
         "accumulated_delta_var/bias"),
        (optimizers.RMSprop(momentum=0.5, centered=True), "velocity/kernel velocity/bias momentum/kernel momentum/bias "
         "average_gradient/kernel average_gradient/bias"),
        (optimizers.Adam(use_ema=True, gradient_accumulation_steps=2), "average/kernel average/bias "
         "gradient_accumulator/kernel gradient_accumulator/bias momentum/kernel velocity/kernel momentum/bias "
         "velocity/bias"),
    ],
)  # fmt: skip
def test_variables_have_the_order_of_keras(optimizer, order):
    """The order that Keras 3.15 shows, and in which its files hold them."""
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(2, name="d")])
    model.compile(optimizer, "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), batch_size=2, verbose=0, epochs=2)
    assert [v.path.replace("/d/", "/") for v in optimizer.variables] == ["iteration", "learning_rate", *order.split()]
    if isinstance(optimizer, optimizers.Nadam):  # after four steps, as Keras has it
        np.testing.assert_allclose(optimizer.variables[-1].numpy(), 0.05901814, rtol=1e-6)
