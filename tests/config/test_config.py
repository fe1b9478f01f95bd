"""Precision, and what is fixed."""

from __future__ import annotations

import pytest

import lamina
from lamina import config, layers


def test_the_default_dtype_is_that_of_new_layers():
    assert config.floatx() == "float32"
    try:
        config.set_floatx("float64")
        assert layers.Dense(1).dtype == "float64"
        assert lamina.initializers.Zeros()((2,)).dtype == "float64"
    finally:
        config.set_floatx("float32")
    assert layers.Dense(1).dtype == "float32"
    with pytest.raises(ValueError, match="float16"):
        config.set_floatx("float16")


def test_what_is_fixed_may_be_set_to_what_it_is():
    config.set_epsilon(1e-7)
    with pytest.raises(ValueError, match="as the compiled losses have it"):
        config.set_epsilon(1e-3)
    assert config.epsilon() == 1e-7
    assert (config.backend(), config.image_data_format()) == ("lamina", "channels_last")


def test_tracebacks_are_never_filtered():
    config.disable_traceback_filtering()
    config.enable_traceback_filtering()
    with pytest.raises(ValueError, match="units must be >= 1") as raised:
        layers.Dense(-1)
    assert len(raised.traceback) > 1
