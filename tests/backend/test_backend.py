"""What Keras code asks of the backend."""

from __future__ import annotations

import numpy as np

import lamina
from lamina import backend, config


def test_it_is_the_configuration():
    assert (backend.backend(), backend.image_data_format()) == ("lamina", "channels_last")
    assert backend.floatx() == config.floatx() == "float32"
    assert backend.epsilon() == config.epsilon() == 1e-7
    assert backend.set_floatx is config.set_floatx


def test_values_and_numbers():
    variable = lamina.Variable([1.0, 2.0])
    np.testing.assert_array_equal(backend.get_value(variable), [1, 2])
    np.testing.assert_array_equal(backend.get_value([3.0]), [3])
    assert [backend.get_uid("a"), backend.get_uid("a"), backend.get_uid("b")] == [1, 2, 1]
    backend.clear_session()
    assert backend.get_uid("a") == 1


def test_names_begin_again():
    assert [lamina.layers.ReLU().name for _ in range(2)] == ["re_lu", "re_lu_1"]
    backend.clear_session()
    assert lamina.layers.ReLU().name == "re_lu"
