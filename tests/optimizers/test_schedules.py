"""Schedules of the learning rate."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, losses, optimizers


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


def test_schedules_take_numbers_and_variables():
    schedule = lamina.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    assert schedule(10) == schedule(np.int64(10)) == schedule(lamina.Variable(10.0)) == 0.05
    with pytest.raises(TypeError, match="ExponentialDecay: step must be a number; got str"):
        schedule("x")


def cosine(share):
    return (1 + np.cos(np.pi * share)) / 2


RATES = {
    "exponential": (
        optimizers.schedules.ExponentialDecay(0.5, 4, 0.25), lambda t: 0.5 * 0.25 ** (t / 4)),
    "exponential, in stairs": (
        optimizers.schedules.ExponentialDecay(0.5, 4, 0.25, staircase=True), lambda t: 0.5 * 0.25 ** (t // 4)),
    "inverse": (
        optimizers.schedules.InverseTimeDecay(0.5, 4, 3.0), lambda t: 0.5 / (1 + 3 * t / 4)),
    "inverse, in stairs": (
        optimizers.schedules.InverseTimeDecay(0.5, 4, 3.0, staircase=True), lambda t: 0.5 / (1 + 3 * (t // 4))),
    "polynomial": (
        optimizers.schedules.PolynomialDecay(0.5, 8, 0.125, power=2.0),
        lambda t: 0.375 * (1 - min(t, 8) / 8) ** 2 + 0.125),
    "polynomial, in cycles": (
        optimizers.schedules.PolynomialDecay(0.5, 4, 0.125, cycle=True),
        lambda t: 0.375 * (1 - t / (4 * max(1, np.ceil(t / 4)))) + 0.125),
    "cosine": (
        optimizers.schedules.CosineDecay(0.5, 10, alpha=0.25), lambda t: 0.5 * (0.75 * cosine(min(t, 10) / 10) + 0.25)),
    "cosine, warmed up": (
        optimizers.schedules.CosineDecay(0.125, 8, warmup_target=0.5, warmup_steps=4),
        lambda t: 0.125 + 0.375 * t / 4 if t < 4 else 0.5 * cosine(min(t - 4, 8) / 8)),
    "cosine, repeated": (
        optimizers.schedules.CosineDecayRestarts(0.5, 5, t_mul=1.0, m_mul=0.5, alpha=0.25),
        lambda t: 0.5 * (0.75 * 0.5 ** (t // 5) * cosine(t % 5 / 5) + 0.25)),
    "cosine, longer each time": (  # 3, 6 and 12 batches long
        optimizers.schedules.CosineDecayRestarts(0.5, 3, m_mul=0.5),
        lambda t: (
            0.5 * cosine(t / 3) if t < 3 else 0.25 * cosine((t - 3) / 6) if t < 9 else 0.125 * cosine((t - 9) / 12))),
}  # fmt: skip


@pytest.mark.parametrize("name", RATES)
def test_rates_are_those_of_the_formulas(name):
    schedule, formula = RATES[name]
    found, wanted = [schedule(t) for t in range(20)], [formula(t) for t in range(20)]
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-16)
    again = optimizers.schedules.deserialize(optimizers.schedules.serialize(schedule))
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()


def test_a_schedule_of_ones_own_is_asked_for_each_batch():
    class Halves(optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.5 ** (float(step) + 1)

    layer = layers.Dense(1, use_bias=False, kernel_initializer="zeros", dtype="float64")
    layer.build((None, 1))
    optimizer = optimizers.SGD(Halves())
    for _ in range(3):
        optimizer.apply([np.ones((1, 1))], [layer.kernel])
    assert layer.kernel.numpy() == -(0.5 + 0.25 + 0.125)
    with pytest.raises(NotImplementedError, match="a schedule defines __call__"):
        optimizers.schedules.LearningRateSchedule()(0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda s: s.PiecewiseConstantDecay([1, 2], [0.1, 0.2]), "values must be one more than boundaries"),
        (lambda s: s.PiecewiseConstantDecay([2, 1], [0.1, 0.2, 0.3]), "boundaries must ascend"),
        (lambda s: s.ExponentialDecay(-0.1, 4, 0.5), "initial_learning_rate must be >= 0"),
        (lambda s: s.InverseTimeDecay(0.1, 0, 0.5), "decay_steps must be > 0"),
        (lambda s: s.CosineDecayRestarts(0.1, 4, t_mul=0.5), "t_mul must be >= 1"),
    ],
)
def test_schedules_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make(optimizers.schedules)
