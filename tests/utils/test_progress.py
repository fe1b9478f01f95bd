"""Progbar, and where lines about progress go."""

from __future__ import annotations

import logging
import re
import sys

import numpy as np
import pytest

import lamina
from lamina import layers, utils


def line(text, steps, rest, target=None):
    pattern = rf"{steps}/{target or steps} - [\d.]+[mu]?s - [\d.]+[mu]?s/step{re.escape(rest)}"
    return re.fullmatch(pattern, text.strip())


def test_values_are_averaged_or_shown_as_they_are(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    bar = utils.Progbar(4, stateful_metrics=["rate"])
    for step in range(4):
        bar.update(step + 1, [("loss", float(step)), ("rate", step / 2)])
    assert line(capsys.readouterr().out, 4, " - loss: 3.0000 - rate: 1.5000")  # the last ones are shown as they are
    bar = utils.Progbar(None, verbose=2)
    for step in range(4):
        bar.update(step + 1, [("loss", [float(step), step + 1.0])])
    bar.update(4, finalize=True)
    assert line(capsys.readouterr().out, 4, " - loss: 2.0000")


@pytest.mark.parametrize("target", [None, 10])
def test_steps_may_be_added_and_the_end_be_told(target, capsys):
    bar = utils.Progbar(target, verbose=2)
    bar.add(2, {"a": 1.0}.items())
    bar.add(4, {"a": 4.0}.items())
    assert capsys.readouterr().out == ""
    bar.update(6, finalize=True)
    assert line(capsys.readouterr().out, 6, " - a: 3.0000", target)


def test_a_bar_moves_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    bar = utils.Progbar(3, width=7, interval=0.0, unit_name="batch")
    for step in range(3):
        bar.update(step + 1, [("loss", 2.0)])
    found = capsys.readouterr().out
    assert "1/3" in found
    assert "loss=2.0000" in found
    assert found.splitlines()[-1].endswith("batch - loss: 2.0000")


def test_nothing_is_shown_without_verbose(capsys):
    utils.Progbar(1, verbose=0).update(1, [("a", 1)])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"target": -1}, ValueError), ({"target": 1.5}, TypeError), ({"target": 1, "width": 0}, ValueError),
        ({"target": 1, "verbose": 3}, ValueError), ({"target": 1, "interval": -1}, ValueError),
        ({"target": 1, "unit_name": 3}, TypeError),
    ],
)  # fmt: skip
def test_arguments_are_checked(arguments, error):
    with pytest.raises(error, match="Progbar: "):
        utils.Progbar(**arguments)
    bar = utils.Progbar(2)
    for call in (lambda: bar.update(-1), lambda: bar.add(0.5), lambda: bar.update(1, finalize="yes")):
        with pytest.raises((TypeError, ValueError), match="Progbar: "):
            call()


def test_lines_may_go_to_a_log(capsys, caplog):
    model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    stopping = lamina.callbacks.EarlyStopping("loss", patience=0, min_delta=1e9, verbose=1)
    assert utils.is_interactive_logging_enabled()
    utils.disable_interactive_logging()
    try:
        assert not lamina.config.is_interactive_logging_enabled()
        with caplog.at_level(logging.INFO, "lamina"):
            model.fit(np.ones((4, 2)), np.ones(4), epochs=3, callbacks=stopping)
            model.evaluate(np.ones((4, 2)), np.ones(4))
            model.summary()
            utils.Progbar(1).update(1)
    finally:
        utils.enable_interactive_logging()
    assert capsys.readouterr().out == ""
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith("Epoch 1/3: 1/1")
    assert "Epoch 2: early stopping" in lines
    assert any("Total params" in text for text in lines)
    model.summary()
    assert "Total params" in capsys.readouterr().out


def test_symbolic_tensors_are_told_from_arrays():
    assert utils.is_keras_tensor(lamina.Input((2,)))
    assert not utils.is_keras_tensor(np.ones(2))
