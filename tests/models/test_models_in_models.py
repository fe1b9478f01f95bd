"""Models as layers of other models."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from helpers import same

import lamina
from lamina import layers
from lamina._engine.ops import DenseOp, Kernel, ScaleOp
from lamina.models import clone_model


def test_a_model_in_a_model_shares_its_layers(rng):
    x = rng.standard_normal((20, 6)).astype("f")
    encoder = lamina.Sequential([lamina.Input((6,)), layers.Dense(3, "tanh")], name="encoder")
    decoder = lamina.Sequential([layers.Dense(6)], name="decoder")
    model = lamina.Sequential([encoder, decoder])
    assert decoder.built
    assert model.layers == [encoder, decoder]
    assert model.get_layer("encoder") is encoder
    assert [layer.name for layer in model.flat_layers] == [encoder.layers[0].name, decoder.layers[0].name]
    np.testing.assert_array_equal(model.predict(x), decoder.predict(encoder.predict(x)))
    model.compile("adam", "mse")
    before = encoder.predict(x)
    model.fit(x, x, epochs=2, verbose=0)
    assert (encoder.predict(x) != before).any()
    np.testing.assert_array_equal(model.predict(x), decoder.predict(encoder.predict(x)))
    encoder.trainable = False
    assert len(model.trainable_weights) == 2
    again = lamina.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_a_model_in_a_model_is_saved_with_it(rng, tmp_path):
    x = rng.standard_normal((8, 5)).astype("f")
    model = lamina.Sequential([lamina.Input((5,)), lamina.Sequential([layers.Dense(4, "relu")]), layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(x, x[:, :2], verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert lamina.utils.check_gradients(again, x, x[:, :2]) < 1e-5


def test_names_in_a_model_of_models_are_unique():
    inner = lamina.Sequential([layers.Dense(3, name="b")], name="a")
    with pytest.raises(ValueError, match="there is a layer 'a' already"):
        lamina.Sequential([lamina.Input((3,)), inner, layers.Dense(3, name="a")])
    with pytest.raises(ValueError, match="has no layers yet"):
        lamina.Sequential([lamina.Sequential()])


def test_a_model_that_changes_inside_another_one_is_noticed():
    inner = lamina.Sequential([lamina.Input((4,)), layers.Dense(3), layers.Dense(500)])
    outer = lamina.Sequential([inner, layers.Dense(2)])
    outer.compile("sgd", "mse")
    x = np.ones((9, 4), "f")
    outer.predict(x)
    outer.predict_on_batch(x)
    inner.pop()
    for call in (outer.predict, outer.predict_on_batch, lambda x: outer.fit(x, np.zeros((9, 2)), verbose=0)):
        with pytest.raises(ValueError, match=r"built for rows of shape \(500,\)"):
            call(x)
    inner.add(layers.Dense(500))
    assert outer.predict(x).shape == (9, 2)


def test_the_engine_itself_refuses_layers_that_do_not_fit():
    layer = layers.Dense(3)
    layer.build((None, 4))
    with pytest.raises(ValueError, match="made for 4 columns; the one before gives 5"):
        lamina._core.Network("float32", 5, 1, [DenseOp(layer, 3, Kernel("linear"))], "dense")
    with pytest.raises(ValueError, match="made for 2 columns"):
        lamina._core.Network("float32", 5, 1, [ScaleOp([0.0, 0.0], [1.0, 2.0], [0.0, 0.0])], "dense")


def test_a_refused_build_leaves_other_models_alone(rng):
    shared = layers.Dense(3)
    trained = lamina.Sequential([lamina.Input((4,)), shared])
    x = rng.standard_normal((5, 4)).astype("f")
    before = trained.predict(x)
    inner = lamina.Sequential([layers.Dropout(0.1), shared])
    outer = lamina.Sequential([inner])
    with pytest.raises(ValueError, match="must take rows of shape"):
        outer.build((None, 9))
    np.testing.assert_array_equal(trained.predict(x), before)
    assert not outer.built
    assert not inner.built
    outer.build((None, 4))
    np.testing.assert_array_equal(outer.predict(x), before)
    table = layers.Embedding(5, 2, weights=np.ones((5, 2)))
    wrong = lamina.Sequential([table, lamina.layers.Reshape((7,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="cannot become"):
        wrong.build((None, 4))
    np.testing.assert_array_equal(table.get_weights()[0], np.ones((5, 2)))


def test_a_frozen_model_stays_frozen(rng):
    model = lamina.Sequential(trainable=False)
    model.add(lamina.Input((3,)))
    model.add(layers.Dense(1))
    assert model.trainable_weights == []


def test_models_of_ones_own_class_are_found_again(tmp_path):
    class Plain(lamina.Sequential):
        pass

    @lamina.saving.register_keras_serializable("mine")
    class Block(lamina.Sequential):
        pass

    class Own(layers.Dense):
        pass

    model = lamina.Sequential([lamina.Input((3,)), Plain([layers.Dense(2)]), Block([Own(2)])])
    clone = lamina.models.clone_model(model)
    assert [type(part) for part in clone.layers] == [Plain, Block]
    model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="layer 'Plain' of the module .* must be registered"):
        lamina.models.load_model(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors", custom_objects={"Plain": Plain, "Own": Own})
    assert type(again.layers[1].layers[0]) is Own
    block = Block([lamina.Input((3,)), lamina.Sequential([layers.Dense(2)])])
    for again in (lamina.models.model_from_json(block.to_json()), lamina.models.clone_model(block)):
        assert type(again.layers[0]) is lamina.Sequential
    assert type(lamina.models.model_from_json(block.to_json())) is Block
    block.save(tmp_path / "b.safetensors")
    assert type(lamina.models.load_model(tmp_path / "b.safetensors")) is Block


class Named(layers.Layer):
    """Holds layers with fixed names."""

    def __init__(self, units=4, **named):
        super().__init__(**named)
        self.units = units
        self.dense, self.norm = layers.Dense(units, name="dense"), layers.BatchNormalization(name="norm")
        self.drop = layers.Dropout(0.5, name="drop")

    def call(self, x):
        return self.drop(self.norm(self.dense(x)))

    def get_config(self):
        return super().get_config() | {"units": self.units}


def twins(kind):
    """Return a model whose parts hold layers of the same names."""
    if kind == "blocks":
        parts = [Named(4), Named(3), layers.Dense(2, name="dense")]
    else:
        parts = [
            lamina.Sequential([layers.Dense(n, name="hidden"), layers.Dense(n, "relu", name="out")], name=name)
            for n, name in ((4, "encoder"), (4, "decoder"), (3, "third"))
        ]
    if kind == "functional":
        inputs = tensor = lamina.Input((4,))
        for part in parts:
            tensor = part(tensor)
        return lamina.Model(inputs, tensor)
    return lamina.Sequential([lamina.Input((4,)), *parts])


@pytest.mark.parametrize("kind", ["blocks", "sequential", "functional"])
@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_layers_of_nested_models_may_have_the_same_names(kind, suffix, tmp_path, rng):
    model = twins(kind)
    x, y = rng.standard_normal((12, 4)).astype("f"), rng.standard_normal((12, model.output_shape[-1]))
    model.compile("adam", "mse")
    model.fit(x, y, epochs=2, verbose=0)
    assert len({id(variable) for variable in model.weights}) == len(model.weights)
    with lamina.saving.custom_object_scope({"Named": Named}):
        if suffix == ".h5" and kind == "blocks":
            assert clone_model(model).layers[0].dense.units == 4
        model.save(tmp_path / f"m{suffix}")
        again = lamina.models.load_model(tmp_path / f"m{suffix}")
    same(again.get_weights(), model.get_weights())
    same([v.numpy() for v in again.optimizer.variables], [v.numpy() for v in model.optimizer.variables])
    weights = tmp_path / ("w.weights.h5" if suffix == ".keras" else f"w{suffix}")
    model.save_weights(weights)
    other = twins(kind)
    other.load_weights(weights)
    same(other.get_weights(), model.get_weights())
    for one in (model, again):
        one.fit(x, y, epochs=2, verbose=0, shuffle=False)
    same(again.get_weights(), model.get_weights())
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(x, verbose=0), model.predict(x, verbose=0))


def test_frozen_layers_of_the_same_name_stay_apart(tmp_path, rng):
    class Twin(lamina.Model):
        def __init__(self, **named):
            super().__init__(**named)
            self.first, self.second = Named(4, name="a"), Named(2, name="b")

        def call(self, x):
            return self.second(self.first(x))

    model = Twin()
    model(np.ones((2, 4)))
    model.second.dense.trainable = False
    model.save(tmp_path / "m.keras")
    again = lamina.models.load_model(tmp_path / "m.keras", custom_objects={"Twin": Twin, "Named": Named})
    assert again.first.dense.trainable
    assert not again.second.dense.trainable
    same(again.get_weights(), model.get_weights())


def test_noise_of_layers_of_the_same_name_differs():
    model = lamina.Sequential(
        [lamina.Input((200,)), *(lamina.Sequential([layers.Dropout(0.5, name="d")]) for _ in "ab")]
    )
    assert (np.asarray(model(np.ones((4, 200), "f"), training=True)) != 0).mean() < 0.4


def test_names_of_one_model_are_unique():
    with pytest.raises(ValueError, match="names must be unique; there is a layer 'a' already"):
        lamina.Sequential([layers.Dense(2, name="a"), layers.Dense(2, name="a")])
