"""What an executor gives and takes: where training stands, and gradients as they are complete."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


def model_of(seed=0, metrics=("mae",)):
    lamina.utils.set_random_seed(seed)
    model = lamina.Sequential(
        [lamina.Input((5,)), layers.Dense(8, "relu", name="a"), layers.Dropout(0.3, seed=1), layers.Dense(2, name="b")]
    )
    model.compile(lamina.optimizers.Adam(0.01), "mse", metrics=list(metrics))
    return model


def rows(n=48):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 5)).astype(np.float32), rng.normal(size=(n, 2)).astype(np.float32)


class Interrupt(lamina.callbacks.Callback):
    """Takes the state of everything after so many batches, and goes no further."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_train_batch_end(self, batch, logs=None):
        if batch + 1 == self.after:
            model = self.model
            slots = model.optimizer.slot_arrays(model.trainable_variables)
            self.taken = model.executor.state(), model.get_weights(), slots
            self.logs = model.get_metrics_result()


@pytest.mark.parametrize("after", [1, 2, 3])
def test_state_tells_where_in_an_epoch_training_stands(after):
    x, y = rows()
    model, taken = model_of(), Interrupt(after)
    model.fit(x, y, batch_size=16, epochs=2, verbose=0, callbacks=[taken], initial_epoch=1)
    state = taken.taken[0]
    assert (state.epoch, state.row, state.batches, state.draws, state.shuffles) == (1, 16 * after, after, after, 1)


def test_a_restored_model_takes_the_same_next_step():
    x, y = rows()
    model, taken = model_of(), Interrupt(2)
    model.fit(x, y, batch_size=16, shuffle=False, verbose=0, callbacks=[taken])
    state, weights, slots = taken.taken

    other = model_of()
    other.train_on_batch(x[:3], y[:3])  # something else came between
    other.set_weights(weights)
    other.optimizer.load_slot_arrays(slots, other.trainable_variables)
    other.executor.restore(state)
    assert other.get_metrics_result() == taken.logs
    assert other.executor.state()[:5] == state[:5]
    order = np.arange(48, dtype=np.int64)
    prepared = lamina.models.prepared.prepare("fit", other.stack, other.executor.require_compiled("fit"), x, y, None)
    other.executor.train_rows(prepared, order, state.row, 16, 16)
    for ours, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert other.get_metrics_result() == model.get_metrics_result()


def test_state_is_a_value():
    x, y = rows()
    model = model_of(metrics=["mae", lamina.metrics.AUC(name="auc", multi_label=True)])
    model.train_on_batch(x, (y > 0).astype(np.float32))
    state = model.executor.state()
    before = model.get_metrics_result()
    model.fit(x, (y > 0).astype(np.float32), verbose=0)
    assert model.get_metrics_result() != before
    for _ in range(2):  # restored twice, it is the same twice
        model.executor.restore(state)
        assert model.get_metrics_result() == before
        model.train_on_batch(x, (y > 0).astype(np.float32))


def test_state_of_other_metrics_is_refused():
    x, y = rows()
    model, other = model_of(), model_of(metrics=())
    model.train_on_batch(x, y)
    other.train_on_batch(x, y)
    before = other.executor.state()
    with pytest.raises(ValueError, match=r"must be one of 1 metrics, the loss included; it has 2\."):
        other.executor.restore(model.executor.state())
    assert other.executor.state() == before


def test_state_of_a_model_that_is_not_compiled():
    model = lamina.Sequential([lamina.Input((5,)), layers.Dropout(0.5)])
    model(np.ones((2, 5), np.float32), training=True)
    state = model.executor.state()
    assert (state.batches, state.draws, state.metrics) == (0, 1, [])
    other = lamina.Sequential([lamina.Input((5,)), layers.Dropout(0.5)])
    other.executor.restore(state)
    assert other.executor.state() == state


@pytest.mark.parametrize("again", ["compile", "frozen", "sparse", "none"])
def test_the_gradient_hook_stays_for_every_later_trainer(again):
    sparse = pytest.importorskip("scipy.sparse")
    x, y = rows()
    model, heard = model_of(), []
    model.train_on_batch(x, y)
    model.executor.on_gradient(lambda op, gradient: heard.append((op, None if gradient is None else gradient.copy())))
    if again == "compile":
        model.compile("sgd", "mae")
    elif again == "frozen":
        model.layers[0].trainable = False
    elif again == "sparse":
        x = sparse.csr_matrix(x)
    before = model.get_weights()
    model.train_on_batch(x, y)
    assert heard[-1] == (-1, None)
    ops = [op for op, _ in heard[:-1]]
    assert len(ops) == (1 if again == "frozen" else 2)
    assert ops == sorted(ops, reverse=True)
    if again == "compile":  # the gradient is that of the step which was taken
        gradient = heard[0][1][heard[0][1] != 0]  # the engine's memory pads each tensor
        step = np.concatenate([(b - w).reshape(-1) for b, w in zip(before[2:], model.get_weights()[2:], strict=True)])
        np.testing.assert_allclose(np.sort(0.01 * gradient), np.sort(step[step != 0]), atol=1e-7)
    model.executor.on_gradient(None)
    count = len(heard)
    model.train_on_batch(x, y)
    assert len(heard) == count
