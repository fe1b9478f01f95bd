"""Optimizers: steps against their formulas, settings, schedules, whose variables they are."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

import lamina
from lamina import constraints, layers, losses, optimizers


@pytest.mark.parametrize(
    "settings",
    [{}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}],
    ids=str,
)
def test_sgd_steps_match_oracle(settings, rng):
    layer = layers.Dense(3, dtype="float64")
    layer.build((None, 2))
    start = layer.get_weights()
    gradients = [[rng.standard_normal((2, 3)), rng.standard_normal(3)] for _ in range(10)]
    optimizer = optimizers.SGD(0.1, **settings)
    for pair in gradients:
        optimizer.apply(pair, layer.trainable_weights)
    assert optimizer.iterations == 10
    for i in range(2):
        expected = oracles.sgd(start[i], [pair[i] for pair in gradients], 0.1, **settings)
        np.testing.assert_allclose(layer.get_weights()[i], expected, rtol=1e-12, atol=1e-14)


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


STEPS = {
    "adamax": (optimizers.Adamax, {}),
    "nadam": (optimizers.Nadam, {}),
    "rmsprop": (optimizers.RMSprop, {}),
    "rmsprop_centered": (optimizers.RMSprop, {"centered": True, "momentum": 0.5}),
    "adagrad": (optimizers.Adagrad, {}),
    "adadelta": (optimizers.Adadelta, {}),
    "lion": (optimizers.Lion, {}),
}


@pytest.mark.parametrize("decay", [None, 0.1])
@pytest.mark.parametrize("name", STEPS)
def test_optimizers_take_the_steps_of_their_formulas(name, decay, dtype, isa, rng):
    kind, settings = STEPS[name]
    layer = layers.Dense(7, use_bias=False, dtype=str(dtype), input_dim=5)
    layer.build((None, 5))
    optimizer = kind(0.05, weight_decay=decay, **settings)
    expected, state = layer.kernel.numpy().astype(np.float64), {}
    for t in range(1, 13):
        gradient = rng.standard_normal((5, 7)).astype(dtype)
        optimizer.apply([gradient], [layer.kernel])
        expected = expected * (1 - 0.05 * (decay or 0))
        expected -= 0.05 * getattr(oracles, name)(state, gradient.astype(np.float64), t)
    limit = 300 * np.finfo(dtype).eps
    np.testing.assert_allclose(layer.kernel.numpy(), expected, rtol=limit, atol=limit)
    again = optimizers.get(optimizers.serialize(optimizer))
    assert again.get_config() == optimizer.get_config()


def test_a_schedule_gives_each_batch_its_rate():
    schedule = optimizers.schedules.PiecewiseConstantDecay([1, 3], [0.5, 0.25, 0.0])
    x, y = np.ones((6, 1)), np.zeros((6, 1))
    layer = layers.Dense(1, use_bias=False, kernel_initializer="ones", input_dim=1)
    model = lamina.Sequential([layer])
    model.compile(optimizers.SGD(schedule), losses.L2Norm())  # its gradient is 1
    model.fit(x, y, batch_size=1, verbose=0)
    # 1 - 0.5 - 0.5 = 0, where the gradient is 0 and stays so.
    assert layer.kernel.numpy()[0, 0] == 0
    assert model.optimizer.learning_rate == 0.0
    assert model.optimizer.iterations == 6
    with pytest.raises(TypeError, match="follows a PiecewiseConstantDecay"):
        model.optimizer.learning_rate = 0.1
    assert [type(schedule)(**schedule.get_config())(i) for i in range(5)] == [0.5, 0.5, 0.25, 0.25, 0.0]


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


def test_an_optimizer_belongs_to_one_model():
    optimizer = lamina.optimizers.Adam(0.05)
    first, second = (lamina.Sequential([lamina.Input((3,)), layers.Dense(1)]) for _ in range(2))
    for model in (first, second):
        model.compile(optimizer, "mse")
    first.fit(np.ones((8, 3)), np.ones(8), verbose=0)
    before = second.get_weights()
    with pytest.raises(ValueError, match="the optimizer must be new: it has taken 1 steps"):
        second.fit(np.ones((8, 3)), np.ones(8), verbose=0)
    assert all(map(np.array_equal, second.get_weights(), before))


def test_nothing_to_apply_is_no_step():
    optimizer = lamina.optimizers.SGD(0.1)
    optimizer.apply_gradients([])
    assert optimizer.iterations == 0


def test_schedules_take_numbers_and_variables():
    schedule = lamina.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert schedule(10) == schedule(np.int64(10)) == schedule(lamina.Variable(10.0)) == 0.05
    with pytest.raises(TypeError, match="ExponentialDecay: step must be a number; got str"):
        schedule("x")


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


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("rule", [constraints.MaxNorm, constraints.UnitNorm, constraints.MinMaxNorm])
def test_apply_constrains_a_variable_without_a_layer_as_the_matrix_that_it_is(rule, axis):
    start = np.array([[3.0, 0, 1], [4, 2, 1]])
    variable = lamina.Variable(start, dtype="float64")
    variable.constraint = rule(axis=axis)
    optimizers.SGD(1.0).apply([np.zeros((2, 3))], [variable])
    np.testing.assert_allclose(variable.numpy(), rule(axis=axis)(start), rtol=1e-12)


@pytest.mark.parametrize("settings", [{}, {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"use_ema": True}], ids=str)
def test_apply_takes_variables_of_several_dtypes(settings, rng):
    values = [rng.standard_normal((2, 3)).astype(dtype) for dtype in ("float32", "float64", "float32")]
    gradients = [rng.standard_normal((2, 3)) for _ in values]
    together = [lamina.Variable(value) for value in values]
    optimizers.Adam(0.1, **settings).apply(gradients, together)
    for value, gradient, variable in zip(values, gradients, together, strict=True):
        alone = lamina.Variable(value)
        optimizers.Adam(0.1, **settings).apply([gradient], [alone])
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
