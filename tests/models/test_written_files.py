"""Files of subclasses of Model that define `call`."""

from __future__ import annotations

import copy
import io
import zipfile

import h5py
import pytest
from helpers import same
from written_models import Block, Chosen, Nested, Two, data

import lamina
from lamina import Model, callbacks, layers, ops


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


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_a_class_may_add_objects_to_its_configuration(suffix, tmp_path, rng):
    class Penalized(Model):
        def __init__(self, penalty=None, **named):
            super().__init__(**named)
            self.penalty = lamina.regularizers.get(penalty)
            self.dense = layers.Dense(1, kernel_regularizer=self.penalty)

        def call(self, x):
            return self.dense(x)

        def get_config(self):
            return super().get_config() | {"penalty": lamina.regularizers.serialize(self.penalty)}

    x, _ = data(rng)
    model = Penalized(lamina.regularizers.L2(0.25), name="mine")
    model(x)
    model.save(tmp_path / f"m{suffix}")
    again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"Penalized": Penalized})
    assert again.penalty.l2 == 0.25
    assert again.name == "mine"
    same(again.get_weights(), model.get_weights())


def test_a_configuration_that_is_not_written_says_so(rng):
    class Lost(Model):
        def __init__(self, penalty):
            super().__init__()
            self.dense = layers.Dense(1, kernel_regularizer=penalty)

        def call(self, x):
            return self.dense(x)

    with pytest.raises(NotImplementedError, match="Lost must define get_config"):
        Lost(lamina.regularizers.L2(0.1)).get_config()
