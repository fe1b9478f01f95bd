"""Registries: what a name, a configuration, a class, an object or a function stands for."""

from __future__ import annotations

import pytest

from lamina import losses, metrics
from lamina._common import registry
from lamina._common.custom import custom_object_scope
from lamina._common.objects import Configurable


class Animal(Configurable):
    pass


class Cat(Animal):
    def __init__(self, lives=9):
        self.lives = lives

    def get_config(self):
        return {"lives": self.lives}


class Dog(Animal):
    pass


class Tamed(Animal):
    def __init__(self, function):
        self.function = function


class Stone(Configurable):
    pass


@pytest.fixture
def animals():
    yield registry.Registry("animals", "animal", Animal, (Cat, "cat puss"), (Dog, "dog"), own=[Dog])
    del registry.registries["animals"]


def test_names_and_aliases_stand_for_classes(animals):
    for name in ("cat", "puss", "Cat"):
        assert type(animals.get(name)) is Cat
        assert animals.class_named(name) is Cat
        assert name in animals
    assert animals.class_named("bird") is None
    assert "bird" not in animals
    assert 3 not in animals
    assert set(animals) == {"cat", "puss", "Cat", "dog", "Dog"}
    assert animals.classes() == {"Cat": Cat, "Dog": Dog}
    assert registry.registries["animals"] is animals


def test_configurations_classes_and_objects_are_taken_too(animals):
    assert animals.get({"class_name": "Cat", "config": {"lives": 3}}).lives == 3
    assert animals.get({"class_name": "Cat"}).lives == 9
    assert type(animals.get(Dog)) is Dog
    own = Cat(1)
    assert animals.get(own) is own
    assert animals.get(None) is None


def test_what_is_not_known_is_refused_with_the_nearest_name(animals):
    with pytest.raises(ValueError, match=r"animals.get: animal must be one of .*; got 'pus'. Did you mean 'puss'"):
        animals.get("pus")
    with pytest.raises(ValueError, match="zoo: guest must be one of"):
        animals.get({"class_name": "Bird", "config": {}}, "zoo", "guest")
    with pytest.raises(TypeError, match="animal must be"):
        animals.get({"name": "Cat"})
    for wrong in (3, Stone(), print):
        with pytest.raises(TypeError, match="animal must be a name or a Animal; got"):
            animals.get(wrong)


def test_case_counts_unless_it_is_folded(animals):
    with pytest.raises(ValueError, match="animal must be one of"):
        animals.get("CAT")
    folded = registry.Registry("animals", "animal", Animal, (Cat, ""), fold_case=True)
    for name in ("cat", "CAT", "Cat"):
        assert type(folded.get(name)) is Cat
        assert name in folded


def test_functions_are_converted_where_that_is_possible(animals):
    def tame():
        pass

    with pytest.raises(TypeError, match="must be a name or a Animal; got function"):
        animals.get(tame)
    converting = registry.Registry("animals", "animal", Animal, (Cat, ""), from_function=Tamed)
    assert converting.get(tame).function is tame
    with custom_object_scope({"tame": tame}):
        assert converting.get("tame").function is tame
        assert converting.get({"class_name": "function", "config": "tame"}).function is tame


def test_objects_of_the_users_come_first_in_scope_and_last_without_their_package(animals):
    class Other(Cat):
        pass

    with custom_object_scope({"Cat": Other}):
        assert type(animals.get("Cat")) is Other
        assert type(animals.get({"class_name": "Cat", "config": {}})) is Other
    with custom_object_scope({"Rock": Stone}), pytest.raises(TypeError, match="must be a Animal; the name stands for"):
        animals.get("Rock")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"registered_name": "mine>Cat"}, "animal 'mine>Cat' must be registered, with lamina.saving"),
        ({"module": "my.animals"}, "animal 'Cat' of the module 'my.animals' must be registered"),
        ({"module": "my.animals", "registered_name": "Cat"}, "'Cat' of the module 'my.animals' must be registered"),
    ],
)
def test_a_class_of_the_users_is_never_taken_for_the_librarys_of_that_name(animals, config, message):
    class Mine(Cat):
        pass

    with pytest.raises(ValueError, match=message):
        animals.get(config | {"class_name": "Cat", "config": {}})
    for name in (config.get("registered_name", "Cat"), "Cat"):
        with custom_object_scope({name: Mine}):
            assert type(animals.get(config | {"class_name": "Cat", "config": {}})) is Mine


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"registered_name": "mine>mean_squared_error"}, "metric 'mine>mean_squared_error' must be registered"),
        ({"module": "my"}, "metric 'mean_squared_error' of the module 'my' must be registered"),
        ({"module": "my", "registered_name": "mean_squared_error"}, "of the module 'my' must be registered"),
    ],
)
def test_a_function_of_the_users_is_never_taken_for_the_librarys_of_that_name(config, message):
    def mine(y_true, y_pred):
        return y_true - y_pred

    config = config | {"class_name": "function", "config": "mean_squared_error"}
    with pytest.raises(ValueError, match=message):
        metrics.get(config)
    for name in (config.get("registered_name", "mean_squared_error"), "mean_squared_error"):
        with custom_object_scope({name: mine}):
            assert metrics.get(config).name == "mine"
    for module in ("builtins", "keras.losses", None):
        found = metrics.get(config | {"module": module, "registered_name": None})
        assert type(found) is metrics.MeanSquaredError


@pytest.mark.parametrize("module", ["keras.animals", "lamina.animals", "tensorflow.keras.animals", None, ""])
def test_modules_of_keras_stand_for_the_librarys_classes(animals, module):
    assert type(animals.get({"module": module, "class_name": "Cat", "config": {}})) is Cat


def test_classes_that_are_added_are_accepted(animals):
    with pytest.raises(TypeError, match="must be a name or a Animal"):
        animals.get(Stone())
    animals.add(Stone, "rock", "lamina", "minerals")
    assert type(animals.get("rock")) is Stone
    assert isinstance(animals.get(Stone()), Stone)
    assert registry.module_of(Stone) == "lamina.minerals"


def test_modules_are_kerass_where_keras_has_the_class(animals):
    assert registry.module_of(Cat) == "keras.animals"
    assert registry.module_of(Dog) == "lamina.animals"
    assert registry.module_of(losses.Huber) == "keras.losses"
    assert registry.is_public(Cat)
    assert not registry.is_public(Animal)
    assert registry.module_of(Animal) is None


def test_functions_are_found_by_their_names():
    def lonely_function():
        pass

    assert registry.find_function("lonely_function") is None
    assert registry.find_function("huber") is losses.huber
    registry.register_functions("animals", {"lonely_function": lonely_function})
    registry.register_functions("animals", {"lonely_too": lonely_function})  # beside the others
    assert registry.find_function("lonely_function") is registry.find_function("lonely_too") is lonely_function
    assert registry.module_of(lonely_function) == "keras.animals"
    assert registry.is_public(lonely_function)
