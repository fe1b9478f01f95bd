"""Lists of callbacks: whose hooks are called, with what, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import callbacks


class Heard(callbacks.Callback):
    """Writes down which of two hooks were called, and with what."""

    def __init__(self, name, heard):
        super().__init__()
        self.name, self.heard, self.released = name, heard, 0

    def on_epoch_end(self, epoch, logs=None):
        self.heard.append((self.name, epoch, logs))

    def on_batch_end(self, batch, logs=None):
        self.heard.append((self.name, "batch", batch))

    def release(self):
        self.released += 1


class Bar(callbacks.Callback):
    follows_batches = True

    def __init__(self):
        super().__init__()
        self.moves = []

    def advance(self, batches, logs):
        self.moves.append((batches, logs))


def test_hooks_of_all_callbacks_are_called_in_order():
    heard = []
    several = callbacks.CallbackList([Heard("a", heard), callbacks.Callback(), Heard("b", heard)])
    several.on_epoch_end(3, {"loss": 1.0})
    several.on_train_begin()  # nobody overrides it
    assert heard == [("a", 3, {"loss": 1.0}), ("b", 3, {"loss": 1.0})]
    with pytest.raises(AttributeError, match="CallbackList has no 'on_monday'"):
        several.on_monday(1)


def test_there_is_a_method_for_each_hook():
    hooks = [name for name in vars(callbacks.Callback) if name.startswith("on_")]
    heard = []
    callback = callbacks.Callback()
    for hook in hooks:
        setattr(callback, hook, lambda *arguments, hook=hook: heard.append((hook, arguments)))
    several = callbacks.CallbackList(callback)
    for hook in hooks:
        if "on_batch" not in hook:
            getattr(several, hook)(7)
    assert heard == [(hook, (7,)) for hook in hooks if "on_batch" not in hook]


@pytest.mark.parametrize("hook", ["on_batch_end", "on_train_batch_end"])
def test_the_older_name_of_a_hook_is_the_same_hook(hook):
    heard = []
    getattr(callbacks.CallbackList([Heard("a", heard)]), hook)(5, {})
    assert heard == [("a", "batch", 5)]


def test_model_and_parameters_are_passed_to_all():
    one, other, model = callbacks.Callback(), callbacks.Callback(), object()
    several = callbacks.CallbackList([one, other], model=model, epochs=3, steps=2, verbose=0)
    assert one.model is other.model is model
    assert one.params == other.params == several.params == {"epochs": 3, "steps": 2, "verbose": 0}
    later = object()
    several.set_model(later)
    several.set_params({"epochs": 1})
    assert one.model is other.model is later
    assert one.params == other.params == {"epochs": 1}


def test_a_history_and_a_bar_are_added_where_there_is_none():
    assert callbacks.CallbackList().callbacks == []
    kinds = [callbacks.History, callbacks.ProgbarLogger]
    both = callbacks.CallbackList(add_history=True, add_progbar=True)
    assert [type(one) for one in both.callbacks] == kinds
    own = callbacks.History()
    found = callbacks.CallbackList([own], add_history=True, add_progbar=True).callbacks
    assert found[0] is own
    assert [type(one) for one in found] == kinds
    with pytest.raises(TypeError, match="CallbackList: add_history must be"):
        callbacks.CallbackList(add_history="yes")


def test_callbacks_are_appended_and_others_refused():
    heard = []
    several = callbacks.CallbackList()
    several.append(Heard("late", heard))
    several.on_epoch_end(0, None)
    assert heard == [("late", 0, None)]
    for wrong in (print, [callbacks.History(), 3]):
        with pytest.raises(TypeError, match=r"callbacks must be lamina.callbacks.Callback; got"):
            callbacks.CallbackList(wrong)
    with pytest.raises(TypeError, match=r"callbacks must be lamina.callbacks.Callback; got str"):
        several.append("history")
    assert len(several.callbacks) == 1


def test_who_listens_to_batches():
    several = callbacks.CallbackList([callbacks.History()])
    assert not any(several.wants_batches(kind) for kind in ("train", "test", "predict"))
    several.append(Heard("a", []))
    assert several.wants_batches("train")
    assert not several.wants_batches("test")
    several.callbacks[0].on_test_batch_begin = print  # assigned, on an instance
    assert several.wants_batches("test")


@pytest.mark.parametrize("bars", [[], [Bar()]])
@pytest.mark.parametrize(("rows", "size"), [(0, 4), (1, 4), (8, 4), (103, 4), (5, 100)])
def test_stretches_are_whole_batches_of_all_rows(bars, rows, size):
    found = list(callbacks.CallbackList(bars).stretches(rows, size))
    assert [row for first, count in found for row in range(first, first + count)] == list(range(rows))
    assert all(first % size == 0 for first, _ in found)
    assert len(found) <= 1 or bars
    if bars and rows:
        assert found[0] == (0, min(rows, size))


def test_bars_move_and_all_are_released():
    bar, other = Bar(), Heard("a", [])
    several = callbacks.CallbackList([other, bar])
    logs = {"loss": np.float64(2)}
    several.advance(3, lambda: logs)
    assert bar.moves == [(3, logs)]
    several.release()
    assert other.released == 1
