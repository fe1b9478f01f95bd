"""Several variables at once: kept values, and whether all are finite."""

import numpy as np
import pytest

import lamina
from lamina import _core, layers
from lamina._engine.variable import Variable
from lamina._engine.variables import Kept, all_finite


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("dense", "shapes"), [(True, [(3, 35), (1, 35)]), (False, [(1, 7), (2, 5)])])
def test_a_block_is_finite_if_every_value_is(dtype, dense, shapes, isa):
    block = _core.Parameters(dtype, dense, shapes)
    large = np.finfo(dtype).max  # its square is not finite
    for tensor, shape in enumerate(shapes):
        block.write(tensor, np.full(shape, large, dtype))
    assert block.finite()
    for tensor, shape in enumerate(shapes):
        for place in np.ndindex(shape):
            for wrong in (np.nan, np.inf, -np.inf):
                values = np.full(shape, -large, dtype)
                values[place] = wrong
                block.write(tensor, values)
                assert not block.finite()
        block.write(tensor, np.zeros(shape, dtype))
    assert block.finite()


def test_a_block_takes_the_values_of_its_copy_alone():
    block, other = (_core.Parameters("float32", True, [(3, 4)]) for _ in range(2))
    first, second = np.ones((3, 4), np.float32), np.full((3, 4), 2, np.float32)
    block.write(0, first)
    copy = block.copy()
    block.write(0, second)
    version = block.version
    block.take(copy)
    found = np.empty((3, 4), np.float32)
    block.read(0, found)
    np.testing.assert_array_equal(found, first)
    assert block.version > version
    for wrong in (other, _core.Parameters("float64", True, [(3, 4)]), other.copy()):
        with pytest.raises(ValueError, match="take needs what copy or like has made"):
            block.take(wrong)


def test_kept_values_come_back(rng):
    model = lamina.Sequential([lamina.Input((4,)), layers.BatchNormalization(), layers.Dense(3)])
    alone = Variable(np.arange(3.0), name="alone")
    model.predict(rng.standard_normal((2, 4)), verbose=0)  # the weights move into the engine
    kept, before = Kept(), model.get_weights()
    for _ in range(2):
        kept.keep([*model.weights, alone])
        model.set_weights([array + 1 for array in before])
        alone.assign([7, 8, 9])
        assert all((new != old).all() for new, old in zip(model.get_weights(), before, strict=True))
        kept.put_back()
        for new, old in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(new, old)
        np.testing.assert_array_equal(alone.numpy(), np.arange(3.0))


def test_variables_are_finite_wherever_they_lie():
    whole, alone = Variable(np.arange(3), name="whole"), Variable([1.0, 2.0], name="alone")
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.predict(np.ones((1, 4)), verbose=0)
    assert all_finite([whole, alone, *model.weights])
    alone.assign([1.0, np.inf])
    assert not all_finite([whole, alone])
    alone.assign([1.0, 2.0])
    model.layers[-1].bias.assign([0, np.nan, 0])
    assert not all_finite([alone, *model.weights])
