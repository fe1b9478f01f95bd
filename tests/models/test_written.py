"""Subclasses of Model that define `call`, and layers that call layers which they hold."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from helpers import same
from written_models import Block, Nested, Two, chain_of, data

import lamina
from lamina import Model, layers, ops


def test_a_model_with_a_call_trains_as_the_chain_of_its_layers(rng):
    x, y = data(rng)
    model = Two()
    model.compile("adam", "mse", metrics=["mae"])
    assert not model.built
    assert [layer.name for layer in model.layers] == ["output", "dropout", "hidden"]
    assert model.weights == []
    model.build((None, 5))
    twin = copy.deepcopy(chain_of(model))
    twin.seed = model.seed
    twin.compile("adam", "mse", metrics=["mae"])
    arguments = {"batch_size": 16, "epochs": 3, "verbose": 0, "validation_split": 0.2}
    history = model.fit(x, y, **arguments)
    assert history.history == twin.fit(x, y, **arguments).history
    assert same([model.predict(x), model(x), model.predict_on_batch(x)], [twin.predict(x)] * 3)
    # The parameters follow the order in which the layers were assigned, as in Keras.
    assert [v.path for v in model.weights] == ["output/kernel", "output/bias", "hidden/kernel", "hidden/bias"]
    assert model.count_params() == 5 * 8 + 8 + 8 * 3 + 3
    assert (model(x, training=True) != model(x)).any()
    model.hidden.trainable = False
    assert [v.path for v in model.trainable_weights] == ["output/kernel", "output/bias"]


def test_layers_in_layers_and_models_in_models(rng, capsys):
    x, y = data(rng)
    model = Nested()
    model.compile("adam", "mse")
    first = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=20, verbose=0)
    assert model.evaluate(x, y, verbose=0) < first
    assert [layer.name for layer in model.layers] == ["encoder", "decoder", "head"]
    assert [w.shape for w in model.get_weights()] == [
        (5, 4), (4,), (4,), (4,), (4, 4), (4,), (4, 5), (5,), (6, 3), (3,), (5, 6), (6,)
    ]  # fmt: skip
    assert len(model.encoder.weights) == 6
    assert model.encoder.count_params() == 5 * 4 + 4 + 8 + 16 + 4
    np.testing.assert_allclose(model.head(model.decoder(model.encoder(x))), model.predict(x), atol=1e-6)
    model.summary()
    assert "encoder (Block)" in capsys.readouterr().out
    model.encoder.trainable = False
    assert len(model.trainable_weights) == 6
    before = [variable.numpy() for variable in model.encoder.weights]
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    assert same(before, [variable.numpy() for variable in model.encoder.weights])


def test_layers_that_hold_layers_in_other_models(rng):
    x, _ = data(rng)
    block = Block(4)
    inputs = lamina.Input((5,))
    functional = Model(inputs, layers.Dense(2)(block(inputs)))
    assert functional.layers[1] is block
    assert functional.get_layer(block.name).count_params() == block.count_params() == 5 * 4 + 4 + 8 + 16 + 4
    stack = lamina.Sequential([lamina.Input((5,)), Block(4, name="inside"), layers.Dense(2)])
    assert isinstance(stack.get_layer("inside"), Block)
    assert stack.layers[0].first.units == 4
    assert len(stack.weights) == 8
    assert stack.predict(x).shape == (60, 2)
    assert lamina.Sequential([Block(4), layers.Dense(2)]).predict(x).shape == (60, 2)
    np.testing.assert_allclose(Model(inputs, block(inputs)).predict(x), block(x), atol=1e-6)


def test_an_embedding_reads_indices_in_a_model_with_a_call(rng):
    class Words(Model):
        def __init__(self):
            super().__init__()
            self.table = layers.Embedding(9, 4, mask_zero=True)
            self.pool = layers.GlobalAveragePooling1D()
            self.classify = layers.Dense(2, "softmax")

        def call(self, words):
            return self.classify(self.pool(self.table(words)))

    x, y = rng.integers(1, 9, (40, 6)), rng.integers(0, 2, 40)
    model = Words()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="9"):
        model.predict(x + 5)


def test_copies_and_pickles_are_models_of_their_own(rng):
    x, y = data(rng)
    for model in (Two(), Nested()):
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        twin = copy.deepcopy(model)
        assert same([twin.predict(x)], [model.predict(x)])
        twin.fit(x, y, verbose=0)
        assert not same([twin.predict(x)], [model.predict(x)])
    again = pickle.loads(pickle.dumps(model))
    assert same([again.predict(x)], [model.predict(x)])
    unbuilt = pickle.loads(pickle.dumps(Two()))
    unbuilt.compile("sgd", "mse")
    unbuilt.fit(x, y, verbose=0)


def test_the_output_of_a_layer_that_holds_layers_is_that_of_its_call(rng):
    inputs = lamina.Input((5,))
    model = Model(inputs, layers.Dense(1)(Block(3, name="block")(inputs)))
    features = Model(model.input, model.get_layer("block").output)
    assert features.predict(rng.standard_normal((2, 5))).shape == (2, 3)


def test_a_layer_that_holds_layers_has_shapes_in_every_model(capsys):
    class Head(Model):
        def __init__(self):
            super().__init__()
            self.block = Block(3, name="block")
            self.last = layers.Dense(1)

        def call(self, x):
            return self.last(self.block(x))

    inputs = lamina.Input((5,))
    written = Head()
    written.build((None, 5))
    for model in (
        lamina.Sequential([lamina.Input((5,)), Block(3, name="block"), layers.Dense(1)]), written,
        Model(inputs, layers.Dense(1)(Block(3, name="block")(inputs))),
    ):  # fmt: skip
        block = model.get_layer("block")
        assert block.input_shape == (None, 5)
        assert block.output_shape == block.output.shape == (None, 3)
        model.summary()
        found = capsys.readouterr().out
        assert "?" not in found
        assert "(None, 3)" in found
    with pytest.raises(ValueError, match="must be built"):
        _ = Block(3).output_shape


def test_calls_that_are_no_chain_are_refused_and_change_nothing(rng):
    x, _y = data(rng)

    def model_of(call, *held):
        kind = type("Own", (Model,), {"call": call})
        made = kind()
        made.one, made.two, made.held = layers.Dense(5), layers.Dense(5), list(held)
        made.compile("sgd", "mse")
        return made

    noise = layers.Dense(5, name="only_in_training")
    for call, held, error, message in (
        (lambda self, x: self.one(x) + self.two(x), (), ValueError, "there must be one symbolic tensor"),
        (lambda self, x: self.one(self.one(x)), (), ValueError, "must be called once"),
        (lambda self, x: x, (), ValueError, "there must be a layer"),
        (lambda self, x: None, (), TypeError, "it returned NoneType"),
        (lambda self, x: (self.one(x), self.two(x)), (), TypeError, "it returned tuple"),
        (
            lambda self, x, training=False: self.one(noise(x) if training else x),
            (noise,),
            ValueError,
            "must do the same in training and in predictions",
        ),
        (lambda self, x: 1 / 0, (), ZeroDivisionError, "division"),
    ):
        model = model_of(call, *held)
        for use in (lambda: model.fit(x, x, verbose=0), lambda: model.predict(x), lambda: model.build((None, 5))):  # noqa: B023
            with pytest.raises(error, match=message):
                use()
            assert not model.built
            assert not model.one.placed
            assert not model.two.placed
    with pytest.raises(ValueError, match="inputs and outputs must be given"):
        type("Empty", (Model,), {})()
    with pytest.raises(TypeError, match="train_step would not be called"):
        type("Steps", (Two,), {"train_step": lambda self, data: {}})()
    with pytest.raises(TypeError, match="call would not be called"):
        type("Stack", (lamina.Sequential,), {"call": lambda self, x: x})()


def test_a_loss_that_is_assigned_before_compile_is_replaced(rng):
    model = Two()
    model.loss = []
    assert model.loss == []
    model.compile("sgd", "mse")
    assert model.loss == "mse"
    with pytest.raises(AttributeError, match="loss must be set by compile"):
        model.loss = "mae"


def swapped(base):
    """Return a class whose layers are assigned in another order than they are called."""

    class Swapped(base):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.second = layers.Dense(4, name="second")
            self.first = layers.Dense(4, name="first")

        def call(self, x):
            return self.second(self.first(x))

    return Swapped


@pytest.mark.parametrize("base", [layers.Layer, Model])
@pytest.mark.parametrize("functional", [False, True])
def test_parameters_follow_the_attributes_also_inside_of_other_models(base, functional, tmp_path, rng):
    inputs = lamina.Input((4,))
    inner = swapped(base)(name="inner")
    model = Model(inputs, inner(inputs)) if functional else lamina.Sequential([inputs, inner])
    assert [v.path for v in model.weights] == ["second/kernel", "second/bias", "first/kernel", "first/bias"]
    x, y = data(rng, inputs=4, outputs=4)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    before = model.predict(x)
    for suffix in (".weights.h5", ".h5", ".safetensors"):
        model.save_weights(tmp_path / f"w{suffix}")
        model.fit(x, y, verbose=0)
        model.load_weights(tmp_path / f"w{suffix}")
        assert same([model.predict(x)], [before])


@pytest.mark.parametrize("where", ["sequential", "functional", "model"])
def test_parameters_of_what_calls_layers_are_refused(where):
    class Scaled(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(3)
            self.scale = self.add_weight((3,), "ones")

        def call(self, x):
            return self.dense(x) * 2

    class Holder(Model):
        def __init__(self):
            super().__init__()
            self.scaled = Scaled()

        def call(self, x):
            return self.scaled(x)

    inputs = lamina.Input((6,))
    use = {
        "sequential": lambda: lamina.Sequential([inputs, Scaled()]), "functional": lambda: Scaled()(inputs),
        "model": lambda: Holder()(inputs),
    }[where]  # fmt: skip
    with pytest.raises(TypeError, match="scale would be neither trained nor saved"):
        use()
    listed = Block(3)
    listed.scales = [lamina.Variable(np.ones(3, "f"), name="scale")]
    with pytest.raises(TypeError, match="scale would be neither trained nor saved"):
        lamina.Sequential([inputs, listed])
    with pytest.raises(TypeError, match="activity_regularizer must be that of a layer"):
        lamina.Sequential([inputs, Block(3, activity_regularizer="l2")])


def test_layers_of_a_built_model_cannot_be_replaced():
    model = Two()
    model.hidden = layers.Dense(9, name="hidden")
    model.build((None, 5))
    with pytest.raises(TypeError, match="hidden must stay the layer"):
        model.hidden = layers.Dense(3)


def test_direct_calls_are_those_of_the_model():
    class Pooled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.table, self.drop = layers.Embedding(9, 4, mask_zero=True), layers.Dropout(0.5)
            self.pool = layers.GlobalAveragePooling1D()

        def call(self, x):
            return self.pool(self.drop(self.table(x)))

    x = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    layer = Pooled()
    model = lamina.Sequential([lamina.Input((4,), dtype="int32"), layer])
    assert same([layer(x)], [model.predict(x)])
    np.testing.assert_allclose(layer(x)[1], layer.table.get_weights()[0][3], rtol=1e-6)
    assert (layer(x, training=True) != layer(x)).any()


def test_a_layer_may_hold_what_holds_it(rng):
    class Held(layers.Layer):
        def __init__(self, owner):
            super().__init__()
            self.owner, self.dense = [owner], layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    class Owner(Model):
        def __init__(self):
            super().__init__()
            self.held = Held(self)

        def call(self, x):
            return self.held(x)

    model = Owner()
    assert model.predict(rng.standard_normal((4, 5))).shape == (4, 3)
    assert len(model.weights) == 2


def test_a_private_attribute_counts_in_the_next_model(rng):
    x, _y = data(rng)

    class Repeats(layers.Layer):
        def __init__(self):
            super().__init__()
            self._times = 2

        def call(self, inputs):
            return ops.concatenate([inputs] * self._times, axis=-1)

    layer = Repeats()
    assert lamina.Sequential([lamina.Input((5,)), layer]).predict(x, verbose=0).shape == (60, 10)
    layer._times = 3
    assert lamina.Sequential([lamina.Input((5,)), layer, layers.Dense(1)]).predict(x, verbose=0).shape == (60, 1)
