"""When training stops: the engine's rule, the one in Python and scikit-learn's are the same."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.sklearn.objective import Watched
from lamina.sklearn.rates import InverseScaling
from lamina.sklearn.stopping import StoppingRule, reporter


def _by_scikit_learn(values, tol, patience, more):
    """Return the epoch at which training stops, the best value and the count, as scikit-learn finds them."""
    best, count = -np.inf if more else np.inf, 0
    for epoch, value in enumerate(values):
        worse = value < best + tol if more else value > best - tol
        count = count + 1 if worse else 0
        if value > best if more else value < best:
            best = value
        if count > patience:
            return epoch, best, count
    return None, best, count


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("more", [False, True])
@pytest.mark.parametrize(("tol", "patience"), [(0.0, 1), (1e-3, 2), (1e-2, 1), (0.05, 4), (0.1, np.inf)])
def test_training_stops_where_scikit_learn_stops(tol, patience, more, python, rng):
    x, y = rng.standard_normal((60, 4)), rng.integers(0, 3, 60)
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(6, "tanh"), layers.Dense(3, "softmax")])
    model.compile(lamina.optimizers.SGD(0.3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    lines = []
    monitor, mode = ("val_accuracy", "max") if more else ("loss", "min")
    rule = StoppingRule(
        monitor, mode, tol, patience, keeps_weights=True, score=None, report=lambda logs: lines.append(logs[monitor])
    )
    watching = [lamina.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: None)] if python else []
    past = model.fit(x, y, 20, 40, validation_data=(x, y), verbose=0, callbacks=[rule, *watching]).history[monitor]
    epoch, best, count = _by_scikit_learn(past, tol, patience, more)
    assert (rule.stopped_epoch or None) == epoch
    assert rule.stopped == (epoch is not None)
    assert len(past) == (40 if epoch is None else epoch + 1)
    assert (rule.best, rule.wait) == (best, count)
    assert rule.best_epoch == past.index(best)
    assert lines == past
    found = model.get_weights()
    model.set_weights(rule.best_weights)
    if more:
        assert model.evaluate(x, y, verbose=0)[1] == pytest.approx(best)
    elif rule.best_epoch == len(past) - 1:
        for one, other in zip(found, rule.best_weights, strict=True):
            np.testing.assert_array_equal(one, other)


def test_it_goes_on_counting_in_a_second_fit(rng):
    x, y = rng.standard_normal((20, 4)), rng.standard_normal((20, 1))
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    rule = StoppingRule("loss", "min", 1e-3, 5, keeps_weights=False, score=None, report=None)
    assert len(model.fit(x, y, epochs=4, verbose=0, callbacks=[rule]).epoch) == 4
    assert (rule.wait, rule.stopped_epoch) == (3, 0)
    assert len(model.fit(x, y, epochs=9, verbose=0, callbacks=[rule]).epoch) == 3
    assert rule.stopped_epoch == 2


def test_a_score_that_is_not_a_number_counts_as_an_improvement_as_in_scikit_learn(rng):
    x, y = rng.standard_normal((20, 4)), rng.standard_normal((20, 1))
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    scores = iter([0.5, 0.4, np.nan, 0.4, 0.3, 0.2, 0.1])
    rule = StoppingRule("score", "max", 0.0, 1, keeps_weights=False, score=lambda: next(scores), report=None)
    past = model.fit(x, y, epochs=7, verbose=0, callbacks=[rule])
    assert len(past.epoch) == 5
    assert rule.best == 0.5


def test_lines(capsys):
    report = reporter(Watched(metric="mse", error=True))
    report({"loss": 1.0, "val_mse": 0.25})
    report({"loss": 0.25, "val_mse": 0.5})
    assert capsys.readouterr().out.splitlines() == [
        "Iteration 1, loss = 1.00000000", "Validation score: 0.750000", "Iteration 2, loss = 0.25000000",
        "Validation score: 0.500000",
    ]  # fmt: skip


def test_rates_fall_with_the_rows_that_were_seen():
    schedule = InverseScaling(0.1, 0.5, rows=10, batches=3, seen=20)
    assert [schedule(step) for step in range(4)] == [0.1, 0.1, 0.1, 0.1 / 31**0.5]
    assert schedule(8) == 0.1 / 41**0.5
    assert InverseScaling(**schedule.get_config()).get_config() == schedule.get_config()
