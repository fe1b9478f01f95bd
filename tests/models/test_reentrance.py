"""What runs in the midst of something: handlers of signals, finalizers, code of the user's, the child of a fork."""

from __future__ import annotations

import copy
import os
import pickle
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from helpers import interrupted_after

import lamina
from lamina import layers, losses, optimizers
from lamina._common.interrupts import interrupts_later
from lamina._common.locks import Once, Turn
from lamina._engine.variable import Home, Variable
from lamina.layers import Pass

X, Y = np.ones((50, 3), "f"), np.zeros((50, 2), "f")


def network(width, optimizer="adam", **compiled):
    lamina.utils.set_random_seed(1)
    stack = [layers.Dense(width, "relu"), layers.Dense(width, "relu"), layers.Dense(width)]
    model = lamina.Sequential([lamina.Input((width,)), *stack])
    model.compile(optimizer, "mse", **compiled)
    return model


@pytest.fixture
def timer():
    """Call a function every so many seconds in a handler of SIGALRM, which is not interrupted by itself."""
    before, busy = signal.getsignal(signal.SIGALRM), []

    def start(seconds, function):
        def handle(number, frame):
            if not busy:
                busy.append(True)
                function()
                busy.clear()

        signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)

    yield start
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_handler_that_trains_another_model_changes_no_bit(threads, timer, restore_threads):
    """Long steps are interrupted while they compute; the scratch memory that they hold is not the handler's."""
    lamina.set_num_threads(threads)
    rng, width = np.random.default_rng(0), 768
    x, y = rng.random((1536, width), "f4"), rng.random((1536, width), "f4")
    other, calls = network(width), []
    other.fit(x[:512], y[:512], verbose=0, batch_size=512)
    found = []
    for interrupted in (False, True):
        model = network(width)
        if interrupted:
            timer(0.02, lambda: calls.append(other.fit(x[:512], y[:512], verbose=0, batch_size=512)))
        model.fit(x, y, batch_size=512, shuffle=False, verbose=0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        found.append(model.get_weights())
    for plain, disturbed in zip(*found, strict=True):
        np.testing.assert_array_equal(plain, disturbed)


def test_a_handler_reads_whole_steps(timer, restore_threads):
    """Weights of one moment between two steps, though other threads of the team may not have ended theirs."""
    lamina.set_num_threads(2)
    width = 512
    x, y = np.random.default_rng(0).random((2048, width), "f4"), np.zeros((2048, width), "f4")
    model, twin, seen, moments = network(width), network(width), [], []

    class Moments(lamina.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            moments.append([array.tobytes() for array in twin.get_weights()])

    moments.append([array.tobytes() for array in twin.get_weights()])
    twin.fit(x, y, batch_size=128, shuffle=False, verbose=0, callbacks=[Moments()])
    timer(0.003, lambda: seen.append([array.tobytes() for array in model.get_weights()]))
    model.fit(x, y, batch_size=128, shuffle=False, verbose=0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert all(snapshot in moments for snapshot in seen)


def test_variables_are_moved_once_whatever_runs_meanwhile():
    home, variables = Home(), []
    for tensor in range(2):
        variable = Variable.holding(np.full(3, float(tensor)), "v", f"v{tensor}")
        variable.join(home, tensor)
        variables.append(variable)
    blocks = []

    def make(depth=0):
        if depth < 2:  # as a finalizer or a signal's handler would: another use, then an assignment
            blocks.append(home.move(lambda: make(depth + 1), variables) if depth == 0 and not blocks else None)
        return lamina._core.Parameters("float64", False, [(1, 3), (1, 3)])

    home.move(make, variables)
    assert all(variable.block[0] is home.block for variable in variables)

    home, variable = Home(), Variable.holding(np.zeros(3), "v", "v")
    variable.join(home, 0)
    calls = []

    def make_and_assign():
        calls.append(1)
        block = lamina._core.Parameters("float64", False, [(1, 3)])
        block.write(0, variable.own_values())
        if len(calls) == 1:
            variable.assign(np.full(3, 7.0))
        return block

    home.move(make_and_assign, [variable])
    np.testing.assert_array_equal(variable, np.full(3, 7.0))


def test_a_model_in_the_midst_of_being_built_is_refused():
    class Uses(lamina.initializers.Initializer):
        def __call__(self, shape, dtype=None):
            with pytest.raises(RuntimeError, match="must be built before it is used; it is being built"):
                model.predict(X)
            with pytest.raises(RuntimeError, match="must be built before it is used; it is being built"):
                model.layers[0](X)
            return np.zeros(shape, dtype)

    model = lamina.Sequential([layers.Dense(4, kernel_initializer=Uses()), layers.Dense(2)])
    model.predict(X)
    assert [array.shape for array in model.get_weights()] == [(3, 4), (4,), (4, 2), (2,)]


@pytest.mark.parametrize("inner", ["evaluate", "test_on_batch", "train_on_batch"])
@pytest.mark.parametrize("outer", ["train_on_batch", "evaluate", "fit"])
def test_a_refused_call_inside_of_a_step_leaves_its_metrics(outer, inner):
    tries = False

    class Calls(losses.Loss):
        def value_and_gradient(self, y_true, y_pred):
            if tries:
                with pytest.raises(RuntimeError, match="from inside a step"):
                    getattr(model, inner)(X, Y)
            return ((y_pred - y_true) ** 2).mean(1), 2 * (y_pred - y_true) / y_pred.shape[1]

    found = []
    for tries in (False, True):  # noqa: B007  (read in the loss)
        lamina.utils.set_random_seed(0)
        model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
        model.compile("sgd", Calls(), metrics=["mae"])
        result = getattr(model, outer)(X, Y, **({} if outer == "train_on_batch" else {"verbose": 0}))
        found.append(result.history if outer == "fit" else result)
    assert found[0] == found[1]
    assert np.min(list(found[0].values()) if outer == "fit" else found[0]) > 0


def test_metrics_of_the_users_see_the_targets_of_their_own_call():
    seen = []

    class Spy(lamina.metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            seen.append(len(np.unique(y_true)) == 1 and len(y_true) in (50, 32, 18, 7))

        def result(self):
            return 0.0

        def reset_state(self):
            pass

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[Spy()])
    model.test_on_batch(X, Y)
    stop, errors = threading.Event(), []

    def other():
        try:
            while not stop.is_set():
                model.test_on_batch(X[:7], np.ones((7, 2), "f"))
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    for _ in range(150):
        model.evaluate(X, Y, verbose=0)
    stop.set()
    thread.join()
    assert errors == []
    assert all(seen)


def test_a_prediction_of_many_rows_sees_one_moment():
    width = 1024
    model = lamina.Sequential([lamina.Input((width,)), layers.Dense(width, use_bias=False)])
    x = np.ones((4096, width), "f")
    values = [np.zeros((width, width), "f"), np.full((width, width), 0.01, "f")]
    model.set_weights(values[:1])
    stop = threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            model.set_weights([values[number % 2]])

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for predict in (model.predict_on_batch, model, lambda x: model.predict(x, batch_size=len(x), verbose=0)):
            for _ in range(3):
                assert np.ptp(predict(x)[:, 0]) == 0
    finally:
        stop.set()
        thread.join()


class Waits(layers.Layer):
    """A layer whose step waits until it may go on."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.begun, self.goes_on = threading.Event(), threading.Event()

    def forward(self, x, *, training):
        if training:
            self.begun.set()
            self.goes_on.wait(60)
        return Pass(x.copy())

    def backward(self, dy, forward_pass, *, need_dx):
        return dy.copy(), []


@pytest.mark.parametrize("what", ["set_weights", "load_weights", "apply", "gradients"])
def test_ctrl_c_ends_waits_for_a_step_of_another_thread(what, tmp_path):
    layer, shared = Waits(), layers.Dense(2)
    model = lamina.Sequential([lamina.Input((3,)), shared, layer])
    model.compile("sgd", "mse")
    model.save_weights(tmp_path / "w.safetensors")
    weights = model.get_weights()

    class Own(optimizers.Optimizer):
        def update(self, variable, gradient):
            variable.assign_sub(0.1 * gradient)

    own = Own(0.1)
    own.build(model.trainable_weights)
    other = lamina.Sequential([lamina.Input((3,)), shared])
    other.compile(Own(0.1), "mse")
    calls = {
        "set_weights": lambda: model.set_weights(weights),
        "load_weights": lambda: model.load_weights(tmp_path / "w.safetensors"),
        "apply": lambda: own.apply(weights),
        "gradients": lambda: other.train_on_batch(X, Y),
    }
    thread = threading.Thread(target=model.train_on_batch, args=(X, Y))
    thread.start()
    try:
        assert layer.begun.wait(60)
        begun = time.monotonic()
        with interrupted_after(0.2, signal.SIGINT), pytest.raises(KeyboardInterrupt):
            calls[what]()
        assert time.monotonic() - begun < 20
    finally:
        layer.goes_on.set()
        thread.join()


def test_an_optimizer_of_the_users_that_waits_can_be_interrupted():
    class Slow(optimizers.Optimizer):
        def update(self, variable, gradient):
            time.sleep(60)

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    model.compile(Slow(0.1), "mse")
    with interrupted_after(0.3, signal.SIGINT), pytest.raises(KeyboardInterrupt):
        model.train_on_batch(X, Y)
    assert model.optimizer.iterations == 0


def test_a_metric_that_evaluates_the_model_is_refused():
    class Evaluates(lamina.metrics.Metric):
        def update_state(self, y_true, y_pred, sample_weight=None):
            pass

        def result(self):
            if tries:
                with pytest.raises(RuntimeError, match="from inside a step"):
                    model.evaluate(X, Y, verbose=0)
            return 0.0

        def reset_state(self):
            pass

    found = []
    for tries in (False, True):  # noqa: B007  (read in the metric)
        lamina.utils.set_random_seed(0)
        model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
        model.compile("sgd", "mse", metrics=[Evaluates("own"), "mae"])
        found.append(model.fit(X, Y, verbose=0, epochs=2, validation_data=(X, Y)).history)
    assert found[0] == found[1]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads
def test_locks_are_free_and_new_in_a_forks_child():
    locks, held, done = [Once(), Turn(1)], threading.Event(), threading.Event()

    def hold():
        with locks[0].taken(), locks[1].of(""):
            held.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(60)
    before = [one.lock for one in locks]
    child = os.fork()
    if child == 0:
        free = all(one.lock.acquire(False) for one in locks)
        new = all(one.lock is not old for one, old in zip(locks, before, strict=True))
        os._exit(0 if free and new else 1)
    done.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert [one.lock for one in locks] == before


def test_a_callback_that_refuses_at_the_start_releases_the_others(tmp_path):
    class Refuses(lamina.callbacks.Callback):
        def on_train_begin(self, logs=None):
            raise ValueError("no")

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse")
    kept = model.fit(X, Y, verbose=0)
    table = lamina.callbacks.CSVLogger(tmp_path / "t.csv")
    with pytest.raises(ValueError, match="no"):
        model.fit(X, Y, verbose=0, callbacks=[table, Refuses()])
    opened = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    assert str(tmp_path / "t.csv") not in opened
    assert model.history is kept
    assert model.fit_completed
    with pytest.raises(ValueError, match="there are no batches"):
        model.fit(iter([]), verbose=0)
    assert model.history is kept


def test_models_built_while_a_file_is_loaded_take_nothing_of_it(tmp_path):
    """Neither those of a layer's own build nor those of a finalizer, of the same names."""

    @lamina.saving.register_keras_serializable("test_reentrance")
    class Helped(layers.Layer):
        def build(self, input_shape):
            self.mark_built(input_shape)
            self.helper = lamina.Sequential([lamina.Input((4,)), layers.Dense(4, name="dense")])

        def forward(self, x, *, training):
            return Pass(x.copy())

        def backward(self, dy, forward_pass, *, need_dx):
            return dy.copy(), []

    model = lamina.Sequential([lamina.Input((4,)), Helped(), layers.Dense(4, name="dense")])
    model.set_weights([np.full((4, 4), 7.0), np.full(4, 9.0)])
    model.save(tmp_path / "m.safetensors")
    loaded = lamina.models.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.get_weights()[0], 7)
    assert not (loaded.layers[0].helper.get_weights()[0] == 7).any()


def test_a_model_whose_class_copies_its_configuration_is_loaded(tmp_path):
    @lamina.saving.register_keras_serializable("test_reentrance")
    class Own(lamina.Sequential):
        @classmethod
        def from_config(cls, config, custom_objects=None):
            return super().from_config(dict(config), custom_objects)

    inner = lamina.Sequential([lamina.Input((4,)), layers.Dense(4), layers.Dense(3)])
    model = Own([lamina.Input((4,)), layers.Dense(4, name="first"), inner])
    model.save(tmp_path / "m.safetensors")
    loaded = lamina.models.load_model(tmp_path / "m.safetensors")
    assert type(loaded) is Own
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "make",
    [layers.Dense, layers.BatchNormalization, layers.LayerNormalization, layers.PReLU, layers.RMSNormalization],
)
def test_copies_of_unbuilt_layers_are_layers_of_their_own(make):
    layer = make(4) if make is layers.Dense else make()
    other = copy.copy(layer)
    one, two = (lamina.Sequential([lamina.Input((n,)), each]) for n, each in ((5, layer), (300, other)))
    assert {array.shape[0] for array in two.get_weights()} <= {300, 4}
    for model, n in ((one, 5), (two, 300)):
        assert np.isfinite(model.predict(np.ones((3, n), "f"), verbose=0)).all()
    built = copy.copy(layer)
    assert all(a is b for a, b in zip(built.weights, layer.weights, strict=True))


@pytest.mark.parametrize("own", [True, False])
def test_a_model_lets_go_of_the_users_targets(own):
    class Spy(lamina.metrics.Metric):
        def row_values(self, y_true, y_pred):
            return abs(y_pred - y_true).mean(1)

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    model.compile("sgd", "mse", metrics=[Spy()] if own else ["mae"])
    x, y = np.ones((20000, 3), "f"), np.zeros((20000, 2), "f")
    references = [weakref.ref(x), weakref.ref(y)]
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    del x, y
    assert [reference() for reference in references] == [None, None]
    if not own:
        assert len(pickle.dumps(model)) < 20000


def test_apply_inside_of_a_step_of_the_same_optimizer_is_refused():
    class Again(lamina.constraints.Constraint):
        def __call__(self, w):
            with pytest.raises(RuntimeError, match="apply must not be called from inside a step"):
                optimizer.apply([np.ones(2)], [variable])
            return w

    variable, optimizer = Variable.holding(np.zeros(2), "v", "v"), optimizers.SGD(0.5)
    variable.constraint = Again()
    optimizer.apply([np.ones(2)], [variable])
    np.testing.assert_array_equal(variable, [-0.5, -0.5])
    assert optimizer.iterations == 1


def test_a_handler_of_sigint_that_was_put_back_late_still_works():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for _ in range(5):
            with interrupts_later():
                late = signal.getsignal(signal.SIGINT)
            signal.signal(signal.SIGINT, late)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with interrupts_later():
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
