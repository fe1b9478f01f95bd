"""Forms in which Keras code is written: what it hands over, and what it expects back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers import small_model

import lamina
from lamina import layers

# What is handed over.


def test_a_vector_is_the_only_feature(rng):
    x = rng.standard_normal(20)
    model = lamina.Sequential([lamina.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, 2 * x - 1, verbose=0)
    assert model.predict(x).shape == (20, 1)
    np.testing.assert_array_equal(model.predict(x), model.predict(x[:, np.newaxis]))
    wide = small_model()
    np.testing.assert_array_equal(wide.predict(np.ones((2, 3, 1))), wide.predict(np.ones((2, 3))))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 3\)"):
        wide.predict(x)


def test_inputs_say_their_shape_in_several_ways():
    for made in (
        lamina.Input((4,)),
        lamina.Input(shape=(4,), batch_size=7),
        lamina.Input(batch_shape=(None, 4)),
        lamina.Input((4,), dtype="float16"),
    ):
        assert lamina.Sequential([made, layers.Dense(2)]).input_shape == (None, 4)
    assert lamina.Input(batch_shape=(7, 4)).shape == (7, 4)
    for wrong in ({}, {"shape": (4,), "batch_shape": (None, 4)}):
        with pytest.raises(ValueError, match="InputLayer: "):
            lamina.Input(**wrong)
    with pytest.raises(ValueError, match="ragged must be None"):
        lamina.Input((4,), ragged=True)


def test_a_layer_is_an_activation():
    x = np.array([[-1.0, 2.0, 0.5]])
    for activation, expected in ((layers.LeakyReLU(0.1), "leaky"), (layers.ReLU(1.5, 0.2), "relu")):
        layer = layers.Dense(3, activation=activation, kernel_initializer="identity")
        apart = activation(x)
        np.testing.assert_allclose(layer(x), apart, err_msg=expected)
        again = layers.Dense.from_config(json.loads(json.dumps(layer.get_config())))
        np.testing.assert_allclose(again(x), apart)
        model = lamina.Sequential([lamina.Input((3,)), layer])
        model.compile("sgd", "mse")
        assert lamina.utils.check_gradients(model, x + 0.1, np.ones((1, 3))) < 1e-6


def test_class_weights_leave_validation_alone(rng):
    x, y = rng.standard_normal((40, 3)), rng.integers(0, 2, 40)
    model = small_model(activation="sigmoid", loss="binary_crossentropy", weighted_metrics=["accuracy"])
    history = model.fit(x, y, class_weight={0: 0.1, True: 9.0}, validation_split=0.25, verbose=0).history
    assert history["val_loss"] == [model.evaluate(x[30:], y[30:], verbose=0)[0]]
    weights = np.where(y[:30] == 1, 9.0, 0.1)
    twin = small_model(activation="sigmoid", loss="binary_crossentropy", weighted_metrics=["accuracy"])
    twin.seed = model.seed
    twin.fit(x[:30], y[:30], sample_weight=weights, verbose=0)
    np.testing.assert_array_equal(twin.get_weights()[0], model.get_weights()[0])


def test_steps_alone_decide_the_batch_size(rng):
    x, y = rng.standard_normal((70, 3)), rng.standard_normal(70)
    model = small_model()
    assert model.evaluate(x, y, steps=1, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)
    model.fit(x, y, steps_per_epoch=2, verbose=0)
    assert model.optimizer.iterations == 2
    assert len(model.predict(x, steps=1)) == 70
    assert len(model.predict(x, steps=1, batch_size=10)) == 10


def test_the_loss_has_a_weight(rng):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    found = []
    for weight, rate in ((0.5, 0.2), ([1.0], 0.1), (None, 0.1)):
        model = small_model(loss_weights=weight, optimizer=lamina.optimizers.SGD(rate), loss=["mse"], metrics=[["mae"]])
        history = model.fit(x, y, shuffle=False, verbose=0).history
        found.append((history["loss"][0], model.get_weights()[0]))
    assert found[0][0] == pytest.approx(found[2][0] / 2, rel=1e-6)
    assert found[1][0] == found[2][0]
    np.testing.assert_allclose(found[0][1], found[2][1], rtol=1e-5)


def test_constraints_may_be_functions(rng):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, kernel_constraint=lambda w: np.clip(w, 0, 0.1))])
    model.compile("sgd", "mse")
    model.fit(rng.standard_normal((9, 3)), np.ones((9, 2)), verbose=0)
    kernel = model.get_weights()[0]
    assert kernel.min() >= 0
    assert kernel.max() <= np.float32(0.1)


# What comes back.


def test_metrics_of_ones_own_see_targets_as_they_were_given(rng):
    x, y = rng.standard_normal((50, 3)), rng.integers(0, 4, 50)
    seen = []

    def top(y_true, y_pred):
        seen.append((y_true.shape, y_true.dtype))
        return y_true == y_pred.argmax(axis=-1)

    def scalar(y_true, y_pred):
        return np.sqrt(np.mean(np.square(y_pred[:, 0] - y_true)))

    class Right(lamina.metrics.Metric):
        def __init__(self):
            super().__init__(name="right")
            self.hits = self.add_variable((), "zeros", name="hits")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.hits.assign_add(float((y_true == y_pred.argmax(axis=-1)).sum()))

        def result(self):
            return float(self.hits.numpy())

    model = small_model(
        4, "softmax", loss="sparse_categorical_crossentropy", metrics=[top, scalar, Right(), "accuracy"]
    )
    found = model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True)
    assert found["top"] == found["accuracy"]
    assert found["right"] == pytest.approx(50 * found["accuracy"])
    assert set(seen) == {((20,), y.dtype), ((10,), y.dtype)}
    p = model.predict(x)[:, 0]
    parts = [np.sqrt(np.mean((p[a:b] - y[a:b]) ** 2)) for a, b in ((0, 20), (20, 40), (40, 50))]
    assert found["scalar"] == pytest.approx(np.mean(parts), rel=1e-5)  # a batch counts once
    loss = lamina.losses.Huber()
    model = small_model(metrics=[loss])
    found = model.evaluate(x, x[:, 0], verbose=0, batch_size=50, return_dict=True)
    assert found["huber_loss"] == pytest.approx(loss(x[:, :1], model.predict(x)), rel=1e-6)


def test_results_of_metrics_are_numbers_that_stay(rng):
    class Total(lamina.metrics.Metric):
        def __init__(self):
            super().__init__(name="total")
            self.sum = self.add_weight(shape=(), name="sum")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.sum.assign_add(np.abs(y_true - y_pred[:, 0]).sum())

        def result(self):
            return self.sum

    x, y = rng.standard_normal((40, 3)), rng.standard_normal(40)
    model = small_model(metrics=[Total()], optimizer=lamina.optimizers.SGD(0.05))
    history = model.fit(x, y, epochs=3, validation_data=(x[:5], y[:5]), verbose=0).history
    assert all(type(value) is float for value in history["total"])
    assert len(set(history["total"] + history["val_total"])) == 6
    json.dumps(history)

    class Halved(lamina.metrics.MeanSquaredError):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(y_true, np.asarray(y_pred) * 0, sample_weight)

    model = small_model(metrics=[Halved()])
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    assert found["halved"] == pytest.approx((y**2).mean(), rel=1e-5)


def test_metrics_of_ones_own_see_outputs_in_their_shape(rng):
    x, y = rng.standard_normal((10, 2, 3, 4)), rng.standard_normal((10, 2, 3, 2))
    seen = []

    def distance(y_true, y_pred):
        seen.append((y_true.shape, y_pred.shape))
        return np.abs(y_true - y_pred)

    model = lamina.Sequential([lamina.Input((2, 3, 4)), layers.Dense(2)])
    model.compile("sgd", "mae", metrics=[distance])
    found = model.evaluate(x, y, verbose=0, batch_size=10, return_dict=True)
    assert seen == [((10, 2, 3, 2), (10, 2, 3, 2))]
    assert found["distance"] == pytest.approx(found["loss"], rel=1e-5)


def test_a_learning_rate_may_be_a_function_of_the_steps(rng):
    x, y = rng.standard_normal((32, 3)), rng.standard_normal(32)
    seen = []
    model = small_model()

    def rate():
        seen.append(int(model.optimizer.iterations))
        return 0.1 / (1 + model.optimizer.iterations)

    model.compile(lamina.optimizers.SGD(rate), "mse")
    seen.clear()
    model.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert seen == list(range(8))
    assert model.optimizer.iterations == 8


def test_functions_as_metrics_are_saved_and_cloned(tmp_path, rng):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    model = small_model(metrics=[lamina.losses.mean_absolute_error], loss_weights=0.25)
    expected = model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    assert again.evaluate(x, y, verbose=0) == expected
    assert lamina.models.clone_model(model).evaluate(x, y, verbose=0, return_dict=True).keys() == {
        "loss", "mean_absolute_error",
    }  # fmt: skip

    def mine(y_true, y_pred):
        return np.abs(y_true - y_pred[:, 0])

    model = small_model(metrics=[mine])
    model.save(tmp_path / "n.safetensors")
    again = lamina.models.load_model(tmp_path / "n.safetensors", custom_objects={"mine": mine})
    assert again.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)
    clone = lamina.models.clone_model(model)
    assert "mine" in clone.evaluate(x, y, verbose=0, return_dict=True)


def test_older_hooks_run_for_every_batch(rng):
    seen = []

    class Older(lamina.callbacks.Callback):
        def on_batch_begin(self, batch, logs=None):
            seen.append(("begin", batch))

        def on_batch_end(self, batch, logs=None):
            seen.append(("end", batch, sorted(logs)))

        def on_epoch_begin(self, epoch, logs=None):
            assert logs == {}

        def on_predict_batch_end(self, batch, logs=None):
            seen.append(logs["outputs"].shape)

    model = small_model()
    model.fit(rng.standard_normal((20, 3)), np.zeros(20), batch_size=10, verbose=0, callbacks=[Older()])
    assert seen == [("begin", 0), ("end", 0, ["loss"]), ("begin", 1), ("end", 1, ["loss"])]
    seen.clear()
    found = model.predict(np.zeros((40, 3)), callbacks=[Older()])
    assert seen == [(32, 1), (8, 1)]
    assert found.shape == (40, 1)


def test_an_error_in_a_callback_leaves_the_end_of_training_out(rng):
    ended = []

    class Fails(lamina.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("no")

        def on_train_end(self, logs=None):
            ended.append(True)

    model = small_model()
    with pytest.raises(RuntimeError, match="no"):
        model.fit(np.zeros((4, 3)), np.zeros(4), verbose=0, callbacks=[Fails()])
    assert not ended
    with pytest.raises(RuntimeError, match="must be finite"):
        model.fit(
            np.full((4, 3), np.nan),
            np.zeros(4),
            verbose=0,
            callbacks=[lamina.callbacks.TerminateOnNaN(raise_error=True)],
        )


def test_an_activation_may_be_assigned():
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(3, "relu", kernel_initializer="identity")])
    x = np.array([[-1.0, 0, 1]], "f")
    np.testing.assert_array_equal(model.predict_on_batch(x), [[0, 0, 1]])
    model.layers[0].activation = lamina.activations.linear
    np.testing.assert_array_equal(model.predict_on_batch(x), x)


def test_batches_of_a_stream_are_weighted_by_class(rng):
    x, y = rng.standard_normal((30, 3)), rng.integers(0, 2, 30)
    found = []
    for arguments in (
        ([(x[:15], y[:15]), (x[15:], y[15:])].__iter__(), {"class_weight": {0: 0.2, 1: 3.0}}),
        (x, {"y": y, "class_weight": {0: 0.2, 1: 3.0}, "batch_size": 15, "shuffle": False}),
    ):
        model = small_model(activation="sigmoid", loss="binary_crossentropy")
        model.fit(arguments[0], **arguments[1], verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])


# What cannot be honoured raises.


def test_methods_that_would_not_be_called_raise():
    class Doubled(layers.Dense):
        def call(self, x):
            return 2 * x

    class Step(lamina.Sequential):
        def train_step(self, data):
            return {}

    class Zero(lamina.constraints.NonNeg):
        def __call__(self, w):
            return np.zeros_like(w)

    class Own(lamina.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            pass

    with pytest.raises(TypeError, match=r"must return super\(\)\.call"):
        lamina.Sequential([lamina.Input((3,)), Doubled(3)])
    with pytest.raises(TypeError, match=r"must return super\(\)\.call"):
        Doubled(3)(np.zeros((1, 3)))
    with pytest.raises(TypeError, match="train_step would not be called"):
        Step()
    with pytest.raises(TypeError, match="update_step would not be called"):
        small_model(optimizer=Own())
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, kernel_constraint=Zero())])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], 0)
    with pytest.raises(TypeError, match="a layer is called with an array or an Input; got a InputLayer"):
        layers.Dense(3)(layers.InputLayer((3,)))


def test_names_that_are_not_there_say_what_is():
    for module, name in (
        (lamina.layers, "Wrapper"), (lamina.layers, "Permute"), (lamina.optimizers, "Ftrl"), (lamina.losses, "CTC"),
        (lamina.utils, "FeatureSpace"), (lamina.activations, "glu"), (lamina.random, "gamma"),
        (lamina.regularizers, "OrthogonalRegularizer"), (lamina.initializers, "STFT"),
        (lamina.preprocessing, "image"), (lamina.saving, "KerasFileEditor"),
    ):  # fmt: skip
        with pytest.raises(AttributeError, match=f"has no '{name}': "):
            getattr(module, name)


def test_masks_that_change_nothing_are_accepted(rng):
    x, y = rng.integers(0, 5, (20, 4)), rng.standard_normal(20)
    model = lamina.Sequential(
        [lamina.Input((4,)), layers.Embedding(5, 3, mask_zero=True), layers.Flatten(), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    for between in ([], [layers.BatchNormalization()]):
        model = lamina.Sequential(
            [lamina.Input((4,)), layers.Embedding(5, 3, mask_zero=True), *between, layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match="mask_zero of the Embedding must be False"):
            model.fit(x, np.zeros((20, 4, 1)), verbose=0)


# Configurations.


def test_registered_classes_are_found_again(tmp_path, rng):
    @lamina.saving.register_keras_serializable("mine")
    class Twice(layers.Layer):
        def forward(self, x, *, training):
            return layers.Pass(2 * x)

        def backward(self, dy, forward_pass, *, need_dx):
            return 2 * dy, []

    x = rng.standard_normal((4, 3)).astype("f")
    model = lamina.Sequential([lamina.Input((3,)), Twice(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.save(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(lamina.models.load_model(tmp_path / "m.safetensors").predict(x), model.predict(x))
    spelled = lamina.saving.serialize_keras_object(Twice(name="two"))
    assert spelled["registered_name"] == "mine>Twice"
    assert lamina.saving.deserialize_keras_object(json.loads(json.dumps(spelled))).name == "two"

    class Unknown(layers.Layer):
        pass

    with pytest.raises(ValueError, match="layer must be one of"):
        lamina.layers.deserialize({"class_name": "Unknown", "config": {}})
    found = lamina.saving.deserialize_keras_object(
        {"class_name": "Unknown", "config": {"name": "u"}}, custom_objects={"Unknown": Unknown}
    )
    assert isinstance(found, Unknown)


def test_random_numbers_of_keras_random():
    assert lamina.random.normal((3, 2), seed=1).shape == (3, 2)
    np.testing.assert_array_equal(lamina.random.uniform((4,), seed=1), lamina.random.uniform((4,), seed=1))
    seeds = lamina.random.SeedGenerator(1)
    assert (lamina.random.normal((4,), seed=seeds) != lamina.random.normal((4,), seed=seeds)).any()
    numbers = lamina.random.randint((1000,), 2, 5, seed=3)
    assert set(numbers.tolist()) == {2, 3, 4}
    assert sorted(lamina.random.shuffle(np.arange(10), seed=2).tolist()) == list(range(10))
    assert abs(lamina.random.truncated_normal((500,), seed=1)).max() <= 2
    assert lamina.initializers.Constant(np.array([1.0, 2.0]))((2,)).tolist() == [1, 2]


def test_rows_of_an_ignored_class_do_not_count_in_a_weighted_metric():
    """Also when a model updates the metric, in several batches."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(20, 4)).astype(np.float32), np.arange(20) % 3
    weights = rng.uniform(0.5, 2, 20)
    model = lamina.Sequential([lamina.Input((4,)), lamina.layers.Dense(3, activation="softmax")])
    metric = lamina.metrics.SparseCategoricalCrossentropy(name="cross", ignore_class=1)
    model.compile(lamina.optimizers.SGD(0.1), "sparse_categorical_crossentropy", weighted_metrics=[metric])
    result = model.evaluate(x, y, batch_size=8, sample_weight=weights, verbose=0, return_dict=True)
    losses = -np.log(model.predict(x, verbose=0)[np.arange(20), y])
    counted = y != 1
    assert result["cross"] == pytest.approx(np.average(losses[counted], weights=weights[counted]), rel=1e-5)
