"""Subclasses of Model that define `call`, and layers that call layers which they hold."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest
from helpers import same

import lamina
from lamina import Model, callbacks, layers


class Two(Model):
    """The layers are assigned in another order than they are called."""

    def __init__(self, units=8, **kwargs):
        super().__init__(**kwargs)
        self.output_layer = layers.Dense(3, name="output")
        self.drop = layers.Dropout(0.5, seed=1)
        self.hidden = layers.Dense(units, "tanh", name="hidden")

    def call(self, inputs, training=None):
        x = self.hidden(inputs)
        if training:
            x = self.drop(x, training=training)
        return self.output_layer(x)


class Block(layers.Layer):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.first = layers.Dense(units, "relu")
        self.rest = [layers.LayerNormalization(), layers.Dense(units)]

    def call(self, inputs):
        x = self.first(inputs)
        for layer in self.rest:
            x = layer(x)
        return x


class Nested(Model):
    def __init__(self):
        super().__init__()
        self.encoder = Block(4, name="encoder")
        self.decoder = lamina.Sequential([layers.Dense(5)], name="decoder")
        self.head = Two(6, name="head")

    def call(self, x):
        return self.head(self.decoder(self.encoder(x)))


def data(rng, rows=60, inputs=5, outputs=3):
    return rng.standard_normal((rows, inputs)).astype("f"), rng.standard_normal((rows, outputs)).astype("f")


def chain_of(model):
    """The same layers, called in a chain."""
    inputs = lamina.Input((5,))
    return Model(inputs, model.output_layer(model.drop(model.hidden(inputs))))


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
    assert [type(layer).__name__ for layer in functional.layers][1:] == [
        "Dense",
        "LayerNormalization",
        "Dense",
        "Dense",
    ]
    stack = lamina.Sequential([lamina.Input((5,)), Block(4, name="inside"), layers.Dense(2)])
    assert next(layer.name for layer in stack.layers) == "inside"
    assert len(stack.weights) == 8
    assert stack.predict(x).shape == (60, 2)
    with pytest.raises(ValueError, match="begin the model with an Input"):
        lamina.Sequential([Block(4)])
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


def test_weights_are_saved_and_code_is_not(tmp_path, rng):
    x, y = data(rng)
    model = Two()
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0, callbacks=[
        callbacks.ModelCheckpoint(tmp_path / "w.safetensors", save_weights_only=True),
        callbacks.BackupAndRestore(tmp_path / "backup"),
    ])  # fmt: skip
    other = Two()
    other.build((None, 5))
    other.load_weights(tmp_path / "w.safetensors")
    assert same([other.predict(x)], [model.predict(x)])
    for name in ("m.safetensors", "m.keras", "m.h5"):
        with pytest.raises(ValueError, match="files hold none; save_weights keeps its parameters"):
            model.save(tmp_path / name)
        with pytest.raises(ValueError, match="save_weights keeps its parameters"):
            model.fit(x, y, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / name)])
    for use in (model.save_weights, model.load_weights):
        with pytest.raises(ValueError, match=r"kept in \.safetensors files"):
            use(tmp_path / "m.weights.h5")
    with pytest.raises(NotImplementedError, match="is code"):
        model.get_config()
    with pytest.raises(ValueError, match="Two defines call"):
        lamina.models.clone_model(model)


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
    assert isinstance(model.loss, lamina.losses.MeanSquaredError)
    with pytest.raises(AttributeError, match="loss must be set by compile"):
        model.loss = "mae"


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
