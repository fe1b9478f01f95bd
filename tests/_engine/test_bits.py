"""The same bits for any number of threads, any schedule and whatever mode of floating point the caller is in.

Networks are drawn from a fixed list of seeds: layers of every kind, rows of one line and of several, batches on both
sides of the 128 rows at which gradients are cut.
"""

from __future__ import annotations

import ctypes
import hashlib
import platform
import threading

import numpy as np
import pytest
from helpers import forced_model

import lamina
from lamina import layers, optimizers

SEEDS = range(60)


class Drawn:
    """A network with data for it, a function of a seed alone."""

    def __init__(self, seed):
        rng = self.rng = np.random.default_rng([20, seed])
        self.seed = seed
        self.steps = tuple(int(n) for n in rng.integers(1, 8, int(rng.integers(0, 3))))
        self.width = int(rng.choice([1, 3, 17, 32, 40]))
        self.rows = int(rng.choice([1, 31, 129, 200, 300, 520]))
        self.size = int(rng.choice([1, 33, 128, 129, 200, 513])) if rng.random() < 0.5 else self.rows
        self.kinds = [str(kind) for kind in rng.choice(list(KINDS), int(rng.integers(1, 6)))]
        self.flat = bool(self.steps) and rng.random() < 0.3
        self.dtype = str(rng.choice(["float32", "float32", "float64"]))
        self.numbers = rng.integers(0, 1 << 30, len(self.kinds))
        self.clip = {} if rng.random() < 0.7 else {"global_clipnorm": 0.5}
        self.optimizer = str(rng.choice(["sgd", "adam"]))
        self.out = int(rng.choice([1, 5, 33]))
        shape = (self.rows, *self.steps, self.width)
        self.x = (rng.standard_normal(shape) * 3).astype(self.dtype)
        lines = () if self.flat else self.steps
        self.y = rng.standard_normal((self.rows, *lines, self.out)).astype(self.dtype)

    def model(self):
        lamina.utils.set_random_seed(self.seed)
        lamina.config.set_floatx(self.dtype)
        try:
            stack = []
            for kind, number in zip(self.kinds, self.numbers, strict=True):
                shared = list(range(1, len(self.steps) + 1)) or None
                one = layers.PReLU("ones", shared_axes=shared) if kind == "prelu" else None
                stack.append(one or KINDS[kind](np.random.default_rng(number)))
            if self.flat:
                stack.append(layers.Flatten())
            model = lamina.Sequential([lamina.Input((*self.steps, self.width)), *stack, layers.Dense(self.out)])
        finally:
            lamina.config.set_floatx("float32")
        kind = optimizers.SGD if self.optimizer == "sgd" else optimizers.Adam
        model.compile(kind(0.01, **self.clip), "mse", metrics=["mae"])
        return model


KINDS = {
    "dense": lambda rng: layers.Dense(
        int(rng.choice([1, 7, 32, 65])), str(rng.choice(["relu", "tanh", "gelu", "linear"]))
    ),
    "regularized": lambda rng: layers.Dense(9, kernel_regularizer="l2", activity_regularizer="l2"),
    "activity": lambda rng: layers.ActivityRegularization(1e-3, 1e-3),
    "layer norm": lambda rng: layers.LayerNormalization(
        center=bool(rng.random() < 0.5), scale=bool(rng.random() < 0.7)
    ),
    "rms norm": lambda rng: layers.RMSNormalization(),
    "batch norm": lambda rng: layers.BatchNormalization(),
    "frozen batch norm": lambda rng: layers.BatchNormalization(trainable=False),
    "prelu": None,  # shares its slopes along the steps
    "dropout": lambda rng: layers.Dropout(0.3, seed=1),
    "gaussian": lambda rng: layers.GaussianNoise(0.1, seed=2),
    "softmax": lambda rng: layers.Softmax(),
    "relu": lambda rng: layers.ReLU(6.0, 0.1, 0.01),
    "activation": lambda rng: layers.Activation("silu"),
    "rescaling": lambda rng: layers.Rescaling(0.5, 0.1),
}


def trained(drawn, model):
    history = model.fit(drawn.x, drawn.y, batch_size=drawn.size, epochs=2, verbose=0).history
    digest = hashlib.sha256(b"".join(array.tobytes() for array in model.get_weights()))
    digest.update(model.predict(drawn.x[:50]).tobytes())
    return digest.hexdigest(), str(history)


@pytest.mark.filterwarnings("ignore:A softmax of one column")
@pytest.mark.parametrize("seed", SEEDS)
def test_bits_do_not_depend_on_threads_or_schedule(seed, restore_threads):
    drawn = Drawn(seed)
    found = {}
    for threads in (1, 2, 3, 8):
        lamina.set_num_threads(threads)
        found[threads] = trained(drawn, drawn.model())
        for schedule in ("stationary", "chunked", "by_rows", "alternating"):
            for as_long in (False, True):
                forced = forced_model(drawn.model(), schedule, threads, as_long)
                found[threads, schedule, as_long] = trained(drawn, forced)
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize(("steps", "rows"), [((7,), 129), ((2, 3), 300), ((33,), 1000)])
@pytest.mark.parametrize("name", ["dense", "layer norm", "rms norm", "prelu", "activity"])
def test_layers_along_steps_have_the_same_bits_for_any_number_of_threads(name, steps, rows, restore_threads):
    drawn = Drawn(0)
    drawn.steps, drawn.rows, drawn.size, drawn.kinds, drawn.flat = steps, rows, rows, ["dense", name, "dense"], False
    drawn.numbers, drawn.width, drawn.out = np.arange(3), 40, 3
    rng = np.random.default_rng(5)
    drawn.x = rng.standard_normal((rows, *steps, 40)).astype(drawn.dtype)
    drawn.y = rng.standard_normal((rows, *steps, 3)).astype(drawn.dtype)
    found = set()
    for threads in (1, 2, 3, 4):
        lamina.set_num_threads(threads)
        found.add(trained(drawn, drawn.model()))
    assert len(found) == 1


def _csr():
    """Functions that read and set MXCSR, which holds the mode of floating point."""
    code = {
        "get": bytes.fromhex("0fae5c24fc8b4424fcc3"),  # stmxcsr [rsp-4]; mov eax, [rsp-4]; ret
        "set": bytes.fromhex("897c24fc0fae5424fcc3"),  # mov [rsp-4], edi; ldmxcsr [rsp-4]; ret
    }
    import mmap

    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code["get"].ljust(32, b"\x90") + code["set"])
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    get = ctypes.CFUNCTYPE(ctypes.c_uint32)(address)
    put = ctypes.CFUNCTYPE(None, ctypes.c_uint32)(address + 32)
    return page, get, put


FLUSH_TO_ZERO, ROUND_DOWN, TRAP_INEXACT = 0x8040, 0x2000, ~0x1000


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the test sets MXCSR, the x86-64 register of the mode")
@pytest.mark.parametrize("mode", [0x1F80 | FLUSH_TO_ZERO, 0x1F80 | ROUND_DOWN, 0x1F80 & TRAP_INEXACT])
def test_the_callers_floating_point_mode_changes_no_bit_and_comes_back(mode, restore_threads):
    page, get, put = _csr()
    rng = np.random.default_rng(1)
    # Subnormal numbers on the way: products of 1e-20.
    x = (rng.standard_normal((300, 30)) * 1e-20).astype("f")
    w = (rng.standard_normal((30, 40)) * 1e-20).astype("f")
    model = lamina.Sequential([lamina.Input((30,)), layers.Dense(40, use_bias=False), layers.Dense(2)])
    model.layers[0].kernel.assign(w)
    model.compile("adam", "mse")
    start, y = model.get_weights(), np.ones((300, 2), "f")

    def results():
        model.set_weights(start)
        model.compile("adam", "mse")
        loss = model.fit(x, y, epochs=1, batch_size=150, shuffle=False, verbose=0).history["loss"]
        arrays = [*model.get_weights(), model.predict(x), lamina.kernels.dense_forward(x, w), lamina.kernels.softmax(x)]
        return [array.tobytes() for array in arrays], loss

    for threads in (1, 2):
        lamina.set_num_threads(threads)
        expected = results()
        found = []

        def run(into=found):
            before = get()
            put(mode)
            try:
                x_times_w = lamina.kernels.dense_forward(x, w)  # sets nothing that stays
                after = get()
            finally:
                put(before)
            into.append((x_times_w.tobytes(), after & 0xFFC0))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert found == [(expected[0][-2], mode & 0xFFC0)]
        if not mode & 0x1000:
            continue  # NumPy and Python themselves would trap
        before = get()
        put(mode)
        try:
            changed = results()
        finally:
            put(before)
        assert changed == expected
    del page


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the test sets MXCSR, the x86-64 register of the mode")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["dense", "normalized", "constant", "identity"])
def test_what_the_caller_rounds_to_changes_no_weight(kind, dtype, restore_threads):
    page, get, put = _csr()
    rng = np.random.default_rng(2)
    x, y, weights, given = rng.standard_normal((200, 7)), rng.random((200, 3)), rng.random(200), rng.random(99)
    stack = {
        "dense": lambda: [layers.Dense(3, dtype=dtype)],
        "normalized": lambda: [layers.BatchNormalization(dtype=dtype), layers.Dense(3, dtype=dtype)],
        "constant": lambda: [layers.Dense(3, kernel_initializer=lamina.initializers.Constant(0.1), dtype=dtype)],
        "identity": lambda: [layers.Dense(3, kernel_initializer=lamina.initializers.Identity(0.1), dtype=dtype)],
    }[kind]

    def results():
        lamina.utils.set_random_seed(3)
        size = 3 if kind == "identity" else 7
        model = lamina.Sequential([lamina.Input((size,)), *stack()])
        first = model.get_weights()
        model.compile(lamina.optimizers.Adagrad(0.1), "mse")
        model.fit(x[:, :size], y, sample_weight=weights, verbose=0)
        model.train_on_batch(x[:, :size], y, class_weight=None)
        trained = model.get_weights()
        model.set_weights([given[: array.size].reshape(array.shape) for array in trained])
        return [array.tobytes() for array in (*first, *trained, *model.get_weights())]

    expected = results()
    before = get()
    put(0x1F80 | ROUND_DOWN)
    try:
        found = results()
    finally:
        put(before)
    del page  # in which the code of `get` and `put` lies
    assert found == expected
