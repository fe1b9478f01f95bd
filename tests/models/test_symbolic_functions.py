"""Functions of symbolic tensors between the layers of a model: files, clones, tables, lists of layers."""

import json

import numpy as np
import pytest
from symbolic_functions import FUNCTIONS

import lamina
from lamina import activations, layers, ops


def _model(function):
    """Return a model with a layer before and after a function of its input."""
    inputs = lamina.Input((4, 6))
    hidden = function(lamina, layers.Dense(6)(inputs))
    return lamina.Model(inputs, layers.Flatten()(hidden))


def _x(rng):
    return rng.standard_normal((7, 4, 6)).astype("float32")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_files_configurations_and_clones_hold_functions(name, rng, tmp_path):
    model, x = _model(FUNCTIONS[name]), _x(rng)
    expected = model.predict(x, verbose=0)
    for file in ("model.keras", "model.safetensors"):
        model.save(tmp_path / file)
        again = lamina.models.load_model(tmp_path / file)
        np.testing.assert_array_equal(again.predict(x, verbose=0), expected)
        assert [part.name for part in again.operations] == [part.name for part in model.operations]
        assert again.to_json() == model.to_json()
    for copy in (lamina.models.clone_model(model), lamina.models.model_from_json(model.to_json())):
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy.predict(x, verbose=0), expected)


# Which real Keras does not compute.
@pytest.mark.parametrize("function", [lambda _, t: t[:, [0, 2]], lambda _, t: ops.norm(t, axis=-1)])
def test_files_hold_more_functions_than_keras_computes(function, rng, tmp_path):
    model, x = _model(function), _x(rng)
    model.save(tmp_path / "model.keras")
    again = lamina.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))


def test_layers_are_listed_without_functions():
    inputs = lamina.Input((8,))
    dense = layers.Dense(3)
    model = lamina.Model(inputs, ops.square(dense(inputs / 255.0)))
    assert model.layers == [model.operations[0], dense]
    assert model.get_layer(index=1) is dense
    assert [part.name.rstrip("_0123456789") for part in model.operations[1:]] == ["true_divide", "dense", "square"]
    shown = []
    model.summary(print_fn=shown.append)
    assert "(TrueDivide)" in shown[0]
    assert "(Square)" in shown[0]


def test_linear_is_no_layer():
    inputs = lamina.Input((8,))
    assert activations.linear(inputs) is inputs


def test_names_of_functions_are_kept(tmp_path):
    inputs = lamina.Input((8,))
    model = lamina.Model(inputs, layers.Dense(1)(ops.square(inputs)))
    model.get_config()["layers"][1]["name"] = "other"
    settings = json.loads(model.to_json())
    entries = settings["config"]["layers"]
    entries[1]["name"] = "squared"
    entries[2]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "squared"
    again = lamina.models.model_from_json(json.dumps(settings))
    assert [part.name for part in again.operations][1] == "squared"


def _changed(model, **changes):
    settings = json.loads(model.to_json())
    settings["config"]["layers"][1].update(changes)
    return json.dumps(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_name": "Squared"}, r"function must be one of .* Did you mean 'Square'"),
        ({"class_name": "Exec"}, "function must be one of"),
        ({"module": "keras.src.ops.image", "class_name": "Resize"}, "function must be one of .* got 'Resize'"),
        ({"module": "builtins", "class_name": "eval", "registered_name": "eval"}, "layer must be one of .* got 'eval'"),
        ({"config": [1]}, "dict by names"),
        ({"inbound_nodes": []}, "must follow|inbound_nodes"),
    ],
)
def test_other_functions_are_refused(changes, message):
    inputs = lamina.Input((8,))
    model = lamina.Model(inputs, ops.square(inputs))
    with pytest.raises((ValueError, TypeError), match=message):
        lamina.models.model_from_json(_changed(model, **changes))


def test_wrong_arguments_of_functions_are_refused(rng):
    inputs = lamina.Input((4, 6))
    model = lamina.Model(inputs, ops.mean(inputs, axis=1))
    for config in ({"axis": 5}, {"axis": "a"}, {"axes": 1}, {"axis": {"class_name": "function", "config": "eval"}}):
        with pytest.raises((ValueError, TypeError)):
            lamina.models.model_from_json(_changed(model, config={"name": "mean"} | config))
    (node,) = json.loads(model.to_json())["config"]["layers"][1]["inbound_nodes"]
    with pytest.raises(ValueError, match="Mean must be called with at most 1 arguments; got 2"):
        lamina.models.model_from_json(_changed(model, inbound_nodes=[node | {"args": [*node["args"], 3]}]))
    changed = _changed(model, class_name="Negative", config={}, inbound_nodes=[node | {"kwargs": {"x2": 3}}])
    with pytest.raises(ValueError, match="Negative must have no arguments by name; got x2"):
        lamina.models.model_from_json(changed)
