from __future__ import annotations

import json
import os
import types

import numpy as np
import pytest
from conftest import classification_model

import lamina
from lamina import layers, optimizers

X = np.random.default_rng(0).standard_normal((40, 8)).astype("f")
Y = np.random.default_rng(1).integers(0, 3, 40)


def trained():
    model = classification_model(metrics=["accuracy"])
    model.compile(optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, verbose=0)
    return model


def test_save_and_load_give_the_same_model(tmp_path):
    model = trained()
    path = tmp_path / "m.safetensors"
    model.save(path)
    again = lamina.models.load_model(str(path))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.get_config() == model.get_config()
    assert again.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert again.optimizer.iterations == model.optimizer.iterations


def test_training_goes_on_bit_for_bit(tmp_path):
    model = trained()
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    history = model.fit(X, Y, epochs=2, verbose=0).history
    assert again.fit(X, Y, epochs=2, verbose=0).history == history
    for ours, expected in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_save_without_compiling(tmp_path):
    model = lamina.Sequential([layers.Dense(2, input_dim=8, dtype="float64")])
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    assert again.dtype == "float64"
    np.testing.assert_array_equal(again.get_weights()[0], model.get_weights()[0])
    assert again.executor.compiled is None
    compiled = trained()
    compiled.save(tmp_path / "c.safetensors")
    assert lamina.models.load_model(tmp_path / "c.safetensors", compile=False).executor.compiled is None


@pytest.mark.parametrize("name", ["m.keras", "m.h5", "m.weights.h5", "m", "m.npz"])
def test_other_suffixes_raise_and_write_nothing(name, tmp_path):
    with pytest.raises(ValueError, match=r"must end in '\.safetensors'"):
        trained().save(tmp_path / name)
    assert os.listdir(tmp_path) == []
    with pytest.raises(ValueError, match=r"must end in '\.safetensors'"):
        lamina.models.load_model(tmp_path / name)


def test_overwrite(tmp_path):
    path = tmp_path / "m.safetensors"
    model = trained()
    model.save(path)
    content = path.read_bytes()
    model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match="must not exist where overwrite is False"):
        model.save(path, overwrite=False)
    assert path.read_bytes() == content
    model.save(path)
    assert path.read_bytes() != content
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "m.safetensors"
    model = trained()
    model.save(path)
    content = path.read_bytes()

    def fail(descriptor):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space"):
        model.save(path)
    assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_unbuilt_model_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="must be built"):
        lamina.Sequential([layers.Dense(2)]).save(tmp_path / "m.safetensors")


def test_broken_files_raise(tmp_path):
    path = tmp_path / "m.safetensors"
    with pytest.raises(FileNotFoundError, match="there is no file"):
        lamina.models.load_model(path)
    trained().save(path)
    whole = path.read_bytes()
    for broken in (b"", b"x" * 100, whole[:-5], whole[: len(whole) // 2], whole[:4]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match="load_model: .* (is damaged|must be a whole safetensors file)"):
            lamina.models.load_model(path)


def test_foreign_and_tampered_files_raise(tmp_path):
    from safetensors.numpy import load, save_file

    path = tmp_path / "m.safetensors"
    save_file({"a": np.zeros(3)}, path)
    with pytest.raises(ValueError, match="must be a model that lamina has saved"):
        lamina.models.load_model(path)

    trained().save(path)
    tensors = load(path.read_bytes())
    settings = json.loads(json_of(path))

    def rewrite(change):
        changed, arrays = json.loads(json.dumps(settings)), dict(tensors)
        change(changed, arrays)
        save_file(arrays, path, {"lamina": json.dumps(changed)})

    velocity = "optimizer/velocity/dense/kernel"
    for change in (
        lambda s, t: s.update(format=99),
        lambda s, t: s.pop("model"),
        lambda s, t: s["model"]["config"]["layers"][1].update(class_name="os.system"),
        lambda s, t: s["model"]["config"]["layers"][1]["config"].update(units=-1),
        lambda s, t: s["model"]["config"]["layers"][1]["config"].update(units=10**13),
        lambda s, t: s["model"]["config"]["layers"][1]["config"].update(dtype="float64"),
        lambda s, t: s["model"]["config"].update(layers=None),
        lambda s, t: t.pop("weights/dense/kernel"),
        lambda s, t: t.update({"weights/dense/kernel": np.zeros((2, 2), "f")}),
        lambda s, t: t.update({"weights/dense/kernel": t["weights/dense/kernel"].astype("f8")}),
        lambda s, t: t.update({"weights/dense/kernel": t["weights/dense/kernel"].astype("i4")}),
        lambda s, t: t.update({"weights/other": np.zeros(2, "f")}),
        lambda s, t: t.pop(velocity),
        lambda s, t: t.update({velocity: np.zeros((2, 2), "f")}),
        lambda s, t: t.update({velocity: t[velocity].astype("f8")}),
        lambda s, t: s.update(batches=-5),
        lambda s, t: s.update(shuffles=-1),
        lambda s, t: s["compiled"].update(loss={"class_name": "nothing"}),
    ):
        rewrite(change)
        with pytest.raises(ValueError, match="load_model: .* (is damaged, of a newer lamina|must hold float32)"):
            lamina.models.load_model(path)
    save_file(tensors, path, {"lamina": "[" * 200_000})
    with pytest.raises(ValueError, match="is damaged"):
        lamina.models.load_model(path)


def test_classes_of_ones_own_are_refused_when_saving(tmp_path):
    class Mine(lamina.initializers.Zeros):
        pass

    model = lamina.Sequential([layers.Dense(2, input_dim=8, kernel_initializer=Mine())])
    with pytest.raises(ValueError, match="Mine must be a class of lamina's"):
        model.save(tmp_path / "m.safetensors")
    assert os.listdir(tmp_path) == []


def test_file_mode_follows_umask(tmp_path):
    before = os.umask(0o027)
    try:
        trained().save(tmp_path / "m.safetensors")
    finally:
        os.umask(before)
    assert (tmp_path / "m.safetensors").stat().st_mode & 0o777 == 0o640


def json_of(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.metadata()["lamina"]


def ones_of_mine(shape, dtype=None):
    return np.ones(shape, dtype)


def halved(w):
    return w / 2


@pytest.mark.parametrize("registered", [True, False])
def test_functions_as_rules_go_through_configurations_and_files(registered, tmp_path):
    functions = {"ones_of_mine": ones_of_mine, "halved": halved}
    if registered:
        functions = {
            name: lamina.saving.register_keras_serializable(f"test_{name}")(
                types.FunctionType(f.__code__, f.__globals__, f"{name}_too", f.__defaults__)
            )
            for name, f in functions.items()
        }
    initializer, constraint = functions.values()
    dense = lamina.layers.Dense(2, kernel_initializer=initializer, kernel_constraint=constraint)
    model = lamina.Sequential([lamina.Input((3,)), dense])
    model.compile("sgd", "mse")
    path = tmp_path / "m.safetensors"
    if not registered:
        with pytest.raises(ValueError, match="the function 'ones_of_mine' must be registered"):
            model.save(path)
        with pytest.raises(ValueError, match="'ones_of_mine'"):
            lamina.models.model_from_json(model.to_json())
        made = [lamina.models.model_from_json(model.to_json(), custom_objects=functions)]
    else:
        model.save(path)
        made = [lamina.models.model_from_json(model.to_json()), lamina.models.load_model(path)]
        made.append(lamina.models.clone_model(model))
    for twin in made:
        np.testing.assert_array_equal(twin.layers[0].kernel.numpy(), 1)
        twin.compile(lamina.optimizers.SGD(0.0), "mse")
        twin.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
        np.testing.assert_array_equal(twin.layers[0].kernel.numpy(), 0.5)
    with pytest.raises(TypeError, match="must have a name"):
        lamina.Sequential([lamina.layers.Dense(2, bias_constraint=lambda w: w)]).to_json()


class Weightless(lamina.regularizers.Regularizer):
    def get_config(self):
        return {}

    def value_and_gradient(self, w):
        return 0.0, np.zeros_like(w)


@pytest.mark.parametrize("name", ["Weightless", "another name"])
def test_a_model_with_a_class_among_the_custom_objects_is_saved(name, tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, kernel_regularizer=Weightless())])
    with pytest.raises(ValueError, match="Weightless must be a class of lamina's, or registered"):
        model.save(tmp_path / "m.safetensors")
    known = lamina.saving.get_custom_objects()
    known[name] = Weightless
    try:
        assert lamina.saving.get_registered_name(Weightless) == name
        model.save(tmp_path / "m.safetensors")
        again = lamina.models.load_model(tmp_path / "m.safetensors")
    finally:
        del known[name]
    assert type(again.layers[0].kernel_regularizer) is Weightless
