"""Signals at every moment: what their handlers raise comes out, no lock stays taken, nothing is half written."""

from __future__ import annotations

import copy
import gc
import os
import signal
import sys
import threading

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina._common.interrupts import interrupts_later
from lamina._common.locks import Once, Turn

pytestmark = pytest.mark.usefixtures("restore_threads")

X, Y = np.ones((16, 3), "f"), np.zeros((16, 2), "f")
LONG = os.environ.get("LAMINA_FUZZ") == "long"


def new_model():
    model = lamina.Sequential(
        [lamina.Input((3,)), layers.Dense(4, "relu"), layers.BatchNormalization(), layers.Dense(2)]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


class Within(lamina.callbacks.Callback):
    """A callback that takes the model's turn itself."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.evaluate(X, Y, verbose=0)


CALLS = {
    "make a layer": lambda model, folder: layers.Dense(3),
    "fit": lambda model, folder: model.fit(X, Y, verbose=0, epochs=2),
    "fit with a callback": lambda model, folder: model.fit(X, Y, verbose=0, batch_size=8, callbacks=[Within()]),
    "train_on_batch": lambda model, folder: model.train_on_batch(X, Y),
    "evaluate": lambda model, folder: model.evaluate(X, Y, verbose=0),
    "predict": lambda model, folder: model.predict(X, verbose=0),
    "call": lambda model, folder: model(X, training=True),
    "compile": lambda model, folder: model.compile("adam", "mse"),
    "set_weights": lambda model, folder: model.set_weights([array + 1 for array in model.get_weights()]),
    "load_weights": lambda model, folder: model.load_weights(folder / "w.safetensors"),
    "save": lambda model, folder: model.save(folder / "m.safetensors"),
    "load_model": lambda model, folder: lamina.models.load_model(folder / "first.safetensors"),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "add": lambda model, folder: model.add(layers.Dense(5)),
}


class Alarm(Exception):
    """What the handler of a signal raises, as those of timeouts do."""


def alarm(number, frame):
    raise Alarm


def interrupted_at(number, call, sent=signal.SIGINT):
    """Send a signal at the n-th place where Python looks for signals; return whether there were so many, and what came.

    These places are the beginnings of functions and the ends of calls of C.
    """
    seen = 0

    def watch(frame, event, argument):
        nonlocal seen
        name = frame.f_code.co_filename
        if frame.f_code.co_name == "<genexpr>":
            return  # Python itself loses what is raised where a generator that nobody needs any more is closed
        if event in ("call", "c_return") and (f"{os.sep}lamina{os.sep}" in name or "contextlib" in name):
            seen += 1
            if seen == number:
                sys.setprofile(None)
                signal.raise_signal(sent)

    sys.setprofile(watch)
    try:
        call()
    except (KeyboardInterrupt, Alarm):
        return True, True
    finally:
        sys.setprofile(None)
    return seen >= number, False


def locks():
    return [o for o in gc.get_objects() if isinstance(o, (Once, Turn))]


@pytest.fixture
def older_locks():
    """The locks that there are before the test. Until it ends `gc.get_objects` has no objects from before it."""
    gc.collect()
    found = locks()
    gc.freeze()
    yield found
    gc.unfreeze()


def locks_taken(older):
    """Return the locks that another thread finds taken."""
    found = []

    def look():
        for one in older + locks():
            if one.lock.acquire(False):
                one.lock.release()
            else:
                found.append(one)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found


@pytest.fixture(autouse=True)
def _interruptible():
    """Have Ctrl-C raise KeyboardInterrupt, also where the process was started to ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    other = signal.signal(signal.SIGUSR1, alarm)
    yield
    signal.signal(signal.SIGINT, before)
    signal.signal(signal.SIGUSR1, other)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of a file that its finalizer closes
@pytest.mark.skipif(sys.gettrace() is not None, reason="somebody else watches every call")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGUSR1], ids=["SIGINT", "SIGUSR1"])
@pytest.mark.parametrize("name", CALLS)
def test_no_interrupt_leaves_anything_taken_or_half_written(name, sent, tmp_path, older_locks):
    lamina.set_num_threads(1)
    other = new_model()
    other.set_weights([array + 2 for array in other.get_weights()])
    other.save(tmp_path / "first.safetensors")
    other.save_weights(tmp_path / "w.safetensors")
    handler = signal.default_int_handler
    step, number, interrupts = (1 if LONG else 7), 1, 0
    there = True
    while there and number < (5000 if LONG else 900):
        model = new_model()
        before = model.get_weights()
        there, came = interrupted_at(number, lambda model=model: CALLS[name](model, tmp_path), sent)
        interrupts += came
        assert came or not there, (name, number)  # it is never swallowed
        assert signal.getsignal(signal.SIGINT) is handler, (name, number)
        assert locks_taken(older_locks) == [], (name, number)
        if name in ("set_weights", "load_weights"):
            assert len({np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True)}) == 1
        if name == "save":
            assert [p for p in tmp_path.iterdir() if p.suffix != ".safetensors"] == []
        if model.layers:
            model.predict(X, verbose=0)
            model.compile("adam", "mse")
        number += step
    assert interrupts > (10 if name != "make a layer" else 5)


def test_ctrl_c_comes_at_once_again_when_the_block_has_never_begun():
    """As from Python 3.14 on, when the handler of another signal raises between `__enter__` and the block."""
    handler = signal.getsignal(signal.SIGINT)
    block = interrupts_later()
    block.__enter__()
    assert signal.getsignal(signal.SIGINT) is not handler
    del block
    assert signal.getsignal(signal.SIGINT) is handler

    blocks = [interrupts_later()]
    blocks[0].__enter__()
    signal.raise_signal(signal.SIGINT)  # delayed
    with pytest.raises(KeyboardInterrupt):
        blocks.clear()
    assert signal.getsignal(signal.SIGINT) is handler
