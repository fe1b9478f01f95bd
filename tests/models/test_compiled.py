"""Arguments of compile: loss, metrics, and their names in the logs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from conftest import classification_model
from helpers import blobs

import lamina
from lamina import layers, losses, metrics, optimizers, utils
from lamina.models.compiled import Compiled


def test_metrics_are_chosen_by_output_and_targets(rng):
    x, y = blobs(rng)
    for model, targets in (
        (classification_model(metrics=["accuracy"]), y),
        (classification_model(metrics=["acc"]), y[:, np.newaxis]),
        (classification_model(loss="categorical_crossentropy", metrics=["accuracy"]), utils.to_categorical(y)),
    ):
        history = model.fit(x, targets, epochs=8, verbose=0)
        name = "acc" if "acc" in history.history else "accuracy"
        assert history.history[name][-1] > 0.8
        loss, accuracy = model.evaluate(x, targets, verbose=0)
        assert accuracy == pytest.approx((model.predict(x).argmax(axis=1) == y).mean(), abs=1e-12)
        assert model.evaluate(x, targets, verbose=0, return_dict=True) == {"loss": loss, name: accuracy}
    model = lamina.Sequential([layers.Dense(1, activation="sigmoid", input_dim=8)])
    model.compile("sgd", "bce", metrics=["accuracy", "mae", "mse"])
    target = (y == 0).astype(int)
    history = model.fit(x, target, epochs=2, verbose=0)
    assert list(history.history) == ["accuracy", "loss", "mae", "mse"]  # in alphabetical order, as in Keras
    p = model.predict(x)[:, 0]
    values = model.evaluate(x, target, verbose=0)
    np.testing.assert_allclose(
        values[1:], [((p > 0.5) == target).mean(), np.abs(p - target).mean(), ((p - target) ** 2).mean()], rtol=1e-5
    )
    assert model.metrics_names == ["loss", "accuracy", "mae", "mse"]


def test_metrics_must_compare():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    for wrong in ("mean", "sum", metrics.Mean()):
        with pytest.raises(ValueError, match="a metric must compare targets and predictions"):
            model.compile("sgd", "mse", metrics=[wrong])
    with pytest.raises(TypeError, match="a metric must be given; got None"):
        model.compile("sgd", "mse", metrics=[None])


def compiled(loss="mse", loss_weights=None, metrics=None, weighted=None, optimizer="sgd"):
    return Compiled("Own", optimizer, loss, loss_weights, metrics, weighted)


def test_arguments_for_the_only_output_may_be_in_a_list_or_a_dict():
    for loss, weight in (("mae", 0.5), (["mae"], [0.5]), ({"out": "mae"}, {"out": 0.5})):
        found = compiled(loss, weight)
        assert type(found.loss) is losses.MeanAbsoluteError
        assert found.loss_weight == 0.5
    assert compiled().loss_weight == 1
    for given in ("mae", ["mae"], [["mae"]], {"out": "mae"}, {"out": ["mae"]}, metrics.MeanAbsoluteError("mae")):
        assert [one.name for one in compiled(metrics=given).metrics] == ["mae"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"loss": ["mse", "mae"]}, "Own: loss must be one: a model has one output; got 2"),
        ({"loss_weights": [1.0, 2.0]}, "Own: loss_weights must be one"),
        ({"loss_weights": -1.0}, "Own: loss_weights must be >= 0"),
        ({"metrics": {"a": "mae", "b": "mse"}}, "Own: metrics must be those of one output"),
        ({"weighted": {"a": "mae", "b": "mse"}}, "Own: weighted_metrics must be those of one output"),
    ],
)
def test_arguments_of_several_outputs_and_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        compiled(**arguments)


def test_a_name_that_is_taken_becomes_another(rng):
    x, y = rng.standard_normal((12, 4)), rng.standard_normal((12, 3))
    model = lamina.Sequential([lamina.Input((4,), dtype="float64"), layers.Dense(3, dtype="float64")])
    model.compile("sgd", "mse", metrics=["mse", "mae", "mae"], weighted_metrics=["mae", metrics.RootMeanSquaredError()])
    weight = rng.uniform(0, 2, 12)
    found = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    error = np.abs(model.predict(x) - y)
    plain, weighted = error.mean(), np.average(error.mean(axis=1), weights=weight)
    root = np.sqrt(np.average((error**2).mean(axis=1), weights=weight))
    expected = {
        "loss": (weight * (error**2).mean(axis=1)).mean(), "mae": plain, "mae_1": plain, "mse": (error**2).mean(),
        "weighted_mae": weighted, "root_mean_squared_error": root,
    }  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-10)
    assert list(found) == sorted(found)  # in logs in alphabetical order, as in Keras
    names = ["loss", "mse", "mae", "mae_1", "weighted_mae", "root_mean_squared_error"]
    assert list(model.executor.require_compiled("evaluate").results()) == names


def test_which_metric_a_name_stands_for_is_known_with_the_targets():
    found = compiled("sparse_categorical_crossentropy", metrics=["accuracy", "mae"])
    assert not found.knows_metrics
    assert found.uses is None
    assert found.direction_of("mae") is None
    assert compiled(metrics=["mae"]).knows_metrics
    assert compiled().knows_metrics
    found.uses = found.resolved(np.array([0, 2]), 3)
    assert [type(use.metric) for use in found.uses] == [metrics.SparseCategoricalAccuracy, metrics.MeanAbsoluteError]
    assert found.knows_metrics
    assert (found.direction_of("accuracy"), found.direction_of("mae"), found.direction_of("no")) == ("up", "down", None)
    assert found.trackers == [found.loss_tracker, *(use.metric for use in found.uses)]
    one_hot = found.resolved(np.eye(3)[[0, 2]], 3)
    assert type(one_hot[0].metric) is metrics.CategoricalAccuracy
    assert type(found.resolved(np.array([[0.0], [1.0]]), 1)[0].metric) is metrics.BinaryAccuracy


def test_running_means_begin_anew():
    found = compiled(metrics=[metrics.MeanAbsoluteError("mae")])
    found.uses = found.resolved(np.zeros((2, 1)), 1)
    found.loss_tracker.update_state(3.0)
    found.uses[0].metric.update_state([[1.0]], [[5.0]])
    assert found.logs() == {"loss": 3.0, "mae": 4.0}
    found.reset_metrics()
    assert found.logs() == {"loss": 0.0, "mae": 0.0}


def test_arguments_of_compile_are_plain_values_and_copies():
    optimizer = optimizers.Adam(0.25, weight_decay=0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    found = compiled(losses.Huber(0.5), 2.0, ["accuracy", "mae"], [metrics.AUC()], optimizer)
    spelled = json.loads(json.dumps(found.config()))
    again = compiled(
        losses.loss_of(spelled["loss"]), spelled["loss_weights"], [metrics.get(m) if isinstance(m, dict) else m
        for m in spelled["metrics"]], [metrics.get(m) for m in spelled["weighted_metrics"]],
        optimizers.get(spelled["optimizer"]),
    )  # fmt: skip
    assert again.config() == found.config()
    copied = found.copied_arguments()
    assert copied["optimizer"] is not optimizer
    assert copied["optimizer"].get_config() == optimizer.get_config()
    assert copied["optimizer"].without_decay == optimizer.without_decay
    assert copied["loss"] is not found.loss
    assert copied["loss"].delta == 0.5
    assert copied["loss_weights"] == 2.0
    assert copied["metrics"][1] is not found.metrics[1]


def test_a_configuration_without_module_is_one_of_its_argument():
    spelled = {"class_name": "MeanSquaredError", "config": {"name": "mine"}}  # a loss and a metric
    model = lamina.Sequential([lamina.Input((3,)), lamina.layers.Dense(1)])
    model.compile_from_config(
        {"optimizer": {"class_name": "SGD", "config": {}}, "loss": spelled, "metrics": [spelled, "mae"]}
    )
    assert type(model.loss) is lamina.losses.MeanSquaredError
    model.train_on_batch(np.ones((2, 3)), np.ones((2, 1)))
    assert [type(metric).__name__ for metric in model.metrics[1:]] == ["MeanSquaredError", "MeanAbsoluteError"]
    both = {"class_name": "__tuple__", "config": {"value": [spelled]}}
    model.compile_from_config({"optimizer": {"class_name": "sgd", "config": {}}, "loss": "mse", "metrics": both})
    model.compile_from_config({"optimizer": "sgd", "loss": {"class_name": "mse", "config": {}}})
    assert type(model.loss) is lamina.losses.MeanSquaredError
    with pytest.raises(ValueError, match="'module' must say which MeanSquaredError"):
        lamina.saving.deserialize_keras_object(spelled)
    with pytest.raises(ValueError, match="config must hold arguments of compile; 'los' is none"):
        model.compile_from_config({"los": "mse"})
