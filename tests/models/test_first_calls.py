"""First calls of models that code makes: what they build, also in stacks, and what stays if they fail."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest
from helpers import same
from written_models import Block, MakesLayers, Two, WithBlock, WithModels, data

import lamina
from lamina import Model, layers


def test_any_call_with_data_makes_the_parameters(rng):
    x, y = data(rng)
    for use in (
        lambda m: m(x), lambda m: m.predict(x), lambda m: m.predict_on_batch(x), lambda m: m.evaluate(x, y, verbose=0),
        lambda m: m.train_on_batch(x, y), lambda m: m.test_on_batch(x, y), lambda m: m.build((None, 5)),
        lambda m: m.fit([x], y, verbose=0), lambda m: m.fit({"x": x}, y, verbose=0), lambda m: m.predict(x.tolist()),
        lambda m: m.fit(iter([(x, y)]), verbose=0), lambda m: m(lamina.Input((5,))), lambda m: m(x, training=True),
        lambda m: lamina.Sequential([lamina.Input((5,)), m, layers.Dense(2)]),
    ):  # fmt: skip
        model = Two()
        model.compile("sgd", "mse")
        use(model)
        assert model.built
        assert [w.shape for w in model.get_weights()] == [(8, 3), (3,), (5, 8), (8,)]
        assert model.input_shape == (None, 5)
        assert model.output_shape == (None, 3)


def test_a_call_that_fails_leaves_the_model_unbuilt(rng):
    x, y = data(rng)
    model = Two()
    model.compile("sgd", "mse")
    for wrong in (lambda: model.fit(x, y[:7], verbose=0), lambda: model.fit(x, y[:, :2], verbose=0),
                  lambda: model.evaluate(x[:0], y, verbose=0), lambda: model.predict("text")):  # fmt: skip
        with pytest.raises((TypeError, ValueError)):
            wrong()
        assert not model.built
        assert not model.hidden.placed
        assert model.weights == []
    model.fit(x[:, :4], y, verbose=0)
    assert model.input_shape == (None, 4)
    with pytest.raises(ValueError, match=r"\(n, 4\)"):
        model.predict(x)


def test_four_threads_may_use_a_new_model_at_once(rng):
    x, _ = data(rng)
    for _ in range(20):
        model, found = Two(), []
        start = threading.Barrier(4)

        def predict(model=model, found=found, start=start):
            start.wait()
            found.append(model.predict(x, verbose=0))

        threads = [threading.Thread(target=predict) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 4
        assert all(np.array_equal(found[0], other) for other in found[1:])


def test_layers_may_be_made_in_build(rng):
    class Built(layers.Layer):
        def build(self, input_shape):
            self.dense = layers.Dense(input_shape[-1], "tanh")

        def call(self, x):
            return self.dense(x)

    class BuiltModel(Model):
        def build(self, input_shape):
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    x, y = data(rng, outputs=2)
    inputs = lamina.Input((5,))
    for model in (
        lamina.Sequential([inputs, Built(), layers.Dense(2)]), Model(inputs, layers.Dense(2)(Built()(inputs))),
    ):  # fmt: skip
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        assert len(model.weights) == 4
    assert Built()(x).shape == (60, 5)
    model = BuiltModel()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    assert len(model.weights) == 2
    unknown = lamina.Sequential([Built(), layers.Dense(2)])
    assert unknown.predict(x).shape == (60, 2)


@pytest.mark.parametrize("kind", [WithBlock, WithModels, MakesLayers])
@pytest.mark.parametrize("columns", [5, 7])
def test_after_a_failed_first_call_the_model_takes_other_rows(kind, columns, rng):
    x, _y = data(rng)
    model = kind()
    model.compile("sgd", "mse")
    for failing in (
        lambda: model.fit(x, x, verbose=0), lambda: model.evaluate(x, x, verbose=0),
        lambda: model.predict_on_batch(x, out=np.zeros((1, 1))),
    ):  # fmt: skip
        with pytest.raises((TypeError, ValueError), match="shape|dtype|columns"):
            failing()
        assert not model.built
        assert model.weights == []
        assert not pickle.loads(pickle.dumps(model)).built
    wide, targets = data(rng, inputs=columns)
    model.fit(wide, targets, verbose=0)
    assert model.predict(wide, verbose=0).shape == targets.shape


def test_a_failed_call_keeps_what_another_thread_uses(rng):
    x, _y = data(rng)
    model = WithBlock()

    class Slow(np.ndarray):
        @property
        def dtype(self):  # is asked for after the model was built
            thread = threading.Thread(target=model.predict, args=(x,))
            thread.start()
            thread.join()
            return np.dtype("f8")

    with pytest.raises(TypeError, match="out must be an array of dtype float32"):
        model.predict_on_batch(x, out=np.zeros((len(x), 3), "f").view(Slow))
    assert model.built
    assert len(model.weights) == 8


def test_a_failed_first_call_keeps_what_was_there(rng):
    table = rng.standard_normal((10, 3)).astype("f")

    class Words(Model):
        def __init__(self):
            super().__init__()
            self.table, self.flat = layers.Embedding(10, 3, weights=table), layers.Flatten()
            self.rest = lamina.Sequential([layers.Dense(5)])

        def call(self, x):
            return self.rest(self.flat(self.table(x)))

    x, y = rng.integers(0, 10, (20, 4)), rng.standard_normal((20, 5))
    model = Words()
    model.compile("sgd", "mse")
    for wrong in ({"y": y[:3]}, {"y": y, "validation_data": (x, y[:3])}):
        with pytest.raises(ValueError, match="y must"):
            model.fit(x, verbose=0, **wrong)
        assert not model.built
        assert not model.rest.built
        assert same(model.table.get_weights(), [table])
    model.fit(x[:, :3], y, verbose=0)


def test_a_failed_call_leaves_what_another_thread_has_begun_to_use(rng):
    x, _ = data(rng)
    model = Two()
    model.compile("sgd", "mse")
    found = []

    class Targets:
        """Another thread predicts while the targets are read, which are too few."""

        def __array__(self, dtype=None, copy=None):
            thread = threading.Thread(target=lambda: found.append(model.predict(x, verbose=0)))
            thread.start()
            thread.join()
            return np.zeros((3, 3), "f")

    with pytest.raises(ValueError, match="y must have"):
        model.fit(x, Targets(), verbose=0)
    assert found
    assert model.built
    assert same([model.predict(x, verbose=0)], [found[0]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: [layers.Dense(8), Block(3, name="block"), layers.Dense(1)],
        lambda: [WithBlock(), layers.Dense(1)],
        lambda: [Block(3, name="block"), WithBlock(), layers.Dense(1)],
    ],
)
def test_stacks_of_what_calls_layers_need_no_input_shape(make, tmp_path, rng):
    model = lamina.Sequential(make())
    model.compile("adam", "mse")
    assert not model.built
    assert model.weights == []
    with pytest.raises(ValueError, match="y must have shape"):
        model.fit(rng.standard_normal((8, 4)), np.ones((8, 3)), verbose=0)
    assert not model.built
    x = rng.standard_normal((8, 6))
    model.fit(x, np.ones((8, 1)), verbose=0)
    assert [type(layer) for layer in model.layers] == [type(layer) for layer in make()]
    known = lamina.Sequential([lamina.Input((6,)), *make()])
    assert [v.shape for v in known.weights] == [v.shape for v in model.weights]
    known.set_weights(model.get_weights())
    expected = model.predict(x, verbose=0)
    np.testing.assert_array_equal(known.predict(x, verbose=0), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x, verbose=0), expected)
    assert lamina.models.clone_model(model).count_params() == model.count_params()
    own = {"Block": Block, "WithBlock": WithBlock}
    for suffix in (".keras", ".safetensors"):
        model.save(tmp_path / f"m{suffix}")
        again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects=own)
        np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
    clone = lamina.models.clone_model(lamina.Sequential(make()))
    assert clone.predict(x, verbose=0).shape == (8, 1)
    with pytest.raises(ValueError, match="the model was built for rows of shape|x must have shape"):
        model.predict(x[:, :4], verbose=0)


def test_an_embedding_inside_of_the_first_model_reads_indices():
    class Words(Model):
        def __init__(self):
            super().__init__()
            self.table, self.mean = layers.Embedding(9, 4), layers.GlobalAveragePooling1D()

        def call(self, x):
            return self.mean(self.table(x))

    model = lamina.Sequential([Words(), layers.Dense(1)])
    assert model.predict(np.array([[1, 2, 3], [4, 5, 6]]), verbose=0).shape == (2, 1)
    with pytest.raises(ValueError, match="x must be in .0, 9., the input_dim"):
        model.predict(np.array([[1, 2, 90]]), verbose=0)


def test_names_inside_of_stacks_are_checked_when_they_are_known(rng):
    model = lamina.Sequential([layers.Dense(4, name="hidden"), Two()])  # which has a layer of that name
    assert model.predict(rng.standard_normal((2, 5)), verbose=0).shape == (2, 3)
    with pytest.raises(ValueError, match="names must be unique; there is a layer 'q' already"):
        lamina.Sequential([layers.Dense(4, name="q"), Block(3, name="q")])


class MadeInBuild(layers.Layer):
    def build(self, input_shape):
        self.dense = layers.Dense(input_shape[-1])
        super().build(input_shape)

    def call(self, x):
        return self.dense(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: [MadeInBuild(), layers.Dense(1)], lambda: [layers.Dense(3), MadeInBuild(), layers.Dense(1)],
        lambda: [lamina.Sequential([MadeInBuild()]), layers.Dense(1)],
    ],
)  # fmt: skip
def test_stacks_of_layers_that_make_others_in_build_need_no_input_shape(make, rng):
    x, y = data(rng, outputs=1)
    model = lamina.Sequential(make())
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="y must have shape"):
        model.fit(x[:, :3], x, verbose=0)
    assert not model.built
    before = model.predict(x, verbose=0)
    model.fit(x, y, verbose=0)
    assert not same([model.predict(x, verbose=0)], [before])
    assert len(model.weights) == len(lamina.Sequential([lamina.Input((5,)), *make()]).weights)


class Builds(Model):
    """Makes and builds its layers in `build`."""

    def build(self, input_shape):
        self.first, self.second = layers.Dense(4), layers.Dense(1)
        self.first.build(input_shape)
        self.second.build((*input_shape[:-1], 4))
        self.built = True

    def call(self, x):
        return self.second(self.first(x))


class BuildsAndSaysSo(Builds):
    def build(self, input_shape):
        self.first, self.second = layers.Dense(4), layers.Dense(1)
        Model.build(self, input_shape)


@pytest.mark.parametrize("kind", [Builds, BuildsAndSaysSo])
def test_build_may_be_called_before_the_first_call(kind, rng):
    x, _ = data(rng)
    model = kind()
    assert not model.built
    model.build((None, 5))
    assert model.built
    kept = model.get_weights()
    assert [array.shape for array in kept] == [(5, 4), (4,), (4, 1), (1,)]
    first = model.first
    np.testing.assert_allclose(model.predict(x, verbose=0), (x @ kept[0] + kept[1]) @ kept[2] + kept[3], rtol=1e-4)
    assert model.first is first
    other = kind()
    assert other.predict(x, verbose=0).shape == (60, 1)
    assert len(other.weights) == 4
