"""Forms in which Keras code is written: what it hands over, and what it expects back."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lamina
from lamina import layers


def small(units=1, activation=None, inputs=3, **compiled):
    lamina.utils.set_random_seed(0)
    model = lamina.Sequential([lamina.Input((inputs,)), layers.Dense(4, "tanh"), layers.Dense(units, activation)])
    model.compile(**({"optimizer": "sgd", "loss": "mse"} | compiled))
    return model


# Models in models.


def test_a_model_in_a_model_shares_its_layers(rng):
    x = rng.standard_normal((20, 6)).astype("f")
    encoder = lamina.Sequential([lamina.Input((6,)), layers.Dense(3, "tanh")], name="encoder")
    decoder = lamina.Sequential([layers.Dense(6)], name="decoder")
    model = lamina.Sequential([encoder, decoder])
    assert decoder.built
    assert model.layers == [encoder, decoder]
    assert model.get_layer("encoder") is encoder
    assert [layer.name for layer in model.flat_layers] == [encoder.layers[0].name, decoder.layers[0].name]
    np.testing.assert_array_equal(model.predict(x), decoder.predict(encoder.predict(x)))
    model.compile("adam", "mse")
    before = encoder.predict(x)
    model.fit(x, x, epochs=2, verbose=0)
    assert (encoder.predict(x) != before).any()
    np.testing.assert_array_equal(model.predict(x), decoder.predict(encoder.predict(x)))
    encoder.trainable = False
    assert len(model.trainable_weights) == 2
    again = lamina.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.predict(x), model.predict(x))


def test_a_model_in_a_model_is_saved_with_it(rng, tmp_path):
    x = rng.standard_normal((8, 5)).astype("f")
    model = lamina.Sequential([lamina.Input((5,)), lamina.Sequential([layers.Dense(4, "relu")]), layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(x, x[:, :2], verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    assert lamina.utils.check_gradients(again, x, x[:, :2]) < 1e-5


def test_names_in_a_model_of_models_are_unique():
    inner = lamina.Sequential([layers.Dense(3, name="a")])
    with pytest.raises(ValueError, match="there is a layer 'a' already"):
        lamina.Sequential([lamina.Input((3,)), inner, layers.Dense(3, name="a")])
    with pytest.raises(ValueError, match="has no layers yet"):
        lamina.Sequential([lamina.Sequential()])


def test_a_model_that_changes_inside_another_one_is_noticed():
    inner = lamina.Sequential([lamina.Input((4,)), layers.Dense(3), layers.Dense(500)])
    outer = lamina.Sequential([inner, layers.Dense(2)])
    outer.compile("sgd", "mse")
    x = np.ones((9, 4), "f")
    outer.predict(x)
    outer.predict_on_batch(x)
    inner.pop()
    for call in (outer.predict, outer.predict_on_batch, lambda x: outer.fit(x, np.zeros((9, 2)), verbose=0)):
        with pytest.raises(ValueError, match=r"built for rows of shape \(500,\)"):
            call(x)
    inner.add(layers.Dense(500))
    assert outer.predict(x).shape == (9, 2)


def test_the_engine_itself_refuses_layers_that_do_not_fit():
    layer = layers.Dense(3)
    layer.build((None, 4))
    spec = ("dense", layer.block(), "linear", None)
    with pytest.raises(ValueError, match="made for 4 columns; the one before gives 5"):
        lamina._core.Network("float32", 5, 1, [spec], [True], "dense")
    with pytest.raises(ValueError, match="made for 2 columns"):
        lamina._core.Network("float32", 5, 1, [("scale", [1.0, 2.0], [0.0, 0.0])], [False], "dense")


def test_a_refused_build_leaves_other_models_alone(rng):
    shared = layers.Dense(3)
    trained = lamina.Sequential([lamina.Input((4,)), shared])
    x = rng.standard_normal((5, 4)).astype("f")
    before = trained.predict(x)
    inner = lamina.Sequential([layers.Dropout(0.1), shared])
    outer = lamina.Sequential([inner])
    with pytest.raises(ValueError, match="must take rows of shape"):
        outer.build((None, 9))
    np.testing.assert_array_equal(trained.predict(x), before)
    assert not outer.built
    assert not inner.built
    outer.build((None, 4))
    np.testing.assert_array_equal(outer.predict(x), before)
    table = layers.Embedding(5, 2, weights=np.ones((5, 2)))
    wrong = lamina.Sequential([table, lamina.layers.Reshape((7,)), layers.Dense(1)])
    with pytest.raises(ValueError, match="cannot become"):
        wrong.build((None, 4))
    np.testing.assert_array_equal(table.get_weights()[0], np.ones((5, 2)))


def test_a_frozen_model_stays_frozen(rng):
    model = lamina.Sequential(trainable=False)
    model.add(lamina.Input((3,)))
    model.add(layers.Dense(1))
    assert model.trainable_weights == []


# Outputs of several lines a row.


@pytest.mark.parametrize(
    ("loss", "activation", "targets"),
    [
        ("sparse_categorical_crossentropy", "softmax", "labels"),
        ("categorical_crossentropy", "softmax", "one-hot"),
        ("mse", None, "one-hot"),
    ],
)
def test_losses_of_outputs_with_steps_are_those_of_their_lines(loss, activation, targets, rng):
    x = rng.standard_normal((30, 5, 4)).astype("f")
    labels = rng.integers(0, 3, (30, 5))
    y = labels if targets == "labels" else np.eye(3, dtype="f")[labels]
    weight = rng.uniform(0, 2, (30, 5)).astype("f")
    found = []
    for shape in ((5, 4), (4,)):
        lamina.utils.set_random_seed(3)
        model = lamina.Sequential([lamina.Input(shape), layers.Dense(6, "tanh"), layers.Dense(3, activation)])
        model.compile(lamina.optimizers.SGD(0.1), loss, metrics=["accuracy"], weighted_metrics=["accuracy"])
        flat = len(shape) == 1
        history = model.fit(
            x.reshape(-1, 4) if flat else x, y.reshape(150, *y.shape[2:]) if flat else y, epochs=2, shuffle=False,
            batch_size=50 if flat else 10, sample_weight=weight.reshape(-1) if flat else weight, verbose=0,
        )  # fmt: skip
        found.append((history.history, model.get_weights()))
    for name, values in found[0][0].items():
        np.testing.assert_allclose(values, found[1][0][name], rtol=1e-5)
    for ours, expected in zip(found[0][1], found[1][1], strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)


def test_outputs_with_steps_have_right_gradients_and_the_same_bits_for_any_threads(rng):
    x, y = rng.standard_normal((40, 3, 4)).astype("f"), rng.standard_normal((40, 3, 2)).astype("f")
    weights = []
    for threads in (1, 2, 3):
        lamina.set_num_threads(threads)
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(300, "relu"), layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(x, y, batch_size=16, epochs=2, verbose=0)
        weights.append(model.get_weights())
    lamina.set_num_threads(2)
    for ours in weights[1:]:
        for a, b in zip(ours, weights[0], strict=True):
            np.testing.assert_array_equal(a, b)
    small_model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(5, "tanh"), layers.Dense(2)])
    small_model.compile("sgd", "mse")
    assert lamina.utils.check_gradients(small_model, x[:4], y[:4], np.ones((4, 3))) < 1e-6


def test_targets_and_weights_with_steps_must_fit():
    model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.zeros((5, 3, 4))
    for wrong in (np.zeros((5, 2)), np.zeros((5, 2, 2)), np.zeros(5), np.zeros((5, 3, 4))):
        with pytest.raises(ValueError, match="y must have shape"):
            model.fit(x, wrong, verbose=0)
    with pytest.raises(ValueError, match=r"sample_weight must have shape \(5,\) or \(5, 3\)"):
        model.fit(x, np.zeros((5, 3, 2)), sample_weight=np.ones((5, 2)), verbose=0)


# What is handed over.


def test_a_vector_is_the_only_feature(rng):
    x = rng.standard_normal(20)
    model = lamina.Sequential([lamina.Input((1,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, 2 * x - 1, verbose=0)
    assert model.predict(x).shape == (20, 1)
    np.testing.assert_array_equal(model.predict(x), model.predict(x[:, np.newaxis]))
    wide = small()
    np.testing.assert_array_equal(wide.predict(np.ones((2, 3, 1))), wide.predict(np.ones((2, 3))))
    with pytest.raises(ValueError, match=r"x must have shape \(n, 3\)"):
        wide.predict(x)


def test_inputs_say_their_shape_in_several_ways():
    for made in (
        lamina.Input((4,)),
        lamina.Input(shape=(4,), batch_size=7),
        lamina.Input(batch_shape=(None, 4)),
        layers.InputLayer(input_shape=(4,)),
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
    with pytest.raises(ValueError, match="activation must be without parameters"):
        layers.Dense(3, activation=layers.PReLU())(x)


def test_class_weights_leave_validation_alone(rng):
    x, y = rng.standard_normal((40, 3)), rng.integers(0, 2, 40)
    model = small(activation="sigmoid", loss="binary_crossentropy", weighted_metrics=["accuracy"])
    history = model.fit(x, y, class_weight={0: 0.1, True: 9.0}, validation_split=0.25, verbose=0).history
    assert history["val_loss"] == [model.evaluate(x[30:], y[30:], verbose=0)[0]]
    weights = np.where(y[:30] == 1, 9.0, 0.1)
    twin = small(activation="sigmoid", loss="binary_crossentropy", weighted_metrics=["accuracy"])
    twin.seed = model.seed
    twin.fit(x[:30], y[:30], sample_weight=weights, verbose=0)
    np.testing.assert_array_equal(twin.get_weights()[0], model.get_weights()[0])


def test_steps_alone_decide_the_batch_size(rng):
    x, y = rng.standard_normal((70, 3)), rng.standard_normal(70)
    model = small()
    assert model.evaluate(x, y, steps=1, verbose=0) == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-6)
    model.fit(x, y, steps_per_epoch=2, verbose=0)
    assert model.optimizer.iterations == 2
    assert len(model.predict(x, steps=1)) == 70
    assert len(model.predict(x, steps=1, batch_size=10)) == 10


def test_the_loss_has_a_weight(rng):
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    found = []
    for weight, rate in ((0.5, 0.2), ([1.0], 0.1), (None, 0.1)):
        model = small(loss_weights=weight, optimizer=lamina.optimizers.SGD(rate), loss=["mse"], metrics=[["mae"]])
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

    model = small(4, "softmax", loss="sparse_categorical_crossentropy", metrics=[top, scalar, Right(), "accuracy"])
    found = model.evaluate(x, y, batch_size=20, verbose=0, return_dict=True)
    assert found["top"] == found["accuracy"]
    assert found["right"] == pytest.approx(50 * found["accuracy"])
    assert set(seen) == {((20,), y.dtype), ((10,), y.dtype)}
    p = model.predict(x)[:, 0]
    parts = [np.sqrt(np.mean((p[a:b] - y[a:b]) ** 2)) for a, b in ((0, 20), (20, 40), (40, 50))]
    assert found["scalar"] == pytest.approx(np.mean(parts), rel=1e-5)  # a batch counts once
    loss = lamina.losses.Huber()
    model = small(metrics=[loss])
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
    model = small(metrics=[Total()], optimizer=lamina.optimizers.SGD(0.05))
    history = model.fit(x, y, epochs=3, validation_data=(x[:5], y[:5]), verbose=0).history
    assert all(type(value) is float for value in history["total"])
    assert len(set(history["total"] + history["val_total"])) == 6
    json.dumps(history)

    class Halved(lamina.metrics.MeanSquaredError):
        def update_state(self, y_true, y_pred, sample_weight=None):
            super().update_state(y_true, np.asarray(y_pred) * 0, sample_weight)

    model = small(metrics=[Halved()])
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
    model = small()

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
    model = small(metrics=[lamina.losses.mean_absolute_error], loss_weights=0.25)
    expected = model.evaluate(x, y, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    assert again.evaluate(x, y, verbose=0) == expected
    assert lamina.models.clone_model(model).evaluate(x, y, verbose=0, return_dict=True).keys() == {
        "loss", "mean_absolute_error",
    }  # fmt: skip

    def mine(y_true, y_pred):
        return np.abs(y_true - y_pred[:, 0])

    model = small(metrics=[mine])
    with pytest.raises(TypeError, match="mine must be registered"):
        model.save(tmp_path / "n.safetensors")
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

    model = small()
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

    model = small()
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


def test_clones_are_compiled_alike_and_may_have_other_layers():
    model = small(metrics=["mae"], loss=lamina.losses.Huber(0.5), loss_weights=0.5)
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


def test_models_of_ones_own_class_are_found_again(tmp_path):
    class Plain(lamina.Sequential):
        pass

    @lamina.saving.register_keras_serializable("mine")
    class Block(lamina.Sequential):
        pass

    class Own(layers.Dense):
        pass

    model = lamina.Sequential([lamina.Input((3,)), Plain([layers.Dense(2)]), Block([Own(2)])])
    clone = lamina.models.clone_model(model)
    assert [type(part) for part in clone.layers] == [Plain, Block]
    with pytest.raises(ValueError, match="Own must be a class of lamina's, or registered"):
        model.save(tmp_path / "m.safetensors")
    block = Block([lamina.Input((3,)), lamina.Sequential([layers.Dense(2)])])
    for again in (lamina.models.model_from_json(block.to_json()), lamina.models.clone_model(block)):
        assert type(again.layers[0]) is lamina.Sequential
    assert type(lamina.models.model_from_json(block.to_json())) is Block
    block.save(tmp_path / "b.safetensors")
    assert type(lamina.models.load_model(tmp_path / "b.safetensors")) is Block
    with pytest.raises(ValueError, match="Plain must be a class of lamina's, or registered"):
        lamina.Sequential([lamina.Input((3,)), Plain([layers.Dense(2)])]).save(tmp_path / "p.safetensors")


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
        model = small(activation="sigmoid", loss="binary_crossentropy")
        model.fit(arguments[0], **arguments[1], verbose=0)
        found.append(model.get_weights()[0])
    np.testing.assert_array_equal(found[0], found[1])


# Variables and optimizers by themselves.


def test_variables_by_themselves():
    variable = lamina.Variable([1.0, 2.0], name="v")
    assert (variable.dtype, variable.shape, variable.path) == ("float32", (2,), "v")
    assert variable.assign_add([1, 1]) is variable
    variable.assign_sub(np.array([0.5, 0.5]))
    np.testing.assert_array_equal(variable, [1.5, 2.5])
    np.testing.assert_array_equal(variable == np.array([1.5, 0]), [True, False])
    assert float(lamina.Variable(3)) == 3
    made = lamina.Variable("ones", shape=(2, 3), dtype="float64", trainable=False)
    np.testing.assert_array_equal(made, np.ones((2, 3)))
    assert not made.trainable
    with pytest.raises(ValueError, match="shape must be given"):
        lamina.Variable("zeros")
    with pytest.raises(ValueError, match="must have shape"):
        lamina.Variable([1.0], shape=(2,))


def test_optimizers_by_themselves():
    first, second = lamina.Variable([1.0, 2.0]), lamina.Variable([[3.0]])
    optimizer = lamina.optimizers.Adam(0.1)
    with pytest.raises(ValueError, match="must be built"):
        optimizer.set_weights([])
    with pytest.warns(UserWarning, match="have no gradient"):
        optimizer.apply([[0.5, 0.5], None], [first, second])
    np.testing.assert_allclose(first, [0.9, 1.9], rtol=1e-6)
    np.testing.assert_array_equal(second, [[3.0]])
    optimizer.apply([np.zeros(2), np.ones((1, 1))])  # of the variables that it was built for
    assert optimizer.iterations == 2
    assert len(optimizer.variables) == 2 + 4
    other = lamina.optimizers.Adam(0.5)
    other.build([first, second])
    other.set_weights(optimizer.variables)
    for ours, expected in zip(other.variables, optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())
    for wrong in ([[0.5]], [None, None], [np.zeros(3), np.zeros((1, 1))]):
        with pytest.raises(ValueError, match="Adam: "):
            optimizer.apply(wrong)
    scaled = lamina.optimizers.SGD(1.0, loss_scale_factor=4.0)
    scaled.apply([np.array([4.0, 8.0])], [first])
    assert scaled.scale_loss(2.0) == 8.0
    np.testing.assert_allclose(first, np.array([0.9, 1.9]) - [1, 2], atol=0.2)
    with pytest.warns(UserWarning, match="decay is no longer"):
        lamina.optimizers.SGD(decay=1e-6)


def test_frozen_models_count_no_steps():
    model = small()
    model.trainable = False
    model.fit(np.zeros((8, 3)), np.zeros(8), verbose=0)
    assert model.optimizer.iterations == 0


# What cannot be honoured raises.


def test_methods_that_would_not_be_called_raise():
    class Call(layers.Layer):
        def call(self, x):
            return x

    class Doubled(layers.Dense):
        def call(self, x):
            return 2 * x

    class Step(lamina.Sequential):
        def train_step(self, data):
            return {}

    class CallLoss(lamina.losses.Loss):
        def call(self, y_true, y_pred):
            return np.abs(y_true - y_pred).mean(axis=-1)

    class Penalty(lamina.regularizers.L2):
        def __call__(self, w):
            return 3.0

    class Zero(lamina.constraints.NonNeg):
        def __call__(self, w):
            return np.zeros_like(w)

    class Own(lamina.optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            pass

    for layer in (Call(), Doubled(3)):
        with pytest.raises(TypeError, match="defines forward and backward"):
            lamina.Sequential([lamina.Input((3,)), layer])
        with pytest.raises(TypeError, match="defines forward and backward"):
            layer(np.zeros((1, 3)))
    with pytest.raises(TypeError, match="train_step would not be called"):
        Step()
    with pytest.raises(TypeError, match="defines value_and_gradient"):
        small(loss=CallLoss())
    assert CallLoss()([[1.0], [2.0]], [[2.0], [4.0]]) == 1.5
    assert CallLoss(reduction="sum")([[1.0], [2.0]], [[2.0], [4.0]], [1, 0.5]) == 2.0
    with pytest.raises(TypeError, match="must define value_and_gradient"):
        layers.Dense(3, kernel_regularizer=Penalty())
    with pytest.raises(TypeError, match="update_step would not be called"):
        small(optimizer=Own())
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2, kernel_constraint=Zero())])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 3)), np.ones((4, 2)), verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], 0)
    with pytest.raises(TypeError, match="a layer is called with an array; got a InputLayer"):
        layers.Dense(3)(lamina.Input((3,)))


def test_names_that_are_not_there_say_what_is():
    for module, name in (
        (lamina.layers, "Lambda"), (lamina.layers, "Permute"), (lamina.optimizers, "Ftrl"), (lamina.losses, "CTC"),
        (lamina.utils, "get_file"), (lamina.datasets, "mnist"), (lamina.activations, "glu"), (lamina.random, "gamma"),
        (lamina.regularizers, "OrthogonalRegularizer"), (lamina.models, "Model"), (lamina.initializers, "STFT"),
        (lamina.preprocessing, "text"), (lamina.saving, "KerasFileEditor"),
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
            return layers.base.Pass(2 * x)

        def backward(self, dy, step, *, need_dx):
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
