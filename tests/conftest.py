from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import _core

DTYPES = ("float32", "float64")


@pytest.fixture(params=_core.available_isas())
def isa(request):
    """Run the test under every instruction set of this machine."""
    before = _core.isa()
    _core.select_isa(request.param)
    yield request.param
    _core.select_isa(before)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture
def rng(request):
    """A generator of its own for every test, the same in every run and wherever its file lies."""
    return np.random.default_rng(abs(hash_of(request.node.name)))


def hash_of(text: str) -> int:
    value = 0
    for character in text.encode():
        value = (value * 131 + character) % (1 << 61)
    return value


@pytest.fixture(autouse=True)
def seeds():
    """Every test begins at the same seeds and with layer names counted from zero."""
    from lamina._common.names import clear_session

    lamina.utils.set_random_seed(1234)
    clear_session()


@pytest.fixture(autouse=True, scope="session")
def whole_teams():
    """Teams have as many members as asked for, whatever the machine has or others leave of it."""
    _core.adapt_to_machine(False)


@pytest.fixture
def restore_threads():
    before = lamina.get_num_threads()
    yield
    lamina.set_num_threads(before)


def classification_model(
    units=(8, 5, 3), activation="tanh", loss="sparse_categorical_crossentropy", **compile_arguments
):
    """A small classifier: units[0] inputs, units[-1] classes."""
    model = lamina.Sequential([lamina.Input((units[0],))])
    for width in units[1:-1]:
        model.add(lamina.layers.Dense(width, activation=activation))
    model.add(lamina.layers.Dense(units[-1], activation="softmax"))
    model.compile(lamina.optimizers.SGD(0.1), loss, **compile_arguments)
    return model
