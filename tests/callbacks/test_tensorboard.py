from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina.callbacks import TensorBoard

pytest.importorskip("tensorboard")

X = np.random.default_rng(0).standard_normal((40, 3)).astype("f")
Y = X[:, :1] * 2


def model():
    made = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, "relu", name="a"), layers.Dense(1, name="b")])
    made.compile(lamina.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return made


def events(folder):
    """Return the values of all event files of a folder by tag: (step, value), or (step, histogram)."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    found = {}
    for file in sorted(folder.iterdir()):
        for event in LegacyEventFileLoader(str(file)).Load():
            for value in event.summary.value:
                held = value.histo if value.HasField("histo") else value.simple_value
                found.setdefault(value.tag, []).append((event.step, held))
    return found


def test_numbers_of_every_epoch_are_written(tmp_path):
    history = model().fit(X, Y, epochs=4, verbose=0, validation_split=0.25, callbacks=[TensorBoard(tmp_path)]).history
    train, held_out = events(tmp_path / "train"), events(tmp_path / "validation")
    assert set(train) == {"epoch_loss", "epoch_mae", "epoch_learning_rate"}
    assert set(held_out) == {"epoch_loss", "epoch_mae"}
    assert [step for step, _ in train["epoch_loss"]] == [0, 1, 2, 3]
    for name, found in (("loss", train), ("mae", train), ("val_loss", held_out), ("val_mae", held_out)):
        values = [value for _, value in found[f"epoch_{name.removeprefix('val_')}"]]
        np.testing.assert_allclose(values, history[name], rtol=1e-6)
    np.testing.assert_allclose([value for _, value in train["epoch_learning_rate"]], 0.01, rtol=1e-6)


def test_batches_histograms_and_speed(tmp_path):
    board = TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    trained = model()
    trained.fit(X, Y, batch_size=10, epochs=3, verbose=0, callbacks=board)
    train = events(tmp_path / "train")
    assert [step for step, _ in train["batch_loss"]] == [2, 4, 6, 8, 10, 12]
    assert len(train["epoch_steps_per_second"]) == 3
    histograms = train["a/kernel/histogram"]
    assert [step for step, _ in histograms] == [0, 2]
    last, kernel = histograms[-1][1], trained.layers[0].kernel.numpy()
    assert (last.num, sum(last.bucket)) == (12, 12)
    np.testing.assert_allclose([last.min, last.max, last.sum], [kernel.min(), kernel.max(), kernel.sum()], rtol=1e-5)


def test_a_callback_serves_again_and_is_pickled(tmp_path):
    board = TensorBoard(str(tmp_path), update_freq="batch")
    trained = model()
    for _ in range(2):
        trained.fit(X, Y, verbose=0, callbacks=[board])
    assert len(events(tmp_path / "train")["epoch_loss"]) == 2
    assert pickle.loads(pickle.dumps(TensorBoard(tmp_path))).log_dir == tmp_path


def test_what_is_not_written_is_said():
    for name, value in (("write_images", True), ("embeddings_freq", 1)):
        with pytest.warns(UserWarning, match="are written here, only numbers"):
            TensorBoard(**{name: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"update_freq": 0}, "update_freq must be"),
        ({"update_freq": "step"}, "update_freq must be"),
        ({"histogram_freq": -1}, "histogram_freq must be"),
        ({"log_dir": 3}, "log_dir must be"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        TensorBoard(**arguments)


def test_a_folder_that_is_a_file_is_refused_before_training(tmp_path):
    (tmp_path / "logs").write_text("x")
    with pytest.raises(NotADirectoryError, match="log_dir must be a folder"):
        model().fit(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path / "logs")])


def test_without_the_package_the_message_says_how_to_get_it():
    code = "import sys; sys.modules['tensorboard'] = None; import lamina; lamina.callbacks.TensorBoard()"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "pip install 'lamina[tensorboard]'" in found.stderr
