"""What an executor gives and takes: where training stands, gradients as they are complete, which steps count."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from helpers import interrupted_after, small_model

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


def test_state_of_a_metric_with_other_arguments_is_refused():
    x, y = rows()
    fine, coarse = (
        model_of(metrics=["mae", lamina.metrics.AUC(count, multi_label=True, name="auc")]) for count in (200, 50)
    )
    for model in (fine, coarse):
        model.train_on_batch(x, (y > 0).astype(np.float32))
    before, logs = coarse.executor.state(), coarse.get_metrics_result()
    with pytest.raises(ValueError, match=r"counts must have shape \(2, 2, 51\); got \(2, 2, 201\)"):
        coarse.executor.restore(fine.executor.state())
    assert coarse.get_metrics_result() == logs
    assert coarse.executor.state()[:5] == before[:5]


def test_what_changes_while_a_call_waits_for_its_turn_is_seen_by_it():
    x, y = rows()
    model, inside, go_on = model_of(), threading.Event(), threading.Event()

    class Held(lamina.regularizers.Regularizer):
        def value_and_gradient(self, weights):
            inside.set()
            assert go_on.wait(20)
            return 0.0, np.zeros_like(weights)

    model.train_on_batch(x, y)
    model.layers[0].kernel.regularizer = Held()
    threads = [threading.Thread(target=model.train_on_batch, args=(x, y)) for _ in range(2)]
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    time.sleep(0.2)  # by now it waits for the first
    model.layers[0].trainable = False
    go_on.set()
    threads[0].join()
    kernel = model.layers[0].get_weights()[0]
    threads[1].join()
    np.testing.assert_array_equal(model.layers[0].get_weights()[0], kernel)
    assert model.optimizer.batches == 3


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


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_frozen_models_count_no_steps():
    model = small_model()
    model.trainable = False
    model.fit(np.zeros((8, 3)), np.zeros(8), verbose=0)
    assert model.optimizer.iterations == 0


class Places(lamina.callbacks.Callback):
    """Notes where training stands at each event."""

    def __init__(self):
        super().__init__()
        self.begun, self.batches = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.begun.append(self.model.executor.state()[3:5])

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(self.model.executor.state()[3:5])


def test_state_follows_batches_of_a_generator():
    x, y = rows()
    places, model = Places(), model_of()
    batches = [(x[:16], y[:16]), (x[16:20], y[16:20]), (x[20:], y[20:])]
    model.fit(iter(batches), verbose=0, callbacks=[places])
    assert places.begun == [(0, 0)]
    assert places.batches == [(0, 16), (0, 20), (0, 48)]


def test_state_follows_epochs_that_continue_a_pass_over_the_rows():
    x, y = rows(64)
    places, model = Places(), model_of()
    model.fit(x, y, batch_size=16, steps_per_epoch=2, epochs=3, verbose=0, callbacks=[places])
    assert places.begun == [(0, 0), (1, 32), (2, 64)]
    assert places.batches == [(0, 16), (0, 32), (1, 48), (1, 64), (2, 16), (2, 32)]
    model.fit(x, y, batch_size=16, verbose=0, callbacks=[places])  # a new `fit` begins a new pass
    assert places.begun[-1] == (0, 0)


def test_state_counts_the_batches_before_an_interrupt():
    x, y = rows(64_000)
    model = model_of()

    class Limit(lamina.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                running.enter_context(interrupted_after(0.02, signal.SIGINT))

    with contextlib.ExitStack() as running, pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=4, epochs=1000, verbose=0, callbacks=[Limit()])
    state = model.executor.state(metrics=False)
    batches = 64_000 // 4
    assert (state.epoch, state.row) in [
        divmod(state.batches * 4, 64_000), (state.batches // batches - 1, 64_000)
    ]  # fmt: skip
    assert state.batches == state.draws == model.optimizer.batches


def test_a_state_without_steps_is_restored_after_a_failure():
    x, y = rows()
    model = model_of()
    model.fit(x, y, batch_size=16, verbose=0)
    before = model.executor.state()

    class Fail(lamina.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            raise RuntimeError("before the first step")

    with pytest.raises(RuntimeError, match="before the first step"):
        model.fit(x, y, batch_size=16, verbose=0, callbacks=[Fail()])
    after = model.executor.state()
    assert after[:5] == before[:5]


def test_sums_of_a_custom_metric_are_those_of_its_variables():
    class Twice(lamina.metrics.Metric):
        def __init__(self, name="twice"):
            super().__init__(name)
            self.seen = self.add_variable((2,), name="seen")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen.assign(self.seen.numpy() + np.array([1, 2]) * len(y_pred))

        def result(self):
            return float(self.seen.numpy()[1])

    x, y = rows()
    model = model_of(metrics=[Twice()])
    held = model.executor.require_compiled("test").metrics[0].seen
    model.train_on_batch(x, y)
    state = model.executor.state()
    np.testing.assert_array_equal(state.metrics[1]["twice/seen"], [48, 96])
    model.fit(x, y, verbose=0, epochs=2)
    model.executor.restore(state)
    np.testing.assert_array_equal(held.numpy(), [48, 96])
    assert model.get_metrics_result()["twice"] == 96


def test_a_hook_set_while_a_trainer_is_made_is_called():
    x, y = rows()
    model, heard, begun = model_of(), [], threading.Event()

    class Slow(lamina.regularizers.Regularizer):
        def factors(self):
            begun.set()
            time.sleep(0.2)
            return 0.0, 0.0

    model.layers[0].kernel.regularizer = Slow()
    thread = threading.Thread(target=model.train_on_batch, args=(x, y))
    thread.start()
    begun.wait()
    model.executor.on_gradient(lambda op, gradient: heard.append(op))
    thread.join()
    model.train_on_batch(x, y)
    assert heard[-3:] == [2, 0, -1]


def test_a_gradient_hook_that_is_removed_keeps_nothing_alive():
    x, y = rows()
    model = model_of()
    gone = weakref.ref(model)
    model.executor.on_gradient(lambda op, gradient, model=model: None)
    model.train_on_batch(x, y)
    model.executor.on_gradient(None)
    del model
    gc.collect()
    assert gone() is None


def test_a_step_keeps_the_gradient_hook_with_which_it_began():
    x, y = rows()
    model, heard = model_of(), []

    def once(op, gradient):
        heard.append(op)
        model.executor.on_gradient(None)

    model.executor.on_gradient(once)
    model.train_on_batch(x, y)
    ops, done = list(heard), threading.Event()
    assert ops[-1] == -1
    assert len(ops) == 3
    model.train_on_batch(x, y)
    assert heard == ops

    def keep_changing():
        while not done.is_set():
            model.executor.on_gradient(lambda op, gradient: heard.append(op))
            model.executor.on_gradient(None)

    thread = threading.Thread(target=keep_changing)
    thread.start()
    for _ in range(500):
        model.train_on_batch(x, y)
    done.set()
    thread.join()
    assert len(heard) % len(ops) == 0


@pytest.mark.parametrize("steps", [2, None])
@pytest.mark.parametrize("inner", ["train_on_batch", "fit"])
@pytest.mark.parametrize("event", ["on_epoch_begin", "on_train_batch_end", "on_epoch_end"])
def test_what_callbacks_train_leaves_the_rows_of_the_outer_fit(inner, event, steps):
    """The inputs of a layer written in Python tell which rows were trained, and in which order."""
    seen = []

    class Look(layers.Layer):
        def forward(self, x, *, training):
            if training:
                seen.append(x[:, 0].tolist())
            return layers.Pass(x)

        def backward(self, dy, forward_pass, *, need_dx):
            return dy, []

    def train(callback):
        seen.clear()
        lamina.utils.set_random_seed(3)
        model = lamina.Sequential([lamina.Input((1,)), Look(), layers.Dense(1)])
        model.seed = 5
        model.compile("sgd", "mse")
        x = np.arange(8.0).reshape(8, 1)
        model.fit(x, x, batch_size=2, steps_per_epoch=steps, epochs=4, verbose=0, callbacks=[callback])
        return [batch for batch in seen if batch[0] >= 0]

    class Trains(lamina.callbacks.Callback):
        def train(self, *_):
            x, executor = -np.ones((3, 1)), self.model.executor
            shuffles = executor.shuffles
            if inner == "fit":
                self.model.fit(x, x, verbose=0)
            else:
                self.model.train_on_batch(x, x)
            executor.shuffles = shuffles  # of a `fit`: the next random order is that of a training without it

    trains = Trains()
    setattr(trains, event, trains.train)
    assert train(trains) == train(lamina.callbacks.Callback())


def test_noise_of_direct_calls_beside_a_fit_is_counted():
    x, y = rows()
    model = model_of()
    model.train_on_batch(x, y)
    before, calls = model.executor.draws.value, 0
    thread = threading.Thread(target=lambda: model.fit(x, y, batch_size=4, epochs=60, verbose=0))
    thread.start()
    going = True
    while going:
        model(x[:2], training=True)
        calls += 1
        going = thread.is_alive()
    thread.join()
    assert model.executor.draws.value == before + calls + 60 * 12
    assert model.executor.state(metrics=False)[3:5] == (59, 48)
