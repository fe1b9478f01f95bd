"""Variables, by themselves and as parameters of a layer."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers


def test_variables_by_themselves():
    variable = lamina.Variable([1.0, 2.0], name="v")
    assert (variable.dtype, variable.shape, variable.path) == ("float32", (2,), "v")
    assert variable.assign_add([1, 1]) is variable
    variable.assign_sub(np.array([0.5, 0.5]))
    np.testing.assert_array_equal(variable, [1.5, 2.5])
    np.testing.assert_array_equal(variable == np.array([1.5, 0]), [True, False])
    assert float(lamina.Variable(3)) == 3
    made = lamina.Variable("ones", shape=(2, 3), dtype="float64", trainable=False)
    np.testing.assert_array_equal(made, np.ones((2, 3)))
    assert not made.trainable
    with pytest.raises(ValueError, match="shape must be given"):
        lamina.Variable("zeros")
    with pytest.raises(ValueError, match="must have shape"):
        lamina.Variable([1.0], shape=(2,))


def test_variable_copies_out_and_writes_in():
    layer = layers.Dense(2, kernel_initializer="zeros")
    layer.build((None, 3))
    kernel = layer.kernel
    kernel.numpy()[:] = 5
    np.asarray(kernel)[:] = 5
    assert (kernel.numpy() == 0).all()
    assert kernel.assign(np.ones((3, 2), int)) is kernel
    assert (np.asarray(kernel) == 1).all()
    assert np.asarray(kernel, dtype="float64").dtype == np.float64
    assert kernel.dtype == "float32"
    assert kernel.size == 6
    assert len(kernel) == 3
    assert kernel.ndim == 2
    kernel[0][:] = 9
    assert (kernel[0] == 1).all()
    assert "dense/kernel" in repr(kernel)
    with pytest.raises(ValueError, match=r"value must have shape \(3, 2\); got \(2, 3\)"):
        kernel.assign(np.ones((2, 3)))
    with pytest.raises(TypeError, match="must be real numbers"):
        kernel.assign(np.ones((3, 2), complex))
    with pytest.raises(ValueError, match="always a copy"):
        np.asarray(kernel, copy=False)
    assert (np.asarray(kernel) == 1).all()
