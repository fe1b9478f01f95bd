"""The examples run, and reach what they promise."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

import lamina

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, *arguments):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main(*arguments)


@pytest.mark.parametrize(
    ("name", "arguments", "least"),
    [("spam", (), 0.97), ("regression", (), 0.94), ("next_word", (1,), 1.5)],
)
def test_example(name, arguments, least, capsys):
    assert run(name, *arguments) > least
    assert capsys.readouterr().out


def test_actor_critic(capsys):
    assert run("actor_critic") > 150
    assert capsys.readouterr().out


def test_ensemble(capsys):
    assert 0.85 < run("ensemble") < 0.97
    assert capsys.readouterr().out


def test_surrogate(capsys):
    pytest.importorskip("scipy")
    assert run("surrogate") < 0.2
    assert capsys.readouterr().out


def test_autoencoder(capsys):
    assert run("autoencoder") < 0.7


def test_dask_search(capsys):
    pytest.importorskip("distributed")
    assert run("dask_search") > 0.85
    assert "Dask cluster" in capsys.readouterr().out


def test_fashion(capsys):
    if not os.path.isdir(lamina.datasets.fashion_mnist.DEFAULT_PATH):  # it would be downloaded
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    assert run("fashion", 1) > 0.8
