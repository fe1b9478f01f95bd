"""Models made from other models, and from JSON."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import classification_model
from helpers import small_model

import lamina
from lamina import layers


def test_clones_and_json(rng, tmp_path):
    model, x = classification_model(), rng.standard_normal((50, 8)).astype("f")
    for other in (lamina.models.clone_model(model), lamina.models.model_from_json(model.to_json())):
        assert [type(layer) for layer in other.layers] == [type(layer) for layer in model.layers]
        assert [w.shape for w in other.get_weights()] == [w.shape for w in model.get_weights()]
        assert (other.get_weights()[0] != model.get_weights()[0]).any()
        other.set_weights(model.get_weights())
        np.testing.assert_array_equal(other.predict(x), model.predict(x))
    model.save_weights(tmp_path / "w.safetensors")
    other = lamina.models.clone_model(model)
    other.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(other.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="must not exist where overwrite is False"):
        model.save_weights(tmp_path / "w.safetensors", overwrite=False)


def test_clones_are_compiled_alike_and_may_have_other_layers():
    model = small_model(metrics=["mae"], loss=lamina.losses.Huber(0.5), loss_weights=0.5)
    clone = lamina.models.clone_model(model)
    assert clone.compiled
    assert clone.get_compile_config() == model.get_compile_config() | {
        "optimizer": clone.get_compile_config()["optimizer"]
    }
    assert clone.optimizer is not model.optimizer

    def wider(layer):
        config = layer.get_config()
        return (
            type(layer).from_config(config | {"units": 7}) if config["units"] == 4 else type(layer).from_config(config)
        )

    assert lamina.models.clone_model(model, clone_function=wider).layers[0].units == 7


def test_a_clone_has_new_parameters_and_the_same_layers():
    model = classification_model()
    model.layers[0].trainable = False
    for clone in (lamina.models.clone_model(model), lamina.models.clone_model(model, recursive=True)):
        assert clone.get_config() == model.get_config() | {"seed": clone.seed}
        assert clone.name == model.name
        assert not set(map(id, clone.layers)) & set(map(id, model.layers))
        assert not np.array_equal(clone.get_weights()[0], model.get_weights()[0])
        assert clone.optimizer.iterations == 0
    unbuilt = lamina.Sequential([layers.Dense(2)])
    assert not lamina.models.clone_model(unbuilt).built
    assert not lamina.models.clone_model(unbuilt).compiled


@pytest.mark.parametrize(("recursive", "seen"), [(False, ["inner", "last"]), (True, ["first", "last"])])
def test_a_nested_model_is_one_layer_unless_all_are_cloned(recursive, seen):
    def clone_of(layer):
        called.append(layer.name)
        return type(layer).from_config(layer.get_config())

    called = []
    inner = lamina.Sequential([layers.Dense(3, name="first")], name="inner")
    model = lamina.Sequential([lamina.Input((4,)), inner, layers.Dense(2, name="last")])
    clone = lamina.models.clone_model(model, clone_function=clone_of, recursive=recursive)
    assert called == seen
    assert [layer.name for layer in clone.layers] == ["inner", "last"]
    assert [w.shape for w in clone.weights] == [w.shape for w in model.weights]


def test_cloning_refuses():
    model = small_model()
    for wrong in ({"input_tensors": [1]}, {"call_function": print}):
        with pytest.raises((TypeError, ValueError), match=f"clone_model: {next(iter(wrong))}:? .*must be"):
            lamina.models.clone_model(model, **wrong)
    with pytest.raises(TypeError, match="clone_model: model must be a model; got Dense"):
        lamina.models.clone_model(layers.Dense(1))
    with pytest.raises(TypeError, match="clone_model: clone_function must be"):
        lamina.models.clone_model(model, clone_function="copy")


def test_a_clone_begins_with_a_given_input_and_calls_layers_as_told():
    inputs = lamina.Input((3,))
    model = lamina.Model(inputs, layers.Dense(2, name="b")(layers.Dense(4, "relu", name="a")(inputs)))
    mine = lamina.Input((3,), name="mine")
    clone = lamina.models.clone_model(model, input_tensors=mine)
    assert clone.input is mine
    assert [layer.name for layer in clone.layers] == ["mine", "a", "b"]
    stack = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
    assert lamina.models.clone_model(stack, input_tensors=[mine]).input.name == "mine"

    def with_noise(layer, symbol):
        return layers.Dropout(0.5)(layer(symbol))

    again = lamina.models.clone_model(model, clone_function=lambda layer: layer, call_function=with_noise)
    assert [type(layer).__name__ for layer in again.layers[1:]] == ["Dense", "Dropout", "Dense", "Dropout"]
    assert again.layers[1] is model.layers[1]
    x = np.ones((2, 3))
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    with pytest.raises(ValueError, match="must have one input; got 2"):
        lamina.models.clone_model(model, input_tensors=[mine, mine])


class Twice(layers.Layer):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.one, self.other = layers.Dense(units), layers.Dense(units)

    def call(self, x):
        return self.other(self.one(x))


class Mine(lamina.Model):
    pass


def test_layers_that_hold_layers_and_subclasses_keep_their_class():
    inputs = lamina.Input((5,))
    seen = []

    def clone_of(layer):
        seen.append(layer.name)
        return type(layer).from_config(layer.get_config())

    for model in (
        lamina.Sequential([lamina.Input((5,)), Twice(name="twice"), layers.Dense(1, name="last")]),
        Mine(inputs, layers.Dense(1, name="last")(Twice(name="twice")(inputs))),
    ):
        for clone in (lamina.models.clone_model(model), lamina.models.clone_model(model, clone_function=clone_of)):
            assert type(clone) is type(model)
            assert type(clone.get_layer("twice")) is Twice
            features = lamina.Model(clone.inputs, clone.get_layer("twice").output)
            assert features.predict(np.ones((2, 5))).shape == (2, 3)
    assert seen == ["twice", "last"] * 2
    stack = lamina.Sequential([lamina.Input((5,)), Twice()])
    assert type(stack.pop()) is Twice


def test_layers_of_models_in_models_are_called_as_told():
    inputs, between = lamina.Input((5,)), lamina.Input((5,))
    inner = lamina.Model(between, layers.Dense(4, name="deep")(between), name="inner")
    model = lamina.Model(inputs, layers.Dense(1, name="last")(inner(inputs)))
    called = []

    def call(layer, symbol):
        called.append(layer.name)
        return layer(symbol)

    lamina.models.clone_model(model, call_function=call, recursive=True)
    assert called == ["deep", "inner", "last"]


def test_text_that_is_no_models_is_refused():
    for text, message in (
        ("{", "json_string must be JSON; it is none from line 1, column 2 on"),
        ("[]", "the text must be that of a model's to_json"),
        ('{"class_name": "Dense", "config": {"units": 3}}', "the text must be that of a model's to_json; got a Dense"),
    ):
        with pytest.raises(ValueError, match=f"model_from_json: {message}"):
            lamina.models.model_from_json(text)
    with pytest.raises(TypeError, match="json_string must be a str"):
        lamina.models.model_from_json(3)


def test_classes_of_the_users_are_given_to_a_models_text():
    class OnlyInText(layers.Dense):
        pass

    text = lamina.Sequential([lamina.Input((3,)), OnlyInText(2)]).to_json()
    with pytest.raises(ValueError, match="layer 'OnlyInText' of the module .* must be registered"):
        lamina.models.model_from_json(text)
    model = lamina.models.model_from_json(text, custom_objects={"OnlyInText": OnlyInText})
    assert type(model.layers[0]) is OnlyInText
    assert model.built
