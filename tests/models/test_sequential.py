from __future__ import annotations

import copy
import pickle
import tracemalloc

import numpy as np
import oracles
import pytest
import tolerances
from conftest import classification_model
from helpers import blobs

import lamina
from lamina import _core, layers, losses, optimizers, utils


def test_model_builds_late_and_early():
    late = lamina.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2)])
    assert not late.built
    assert late.weights == []
    assert late.predict(np.ones((4, 5))).shape == (4, 2)
    assert late.built
    assert late.input_shape == (None, 5)
    assert late.output_shape == (None, 2)
    assert late.count_params() == 5 * 3 + 3 + 3 * 2 + 2
    by_build = lamina.Sequential([layers.Dense(3)])
    by_build.build((None, 5))
    for early in (
        lamina.Sequential([lamina.Input((5,)), layers.Dense(3)]),
        lamina.Sequential([lamina.Input(shape=5), layers.Dense(3)]),
        lamina.Sequential([layers.Dense(3, input_shape=(5,))]),
        lamina.Sequential([layers.Flatten(input_shape=(5,)), layers.Dense(3)]),
        by_build,
    ):
        assert early.built
        assert early.input_shape == (None, 5)
        assert not any(isinstance(layer, layers.InputLayer) for layer in early.layers)


def test_add_refuses_and_changes_nothing():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, name="a")])
    with pytest.raises(ValueError, match="names must be unique"):
        model.add(layers.Dense(3, name="a"))
    with pytest.raises(ValueError, match="an Input must come first"):
        model.add(lamina.Input((4,)))
    with pytest.raises(TypeError, match=r"must be a lamina.layers.Layer; got str"):
        model.add("dense")
    with pytest.raises(ValueError, match="a model has one dtype"):
        model.add(layers.Dense(3, dtype="float64"))
    built = layers.Dense(2)
    built.build((None, 7))
    with pytest.raises(
        ValueError, match=r"must take rows of shape \(7,\), for which it was built; those before it are \(3,\)"
    ):
        model.add(built)
    assert [layer.name for layer in model.layers] == ["a"]
    assert model.output_shape == (None, 3)
    assert model.pop().name == "a"
    with pytest.raises(ValueError, match="the model must have a layer; it has none"):
        model.pop()


def test_get_layer():
    model = lamina.Sequential([layers.Dense(3, name="a"), layers.Dense(3, name="b")])
    assert model.get_layer("b") is model.layers[1]
    assert model.get_layer(index=0) is model.layers[0]
    for wrong in ({}, {"name": "a", "index": 0}, {"name": "c"}, {"index": 2}):
        with pytest.raises(ValueError, match="get_layer"):
            model.get_layer(**wrong)


def test_default_names_count_as_in_keras():
    model = lamina.Sequential([layers.Dense(3), layers.Dense(3), layers.LeakyReLU(), layers.ReLU()])
    assert [layer.name for layer in model.layers] == ["dense", "dense_1", "leaky_re_lu", "re_lu"]
    assert model.name == "sequential"
    assert lamina.Sequential().name == "sequential_1"


def test_training_matches_oracle(rng):
    """Whole epochs of a ReLU network with momentum against plain loops in float64."""
    x, y = blobs(rng, n=70)
    model = lamina.Sequential(
        [
            lamina.Input((8,)),
            layers.Dense(12, activation="relu"),
            layers.Dense(7, activation="relu"),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(optimizers.SGD(0.05, momentum=0.9), "sparse_categorical_crossentropy")
    start = model.get_weights()
    model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0)
    order = np.concatenate([np.arange(70)] * 3)
    weights = start
    # Velocity lives through epochs, and each epoch's last batch has 6 rows.
    expected = oracles_by_epoch(weights, x, y, order, 70, 16, 0.05, 0.9)
    for ours, theirs in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerances.TRAINING_RTOL, atol=1e-5)


def oracles_by_epoch(weights, x, y, order, rows, batch, rate, momentum):
    weights = [np.array(w, np.float64) for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    for epoch in range(len(order) // rows):
        part = order[epoch * rows : (epoch + 1) * rows]
        for begin in range(0, rows, batch):
            chosen = part[begin : begin + batch]
            stepped = oracles.train_mlp(weights, x, y, chosen, batch, rate)
            for j, (new, old) in enumerate(zip(stepped, weights, strict=True)):
                velocities[j] = momentum * velocities[j] + (new - old)
            weights = [w + v for w, v in zip(weights, velocities, strict=True)]
    return weights


@pytest.mark.parametrize(
    "loss",
    ["mse", "mae", "l2_norm", "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"],
)
@pytest.mark.parametrize("output", ["linear", "sigmoid", "softmax", "tanh"])
def test_gradients_of_every_loss_and_output(loss, output, rng):
    if output in ("linear", "tanh") and "crossentropy" in loss:
        output_layer = [layers.Dense(4, activation="exponential")]  # positive, not normalised
        if loss == "binary_crossentropy":
            output_layer = [layers.Dense(4, activation="hard_sigmoid")]
    else:
        output_layer = [layers.Dense(4, activation=output)]
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(6, activation="gelu"), *output_layer])
    model.compile("sgd", loss)
    x = rng.standard_normal((7, 5))
    y = rng.integers(0, 4, 7) if loss.startswith("sparse") else rng.dirichlet(np.ones(4), 7)
    assert utils.check_gradients(model, x, y, sample_weight=rng.uniform(0.5, 2, 7)) < 1e-5


@pytest.mark.parametrize("activation", [n for n in oracles.ACTIVATIONS if n != "gelu_tanh"])
def test_gradients_of_every_activation(activation, rng):
    model = lamina.Sequential(
        [
            lamina.Input((5,)),
            layers.Dense(6, activation=activation),
            layers.Dense(5),
            layers.Activation(activation),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    # At a kink differences give no gradient: one of three draws meets none.
    draws = [(rng.standard_normal((4, 5)), rng.standard_normal(4)) for _ in range(3)]
    assert min(utils.check_gradients(model, x, y) for x, y in draws) < 1e-5


def test_loss_after_softmax_or_sigmoid_is_stable():
    """A wrong prediction of a saturated output keeps its gradient and its loss, as with logits."""
    model = lamina.Sequential([layers.Dense(2, activation="softmax", input_dim=1, use_bias=False)])
    model.set_weights([np.array([[500.0, -500.0]])])
    model.compile(optimizers.SGD(1.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    loss, accuracy = model.train_on_batch([[1.0]], [1])
    assert loss == pytest.approx(1000)
    assert accuracy == 0
    np.testing.assert_allclose(model.get_weights()[0], [[499, -499]])
    model = lamina.Sequential([layers.Dense(1, input_dim=1, use_bias=False), layers.Activation("sigmoid")])
    model.set_weights([np.array([[800.0]])])
    model.compile(optimizers.SGD(1.0), "binary_crossentropy")
    assert model.train_on_batch([[1.0]], [0]) == pytest.approx(800)
    np.testing.assert_allclose(model.get_weights()[0], [[799]])


def test_from_logits_on_a_softmax_output_warns():
    for arguments in ({"input_dim": 1}, {}):
        model = lamina.Sequential([layers.Dense(2, activation="softmax", **arguments)])
        with pytest.warns(UserWarning, match="from_logits=True, but the model ends in softmax"):
            model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))


@pytest.mark.parametrize(
    "first",
    [layers.Flatten, layers.GlobalMaxPooling1D, layers.PReLU, layers.Normalization, lambda: layers.Reshape((4,))],
)
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_a_loss_of_logits_can_be_compiled_before_the_model_is_built(first, activation):
    model = lamina.Sequential([first(), layers.Dense(3)] if activation is None else [first()])
    model.compile("adam", lamina.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert model.compiled


def test_from_logits_with_linear_output_equals_softmax(rng):
    x, y = blobs(rng)
    results = []
    for activation, from_logits in (("softmax", False), (None, True)):
        utils.set_random_seed(1)
        model = lamina.Sequential([layers.Dense(3, activation=activation, input_dim=8)])
        model.compile(
            optimizers.SGD(0.1), losses.SparseCategoricalCrossentropy(from_logits=from_logits), metrics=["accuracy"]
        )
        history = model.fit(x, y, epochs=3, verbose=0)
        results.append((history.history, model.get_weights()))
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1][0], results[1][1][0])


def test_sample_weights_weigh_loss_and_gradient(rng):
    x, y = blobs(rng, 30)
    weight = rng.integers(0, 3, 30)
    weighted, repeated = classification_model(), classification_model()
    repeated.set_weights(weighted.get_weights())
    weighted.compile(
        optimizers.SGD(0.1),
        losses.SparseCategoricalCrossentropy(reduction="sum"),
        metrics=["accuracy"],
        weighted_metrics=["accuracy"],
    )
    repeated.compile(optimizers.SGD(0.1), losses.SparseCategoricalCrossentropy(reduction="sum"))
    rows = np.repeat(np.arange(30), weight)
    weighted.train_on_batch(x, y, sample_weight=weight)
    repeated.train_on_batch(x[rows], y[rows])
    for ours, expected in zip(weighted.get_weights(), repeated.get_weights(), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-6)
    right = weighted.predict(x).argmax(axis=1) == y
    values = weighted.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert values["accuracy"] == pytest.approx(right.mean())
    assert values["weighted_accuracy"] == pytest.approx((weight * right).sum() / weight.sum())


def test_validation(rng):
    x, y = blobs(rng)
    model = classification_model(metrics=["accuracy"])
    history = model.fit(x, y, epochs=2, validation_split=0.2, verbose=0)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.history["val_loss"][-1] == model.evaluate(x[72:], y[72:], verbose=0)[0]
    assert history.epoch == [0, 1]
    history = model.fit(x, y, validation_data=(x[:10], y[:10]), verbose=0)
    assert history.history["val_accuracy"] == [model.evaluate(x[:10], y[:10], verbose=0)[1]]
    weight = np.arange(10)
    history = model.fit(x, y, validation_data=(x[:10], y[:10], weight), verbose=0)
    assert history.history["val_loss"] == [model.evaluate(x[:10], y[:10], sample_weight=weight, verbose=0)[0]]


def test_train_on_batch_returns_the_batchs_values(rng):
    x, y = blobs(rng)
    model = classification_model(metrics=["accuracy"])
    first = model.test_on_batch(x, y)
    assert first == model.evaluate(x, y, batch_size=len(x), verbose=0)
    assert model.train_on_batch(x, y) == first
    second = model.test_on_batch(x, y, return_dict=True)
    assert list(second) == ["accuracy", "loss"]
    assert second["loss"] < first[0]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float16", "float32", "float64", "bool"])
def test_inputs_of_any_real_dtype(dtype, rng):
    x = rng.integers(0, 2, (20, 8)).astype(dtype)
    y = rng.integers(0, 3, 20)
    utils.set_random_seed(1)
    model = classification_model()
    model.fit(x, y, verbose=0)
    utils.set_random_seed(1)
    expected = classification_model()
    expected.fit(x.astype("f"), y, verbose=0)
    np.testing.assert_array_equal(model.predict(x), expected.predict(x.astype("f")))
    model.fit(x.tolist(), y.tolist(), verbose=0)
    model.fit(np.asfortranarray(x), y, verbose=0)


def test_a_c_ordered_float32_array_is_never_copied(rng):
    x = rng.standard_normal((100_000, 16)).astype("f")
    y = rng.standard_normal((100_000, 1)).astype("f")
    model = lamina.Sequential([layers.Dense(1, input_dim=16)])
    model.compile("sgd", "mse")
    calls = (
        lambda: model.predict(x),
        lambda: model.predict(x, batch_size=16),
        lambda: model.evaluate(x, y, verbose=0),
        lambda: model.fit(x, y, shuffle=False, verbose=0),
    )
    for call in calls:
        call()
        tracemalloc.start()
        before = _core.engine_bytes()
        call()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak + _core.engine_bytes() - before < x.nbytes / 4


def test_float64_models(rng):
    x, y = blobs(rng)
    model = lamina.Sequential(
        [layers.Dense(4, activation="tanh", dtype="float64"), layers.Dense(3, activation="softmax", dtype="float64")]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, verbose=0)
    assert model.predict(x).dtype == np.float64
    assert {w.dtype for w in model.weights} == {"float64"}
    lamina.config.set_floatx("float64")
    try:
        assert layers.Dense(3).dtype == "float64"
    finally:
        lamina.config.set_floatx("float32")


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_frozen_layers_stay(rng):
    x, y = blobs(rng)
    model = classification_model((8, 5, 4, 3))
    model.layers[1].trainable = False
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    changed = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert changed == [True, True, False, False, True, True]
    assert len(model.trainable_weights) == 4
    assert len(model.non_trainable_weights) == 2
    model.layers[0].trainable = False
    model.layers[2].trainable = False
    model.fit(x, y, verbose=0)


def test_momentum_belongs_to_variables(rng):
    """A layer that comes after another of its name begins with its own velocity."""
    x, y = blobs(rng)
    first, fresh = (
        lamina.Sequential([layers.Dense(5, name="a", input_dim=8), layers.Dense(3, activation="softmax", name="o")])
        for _ in range(2)
    )
    loss = "sparse_categorical_crossentropy"
    first.compile(optimizers.SGD(0.1, momentum=0.9), loss)
    first.layers[0].trainable = False  # but for the head nothing has a velocity
    first.fit(x, y, verbose=0)
    first.layers[0].trainable = True
    first.pop()
    first.add(layers.Dense(3, activation="softmax", name="o"))
    first.layers[0].trainable = True
    fresh.set_weights(first.get_weights())
    fresh.compile(optimizers.SGD(0.1, momentum=0.9), loss)
    with pytest.warns(UserWarning, match="steps on the variables of another model"):  # it has trained none of these
        first.train_on_batch(x, y)
    first.set_weights(fresh.get_weights())
    first.compile(optimizers.SGD(0.1, momentum=0.9), loss)
    for _ in range(2):
        first.train_on_batch(x, y)
        fresh.train_on_batch(x, y)
    first.pop()
    first.add(layers.Dense(3, activation="softmax", name="o"))
    plain = lamina.models.clone_model(first)
    plain.set_weights(first.get_weights())
    plain.compile(optimizers.SGD(0.1), loss)
    for model in (first, plain):
        model.train_on_batch(x, y)
    np.testing.assert_allclose(first.layers[1].kernel, plain.layers[1].kernel, rtol=1e-6)  # no velocity yet
    assert not np.allclose(first.layers[0].kernel, plain.layers[0].kernel, rtol=1e-6)  # which had one


def test_models_unpickle_from_read_only_buffers(rng):
    x, y = blobs(rng)
    model = classification_model()
    buffers = []
    data = pickle.dumps(model, protocol=5, buffer_callback=buffers.append)
    twin = pickle.loads(data, buffers=[bytes(b) for b in buffers])
    twin.fit(x, y, verbose=0)


def test_models_pickle_copy_and_print(rng):
    x, y = blobs(rng)
    model = classification_model(metrics=["accuracy"])
    model.compile(optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin.predict(x), model.predict(x))
        assert twin.get_config() == model.get_config()
        before = model.get_weights()
        twin.fit(x, y, verbose=0)
        for ours, kept in zip(model.get_weights(), before, strict=True):
            np.testing.assert_array_equal(ours, kept)
    expected = copy.deepcopy(model)
    model.fit(x, y, verbose=0)
    expected.fit(x, y, verbose=0)
    np.testing.assert_array_equal(model.get_weights()[0], expected.get_weights()[0])
    assert repr(model) == "<Sequential name=sequential, built=True>"
    assert "Dense name=dense" in repr(model.layers[0])
    assert "SGD" in repr(model.optimizer)
    assert model.loss == "sparse_categorical_crossentropy"
    assert "name=" in repr(lamina.losses.loss_of(model.loss))
    assert "name=" in repr(model.metrics[0])


def test_from_config_makes_the_same_architecture():
    model = classification_model()
    again = lamina.Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    assert again.built
    unbuilt = lamina.Sequential([layers.Dense(3)])
    assert not lamina.Sequential.from_config(unbuilt.get_config()).built


def test_flatten_model_trains_on_images(rng):
    x, y = rng.integers(0, 255, (40, 4, 4)).astype("uint8"), rng.integers(0, 3, 40)
    model = lamina.Sequential([layers.Flatten(input_shape=(4, 4)), layers.Dense(3, activation="softmax")])
    model.compile(optimizers.SGD(1e-4), "sparse_categorical_crossentropy")
    losses_seen = model.fit(x, y, epochs=5, verbose=0).history["loss"]
    assert losses_seen[-1] < losses_seen[0]


def test_interruption_leaves_a_usable_model(rng):
    x, y = blobs(rng)

    class Interrupt(lamina.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    model = classification_model(metrics=["accuracy"])
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, epochs=3, verbose=0, callbacks=[Interrupt()])
    assert model.history.epoch == []
    assert np.isfinite(model.predict(x)).all()
    model.fit(x, y, verbose=0)
