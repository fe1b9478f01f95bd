"""Configurations: objects as plain values, and back."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lamina
from lamina import initializers, layers, losses, optimizers, regularizers
from lamina.saving import deserialize_keras_object, register_keras_serializable, serialize_keras_object


def through_json(value):
    return deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(value))))


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 2.5, "text", [1, [2.5, None]], {"a": [1, "b"], "c": {}}, b"bytes \xc3\xa4", ..., slice(1, None, 2)],
    ids=repr,
)
def test_plain_values_come_back(value):
    found = through_json(value)
    assert found == value
    assert type(found) is type(value)


def test_numbers_and_arrays_of_numpy_come_back():
    assert type(serialize_keras_object(np.float32(0.5))) is float
    assert type(serialize_keras_object(np.int64(3))) is int
    assert serialize_keras_object((1, np.int8(2))) == (1, 2)
    for dtype in ("float32", "float64", "int8", "bool"):
        array = np.array([[0, 1], [1, 0]], dtype)
        found = through_json(array)
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("item", "module"),
    [
        (regularizers.L2(0.25), "keras.regularizers"),
        (initializers.RandomNormal(0.5, 0.25, seed=3), "keras.initializers"),
        (losses.Huber(0.5), "keras.losses"),
        (losses.L2Norm(), "lamina.losses"),
        (optimizers.Adam(0.5), "keras.optimizers"),
        (layers.Dense(3, "relu", kernel_regularizer="l1"), "keras.layers"),
    ],
    ids=lambda item: type(item).__name__,
)
def test_objects_of_the_library_come_back_from_their_configurations(item, module):
    spelled = serialize_keras_object(item)
    assert set(spelled) == {"module", "class_name", "config", "registered_name"}
    assert spelled["module"] == module
    assert spelled["class_name"] == type(item).__name__
    assert spelled["registered_name"] is None
    found = through_json({"held": [item]})["held"][0]
    assert type(found) is type(item)
    assert found.get_config() == item.get_config()


def test_classes_and_functions_of_the_users_come_back_where_they_are_registered():
    class KeptPenalty(regularizers.L1):
        pass

    def kept_half(w):
        return w / 2

    with pytest.raises(ValueError, match="function 'kept_half' of the module .* must be registered"):
        through_json(kept_half)
    assert deserialize_keras_object(serialize_keras_object(kept_half), {"kept_half": kept_half}) is kept_half
    with pytest.raises(ValueError, match="class 'KeptPenalty' of the module .* must be registered"):
        through_json(KeptPenalty())
    spelled = serialize_keras_object(KeptPenalty(0.5))
    found = deserialize_keras_object(spelled, custom_objects={"KeptPenalty": KeptPenalty})
    assert (type(found), found.l1) == (KeptPenalty, 0.5)
    register_keras_serializable("test_objects")(KeptPenalty)
    register_keras_serializable("test_objects")(kept_half)
    assert type(through_json(KeptPenalty())) is KeptPenalty
    assert serialize_keras_object(KeptPenalty())["registered_name"] == "test_objects>KeptPenalty"
    assert through_json(kept_half) is kept_half
    assert through_json(lamina.activations.gelu) is lamina.activations.gelu


@pytest.mark.parametrize("value", [object(), {1, 2}, regularizers.L2, print], ids=str)
def test_what_has_no_configuration_is_refused(value):
    with pytest.raises(TypeError, match="serialize_keras_object: obj must be plain or have get_config"):
        serialize_keras_object(value)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"class_name": "Dence", "config": {}}, "class must be one of .*Did you mean 'Dense'"),
        ({"class_name": "function", "config": "nobodys"}, "function must be one of|function .*nobodys"),
        (
            {"module": "keras.layers", "class_name": "Dense", "config": {}, "registered_name": "own>Dense"},
            "class 'own>Dense' must be registered",
        ),
        (
            {"class_name": "function", "config": "relu", "registered_name": "own>relu"},
            "function 'own>relu' must be registered",
        ),
        (
            {"module": "my.layers", "class_name": "Dense", "config": {}},
            "class 'Dense' of the module 'my.layers' must be",
        ),
        (
            {"module": "my", "class_name": "function", "config": "relu", "registered_name": "relu"},
            "'relu' of the module 'my'",
        ),
        # Only the module's own classes are proposed.
        ({"module": "keras.constraints", "class_name": "MaxNorn", "config": {}}, "one of MaxNorm(, [^,]*){3};"),
    ],
)
def test_configurations_of_nothing_known_are_refused(config, message):
    with pytest.raises(ValueError, match=message) as unknown:
        deserialize_keras_object(config)
    assert isinstance(unknown.value, TypeError)  # which Keras raises


@pytest.mark.parametrize("module", ["laminated.stuff", "keras_tools.layers", "my.layers", "keras.losses", "", None])
def test_a_registered_class_is_found_wherever_it_lies(module):
    @lamina.saving.register_keras_serializable("mine", "Steep")
    class Slope(lamina.losses.MeanSquaredError):
        pass

    config = lamina.saving.serialize_keras_object(Slope()) | {"module": module}
    assert type(lamina.saving.deserialize_keras_object(config)) is Slope


@pytest.mark.parametrize(
    ("module", "room"),
    [
        ("keras.losses", lamina.losses),
        ("keras.src.losses.losses", lamina.losses),
        ("keras.metrics", lamina.metrics),
        ("keras.src.metrics.regression_metrics", lamina.metrics),
        ("lamina.metrics", lamina.metrics),
    ],
)
def test_a_module_says_which_class_of_a_name_is_meant(module, room):
    config = {"module": module, "class_name": "MeanSquaredError", "config": {}, "registered_name": None}
    assert type(lamina.saving.deserialize_keras_object(config)) is room.MeanSquaredError


def test_a_name_of_several_rooms_needs_a_module():
    with pytest.raises(ValueError, match=r"'module' must say which MeanSquaredError.*keras\.losses or keras\.metrics"):
        lamina.saving.deserialize_keras_object({"class_name": "MeanSquaredError", "config": {}})
    assert (
        type(lamina.saving.deserialize_keras_object({"class_name": "Dense", "config": {"units": 1}})).__name__
        == "Dense"
    )


def test_keywords_of_deserialize_keras_object():
    config = {"class_name": "Own", "config": {}}
    own = type("Own", (lamina.regularizers.L2,), {})
    for keyword in ("custom_objects", "module_objects"):
        assert type(lamina.saving.deserialize_keras_object(config, **{keyword: {"Own": own}})) is own
    with pytest.raises(TypeError, match="custom_object"):
        lamina.saving.deserialize_keras_object(config, custom_object={})


def test_a_class_of_the_users_is_neither_the_librarys_nor_another_packages_of_that_name():
    class Dense(layers.Dense):
        pass

    class Twice(regularizers.L1):
        pass

    register_keras_serializable("another")(Twice)
    as_keras_writes_it = {"module": None, "class_name": "Dense", "config": {"units": 2}, "registered_name": "Dense"}
    unregistered = {"module": "mine", "class_name": "Twice", "config": {}, "registered_name": "Twice"}
    for config in (as_keras_writes_it, unregistered):
        with pytest.raises(ValueError, match=f"class '{config['class_name']}'.* must be registered"):
            deserialize_keras_object(config)
    assert type(deserialize_keras_object(as_keras_writes_it, {"Dense": Dense})) is Dense
    assert type(deserialize_keras_object({"class_name": "Twice", "config": {}})) is Twice  # by hand, without a module
