"""Layers with a `call` outside of models: they take what their `call` takes, and return what it returns."""

from __future__ import annotations

import collections
import threading

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
    both = collections.OrderedDict(a=lamina.Variable(X), b=None)
    found = Returns(lambda named: named)(both)
    assert type(found) is collections.OrderedDict
    np.testing.assert_array_equal(found["a"], X)
    assert found["b"] is None
    variables = Returns(lambda pair: pair)([lamina.Variable(X), lamina.Variable(X[:, :2])])
    assert [one.shape for one in variables] == [(3, 4), (3, 2)]


def test_further_arrays_are_converted_too():
    class Sum(layers.Layer):
        def call(self, x, y, scale=1.0, more=()):
            return [y.dtype, *(one.dtype for one in more), scale]

    wide = X.astype("d")
    assert Sum()(wide, wide, scale=2.0, more=[wide, np.arange(3)]) == [np.float32, np.float32, np.int64, 2.0]


class OfTwo(layers.Layer):
    """Its build gets several shapes."""

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[0][-1],), initializer="ones")
        super().build(input_shape)

    def call(self, both):
        return (both[0] + both[1]) * self.factor


def test_build_for_several_inputs_and_for_numbers():
    layer = OfTwo()
    for _ in range(2):
        np.testing.assert_array_equal(layer([X, X]), 2 * X)
    assert layer.built
    assert [variable.shape for variable in layer.weights] == [(4,)]

    class Scaled(layers.Layer):
        def build(self, input_shape):
            assert input_shape == ()
            self.factor = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            return x * self.factor

    layer = Scaled()
    assert layer(3.0) == 3
    assert layer(4.0) == 4
    assert len(layer.weights) == 1


def test_threads_may_build_a_layer_for_different_shapes():
    layers_of_threads = [Linear() for _ in range(20)]
    shapes, found, failed = [(2, 4), (2, 3, 4), (4,), (1, 4)], [], []
    barrier = threading.Barrier(len(shapes))

    def use(shape):
        for layer in layers_of_threads:
            barrier.wait(30)
            try:
                found.append(layer(np.ones(shape)).shape == (*shape[:-1], 2))
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=use, args=(shape,)) for shape in shapes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert found == [True] * 80
    assert all(len(layer.weights) == 1 for layer in layers_of_threads)


class Holds(layers.Layer):
    """Holds a layer, and calls it in a way that is a chain of calls or not."""

    def __init__(self, inner, function):
        super().__init__()
        self.inner, self.function = inner, function

    def call(self, x):
        return self.function(self.inner, x)


def test_layers_that_hold_layers_and_are_no_chain():
    layer = Holds(layers.Dense(4), lambda dense, x: x + dense(x))
    found = layer(X)
    kernel, bias = layer.get_weights()
    np.testing.assert_allclose(found, X + X @ kernel + bias, rtol=1e-5)
    named = Holds(layers.Dense(2), lambda dense, x: {"a": dense(x), "b": x})(X)
    assert {name: one.shape for name, one in named.items()} == {"a": (3, 2), "b": (3, 4)}
    chain = Holds(layers.Dense(2), lambda dense, x: dense(x))
    np.testing.assert_array_equal(chain(X), lamina.Sequential([chain]).predict(X, verbose=0))
    with pytest.raises(ValueError, match="there must be one symbolic tensor"):
        lamina.Sequential([lamina.Input((4,)), layer])


@pytest.mark.parametrize("given", [[X, X], np.ones(40, "f"), X], ids=["list", "one axis", "rows"])
def test_layers_that_are_called_have_the_mode_of_the_caller(given):
    def first(x):
        return x[0] if isinstance(x, list) else x

    layer = Holds(layers.Dropout(0.5, seed=1), lambda inner, x: inner(first(x) + 1))
    assert (layer(given, training=True) == 0).any()
    assert (layer(given) != 0).all()
    assert (layer(given, training=False) != 0).all()
    stack = lamina.Sequential([layers.Dropout(0.5, seed=1)])
    if isinstance(given, list):
        assert (Holds(stack, lambda inner, x: inner(x[0] + 1))(given, training=True) == 0).any()
        norm = layers.BatchNormalization(momentum=0.0)
        Holds(norm, lambda inner, x: inner(x[0]))(given, training=True)
        np.testing.assert_allclose(norm.moving_mean, X.mean(axis=0))


def test_the_default_of_training_is_the_mode_of_layers_that_are_called():
    class Noisy(layers.Layer):
        def __init__(self):
            super().__init__()
            self.noise = layers.Dropout(0.5, seed=1)

        def call(self, both, training=True):
            return self.noise(both[0] + 1)

    assert (Noisy()([X, X]) == 0).any()
    assert (Noisy()([X, X], training=False) != 0).all()


def test_penalties_of_several_outputs():
    class Twice(layers.Layer):
        def call(self, x):
            return (x, 2 * x, ops.sum(x))

    layer = Twice(activity_regularizer="l2")
    layer(X)
    squares = 0.01 * (X.astype("d") ** 2).sum()
    assert layer.losses == [pytest.approx(5 * squares / 3 + 0.01 * X.sum() ** 2, rel=1e-5)]
    layer(0 * X)
    assert layer.losses == [0]


def test_an_argument_may_have_the_name_inputs():
    class Difference(layers.Layer):
        def call(self, x, inputs):
            return x - inputs

    np.testing.assert_array_equal(Difference()(x=X, inputs=2 * X), -X)
    np.testing.assert_array_equal(Difference()(X, inputs=2 * X), -X)

    class Wrapped(layers.Layer):
        def call(self, *values, **named):
            return next(iter((*values, *named.values())))

    np.testing.assert_array_equal(Wrapped()(x=X), X)
    np.testing.assert_array_equal(lamina.Sequential([Linear()])(inputs=X), Linear()(X))


def test_layers_without_build_know_the_shape_of_their_last_call():
    layer = Returns(lambda x: x)
    assert layer.get_build_config() is None
    layer(X)
    assert layer.get_build_config() == {"input_shape": [None, 4]}
    assert layer.input_shape == layer.output_shape == (None, 4)


class Projected(layers.Layer):
    """Has variables before it is built, and makes a trained one for some shapes alone."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (self.add_weight(shape=(1,), initializer="zeros", trainable=False, name=n) for n in "ab")

    def build(self, input_shape):
        projects = input_shape[-1] != 3
        self.kernel = self.add_weight(shape=(input_shape[-1], 3), initializer="ones") if projects else None
        super().build(input_shape)

    def call(self, x):
        return (x if self.kernel is None else ops.matmul(x, self.kernel)) + self.a


def test_a_trial_changes_no_variable_that_was_there():
    layer = Projected()
    layer.a.assign([7.0])
    layer.b.assign([1000.0])
    assert layer.compute_output_shape((None, 5)) == (None, 3)
    model = lamina.Sequential([lamina.Input((3,)), layer])
    np.testing.assert_array_equal(model.predict(np.ones((1, 3)), verbose=0), [[8, 8, 8]])
    assert layer.a.numpy() == [7]
    assert layer.b.numpy() == [1000]


def test_layers_that_a_trial_builds_are_built_again_with_other_values():
    class Hidden:
        def __init__(self):
            self.first, self.second = Drawn(), Drawn()

    class Drawn(layers.Layer):
        def build(self, input_shape):
            self.kernel = self.add_weight(shape=(input_shape[-1], 4))
            super().build(input_shape)

        def call(self, x):
            return ops.matmul(x, self.kernel)

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.hidden = Hidden()

        def call(self, x):
            return self.hidden.second(self.hidden.first(x))

    layer = Outer()
    lamina.Sequential([lamina.Input((4,)), layer]).predict(X, verbose=0)
    assert (layer.hidden.first.kernel.numpy() != layer.hidden.second.kernel.numpy()).any()


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


def test_variables_that_are_attributes_take_the_dtype_of_the_layer():
    class Scaled(layers.Layer):
        def __init__(self, dtype=None):
            super().__init__(dtype=dtype)
            self.factor = lamina.Variable(np.full(4, 1 / 3))

        def call(self, x):
            return x * self.factor

    layer = Scaled()
    assert layer.factor.dtype == "float32"
    np.testing.assert_array_equal(layer(X), X * np.float32(1 / 3))
    assert Scaled("float64").factor.numpy()[0] == 1 / 3

    class Counts(layers.Layer):
        def __init__(self):
            super().__init__()
            self.count = lamina.Variable(0, dtype="float16", trainable=False)

    with pytest.raises(ValueError, match="must have the layer's dtype, float32; it has float16"):
        Counts()


def test_a_layer_has_no_weights_before_it_is_built():
    assert layers.Dense(2).get_weights() == []


def test_build_for_several_arguments_of_a_call():
    class Two(layers.Layer):
        def build(self, b_shape, a_shape):
            self.factor = self.add_weight(shape=(a_shape[-1],), initializer="ones")
            self.shapes = a_shape, b_shape

        def call(self, a, b=None):
            return a * self.factor if b is None else a * self.factor + b[:, :1]

    layer = Two()
    np.testing.assert_array_equal(layer(X, X[:, :2]), X + X[:, :1])
    np.testing.assert_array_equal(layer(X, b=X[:, :2]), X + X[:, :1])
    assert layer.shapes == ((3, 4), (3, 2))
    assert layer.built
    assert len(layer.weights) == 1
    other = Two()
    other(X)
    assert other.shapes == ((3, 4), None)

    class NoShape(Two):
        def build(self, a_shape, b):
            raise AssertionError

    class NoArgument(Two):
        def build(self, a_shape, c_shape):
            raise AssertionError

    with pytest.raises(ValueError, match="argument `b`, which does not end in `_shape`"):
        NoShape()(X, X)
    with pytest.raises(ValueError, match=r"`c_shape`, but `call\(\)` does not have argument `c`"):
        NoArgument()(X, X)


def test_a_call_adds_no_weights():
    class Adds(layers.Layer):
        def call(self, x):
            self.weight = self.add_weight(shape=(), initializer="zeros")
            return x + self.weight

    with pytest.raises(ValueError, match="cannot add new elements of state"):
        Adds()(X)
    with pytest.raises(ValueError, match="cannot add new elements of state"):
        lamina.Sequential([lamina.Input((4,)), Adds()]).summary()


def test_an_activation_is_built_from_the_beginning():
    assert layers.Activation("relu").built
    assert not layers.Activation(layers.PReLU()).built
