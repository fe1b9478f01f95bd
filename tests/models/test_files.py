"""Models and their training in files: what comes back, and what is refused."""

from __future__ import annotations

import json
import types

import numpy as np
import pytest
from helpers import CLASSES, REGRESSION, new_model, same, trained

import lamina
from lamina import layers, optimizers


def test_save_and_load_give_the_same_model(tmp_path):
    model = trained()
    path = tmp_path / "m.safetensors"
    model.save(path)
    again = lamina.models.load_model(str(path))
    np.testing.assert_array_equal(again.predict(CLASSES[0]), model.predict(CLASSES[0]))
    assert again.get_config() == model.get_config()
    assert again.evaluate(*CLASSES, verbose=0) == model.evaluate(*CLASSES, verbose=0)
    assert again.optimizer.iterations == model.optimizer.iterations


def test_training_goes_on_bit_for_bit(tmp_path):
    model = trained()
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    history = model.fit(*CLASSES, epochs=2, verbose=0).history
    assert again.fit(*CLASSES, epochs=2, verbose=0).history == history
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


def test_unbuilt_model_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="must be built"):
        lamina.Sequential([layers.Dense(2)]).save(tmp_path / "m.safetensors")


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
        with pytest.raises(
            ValueError, match="load_model: .* (is damaged, of a newer lamina|must hold float32|must be one of)"
        ):
            lamina.models.load_model(path)
    save_file(tensors, path, {"lamina": "[" * 200_000})
    with pytest.raises(ValueError, match="is damaged"):
        lamina.models.load_model(path)


def json_of(path):
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        return file.metadata()["lamina"]


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_classes_and_functions_of_ones_own_are_named_and_given_to_load_model(suffix, tmp_path):
    class Mine(lamina.initializers.Zeros):
        pass

    def halves(y_true, y_pred):
        return (y_true - y_pred) / 2

    path = tmp_path / f"m{suffix}"
    model = lamina.Sequential([layers.Dense(2, input_dim=3, kernel_initializer=Mine(), kernel_constraint=halved)])
    model.compile("sgd", loss="mse", metrics=[halves])
    model.save(path)
    given = {"Mine": Mine, "halved": halved, "halves": halves}
    for missing in given:
        with pytest.raises(ValueError, match=f"{missing}' .*must be registered|{missing}.*must be registered"):
            lamina.models.load_model(path, custom_objects={name: one for name, one in given.items() if name != missing})
    again = lamina.models.load_model(path, custom_objects=given)
    assert type(again.layers[0].kernel_initializer) is Mine
    again.evaluate(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    assert [metric.name for metric in again.metrics] == ["loss", "halves"]
    del given["halves"]
    assert not lamina.models.load_model(path, custom_objects=given, compile=False).compiled


def mse(y_true, y_pred):
    return 7 + 0 * (y_true - y_pred)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_the_librarys_function_never_stands_for_ones_own_of_the_same_name(suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    model = lamina.Sequential([layers.Dense(2, input_dim=3)])
    model.compile("sgd", loss="mae", metrics=[mse])
    model.save(path)
    with pytest.raises(ValueError, match="'mse' of the module .* must be registered"):
        lamina.models.load_model(path)
    again = lamina.models.load_model(path, custom_objects={"mse": mse})
    assert again.evaluate(np.ones((4, 3)), np.ones((4, 2)), verbose=0)[1] == 7


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_lambda_expressions_are_not_held_which_a_warning_says(suffix, tmp_path):
    path = tmp_path / f"m{suffix}"
    model = lamina.Sequential([layers.Dense(2, input_dim=3)])
    model.compile("sgd", loss="mse", metrics=[lambda y_true, y_pred: y_true])
    with pytest.warns(UserWarning, match="none of the lambda expressions that the model uses"):
        model.save(path)
    with pytest.raises(ValueError, match="is a lambda expression, and a configuration holds no code"):
        lamina.models.load_model(path)
    np.testing.assert_array_equal(
        lamina.models.load_model(path, compile=False).predict(np.ones((1, 3))), model.predict(np.ones((1, 3)))
    )
    lamina.models.load_model(path, custom_objects={"<lambda>": lambda y_true, y_pred: y_pred})


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
    with pytest.raises(ValueError, match="is a lambda expression"):
        lamina.models.model_from_json(
            lamina.Sequential([lamina.layers.Dense(2, bias_constraint=lambda w: w)]).to_json()
        )


class Weightless(lamina.regularizers.Regularizer):
    def get_config(self):
        return {}

    def value_and_gradient(self, w):
        return 0.0, np.zeros_like(w)


@pytest.mark.parametrize("name", ["Weightless", "another name"])
def test_a_model_with_a_class_among_the_custom_objects_is_saved(name, tmp_path):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, kernel_regularizer=Weightless())])
    known = lamina.saving.get_custom_objects()
    known[name] = Weightless
    try:
        assert lamina.saving.get_registered_name(Weightless) == name
        model.save(tmp_path / "m.safetensors")
        again = lamina.models.load_model(tmp_path / "m.safetensors")
    finally:
        del known[name]
    assert type(again.layers[0].kernel_regularizer) is Weightless


def test_what_files_would_not_call_is_refused(tmp_path):
    @lamina.saving.register_keras_serializable("own")
    class Own(layers.Dense):
        def save_own_variables(self, store):
            store["mine"] = 1

    model = lamina.Sequential([lamina.Input((4,)), Own(3)])
    with pytest.raises(ValueError, match="save_own_variables of Own would not be called"):
        model.save(tmp_path / "m.safetensors")


@pytest.mark.parametrize("way", ["save", "backup"])
def test_unseeded_noise_goes_on_where_it_was(way, tmp_path):
    path = tmp_path / "m.safetensors"
    model = new_model(noise=True)
    model.fit(*REGRESSION, epochs=2, verbose=0)
    model.layers[1](np.ones((2, 3)), training=True)
    if way == "save":
        model.save(path)
        again = lamina.models.load_model(path)
    else:
        model.save_backup(path, [])
        again = new_model(seed=99, noise=True)
        assert again.restore_backup(path) == []
    np.testing.assert_array_equal(
        again.layers[1](np.ones((5, 3)), training=True), model.layers[1](np.ones((5, 3)), training=True)
    )
    assert again.fit(*REGRESSION, epochs=2, verbose=0).history == model.fit(*REGRESSION, epochs=2, verbose=0).history
    assert same(again.get_weights(), model.get_weights())
    clone = lamina.models.clone_model(model)
    assert clone.layers[1].own_state()["key"] != model.layers[1].own_state()["key"]


def test_loading_says_what_it_left_out(tmp_path):
    path = tmp_path / "w.safetensors"
    new_model().save_weights(path)
    other = lamina.Sequential([lamina.Input((4,)), layers.Dense(5), layers.Dense(3)])
    with pytest.warns(UserWarning, match="2 of 4 parameters were left as they are"):
        other.load_weights(path, skip_mismatch=True)
    with pytest.raises(ValueError, match="must have shape"):
        other.load_weights(path)


def test_parameters_of_one_name_are_all_in_the_file(tmp_path):
    @lamina.saving.register_keras_serializable("test_files")
    class Scaled(layers.Layer):
        def build(self, input_shape):
            self.mark_built(input_shape)
            self.one, self.other = (self.add_weight((4,), start, name="w") for start in ("ones", "zeros"))

        def forward(self, x, *, training):
            return layers.Pass(x * self.one.value + self.other.value, x)

        def backward(self, dy, forward_pass, *, need_dx):
            return dy * self.one.value, [(dy * forward_pass.saved).sum(0), dy.sum(0)]

    model = lamina.Sequential([lamina.Input((4,)), Scaled(), layers.Dense(2)])
    model.compile(optimizers.Adam(0.1), "mse")
    model.fit(*REGRESSION, epochs=2, verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = lamina.models.load_model(tmp_path / "m.safetensors")
    assert same(loaded.get_weights(), model.get_weights())
    assert len({variable.path for variable in model.weights}) == 4
    for one in (model, loaded):
        one.fit(*REGRESSION, verbose=0)
    assert same(loaded.get_weights(), model.get_weights())


def test_weights_are_read_from_files_of_weights_and_of_models(tmp_path):
    model = trained()
    model.save(tmp_path / "model.safetensors")
    model.save_weights(tmp_path / "weights.safetensors")
    for name in ("model", "weights"):
        other = trained()
        other.set_weights([np.zeros_like(w) for w in other.get_weights()])
        steps = other.optimizer.iterations
        other.load_weights(tmp_path / f"{name}.safetensors")
        assert same(other.get_weights(), model.get_weights())
        assert other.optimizer.iterations == steps  # parameters alone


@pytest.mark.parametrize("optimizer", [lambda: optimizers.SGD(0.05, momentum=0.5), lambda: optimizers.Adam(0.01)])
def test_a_backup_is_everything_on_which_the_next_steps_depend(optimizer, tmp_path):
    path = tmp_path / "backup.safetensors"
    model, other = new_model(1, optimizer(), noise=True), new_model(2, optimizer(), noise=True)
    model.fit(*REGRESSION, batch_size=8, epochs=3, verbose=0)
    model.optimizer.learning_rate = 0.02
    model.save_backup(path, [])
    assert other.restore_backup(path) == []
    assert other.optimizer.learning_rate == 0.02
    assert other.optimizer.iterations == model.optimizer.iterations
    history = [one.fit(*REGRESSION, batch_size=8, epochs=2, verbose=0).history for one in (model, other)]
    assert history[0] == history[1]
    assert same(model.get_weights(), other.get_weights())


def test_a_file_is_loaded_with_the_classes_that_are_given(tmp_path):
    class Given(layers.Dense):
        pass

    with lamina.saving.custom_object_scope({"Given": Given}):
        model = lamina.Sequential([lamina.Input((3,)), Given(2)])
        model.save(tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match="layer 'Given' of the module .* must be registered"):
        lamina.models.load_model(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors", custom_objects={"Given": Given})
    assert type(again.layers[0]) is Given
    assert same(again.get_weights(), model.get_weights())


def test_what_is_saved_in_a_function_is_what_a_method_saves(tmp_path):
    model = trained()
    lamina.models.save_model(model, tmp_path / "a.safetensors")
    model.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    with pytest.raises(TypeError, match="save_model: model must be a model; got Dense"):
        lamina.models.save_model(layers.Dense(1), tmp_path / "c.safetensors")


class SGD(lamina.optimizers.Optimizer):
    """Has the name of one of the library's."""

    def __init__(self, learning_rate=0.1, **arguments):
        super().__init__(learning_rate=learning_rate, **arguments)

    def update(self, variable, gradient):
        variable.assign(variable.value - 0.5 * gradient)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_the_librarys_optimizer_never_stands_for_ones_own_of_the_same_name(suffix, tmp_path):
    model = lamina.Sequential([layers.Dense(2, input_dim=3)])
    model.compile(SGD(0.2), "mse")
    model.save(tmp_path / f"m{suffix}")
    with pytest.raises(ValueError, match="'SGD' of the module .* must be registered"):
        lamina.models.load_model(tmp_path / f"m{suffix}")
    again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"SGD": SGD})
    assert type(again.optimizer) is SGD
