"""A `fit` that a callback of another calls leaves that one as it was."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers


class Looks(layers.Layer):
    """Notes the first column of all batches that are trained."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x, *, training):
        if training:
            self.seen.append(x[:, 0].tolist())
        return layers.Pass(x)

    def backward(self, dy, saved, *, need_dx):
        return dy, []


class Nested(callbacks.Callback):
    """Trains on other rows after each epoch."""

    def __init__(self, error_at=None, error=None):
        super().__init__()
        self.error_at, self.error = error_at, error

    def on_epoch_end(self, epoch, logs=None):
        model, rows = self.model, -np.ones((3, 1))
        executor = model.executor
        before = (
            model.history, model.stop_training, model.fit_completed, model.validates, model.initial_epoch,
            executor.place, executor.state(metrics=False).epoch, executor.place.row, epoch,
        )  # fmt: skip
        shuffles = executor.shuffles
        model.fit(rows, rows, epochs=3, verbose=0)
        executor.shuffles = shuffles  # its passes count for the next random order
        assert (
            model.history, model.stop_training, model.fit_completed, model.validates, model.initial_epoch,
            executor.place, executor.state(metrics=False).epoch, executor.place.row, executor.place.epoch,
        ) == before  # fmt: skip
        if epoch == self.error_at:
            raise self.error


@pytest.mark.parametrize("steps", [None, 2])
def test_a_resumed_fit_goes_on_with_its_own_rows(tmp_path, steps):
    def batches(nested):
        lamina.utils.set_random_seed(3)
        seen, x, path = [], np.arange(8.0).reshape(8, 1), tmp_path / str(nested)
        model = lamina.Sequential([lamina.Input((1,)), Looks(seen), layers.Dense(1)])
        model.compile("sgd", "mse")
        settings = {"batch_size": 2, "steps_per_epoch": steps, "verbose": 0, "epochs": 5}

        class Fails(callbacks.Callback):
            def on_epoch_end(self, epoch, logs=None):
                if epoch == 1:
                    raise RuntimeError

        with pytest.raises(RuntimeError):
            model.fit(x, x, **settings, callbacks=[callbacks.BackupAndRestore(path), Fails()])
        seen.clear()
        own = [callbacks.BackupAndRestore(path), *([Nested()] if nested else [])]
        history = model.fit(x, x, **settings, callbacks=own)
        assert model.history is history
        assert history.epoch == [0, 1, 2, 3, 4]
        return [batch for batch in seen if batch[0] >= 0]

    found = batches(False)
    assert len(found) == 4 * (steps or 4)
    assert batches(True) == found


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_backup_stays_where_the_outer_fit_is_not_completed(tmp_path, error):
    x = np.arange(8.0).reshape(8, 1)
    model = lamina.Sequential([lamina.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(error):
        model.fit(
            x, x, epochs=5, verbose=0, callbacks=[callbacks.BackupAndRestore(tmp_path / "b"), Nested(2, error())]
        )  # fmt: skip
    assert not model.fit_completed
    assert list((tmp_path / "b").glob("*"))
