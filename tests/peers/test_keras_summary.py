"""Tables of `summary`, line by line as real Keras prints them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")


def plain(k):
    return k.Sequential([k.Input((784,)), k.layers.Dense(128, "relu"), k.layers.Dropout(0.2), k.layers.Dense(10)])


def long_names(k):
    name = "a_very_long_layer_name_that_goes_on_and_on_and_on"
    return k.Sequential(
        [k.Input((5,)), k.layers.Dense(3000, name=name), k.layers.BatchNormalization(), k.layers.LeakyReLU()]
    )


def nested(k):
    inner = k.Sequential([k.layers.Dense(7), k.layers.Dropout(0.1)], name="inner")
    model = k.Sequential([k.Input((5,)), k.layers.Dense(3), inner, k.layers.Dense(1)])
    model.layers[0].trainable = False
    return model


def unbuilt(k):
    return k.Sequential([k.layers.Dense(3), k.layers.Dense(4)])


def trained(k):
    model = k.Sequential([k.Input((5,)), k.layers.Dense(3)])
    model.compile("adam", "mse")
    model.fit(np.ones((4, 5)), np.ones((4, 3)), verbose=0)
    return model


@pytest.mark.parametrize("make", [plain, long_names, nested, unbuilt, trained])
def test_summaries_are_those_of_keras(make, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    models = []
    for library in (keras, lamina):
        library.backend.clear_session()
        models.append(make(library))
    for length, trainable, expand, positions in itertools.product(
        (60, 72, 88, 100, 130, None), (False, True), (False, True), (None, [0.3, 0.6, 1.0])
    ):
        printed = []
        for model in models:
            parts = []
            model.summary(
                line_length=length, show_trainable=trainable, expand_nested=expand, positions=positions,
                print_fn=lambda text, parts=parts, **_: parts.append(text),
            )  # fmt: skip
            printed.append("".join(parts).rstrip("\n"))
        assert printed[1] == printed[0]
