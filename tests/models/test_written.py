"""Subclasses of Model that define `call`, and layers that call layers which they hold."""

from __future__ import annotations

import copy
import io
import pickle
import threading
import zipfile

import h5py
import numpy as np
import pytest
from helpers import same

import lamina
from lamina import Model, callbacks, layers, ops


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


def test_weights_are_saved_in_all_formats(tmp_path, rng):
    x, y = data(rng)
    model = Two()
    model.compile("sgd", "mse")
    paths = [tmp_path / f"w{suffix}" for suffix in (".safetensors", ".weights.h5", ".h5")]
    model.fit(x, y, verbose=0, callbacks=[
        *(callbacks.ModelCheckpoint(path, save_weights_only=True) for path in paths),
        callbacks.BackupAndRestore(tmp_path / "backup"),
    ])  # fmt: skip
    for path in paths:
        other = Two()
        other.build((None, 5))
        other.load_weights(path)
        assert same([other.predict(x)], [model.predict(x)])


class Several(Model):
    """Layers at all kinds of places, one of which calls others, one of which has an activation with parameters."""

    def __init__(self):
        super().__init__()
        self.output_layer = layers.Dense(3)
        self._private = layers.Dense(4)
        self.in_a_list = [layers.Dense(4, layers.PReLU("ones")), layers.Dense(4)]
        self.in_a_dict = {"one": layers.Dense(4), "list": (layers.BatchNormalization(), layers.Dropout(0.5))}
        self.block = Block(4)
        self.nested = lamina.Sequential([layers.Dense(4), layers.LayerNormalization()])

    def call(self, x):
        for layer in (*self.in_a_list, self.in_a_dict["one"], *self.in_a_dict["list"], self.block, self.nested):
            x = layer(x)
        return self.output_layer(self._private(x))


# Where Keras keeps the weights of `Several` (Keras 3.15): by the names of attributes in their alphabetical order, in
# which all layers together are "layers"; private attributes come last.
PLACES = [
    "block/first", "block/rest/dense", "block/rest/layer_normalization", "in_a_dict/container/batch_normalization",
    "in_a_dict/dense", "in_a_list/dense", "in_a_list/dense/activation", "in_a_list/dense_1", "layers/dense",
    "layers/dense_1", "layers/sequential/layers/dense", "layers/sequential/layers/layer_normalization",
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".safetensors", ".keras"])
@pytest.mark.parametrize("kind", [Two, Several, Nested])
def test_models_that_define_call_are_saved_and_loaded_by_their_class(kind, suffix, tmp_path, rng):
    x, y = data(rng)
    path = tmp_path / f"m{suffix}"
    model = kind()
    model.compile(lamina.optimizers.Adam(0.01), "mse")
    model.fit(x, y, verbose=0, callbacks=[callbacks.ModelCheckpoint(path)])
    if kind is Several and suffix == ".keras":
        with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
            places = []
            file.visit(lambda name: places.append(name) if name.endswith("/vars/0") else None)
        assert sorted(place.removesuffix("/vars/0") for place in places if "optimizer" not in place) == PLACES
    with pytest.raises(ValueError, match=f"{kind.__name__}.* must be registered"):
        lamina.models.load_model(path)
    own = {one.__name__: one for one in (Two, Several, Nested, Block)}
    again = lamina.models.load_model(path, custom_objects=own)
    assert type(again) is kind
    assert same(again.get_weights(), model.get_weights())
    assert same([v.numpy() for v in again.optimizer.variables], [v.numpy() for v in model.optimizer.variables])
    ours, theirs = (one.fit(x, y, epochs=2, verbose=0).history for one in (model, again))
    assert ours == theirs  # the same noise, too
    assert same(again.get_weights(), model.get_weights())
    with pytest.raises(ValueError, match=r"older files cannot hold a .*, which is made by code"):
        model.save(tmp_path / "m.h5")
    clone = lamina.models.clone_model(model)
    assert type(clone) is kind
    clone.build((None, 5))
    assert [v.shape for v in clone.weights] == [v.shape for v in model.weights]


class Chosen(Model):
    """Its arguments are no plain values."""

    def __init__(self, activation, units=3, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(units, activation)

    def call(self, x):
        return self.dense(x)


class Given(Chosen):
    def get_config(self):
        return {"activation": "tanh", "units": 3}


def test_what_a_configuration_cannot_hold_is_refused_before_the_training(tmp_path, rng):
    x, y = data(rng)
    assert Chosen("relu", units=2).get_config() == {
        "activation": "relu", "units": 2, "name": "chosen", "trainable": True,
    }  # fmt: skip
    model = Chosen(lamina.activations.tanh)
    model.compile("sgd", "mse")
    for suffix in (".keras", ".safetensors"):
        with pytest.raises(NotImplementedError, match=r"Chosen must define get_config: .*; activation holds"):
            model.fit(x, y, verbose=0, callbacks=[callbacks.ModelCheckpoint(tmp_path / f"m{suffix}")])
    assert model.optimizer.iterations == 0
    given = Given(lamina.activations.tanh)
    given.compile("sgd", "mse")
    given.fit(x, y, verbose=0)
    given.save(tmp_path / "g.keras")
    again = lamina.models.load_model(tmp_path / "g.keras", custom_objects={"Given": Given})
    assert same([again.predict(x)], [given.predict(x)])


class PairOfWeights(layers.Layer):
    def build(self, input_shape):
        self.a = self.add_weight((input_shape[-1], 3), name="a/kernel")
        self.b = self.add_weight((input_shape[-1], 3), name="b/kernel", regularizer="l2")
        super().build(input_shape)

    def call(self, x):
        return ops.matmul(x, self.a) + 2 * ops.matmul(x, self.b)


class TwoWays(Model):
    """One of its layers is reached by two ways, names hold slashes, and two arguments have one name."""

    def __init__(self):
        super().__init__()
        self.head = layers.Dense(3)
        self.inner = lamina.Sequential([layers.Dense(5, layers.PReLU(name="slopes")), layers.Dense(5)])
        self.alias = self.inner.layers[1]
        self.named = layers.Dense(4, layers.PReLU(name="slopes"), name="block/dense_7")
        self.pair = PairOfWeights()

    def call(self, x):
        return self.head(self.pair(self.named(self.inner(x))))


def test_variables_are_kept_once_and_by_whole_paths(tmp_path, rng):
    x, y = data(rng)
    model = TwoWays()
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    assert len({id(v) for v in model.weights}) == len(model.weights) == 12
    own = {"TwoWays": TwoWays, "PairOfWeights": PairOfWeights}
    for suffix in (".keras", ".safetensors"):
        model.save(tmp_path / f"m{suffix}")
        again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects=own)
        assert same(again.get_weights(), model.get_weights())
        assert again.fit(x, y, verbose=0).history == copy.deepcopy(model).fit(x, y, verbose=0).history
    for suffix in (".weights.h5", ".safetensors"):
        model.save_weights(tmp_path / f"w{suffix}")
        model.load_weights(tmp_path / f"w{suffix}")


def test_configurations_that_keras_writes_for_models_are_read():
    policy = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
    made = Several.from_config({"trainable": False, "dtype": policy})
    assert type(made) is Several
    assert not made.trainable
    assert Two.from_config({"units": 3, "trainable": True, "dtype": policy}).hidden.units == 3


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


def test_a_layer_that_no_attribute_leads_to_has_no_place_in_keras_files(tmp_path, rng):
    x, _y = data(rng)
    outside = layers.Dense(3, name="outside")

    class Captures(Model):
        def __init__(self):
            super().__init__()
            self.inside = layers.Dense(4)

        def call(self, x):
            return outside(self.inside(x))

    model = Captures()
    model.predict(x)
    model.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="'outside' must be an attribute of what calls it"):
        model.save_weights(tmp_path / "w.weights.h5")


def test_a_model_with_a_constructor_of_its_own_is_saved_by_its_arguments(tmp_path, rng):
    x, y = data(rng)

    class Encoder(Model):
        def __init__(self, units, sizes=(4, 5)):
            inputs = lamina.Input((5,))
            hidden = inputs
            for size in sizes:
                hidden = layers.Dense(size, "relu")(hidden)
            super().__init__(inputs, layers.Dense(units)(hidden))

    model = Encoder(3)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    for suffix in (".keras", ".safetensors"):
        model.save(tmp_path / f"m{suffix}")
        again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"Encoder": Encoder})
        assert same([again.predict(x)], [model.predict(x)])


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


@pytest.mark.parametrize("given", [lambda t: True, lambda t: t, lambda t: None])
def test_noise_in_training_alone_stays_out_of_predictions(given, rng):
    class Noisy(Model):
        def __init__(self):
            super().__init__()
            self.dense, self.drop = layers.Dense(5, kernel_initializer="identity"), layers.Dropout(0.5)

        def call(self, x, training=False):
            x = self.dense(x)
            if training is True:
                x = self.drop(x, training=given(training))
            return x

    x = np.ones((40, 5), "f")
    model = Noisy()
    assert same([model.predict(x)], [x])
    assert (np.asarray(model(x, training=True)) == 0).mean() > 0.3


def test_modes_that_a_call_chooses(rng):
    class Chosen(Model):
        def __init__(self, mode):
            super().__init__()
            self.mode, self.drop = mode, layers.Dropout(0.5)
            self.dense = layers.Dense(5, kernel_initializer="identity")

        def call(self, x, training=False):
            return self.dense(self.drop(x, training=self.mode(training)))

    x = np.ones((40, 5), "f")
    always, never = Chosen(lambda t: True), Chosen(lambda t: False)
    assert (always.predict(x) == 0).any()
    assert (np.asarray(never(x, training=True)) == 1).all()
    with pytest.raises(ValueError, match="must not act in predictions alone"):
        Chosen(lambda t: not t).predict(x)


class Inner(Model):
    def __init__(self):
        super().__init__()
        self.dense, self.drop = layers.Dense(4), layers.Dropout(0.3)

    def call(self, x, training=None):
        return self.drop(ops.tanh(self.dense(x / 2)), training=training)


class Outer(Model):
    def __init__(self):
        super().__init__()
        self.inner, self.stack_of_two = Inner(), lamina.Sequential([layers.Dense(3), layers.BatchNormalization()])

    def call(self, x, training=None):
        x = self.inner(ops.clip(x, -1, 1), training=training)
        return ops.relu(self.stack_of_two(x, training=training)) + 1


def test_functions_and_models_in_a_call_with_modes(rng):
    x, y = data(rng)
    model = Outer()
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    assert model.predict(x).min() >= 1
    assert same([model.predict(x)], [model.predict(x)])
    again = pickle.loads(pickle.dumps(model))
    assert same([again.predict(x)], [model.predict(x)])


class WithBlock(Model):
    def __init__(self):
        super().__init__()
        self.block = Block(2)
        self.last = layers.Dense(3)

    def call(self, x):
        return self.last(self.block(x))


class WithModels(Model):
    def __init__(self):
        super().__init__()
        self.inner = WithBlock()
        self.rest = lamina.Sequential([layers.Dense(4), layers.Dense(3)])

    def call(self, x):
        return self.rest(self.inner(x))


class MakesLayers(Model):
    def build(self, input_shape):
        self.block = Block(4)
        self.last = layers.Dense(3)

    def call(self, x):
        return self.last(self.block(x))


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
    model = lamina.Sequential([layers.Dense(4, name="hidden"), Two()])
    with pytest.raises(ValueError, match="names must be unique; there is a layer 'hidden' already"):
        model.predict(rng.standard_normal((2, 5)), verbose=0)
    assert not model.built
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


class WithMoments(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense, self.normalized = layers.Dense(4), layers.BatchNormalization()

    def call(self, x, training=None):
        return self.normalized(self.dense(x), training=training)


@pytest.mark.parametrize("suffix", [".keras", ".safetensors", None])
def test_the_mode_of_a_layer_that_holds_layers_is_kept(suffix, tmp_path, rng):
    x, y = data(rng, inputs=4, outputs=4)
    inputs = lamina.Input((4,))
    model = Model(inputs, WithMoments()(inputs, training=False))
    model.compile("sgd", "mse")
    if suffix is None:
        model = lamina.models.clone_model(model)
    else:
        model.save(tmp_path / f"m{suffix}")
        model = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"WithMoments": WithMoments})
    model.fit(x, y, verbose=0)
    assert not model.layers[1].normalized.moving_mean.numpy().any()


def test_an_own_mode_stays_in_a_model_that_is_called_with_another(rng):
    x, _y = data(rng)

    class AlwaysDrops(layers.Dropout):
        def call(self, inputs, training=None):
            return super().call(inputs, training=True)

    inner, inputs = lamina.Sequential([lamina.Input((5,)), AlwaysDrops(0.5)]), lamina.Input((5,))
    assert (Model(inputs, inner(inputs, training=False)).predict(x, verbose=0) == 0).any()


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
