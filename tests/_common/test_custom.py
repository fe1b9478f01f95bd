"""Classes and functions of the users: under which names they are known, and where."""

from __future__ import annotations

import pytest

from lamina._common import custom


@pytest.fixture(autouse=True)
def _forgotten_later():
    before = dict(custom.get_custom_objects())
    yield
    custom.get_custom_objects().clear()
    custom.get_custom_objects().update(before)


def some_class():
    class Thing:
        def get_config(self):
            return {}

    return Thing


def test_a_name_is_package_and_name():
    for arguments, name in (((), "Custom>Thing"), (("own",), "own>Thing"), (("own", "Cube"), "own>Cube")):
        kind = some_class()
        assert custom.get_registered_name(kind) == "Thing"
        assert not custom.is_registered(kind)
        assert custom.register_keras_serializable(*arguments)(kind) is kind
        assert custom.get_registered_name(kind) == name
        assert custom.get_registered_object(name) is kind
        assert custom.is_registered(kind)

    @custom.register_keras_serializable("own")
    def double(x):
        return 2 * x

    assert custom.get_registered_object("own>double") is double


def test_the_package_may_be_left_out_where_one_looks_in_all():
    kind = custom.register_keras_serializable("own", "Cuboid")(some_class())
    assert custom.find("own>Cuboid") is custom.find("Cuboid") is kind
    assert custom.get_registered_object("Cuboid") is None
    assert custom.find("other>Cuboid") is None


def test_objects_in_scope_come_first_and_those_given_last():
    scoped, registered, given, last = (some_class() for _ in range(4))
    custom.get_custom_objects()["Thing"] = registered
    assert custom.get_registered_object("Thing", {"Thing": given}, {"Thing": last}) is registered
    with custom.custom_object_scope({"Thing": scoped}):
        assert custom.get_registered_object("Thing", {"Thing": given}) is scoped
        assert custom.is_registered(scoped)
    assert not custom.is_registered(scoped)
    del custom.get_custom_objects()["Thing"]
    assert custom.get_registered_object("Thing", {"Thing": given}, {"Thing": last}) is given
    assert custom.get_registered_object("Thing", None, {"Thing": last}) is last
    assert custom.get_registered_object("Thing") is None


def test_scopes_lie_in_each_other_and_end():
    one, other = some_class(), some_class()
    with custom.CustomObjectScope({"Thing": one, "Outer": one}):
        with custom.CustomObjectScope({"Thing": other}):
            assert custom.find("Thing") is other
            assert custom.find("Outer") is one
        with pytest.raises(ZeroDivisionError), custom.CustomObjectScope({"Thing": other}):
            raise ZeroDivisionError
        assert custom.find("Thing") is one
        with custom.custom_object_scope(None):
            assert custom.find("Thing") is one
    assert custom.find("Thing") is None


def test_what_cannot_be_registered_is_refused():
    class Bare:
        pass

    with pytest.raises(ValueError, match="Bare must define get_config"):
        custom.register_keras_serializable()(Bare)
    with pytest.raises(TypeError, match="it takes a class or a function; got"):
        custom.register_keras_serializable()(3)
    with pytest.raises(TypeError, match="package must be a str"):
        custom.register_keras_serializable(3)
    with pytest.raises(TypeError, match="name must be a str"):
        custom.register_keras_serializable("own", 3)
    with pytest.raises(TypeError, match="obj must be a class or a function"):
        custom.get_registered_name("Thing")
    assert custom.find("Bare") is None
