"""Layers with a `call` outside of models: they take what their `call` takes, and return what it returns."""

from __future__ import annotations

import collections

import numpy as np
import pytest

import lamina
from lamina import layers, ops

X = np.arange(12, dtype="f").reshape(3, 4)


class Returns(layers.Layer):
    """Returns what a function makes of the input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, inputs):
        return self.function(inputs)


class Linear(layers.Layer):
    """Makes its parameters in build."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2), initializer="ones")
        super().build(input_shape)

    def call(self, rows):
        return ops.matmul(rows, self.kernel)


def test_several_outputs():
    first, second = Returns(lambda x: (x, 2 * x))(X)
    np.testing.assert_array_equal(second, 2 * first)
    assert type(first).__name__ == type(second).__name__ == "Tensor"
    found = Returns(lambda x: {"sum": ops.sum(x), "rows": [x, None, 3], "text": "a"})(X)
    assert float(found["sum"].numpy()) == 66
    np.testing.assert_array_equal(found["rows"][0], X)
    assert found["rows"][1:] == [None, 3]
    assert found["text"] == "a"
    pair = collections.namedtuple("pair", "a b")
    named = Returns(lambda x: pair(x, x + 1))(X)
    assert type(named) is pair
    np.testing.assert_array_equal(named.b, X + 1)
    with pytest.raises(TypeError, match="call must return one array; it returned 2"):
        lamina.Sequential([lamina.Input((4,)), Returns(lambda x: (x, x))]).summary()


def test_several_inputs():
    given = []
    layer = Returns(lambda both: given.append(both) or both[0] + both[1])
    np.testing.assert_array_equal(layer([X, X.astype("d")]), 2 * X)
    assert type(given[0]) is list
    assert [one.dtype for one in given[0]] == ["float32", "float32"]
    np.testing.assert_array_equal(Returns(lambda named: named["a"] - named["b"])({"a": X, "b": X}), 0 * X)
    np.testing.assert_array_equal(layer([[1.0, 2.0], [3.0, 4.0]]), [4, 6])  # numbers: one array of two rows
    with pytest.raises(TypeError, match="inputs must be one array in the first call of a layer whose build makes"):
        Linear()([X, X])


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8", "bool"])
def test_integers_stay_integers(dtype):
    given = np.array([[0, 1], [1, 0]], dtype)
    assert Returns(lambda x: x)(given).dtype == dtype
    assert Returns(lambda x: ops.one_hot(x, 2))(given).shape == (2, 2, 2)
    assert Returns(lambda x: ops.take(np.arange(4.0).reshape(2, 2), ops.cast(x, "int32"), axis=0))(given).dtype == "f"


def test_floats_have_the_dtype_of_the_layer():
    assert Returns(lambda x: x)(X.astype("d")).dtype == np.float32
    assert Returns(lambda x: np.asarray(x, "d"))(X).dtype == np.float32
    layer = Returns(lambda x: x)
    layer.dtype = "float64"
    assert layer(X).dtype == np.float64


def test_inputs_of_any_rank():
    assert Returns(lambda x: x + 1)(np.float32(2)) == 3
    np.testing.assert_array_equal(Returns(lambda x: x + 1)([1.0, 2.0]), [2, 3])
    layer = Linear()
    np.testing.assert_array_equal(layer(np.ones(4, "f")), [4, 4])
    np.testing.assert_array_equal(layer(X), np.repeat(X.sum(axis=1)[:, np.newaxis], 2, axis=1))
    np.testing.assert_array_equal(layer(np.ones((2, 3, 4))), np.full((2, 3, 2), 4))
    with pytest.raises(ValueError, match="mismatch|size"):
        layer(np.ones((2, 5)))


def test_layers_without_parameters_take_other_shapes_later():
    layer = Returns(lambda x: 2 * x)
    layer(X)
    model = lamina.Sequential([lamina.Input((7,)), layer])
    np.testing.assert_array_equal(model.predict(np.ones((2, 7)), verbose=0), np.full((2, 7), 2))
    np.testing.assert_array_equal(layer(X), 2 * X)


def test_the_first_argument_may_be_named():
    np.testing.assert_array_equal(Linear()(rows=X), Linear()(X))
    np.testing.assert_array_equal(Linear()(inputs=X), Linear()(X))
    np.testing.assert_array_equal(Returns(lambda x: x)(inputs=X), X)
    np.testing.assert_array_equal(layers.ReLU()(inputs=X - 5, training=False), np.maximum(X - 5, 0))
    with pytest.raises(TypeError, match="inputs must be an array; got None"):
        Linear()()
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        Linear()(X, columns=X)


def test_the_default_of_training_counts():
    class Mode(layers.Layer):
        def call(self, x, training=True):
            return x + 1 if training else x

    layer = Mode()
    np.testing.assert_array_equal(layer(X), X + 1)
    np.testing.assert_array_equal(layer(X, training=False), X)
    np.testing.assert_array_equal(layer(X, False), X)
    np.testing.assert_array_equal(lamina.Sequential([lamina.Input((4,)), layer]).predict(X, verbose=0), X)
    seen = []

    class Nothing(layers.Layer):
        def call(self, x, training=None):
            seen.append(training)
            return x

    Nothing()(X)
    Nothing()(X, training=True)
    Returns(lambda x: x)(X, training=True)  # it takes none
    assert seen == [None, True]


def test_build_of_a_class_that_is_no_layer():
    class Builds:
        def build(self, input_shape):
            self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    class Scaled(Builds, layers.Layer):
        def call(self, x):
            return x * self.factor

    class Twice(Scaled):
        pass

    for kind in (Scaled, Twice):
        layer = kind()
        layer.build((None, 4))
        assert layer.built
        assert layer.input_shape == (None, 4)
        assert len(layer.weights) == 1
        np.testing.assert_array_equal(layer(X), X)


def test_trial_calls_draw_no_seeds():
    class Noisy(layers.Layer):
        def __init__(self, seeds):
            super().__init__()
            self.seeds = seeds

        def build(self, input_shape):
            self.shift = self.add_weight(shape=(input_shape[-1],), initializer="random_normal")
            super().build(input_shape)

        def call(self, x):
            return x + self.shift + lamina.random.normal(ops.shape(x), seed=self.seeds)

    def first(*, shapes):
        lamina.utils.set_random_seed(3)
        layer = Noisy(lamina.random.SeedGenerator(1))
        if shapes:
            assert layer.compute_output_shape((None, 4)) == (None, 4)
        layer.build((None, 4))
        if shapes:
            assert layer.compute_output_shape((None, 4)) == (None, 4)
        return layer(X), layer(X), layer.seeds.counter

    one, two = first(shapes=False), first(shapes=True)
    np.testing.assert_array_equal(one[0], two[0])
    np.testing.assert_array_equal(one[1], two[1])
    assert (one[0] != one[1]).all()
    assert one[2] == two[2] == 2
