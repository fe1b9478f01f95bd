"""Backups: what they are good for, what is refused, and what a resumed training knows."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import resource
import signal
import time

import numpy as np
import pytest
from helpers import REGRESSION, new_model, same

import lamina
from lamina import _core, callbacks, layers, losses, optimizers
from lamina._files import safetensors as tensor_files
from lamina.saving import ModelFileError

X, Y = REGRESSION


class StopAfter(callbacks.Callback):
    """Ends training after a batch of an epoch by an exception."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.epoch, self.batch = epoch, batch
        self.now = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.now, batch) == (self.epoch, self.batch):
            raise RuntimeError("stopped here")


def interrupted(folder, epoch=2, batch=0, freq="epoch", model=None, listeners=(), **settings):
    """Train until an exception, and leave a backup."""
    model = new_model() if model is None else model
    settings = {"x": X, "y": Y, "batch_size": 8, "epochs": 5, "verbose": 0} | settings
    with pytest.raises(RuntimeError, match="stopped here"):
        model.fit(
            **settings,
            callbacks=[callbacks.BackupAndRestore(folder, save_freq=freq), *listeners, StopAfter(epoch, batch)],
        )
    return model


def resumed(folder, model=None, listeners=(), freq="epoch", **settings):
    model = new_model() if model is None else model
    settings = {"x": X, "y": Y, "batch_size": 8, "epochs": 5, "verbose": 0} | settings
    history = model.fit(**settings, callbacks=[callbacks.BackupAndRestore(folder, save_freq=freq), *listeners])
    return model, history


def test_a_backup_within_an_epoch(tmp_path):
    whole = new_model()
    expected = whole.fit(X, Y, batch_size=8, epochs=5, verbose=0)
    interrupted(tmp_path / "b", epoch=2, batch=3, freq=2)
    seen = []

    class Sees(callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(epoch)

        def on_train_batch_begin(self, batch, logs=None):
            seen.append((batch,))

    model, history = resumed(tmp_path / "b", listeners=[Sees()], freq=2)
    assert seen[:4] == [2, (2,), (3,), 3]
    assert (history.history, history.epoch) == (expected.history, expected.epoch)
    assert same(model.get_weights(), whole.get_weights())
    assert not (tmp_path / "b").exists()


def test_resumed_training_may_go_on_for_longer_and_with_other_callbacks(tmp_path):
    interrupted(tmp_path / "b", listeners=[callbacks.EarlyStopping(patience=3, monitor="loss")])
    model, history = resumed(tmp_path / "b", epochs=7, listeners=[callbacks.TerminateOnNaN()])
    assert history.epoch == list(range(7))
    whole = new_model()
    whole.fit(X, Y, batch_size=8, epochs=7, verbose=0)
    assert same(model.get_weights(), whole.get_weights())


def test_a_training_that_had_stopped_stays_stopped(tmp_path):
    class Kill(callbacks.Callback):
        def after(self, hook, listeners):
            if hook == "on_epoch_end" and self.model.stop_training:
                raise RuntimeError("stopped here")

    def fit(*more):
        model = new_model()
        early = callbacks.EarlyStopping(monitor="loss", patience=0, min_delta=1e9, restore_best_weights=True)
        listeners = [callbacks.BackupAndRestore(tmp_path / "b"), early, *more]
        return model, model.fit(X, Y, batch_size=8, epochs=9, verbose=0, callbacks=listeners), early

    with pytest.raises(RuntimeError, match="stopped here"):
        fit(Kill())
    model, history, early = fit()
    assert history.epoch == [0, 1]
    assert early.stopped_epoch == 1
    whole, expected, _ = fit()
    assert history.history == expected.history
    assert same(model.get_weights(), whole.get_weights())


def edited(folder, change):
    """Change the settings of a backup."""
    path = folder / "backup.safetensors"
    metadata, tensors = tensor_files.read_tensors("", path)
    settings = json.loads(metadata["lamina backup"])
    change(settings)
    tensor_files.write_tensors("", path, tensors, {"lamina backup": json.dumps(settings)})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s["made_by"].update({"lamina": "9.9"}), "its lamina is 9.9; here it is"),
        (lambda s: s["made_by"].update({"instruction set": "vax"}), "its instruction set is vax; here it is"),
        (lambda s: s["made_by"].update({"loss": "Other"}), "its loss is Other"),
        (lambda s: s.update(format=99), "its format is 99"),
        (lambda s: s["training"].update(epoch=-1), "epoch"),
        (lambda s: s["training"].pop("draws"), "draws"),
        (lambda s: s["packed"]["dict"].pop("callbacks"), "callbacks"),
        (lambda s: s["packed"]["dict"].update(data={"tensor": "nowhere", "number": False}), "nowhere"),
    ],
)
def test_backups_of_elsewhere_are_refused_with_the_reason(tmp_path, change, words):
    folder = tmp_path / "b"
    interrupted(folder)
    edited(folder, change)
    before = (folder / "backup.safetensors").read_bytes()
    model = new_model()
    weights = model.get_weights()
    with pytest.raises(ModelFileError, match=words):
        resumed(folder, model)
    assert same(model.get_weights(), weights)
    assert model.optimizer.iterations == 0
    assert (folder / "backup.safetensors").read_bytes() == before


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: new_model(optimizer=optimizers.SGD(0.1, momentum=0.9)), "another optimizer"),
        (lambda: new_model(optimizer=optimizers.Adam(0.01, beta_1=0.5)), "its optimizer is Adam"),
        (lambda: compiled(new_model(), losses.Huber()), "its loss is MeanSquaredError"),
        (
            lambda: compiled(lamina.Sequential([lamina.Input((4,)), layers.Dense(5, "relu"), layers.Dense(2)])),
            "layer 0",
        ),
    ],
)
def test_backups_of_other_models_are_refused(tmp_path, other, words):
    interrupted(tmp_path / "b", model=new_model(optimizer=optimizers.Adam(0.01)))
    with pytest.raises(ModelFileError, match=words):
        resumed(tmp_path / "b", other())


def of_relu():
    return lamina.Sequential([lamina.Input((4,)), layers.Dense(5, "relu"), layers.Dense(2)])


def compiled(model, loss="mse"):
    model.compile(optimizers.Adam(0.01), loss)
    return model


def test_other_data_are_refused_within_an_epoch_and_welcome_between_two(tmp_path):
    interrupted(tmp_path / "within", epoch=1, batch=2, freq=1)
    for other in ({"x": X[:20], "y": Y[:20]}, {"batch_size": 4}, {"shuffle": False}, {"steps_per_epoch": 2}):
        with pytest.raises(ModelFileError, match="within an epoch over the data"):
            resumed(tmp_path / "within", **other)
    interrupted(tmp_path / "between")
    _, history = resumed(tmp_path / "between", x=X[:20], y=Y[:20])
    assert history.epoch == [0, 1, 2, 3, 4]


def test_data_in_batches(tmp_path):
    def batches(count=100):
        rng = np.random.default_rng(4)
        for _ in range(count):
            rows = rng.integers(0, 32, 6)
            yield X[rows], Y[rows]

    given = {"y": None, "batch_size": None, "steps_per_epoch": 4}
    interrupted(tmp_path / "b", epoch=2, batch=2, freq=1, x=batches(), **given)
    with pytest.raises(ModelFileError, match="it was written for data of another kind"):
        resumed(tmp_path / "b")
    with pytest.raises(ModelFileError, match="must yield the batches that it did before, 10 at least; it has 7"):
        resumed(tmp_path / "b", x=batches(7), **given)
    models = [lamina.Sequential([layers.Dense(3, "tanh"), layers.Dense(2)]) for _ in range(3)]
    for model in models:
        model.compile("adam", "mse", metrics=["mae"])
    first, again, whole = models  # `again` is built when its batches are known
    for model in (first, whole):
        model.build((None, 4))
    whole.set_weights(first.get_weights())
    interrupted(tmp_path / "c", epoch=2, batch=2, freq=1, x=batches(), model=first, **given)
    _, history = resumed(tmp_path / "c", again, x=batches(), **given)
    expected = whole.fit(batches(), steps_per_epoch=4, epochs=5, verbose=0)
    assert history.history == expected.history
    assert same(again.get_weights(), whole.get_weights())


def test_states_of_callbacks(tmp_path):
    state = {
        "none": None, "flag": True, "count": 3, "text": "ä", "nan": float("nan"), "list": [1, [2.5, None]],
        "tuple": (1, "b"), "array": np.arange(6.0).reshape(2, 3), "number": np.float32(0.1), "dict": {"a": {"b": []}},
    }  # fmt: skip

    class Keeps(callbacks.Callback):
        found = None

        def get_state(self):
            return state

        def set_state(self, found):
            self.found = found

    for folder in ("b", "d"):
        interrupted(tmp_path / folder, listeners=[Keeps()])
    keeps = [Keeps(), Keeps()]  # the second has none in the backup
    resumed(tmp_path / "b", listeners=keeps)
    assert keeps[1].found is None
    found = keeps[0].found
    assert found.keys() == state.keys()
    np.testing.assert_array_equal(found.pop("array"), state["array"])
    assert type(found["number"]) is np.float32
    assert repr(found) == repr({name: value for name, value in state.items() if name != "array"})

    class Changed(Keeps):
        def set_state(self, found):
            self.found = found["another name"]

    Changed.__name__ = "Keeps"  # the class has changed since the backup was made
    with pytest.raises(ModelFileError, match=r"Keeps.set_state.*KeyError: 'another name'"):
        resumed(tmp_path / "d", listeners=[Changed()])

    class Wrong(callbacks.Callback):
        def get_state(self):
            return {"model": self.model}

    with pytest.raises(TypeError, match="a state must hold numbers, texts.*is Sequential"):
        resumed(tmp_path / "c", listeners=[Wrong()])


def test_tables_have_each_line_once(tmp_path):
    for append in (False, True):
        path = tmp_path / f"{append}.csv"
        path.write_text("epoch,loss\n7,0.5\n")
        whole = tmp_path / "whole.csv"
        whole.write_text("epoch,loss\n7,0.5\n")
        new_model().fit(X, Y, batch_size=8, epochs=5, verbose=0, callbacks=[callbacks.CSVLogger(whole, append=append)])
        interrupted(tmp_path / "b", epoch=3, batch=2, freq=3, listeners=[callbacks.CSVLogger(path, append=append)])
        resumed(tmp_path / "b", listeners=[callbacks.CSVLogger(path, append=append)], freq=3)
        assert path.read_bytes() == whole.read_bytes()
    interrupted(tmp_path / "b", epoch=3, listeners=[callbacks.CSVLogger(path)])
    path.write_text("")
    with pytest.raises(ValueError, match="must have the lines of the epochs that were trained"):
        resumed(tmp_path / "b", listeners=[callbacks.CSVLogger(path)])


def _fit_on_a_full_disk(folder, results):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    try:
        resumed(folder)
    except OSError as error:
        results.put((error.errno, str(error)))


def test_a_full_disk_raises_and_leaves_the_last_backup(tmp_path):
    folder = tmp_path / "b"
    interrupted(folder)
    before = (folder / "backup.safetensors").read_bytes()
    assert len(before) > 2000
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    process = context.Process(target=_fit_on_a_full_disk, args=(folder, results))
    process.start()
    process.join(60)
    number, words = results.get()
    assert number == errno.EFBIG
    assert "backup.safetensors" in words
    assert [path.name for path in folder.iterdir()] == ["backup.safetensors"]
    assert (folder / "backup.safetensors").read_bytes() == before
    _, history = resumed(folder)
    assert history.epoch == [0, 1, 2, 3, 4]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into such a folder too: nothing is refused")
def test_a_folder_that_cannot_be_written_is_refused_first(tmp_path):
    tmp_path.chmod(0o500)
    model = new_model()
    with pytest.raises(PermissionError):
        resumed(tmp_path / "b", model)
    assert model.optimizer.iterations == 0


def test_files_of_others_stay(tmp_path):
    folder = tmp_path / "b"
    folder.mkdir()
    for name in ("mine.txt", "backup.txt", ".lamina-mine", "old.part"):
        (folder / name).write_text(name)
    resumed(folder)
    assert {path.name for path in folder.iterdir()} == {"mine.txt", "backup.txt", ".lamina-mine", "old.part"}


def test_wrong_frequencies():
    for wrong in (0, -1, 1.5, "batch", None):
        with pytest.raises((ValueError, TypeError), match="save_freq"):
            callbacks.BackupAndRestore("b", save_freq=wrong)
    assert callbacks.BackupAndRestore("b", save_freq=3).save_freq == 3
    assert callbacks.BackupAndRestore("b").save_freq == "epoch"


def test_backups_cost_little(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((6000, 784)).astype("f"), rng.integers(0, 10, 6000)
    model = lamina.Sequential([lamina.Input((784,)), layers.Dense(256, "relu"), layers.Dense(10)])
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=128, verbose=0)

    def seconds(*listeners):
        begin = time.perf_counter()
        model.fit(x, y, batch_size=128, epochs=3, verbose=0, callbacks=list(listeners))
        return time.perf_counter() - begin

    plain = sorted(seconds() for _ in range(3))[1]
    backed = sorted(seconds(callbacks.BackupAndRestore(tmp_path / "b")) for _ in range(3))[1]
    assert (backed - plain) / 3 < 0.1  # 2.4 MB: a tenth of a second at most, on a slow disk


def test_the_instruction_set_is_in_the_backup(tmp_path):
    interrupted(tmp_path / "b")
    metadata, _ = tensor_files.read_tensors("", tmp_path / "b" / "backup.safetensors")
    made_by = json.loads(metadata["lamina backup"])["made_by"]
    assert made_by["instruction set"] == _core.isa()
    assert made_by["lamina"] == lamina.__version__


def test_loops_of_users_are_resumed(tmp_path):
    def loop(stop):
        model = new_model()
        listeners = callbacks.CallbackList([callbacks.BackupAndRestore(tmp_path / "b")], add_history=True, model=model)
        listeners.on_train_begin()
        begin = model.initial_epoch or 0
        for epoch in range(begin, 4):
            if epoch == stop:
                return model
            listeners.on_epoch_begin(epoch)
            logs = model.train_on_batch(X, Y, return_dict=True)
            listeners.on_epoch_end(epoch, logs)
        return model, begin, next(one for one in listeners.callbacks if isinstance(one, callbacks.History))

    loop(2)
    model, begin, history = loop(None)
    assert (begin, history.epoch) == (2, [0, 1, 2, 3])
    whole = new_model()
    for _ in range(4):
        whole.train_on_batch(X, Y)
    assert same(model.get_weights(), whole.get_weights())


def test_names_may_be_other_ones(tmp_path):
    def made(slope=0.2):
        lamina.utils.set_random_seed(3)
        inner = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, activation=layers.LeakyReLU(slope))])
        return compiled(lamina.Sequential([lamina.Input((4,)), inner, layers.Dense(2)]))

    interrupted(tmp_path / "b", model=made())
    with pytest.raises(ModelFileError, match="layer 0 is .*LeakyReLU"):
        resumed(tmp_path / "b", made(0.5))
    _, history = resumed(tmp_path / "b", made())
    assert history.epoch == [0, 1, 2, 3, 4]
