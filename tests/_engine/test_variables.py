"""Variables, and optimizers by themselves."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import small_model

import lamina


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


def test_optimizers_by_themselves():
    first, second = lamina.Variable([1.0, 2.0]), lamina.Variable([[3.0]])
    optimizer = lamina.optimizers.Adam(0.1)
    with pytest.raises(ValueError, match="must be built"):
        optimizer.set_weights([])
    with pytest.warns(UserWarning, match="have no gradient"):
        optimizer.apply([[0.5, 0.5], None], [first, second])
    np.testing.assert_allclose(first, [0.9, 1.9], rtol=1e-6)
    np.testing.assert_array_equal(second, [[3.0]])
    optimizer.apply([np.zeros(2), np.ones((1, 1))])  # of the variables that it was built for
    assert optimizer.iterations == 2
    assert len(optimizer.variables) == 2 + 4
    other = lamina.optimizers.Adam(0.5)
    other.build([first, second])
    other.set_weights(optimizer.variables)
    for ours, expected in zip(other.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())
    for wrong in ([[0.5]], [None, None], [np.zeros(3), np.zeros((1, 1))]):
        with pytest.raises(ValueError, match="Adam: "):
            optimizer.apply(wrong)
    scaled = lamina.optimizers.SGD(1.0, loss_scale_factor=4.0)
    scaled.apply([np.array([4.0, 8.0])], [first])
    assert scaled.scale_loss(2.0) == 8.0
    np.testing.assert_allclose(first, np.array([0.9, 1.9]) - [1, 2], atol=0.2)
    with pytest.warns(UserWarning, match="decay is no longer"):
        lamina.optimizers.SGD(decay=1e-6)


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_frozen_models_count_no_steps():
    model = small_model()
    model.trainable = False
    model.fit(np.zeros((8, 3)), np.zeros(8), verbose=0)
    assert model.optimizer.iterations == 0
