"""The bits of every feature of the engine, for any number of threads, schedule, caches, and company of rows."""

import os
import subprocess
import sys
from pathlib import Path

import feature_models
import numpy as np
import pytest
from feature_models import FEATURES, digest, made, many_models
from helpers import forced_model

import lamina
from lamina import layers


@pytest.mark.parametrize("feature", FEATURES)
def test_bits_do_not_depend_on_threads_or_schedule(feature, restore_threads):
    lamina.set_num_threads(1)
    found = {"alone": digest(made(feature).ended())}
    for threads in range(1, 9):
        lamina.set_num_threads(threads)
        found[threads] = digest(made(feature).ended())
        for schedule in ("stationary", "chunked", "by_rows", "alternating"):
            training = made(feature)
            forced_model(training.model, schedule, threads)
            found[threads, schedule] = digest(training.ended())
    assert len(set(found.values())) == 1, found


def test_bits_of_many_models_do_not_depend_on_threads(restore_threads):
    found = set()
    for threads in range(1, 9):
        lamina.set_num_threads(threads)
        found.add(digest(many_models()))
    assert len(found) == 1


def test_bits_do_not_depend_on_caches():
    program = Path(feature_models.__file__)
    found = {}
    for caches, threads in (("", "1"), ("1K,4K,16K", "2"), ("64K,16M,1G", "3"), ("1,1,1", "8"), ("48K,2M,105M", "5")):
        environment = os.environ | {"LAMINA_CACHES": caches, "LAMINA_NUM_THREADS": threads}
        done = subprocess.run(
            [sys.executable, program, threads], env=environment, capture_output=True, text=True, check=True, timeout=300
        )
        found[caches] = done.stdout.splitlines()
    lines = found.pop("")
    assert len(lines) == len(FEATURES) + 1
    assert all(other == lines for other in found.values()), found


@pytest.mark.parametrize("feature", FEATURES)
def test_the_prediction_of_a_row_does_not_depend_on_its_company(feature, restore_threads):
    training = made(feature)
    model, x = training.model, training.x
    training.ended()
    whole = model.predict(x, batch_size=517)
    rng = np.random.default_rng(4)
    for threads in (1, 2, 5):
        lamina.set_num_threads(threads)
        for size in (1, 2, 31, 32, 33, 200):
            rows = rng.choice(len(whole), size, replace=False)
            np.testing.assert_array_equal(model.predict(x[rows], batch_size=size), whole[rows])
        np.testing.assert_array_equal(model.predict(x, batch_size=7), whole)


def test_the_list_has_every_kind_of_layer_that_computes():
    listed = {type(layer) for feature in FEATURES for layer in made(feature).model.layers}
    alone = {"Flatten", "Reshape", "RepeatVector", "Permute", "InputLayer", "Layer", "Identity"}  # which move numbers
    alone |= {"Activation", "Softmax", "ELU", "LeakyReLU", "ReLU", "Rescaling", "Normalization"}  # element by element
    alone |= {"InputSpec", "Lambda", "Pass"}  # no layer, code of the user's, base of layers without memory
    public = {name for name in layers.__all__ if isinstance(getattr(layers, name), type)}
    assert {name for name in public if getattr(layers, name) not in listed} <= alone
