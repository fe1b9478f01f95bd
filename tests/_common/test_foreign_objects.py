"""Objects of the wrong kind where names, numbers, stores and files are wanted: refused in lamina's words, at once."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import callbacks, constraints, initializers, layers, losses, metrics, optimizers, regularizers, utils

GETS = [losses.get, metrics.get, optimizers.get, initializers.get, constraints.get, regularizers.get]


class Foreign:
    """Registered, and none of the kinds of objects that models are made of."""

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls()


@pytest.mark.parametrize("get", GETS, ids=lambda get: get.__module__.split(".")[1])
@pytest.mark.parametrize("kind", [Foreign, layers.Flatten])
def test_a_registered_object_of_another_kind_is_refused(get, kind):
    with lamina.saving.custom_object_scope({"Other": kind}):
        for identifier in ("Other", {"class_name": "Other", "config": {}}):
            with pytest.raises(TypeError, match=r"must be a \w+; the name stands for"):
                get(identifier)


def test_a_registered_function_serves_where_functions_do():
    def own(*_, **__):
        return np.ones(3, "f")

    with lamina.saving.custom_object_scope({"own": own}):
        assert isinstance(initializers.get("own"), initializers.Initializer)
        assert isinstance(constraints.get("own"), constraints.Constraint)
        assert isinstance(metrics.get("own"), metrics.Metric)
        assert isinstance(losses.loss_of("own"), losses.Loss)
        assert isinstance(regularizers.get("own"), regularizers.Regularizer)
        with pytest.raises(TypeError, match="the name stands for <function"):
            optimizers.get("own")


def test_optimizers_of_ones_own_are_found_by_name():
    @lamina.saving.register_keras_serializable("p")
    class MySGD(optimizers.SGD):
        pass

    for identifier in ("p>MySGD", {"class_name": "p>MySGD", "config": {}}, "MySGD", {"class_name": "MySGD"}):
        assert type(optimizers.get(identifier)) is MySGD
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.compile("p>MySGD", "mse")
    assert type(model.optimizer) is MySGD
    for name in ("SGD", "sgd", "Sgd"):
        assert type(optimizers.get(name)) is optimizers.SGD


def test_an_overridden_scale_loss_is_refused():
    class Scaled(optimizers.Adam):
        def scale_loss(self, loss):
            return 2 * loss

    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    with pytest.raises(TypeError, match="scale_loss must not be overridden"):
        model.compile(Scaled(), "mse")


SPAN = np.timedelta64(1, "s")


@pytest.mark.parametrize(
    "call",
    [
        lambda: layers.Dropout(SPAN),
        lambda: optimizers.SGD(SPAN),
        lambda: regularizers.L2(SPAN),
        lambda: losses.Huber(SPAN),
        lambda: metrics.Precision(thresholds=SPAN),
        lambda: lamina.config.set_epsilon(SPAN),
    ],
)
def test_a_span_of_time_is_no_number(call):
    with pytest.raises(TypeError, match=r"must be (a|one) number"):
        call()


def built_adam():
    variable = lamina.Variable([1.0, 2.0])
    optimizer = optimizers.Adam(0.1)
    optimizer.build([variable])
    return optimizer, variable


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda o, v: o.apply_gradients(3), "gradients_and_variables must be a list"),
        (lambda o, v: o.apply_gradients([1]), "must be pairs of a gradient and a variable"),
        (lambda o, v: o.build(3), "variables must be a list"),
        (lambda o, v: o.build([3]), "variables must be variables"),
        (lambda o, v: o.load_own_variables(3), "store must be a dict"),
        (lambda o, v: o.load_own_variables({"0": 1}), "store must hold 4 arrays"),
        (lambda o, v: o.save_own_variables(3), "store must be a dict"),
        (lambda o, v: o.update(3, np.ones(2)), "variable must be variables"),
        (lambda o, v: o.update(v, [[1], [1, 2]]), "gradient must be rectangular"),
        (lambda o, v: o.update(v, np.ones(3)), r"gradient must have shape \(2,\)"),
        (lambda o, v: o.scale_loss("a"), "loss must be real numbers"),
        (lambda o, v: utils.register_keras_serializable()(3), "it takes a class or a function"),
        (lambda o, v: utils.get_registered_name([]), "must be a class or a function"),
        (lambda o, v: utils.deserialize_keras_object({"class_name": ["a"], "config": {}}), "must be a str"),
        (lambda o, v: lamina.backend.get_value([[1], [1, 2]]), "must be rectangular"),
        (lambda o, v: lamina.random.stream_key(1, [1]), "purpose must be an int"),
        (lambda o, v: lamina.random.randint((2,), 0, 5, dtype={"a": 1}), "dtype must be"),
        (lambda o, v: lamina.random.randint((2,), 0, 5, dtype="float32"), "dtype must be one of integers"),
        (lambda o, v: utils.pad_sequences([[10**400]]), "must be numbers"),
        (lambda o, v: utils.serialize_keras_object(b"\xff\xfe"), "must be UTF-8"),
        (lambda o, v: lamina.saving.save_weights(3, "q.safetensors"), "model must be a model"),
        (lambda o, v: lamina.saving.load_weights(3, "q.safetensors"), "model must be a model"),
        (lambda o, v: initializers.Constant(np.array([1, np.nan])), "value must be finite"),
        (lambda o, v: optimizers.schedules.PolynomialDecay(0.1, 10, power=-1), "power must be >= 0"),
        (lambda o, v: optimizers.schedules.CosineDecay(0.1, 3, alpha=-1), "alpha must be >= 0"),
    ],
)
def test_refusals(call, message):
    optimizer, variable = built_adam()
    with pytest.raises((TypeError, ValueError), match=message):
        call(optimizer, variable)
    assert optimizer.iterations == 0
    np.testing.assert_array_equal(variable, [1, 2])


def test_a_list_in_itself_is_refused():
    endless = [1.0]
    endless.append(endless)
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    for call in (lambda: model.predict(endless), lambda: losses.MeanSquaredError()(endless, endless)):
        with pytest.raises(ValueError, match="must be rectangular"):
            call()


def test_models_methods_refuse_foreign_objects():
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    with pytest.raises(TypeError, match="name must be a str"):
        model.get_layer(np.ones(3))
    with pytest.raises(TypeError, match="settings must be those of json.dumps"):
        model.to_json(indent=[1])


def test_an_optimizer_shows_itself_without_asking_a_function():
    assert repr(optimizers.SGD(lambda: 0.1)) == "<SGD learning_rate=<lambda>, iterations=0>"
    assert "CosineDecay" in repr(optimizers.SGD(optimizers.schedules.CosineDecay(0.1, 3)))
    assert repr(optimizers.SGD(0.5)) == "<SGD learning_rate=0.5, iterations=0>"


def test_metrics_configurations_hold_plain_thresholds():
    class Own(np.ndarray):
        pass

    assert metrics.Precision(np.array([0.25, 0.5]).view(Own)).get_config()["thresholds"] == [0.25, 0.5]
    assert metrics.Precision(np.float32(0.5)).get_config()["thresholds"] == 0.5
    assert metrics.Precision().get_config()["thresholds"] is None


def test_penalties_of_infinite_weights_are_infinite():
    for regularizer in (regularizers.L1(0.1), regularizers.L2(0.1), regularizers.L1L2(0.1, 0.1)):
        assert regularizer(np.array([np.inf, 1])) == np.inf
    assert regularizers.L2(0.0)(np.array([np.inf])) == 0


def test_paths_are_what_they_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1)])
    model.save("~x.safetensors")
    assert (tmp_path / "~x.safetensors").is_file()
    (tmp_path / "d.safetensors").mkdir()
    with pytest.raises(ValueError, match=r"d\.safetensors must be a file; it is a folder"):
        lamina.models.load_model("d.safetensors")
    with pytest.raises(ValueError, match=r"save_weights: d\.safetensors must be a regular file.*it is a folder"):
        model.save_weights("d.safetensors")


def test_a_table_with_a_column_twice_is_not_added_to(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("epoch,loss,loss\n0,1,1\n")
    with pytest.raises(ValueError, match="must have each column once"):
        callbacks.CSVLogger(path, append=True).check()
