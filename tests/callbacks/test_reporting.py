"""What progress bars and lines show."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
from conftest import classification_model
from helpers import blobs

import lamina
from lamina import callbacks
from lamina.callbacks.base import spell_time


def test_progress(rng, capsys, monkeypatch):
    x, y = blobs(rng)
    model = classification_model(metrics=["accuracy"])
    model.fit(x, y, epochs=2, verbose=1)  # off a terminal: one line an epoch, no carriage returns
    found = capsys.readouterr()
    assert found.err == ""
    lines = found.out.splitlines()
    assert len(lines) == 2
    assert re.match(r"Epoch 2/2: 3/3 - [\d.]+[mu]?s - [\d.]+[mu]?s/step - accuracy: .* - loss: ", lines[1])
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    model.fit(x, y, epochs=2, verbose=1, validation_split=0.2)
    found = capsys.readouterr()
    assert found.err == ""
    assert re.search(
        r"\nEpoch 2/2: \d/\d - .* - loss: .* - val_accuracy: .* - val_loss: .*\n", found.out.replace("\r", "\n")
    )
    monkeypatch.undo()
    model.fit(x, y, epochs=2, verbose=2, validation_split=0.2)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "Epoch 2/2"
    assert re.match(
        r"3/3 - [\d.]+[mu]?s - [\d.]+[mu]?s/step - accuracy: .* - loss: .* - val_accuracy: .* - val_loss: ", lines[3]
    )
    for verbose in (1, 2, "auto"):
        model.evaluate(x, y, verbose=verbose)
        line = capsys.readouterr().out
        assert re.fullmatch(r"3/3 - [\d.]+[mu]?s - [\d.]+[mu]?s/step - accuracy: \d\.\d+ - loss: \d\.\d+\n", line)
    model.fit(x, y)
    assert re.fullmatch(r"Epoch 1/1: 3/3 - .*\n", capsys.readouterr().out)
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    assert capsys.readouterr() == ("", "")


def began(verbose, of_the_call=1, epochs=3, steps=4):
    bar = callbacks.ProgbarLogger(verbose)
    bar.set_params({"epochs": epochs, "steps": steps, "verbose": of_the_call})
    return bar


def through_an_epoch(bar, epoch=0, logs=None):
    bar.on_train_begin()
    bar.on_epoch_begin(epoch)
    bar.advance(2, {"loss": 0.75})
    bar.on_epoch_end(epoch, {"loss": 0.5, "tiny": 1.25e-5} if logs is None else logs)
    bar.on_train_end()


def test_a_line_for_each_epoch(capsys):
    bar = began(2)
    assert not bar.follows_batches
    through_an_epoch(bar, 1)
    heading, line = capsys.readouterr().out.splitlines()
    assert heading == "Epoch 2/3"
    assert re.fullmatch(r"4/4 - [\d.]+[mu]?s - [\d.]+[mu]?s/step - loss: 0\.5000 - tiny: 1\.25e-05", line)


def test_nothing_is_shown_where_verbose_is_0(capsys):
    through_an_epoch(began(0))
    through_an_epoch(began(None, of_the_call=0))
    assert capsys.readouterr() == ("", "")


def test_a_bar_of_no_own_verbosity_is_as_the_call_says(capsys):
    through_an_epoch(began(None, of_the_call=2))
    assert capsys.readouterr().out.startswith("Epoch 1/3\n")
    with pytest.raises(ValueError, match="ProgbarLogger: verbose must be"):
        callbacks.ProgbarLogger(3)


def test_output_to_a_file_gets_lines(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    bar = began(1)
    assert not bar.follows_batches
    through_an_epoch(bar, 2, {"loss": 2.0})
    found = capsys.readouterr()
    assert re.fullmatch(r"Epoch 3/3: 4/4 - [\d.]+[mu]?s - [\d.]+[mu]?s/step - loss: 2\.0000\n", found.out)
    assert found.err == ""


def test_the_number_of_batches_is_known_after_the_first_epoch(capsys):
    model = lamina.Sequential([lamina.Input((2,)), lamina.layers.Dense(1)])
    model.compile("sgd", "mse")

    class Batches:
        def __iter__(self):
            return (one for one in [(np.ones((4, 2)), np.ones(4))] * 3)

    model.fit(Batches(), epochs=2)
    model.evaluate(Batches())
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"Epoch ./2: ", "", text)[:6] for text in lines] == ["3/3 - "] * 3


def test_the_number_of_batches_may_be_unknown(capsys):
    through_an_epoch(began(2, steps=None), logs={"loss": 1.0})
    assert re.fullmatch(r"all - [\d.]+[mu]s - loss: 1\.0000", capsys.readouterr().out.splitlines()[1])


@pytest.mark.parametrize("end", ["on_train_end", "release"])
def test_a_bar_on_a_terminal_moves_and_is_closed(end, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    bar = began(1)
    assert bar.follows_batches
    bar.on_epoch_begin(0)
    bar.advance(4, {"loss": 0.75})
    getattr(bar, end)()
    getattr(bar, end)()  # there is none any more
    shown = capsys.readouterr()
    assert shown.err == ""
    assert "Epoch 1/3" in shown.out
    through_an_epoch(bar, 1)  # an epoch that ends leaves its line there
    assert "Epoch 2/3: 4/4 - " in capsys.readouterr().out.replace("\r", "\n")


def test_a_history_holds_the_values_of_all_epochs_of_one_training():
    history = callbacks.History()
    for _ in range(2):  # the second training begins anew
        history.on_train_begin()
        history.on_epoch_end(4, {"loss": 3.0})
        history.on_epoch_end(5, {"loss": 2.0, "val_loss": 1.0})
        history.on_epoch_end(6)
        assert history.epoch == [4, 5, 6]
        assert history.history == {"loss": [3.0, 2.0], "val_loss": [1.0]}
    kept = pickle.loads(pickle.dumps(history))
    history.on_epoch_end(7, {"loss": 1.0})
    assert (kept.epoch, kept.history["loss"]) == ([4, 5, 6], [3.0, 2.0])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0us"), (4.8e-6, "4.8us"), (0.000123, "123us"), (0.00123, "1.2ms"), (0.0123, "12ms"), (0.5, "500ms"),
        (1, "1.0s"), (9.949, "9.9s"), (9.96, "10s"), (75.4, "75s"), (4000, "4000s"),
    ],
)  # fmt: skip
def test_times_are_in_the_unit_that_fits(seconds, text):
    assert spell_time(seconds) == text


def test_a_log_has_one_line_for_each_epoch():
    found = subprocess.run([sys.executable, "-m", "lamina", "--epochs", "7"], capture_output=True, text=True)
    assert found.stderr == ""
    assert "\r" not in found.stdout
    assert len(re.findall(r"(?m)^Epoch \d/7: 45/45 - .*loss: \d\.\d+$", found.stdout)) == 7
