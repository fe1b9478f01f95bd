"""Checkpoints and backups."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import REGRESSION, Fixed, model_and_data, new_model, same

import lamina
from lamina import callbacks, layers, losses, optimizers


def test_checkpoints(tmp_path, rng):
    model, x, y = model_and_data(rng)
    spy = Fixed(value=[3, 1, 2])
    every = callbacks.ModelCheckpoint(tmp_path / "every" / "{epoch:02d}-{value:.1f}.safetensors")
    best = callbacks.ModelCheckpoint(tmp_path / "best.safetensors", "value", mode="min", save_best_only=True)
    bare = callbacks.ModelCheckpoint(tmp_path / "bare.safetensors", save_weights_only=True, save_freq=3)
    model.fit(x, y, epochs=3, verbose=0, callbacks=[spy, every, best, bare])
    assert sorted(p.name for p in (tmp_path / "every").iterdir()) == [
        "01-3.0.safetensors", "02-1.0.safetensors", "03-2.0.safetensors"]  # fmt: skip
    np.testing.assert_array_equal(
        lamina.models.load_model(tmp_path / "best.safetensors").get_weights()[0], spy.weights[1][0]
    )
    other, _, _ = model_and_data(np.random.default_rng(1))
    other.build((None, 5))
    other.load_weights(tmp_path / "bare.safetensors")
    np.testing.assert_array_equal(other.get_weights()[0], spy.weights[2][0])
    with pytest.raises(ValueError, match=r"must end in '.safetensors'"):
        callbacks.ModelCheckpoint("best.pth")
    with pytest.raises(ValueError, match="are files of weights"):
        callbacks.ModelCheckpoint("best.weights.h5")
    with pytest.raises(ValueError, match=r"must end in .* got 'best.keras'"):
        callbacks.ModelCheckpoint("best.keras", save_weights_only=True)


def test_a_restored_run_repeats_an_uninterrupted_one(tmp_path, rng):
    whole, x, y = model_and_data(rng)
    whole.build((None, 5))
    start, noise = whole.get_weights(), whole.layers[1].own_state()
    whole.fit(x, y, epochs=5, batch_size=8, verbose=0)

    class Stop(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    broken, _, _ = model_and_data(np.random.default_rng(3))
    broken.build((None, 5))
    broken.seed = whole.seed
    broken.set_weights(start)
    broken.layers[1].take_own_state(noise)
    with pytest.raises(KeyboardInterrupt):
        broken.fit(
            x, y, epochs=5, batch_size=8, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b"), Stop()]
        )
    assert (tmp_path / "b").exists()
    resumed, _, _ = model_and_data(np.random.default_rng(3))
    resumed.build((None, 5))
    resumed.layers[1].take_own_state(noise)
    history = resumed.fit(
        x, y, epochs=5, batch_size=8, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b")]
    )
    assert history.epoch == [0, 1, 2, 3, 4]
    assert not (tmp_path / "b").exists()
    for a, b in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Stop(callbacks.Callback):
    def __init__(self, at):
        super().__init__()
        self.at = at

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.at:
            raise RuntimeError("stopped here")


class OwnLoss(losses.Loss):  # which nobody has registered
    def value_and_gradient(self, y_true, y_pred):
        return ((y_pred - y_true) ** 2).mean(axis=1), 2 * (y_pred - y_true) / y_pred.shape[1]


def test_a_backup_needs_no_registered_classes(tmp_path):
    def fit(stop, **settings):
        model = new_model(optimizer=optimizers.SGD(lambda: 0.05, momentum=0.5))
        model.compile(model.optimizer, OwnLoss(), metrics=[lambda y, p: np.abs(y - p)])
        model.fit(
            *REGRESSION, epochs=4, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b"), *stop], **settings
        )
        return model

    with pytest.raises(RuntimeError, match="stopped here"):
        fit([Stop(2)])
    resumed = fit([])
    whole = new_model(optimizer=optimizers.SGD(lambda: 0.05, momentum=0.5))
    whole.compile(whole.optimizer, OwnLoss())
    whole.fit(*REGRESSION, epochs=4, verbose=0)
    assert same(resumed.get_weights(), whole.get_weights())
    assert not (tmp_path / "b").exists()


def test_a_backup_of_another_training_changes_nothing(tmp_path):
    folder = tmp_path / "b"
    with pytest.raises(RuntimeError, match="stopped here"):
        new_model().fit(*REGRESSION, epochs=4, verbose=0, callbacks=[callbacks.BackupAndRestore(folder), Stop(2)])
    others = {
        "another optimizer": new_model(5, optimizers.SGD(0.1)),
        "another optimizer, Adam": new_model(5, optimizers.Adam(0.1, amsgrad=True)),
        "other layers": lamina.Sequential([lamina.Input((4,)), layers.Dense(2)]),
        "'dense/kernel' is float32 of shape": lamina.Sequential([lamina.Input((4,)), layers.Dense(7), layers.Dense(2)]),
    }
    for match, model in others.items():
        if not model.compiled:
            model.compile("adam", "mse")
        before, seed = model.get_weights(), model.seed
        with pytest.raises(ValueError, match="damaged, of a newer lamina, or of another kind"):
            model.fit(*REGRESSION, epochs=4, verbose=0, callbacks=[callbacks.BackupAndRestore(folder)])
        assert same(model.get_weights(), before), match
        assert (model.seed, model.optimizer.iterations) == (seed, 0)
    path = folder / "backup.safetensors"
    lamina.Sequential([lamina.Input((4,)), layers.Dense(2)]).save(path)
    with pytest.raises(ValueError, match="of another kind"):
        new_model().fit(*REGRESSION, epochs=4, verbose=0, callbacks=[callbacks.BackupAndRestore(folder)])


def test_a_backups_directory_keeps_what_others_put_there(tmp_path):
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    new_model().fit(*REGRESSION, verbose=0, callbacks=[callbacks.BackupAndRestore(folder)])
    assert [p.name for p in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("mode", "threshold", "saved"),
    [
        ("min", None, ["1", "2", "5"]), ("min", 4.0, ["2", "5"]), ("min", 2.5, ["5"]), ("min", 1.0, []),
        ("max", None, ["1", "4"]), ("max", 4.0, ["4"]), ("max", 5.0, []),
    ],
)  # fmt: skip
def test_the_first_value_to_be_saved_must_be_better_than_the_threshold(mode, threshold, saved, tmp_path, rng):
    model, x, y = model_and_data(rng)
    keeper = callbacks.ModelCheckpoint(
        tmp_path / "{epoch}.safetensors", "value", save_best_only=True, mode=mode, initial_value_threshold=threshold
    )
    model.fit(x, y, epochs=5, verbose=0, callbacks=[Fixed(value=[4, 3, 3, 5, 1]), keeper])
    assert sorted(path.stem for path in tmp_path.iterdir()) == saved
    assert keeper.best == ({"min": 1, "max": 5}[mode] if saved else threshold)


def test_a_backup_may_stay_when_training_has_completed(tmp_path):
    folder = tmp_path / "b"

    def fit(epochs, **settings):
        model = new_model()
        backup = callbacks.BackupAndRestore(folder, **settings)
        return model, model.fit(*REGRESSION, epochs=epochs, verbose=0, callbacks=[backup]).epoch

    first, epochs = fit(2, delete_checkpoint=False)
    assert epochs == [0, 1]
    assert [path.name for path in folder.iterdir()] == ["backup.safetensors"]
    again, epochs = fit(2, delete_checkpoint=False)  # there is nothing left to do
    assert epochs == [0, 1]
    assert same(again.get_weights(), first.get_weights())
    resumed, epochs = fit(4)
    assert epochs == [0, 1, 2, 3]
    assert not folder.exists()
    whole, epochs = fit(4, delete_checkpoint=True)
    assert epochs == [0, 1, 2, 3]
    assert same(resumed.get_weights(), whole.get_weights())
