"""What several test modules need."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import threading
import urllib.request

import numpy as np
import pytest
from conftest import classification_model

import lamina
from lamina import callbacks, layers, optimizers
from lamina.models.prepared import prepare

not_sanitized = pytest.mark.skipif(
    os.environ.get("LAMINA_SANITIZED") == "1",
    reason="a sanitizer takes 20 TB of address space, more time, and memory that looks like a leak to joblib's workers",
)

# Rows and targets of `new_model`, and of `trained`.
REGRESSION = (
    np.random.default_rng(0).standard_normal((32, 4)).astype("f"),
    np.random.default_rng(1).standard_normal((32, 2)).astype("f"),
)
CLASSES = (
    np.random.default_rng(0).standard_normal((40, 8)).astype("f"),
    np.random.default_rng(1).integers(0, 3, 40),
)

# Of `language_model`, and of its like.
OPTIMIZERS = {
    "sgd": lambda: optimizers.SGD(0.3),
    "momentum": lambda: optimizers.SGD(0.3, momentum=0.9),
    "adam": lambda: optimizers.Adam(0.01),
    "clipped": lambda: optimizers.SGD(0.3, global_clipnorm=0.1),
}


def forced_model(model, schedule, threads, as_long=False):
    """Fit with a schedule of the tester's choice."""
    executor = model.executor
    trainer_of = executor.trainer

    def choose(prepared):
        trainer = trainer_of(prepared)
        trainer.engine.force_schedule(schedule, threads, as_long)
        return trainer

    executor.trainer = choose
    return model


@contextlib.contextmanager
def interrupted_after(seconds, sent=signal.SIGALRM):
    """Raise KeyboardInterrupt in the main thread, once, after so many seconds.

    Meanwhile nothing is collected: what is raised in a callback of the collector (hypothesis has one) is lost. SIGINT
    is for what the engine itself watches.
    """
    collects = gc.isenabled()
    before = signal.signal(sent, signal.default_int_handler)
    timer = threading.Timer(seconds, os.kill, (os.getpid(), sent))
    gc.disable()
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        signal.signal(sent, before)
        if collects:
            gc.enable()


def prepared_for(model, x, y, sample_weight=None):
    """Return the data of a step, the model built and ready for them."""
    prepared = prepare("fit", model.stack, model.executor.require_compiled("fit"), x, y, sample_weight)
    model.executor.commit(prepared, model.build)
    return prepared


def small_model(units=1, activation=None, inputs=3, **compiled):
    """Compile a network of two layers, with weights that are always the same."""
    lamina.utils.set_random_seed(0)
    model = lamina.Sequential([lamina.Input((inputs,)), layers.Dense(4, "tanh"), layers.Dense(units, activation)])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | compiled))
    return model


def model_and_data(rng, dtype="float64", rate=0.1):
    """A regression with dropout and metrics, and its data."""
    x = rng.standard_normal((64, 5))
    y = x @ rng.standard_normal((5, 2))
    lamina.utils.set_random_seed(5)
    model = lamina.Sequential(
        [layers.Dense(7, "tanh", dtype=dtype), layers.Dropout(0.1, dtype=dtype), layers.Dense(2, dtype=dtype)]
    )
    model.compile(optimizers.SGD(rate, momentum=0.9), "mse", metrics=["mae", "R2Score"])
    return model, x, y


class Fixed(callbacks.Callback):
    """Writes values of its own into the logs."""

    def __init__(self, **values):
        super().__init__()
        self.values, self.weights = values, []

    def on_epoch_end(self, epoch, logs=None):
        for name, series in self.values.items():
            logs[name] = series[epoch]
        self.weights.append(self.model.get_weights())


def blobs(rng, n=90, inputs=8, classes=3):
    """Rows around a centre for each class, and the classes' numbers."""
    centres = rng.standard_normal((classes, inputs)) * 3
    labels = rng.integers(0, classes, n)
    return (centres[labels] + rng.standard_normal((n, inputs))).astype("f"), labels


def language_model(optimizer="sgd", dtype="float32", dim=33, penalty=None):
    """A classifier of six words, which are looked up in a table of 50."""
    lamina.utils.set_random_seed(4)
    model = lamina.Sequential(
        [
            lamina.Input((6,), dtype="int32"),
            layers.Embedding(50, dim, dtype=dtype, embeddings_regularizer=penalty),
            layers.Flatten(dtype=dtype),
            layers.Dense(40, "tanh", dtype=dtype),
            layers.Dense(3, "softmax", dtype=dtype),
        ]
    )
    model.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    return model


def network(sizes, activation="relu", dtype="float32", head=None, optimizer=None, loss="mse", seed=3):
    """Compile a network of these sizes, input first, whose biases are not zero."""
    lamina.utils.set_random_seed(seed)
    stack = [layers.Dense(units, activation, dtype=dtype) for units in sizes[1:-1]]
    model = lamina.Sequential([*stack, layers.Dense(sizes[-1], head, dtype=dtype)])
    model.build((None, sizes[0]))
    for variable in model.weights:
        if variable.name == "bias":
            variable.assign(np.linspace(-0.5, 0.5, variable.size))
    model.compile(optimizer or optimizers.SGD(0.05), loss)
    return model


def new_model(seed=3, optimizer=None, noise=False):
    """Compile a regression of two layers, with noise between them if wanted."""
    lamina.utils.set_random_seed(seed)
    stack = [layers.Dense(5, "tanh"), *([layers.Dropout(0.4), layers.GaussianNoise(0.1)] if noise else [])]
    model = lamina.Sequential([lamina.Input((4,)), *stack, layers.Dense(2)], name="m")
    model.compile(optimizer or optimizers.Adam(0.01), "mse")
    return model


def same(a, b):
    """Whether arrays are equal, bit for bit."""
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def trained():
    """A classifier after two epochs, with momentum."""
    model = classification_model(metrics=["accuracy"])
    model.compile(optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*CLASSES, epochs=2, verbose=0)
    return model


@contextlib.contextmanager
def no_connection():
    """Have all requests but those to this machine fail at once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy"):
            patch.setenv(name, "http://127.0.0.1:9")
        patch.setenv("no_proxy", "127.0.0.1")
        urllib.request.install_opener(None)  # the one that is made next reads the variables
        try:
            yield
        finally:
            urllib.request.install_opener(None)


def frozen_inside(library, frozen):
    """Return a model in a model, lamina's or Keras's, of whose layers those with these names are frozen."""
    inside = [library.layers.Dense(4, name="a"), *(library.layers.BatchNormalization(name=name) for name in "bc")]
    inner = library.Sequential([library.Input((4,)), *inside], name="inner")
    model = library.Sequential([library.Input((4,)), inner, library.layers.Dense(2, name="out")])
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 2, w.shape).astype("f") for w in model.get_weights()])
    for part in (inner, *inside, model):
        if part.name in frozen or (part is model and "all" in frozen):
            part.trainable = False
    return model
