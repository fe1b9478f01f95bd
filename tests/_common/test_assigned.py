"""What is assigned after construction acts as the constructor's argument would have, or raises."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import callbacks, initializers, layers, losses, optimizers

RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((12, 4)).astype("f"), RNG.standard_normal((12, 3)).astype("f")

ASSIGNED = [
    (lambda: layers.ReLU(), "max_value", 0.1), (lambda: layers.ReLU(), "negative_slope", 0.5),
    (lambda: layers.ReLU(), "threshold", 0.7), (lambda: layers.LeakyReLU(), "negative_slope", 0.9),
    (lambda: layers.ELU(), "alpha", 3.0), (lambda: layers.Rescaling(2.0), "scale", 5.0),
    (lambda: layers.Rescaling(2.0), "offset", 5.0), (lambda: layers.Activation("relu"), "activation", "tanh"),
    (lambda: layers.Dense(4, "relu", kernel_initializer="ones"), "activation", "tanh"),
    (lambda: layers.BatchNormalization(), "epsilon", 10.0), (lambda: layers.LayerNormalization(), "epsilon", 10.0),
    (lambda: layers.RMSNormalization(), "epsilon", 10.0),
]  # fmt: skip


@pytest.mark.parametrize(("make", "name", "value"), ASSIGNED)
def test_an_attribute_that_is_assigned_later_acts(make, name, value):
    layer = make()
    model = lamina.Sequential([lamina.Input((4,)), layer])
    model.compile("sgd", "mse")
    before, alone = model.predict(X), layer(X)
    setattr(layer, name, value)
    after = model.predict(X)
    assert not np.array_equal(after, before)
    assert not np.array_equal(layer(X), alone)
    np.testing.assert_array_equal(layer(X), after)
    assert not np.array_equal(model.predict_on_batch(X), before)
    twin = type(layer).from_config(layer.get_config())
    twin.build((None, 4))
    twin.set_weights(layer.get_weights())
    np.testing.assert_array_equal(twin(X), after)


def test_momentum_of_a_normalization_that_is_assigned_later_acts():
    layer = layers.BatchNormalization(momentum=0.9)
    layer(X, training=True)
    layer.momentum = 0.0
    layer(X, training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), X.mean(0), rtol=1e-5, atol=1e-7)


def test_rules_of_a_normalization_that_are_assigned_before_it_is_built_act():
    layer = layers.BatchNormalization()
    layer.gamma_initializer, layer.beta_initializer = "zeros", initializers.Constant(2.0)
    layer.moving_mean_initializer = "ones"
    np.testing.assert_allclose(layer(X), 2)
    assert layer.get_config()["gamma_initializer"]["class_name"] == "Zeros"


def test_settings_of_losses_and_optimizers_that_are_assigned_later_act():
    loss = losses.Huber(delta=1.0)
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", loss)
    before = model.evaluate(X, Y + 10, verbose=0)
    loss.delta = 0.1
    assert model.evaluate(X, Y + 10, verbose=0) < before / 5
    optimizer = optimizers.SGD(0.1)
    model.compile(optimizer, "mse")
    optimizer.momentum = 0.9
    optimizer.gradient_accumulation_steps = 2
    model.fit(X, Y, batch_size=4, verbose=0)
    assert optimizer.iterations == 1
    optimizer.iterations.assign(50)
    assert optimizer.iterations == 50


def weights_of(change=lambda model: None, **arguments):
    """Return a model's weights after training, its layer changed once it is built."""
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(4, "tanh", **arguments), layers.Dense(1)])
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    change(model)
    model.fit(X, Y[:, :1], epochs=2, batch_size=4, verbose=0)
    return model.get_weights()


@pytest.mark.parametrize(
    ("name", "rule"),
    [("kernel_regularizer", lamina.regularizers.L2(0.3)), ("bias_regularizer", "l1"), ("kernel_constraint", "non_neg")],
)
def test_rules_that_are_assigned_to_a_built_layer_act(name, rule, tmp_path):
    later = weights_of(lambda model: setattr(model.layers[0], name, rule))
    assert all(map(np.array_equal, later, weights_of(**{name: rule})))
    assert not all(map(np.array_equal, later, weights_of()))


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda: layers.Dense(3), "units", 4), (lambda: layers.Dense(3), "use_bias", False),
        (lambda: layers.BatchNormalization(), "scale", False), (lambda: layers.LayerNormalization(), "center", False),
        (lambda: layers.Reshape((4, 1)), "target_shape", (1, 4)),
        (lambda: layers.Normalization(), "axis", None), (lambda: layers.Softmax(), "axis", 1),
    ],
)  # fmt: skip
def test_what_a_built_layer_was_made_with_stays(make, name, value):
    layer = make()
    setattr(layer, name, value)  # acts
    assert make().get_config()[name] != layer.get_config()[name]
    layer = make()
    before = layer(X)
    with pytest.raises((ValueError, TypeError), match=f"{name} must "):
        setattr(layer, name, value)
    assert np.array_equal(layer(X), before)


def test_noise_that_is_assigned_later_acts():
    layer = layers.Dropout(0.5, seed=1)
    first = layer(np.ones((4, 100)), training=True)
    layer.rate = 0.0
    assert np.array_equal(layer(np.ones((4, 100)), training=True), np.ones((4, 100)))
    other = layers.Dropout(0.5, seed=2)
    other.seed = 1
    assert np.array_equal(other(np.ones((4, 100)), training=True), first)


def test_variables_of_optimizers_and_metrics_that_are_assigned_act():
    optimizer = lamina.optimizers.Adam(0.1, gradient_accumulation_steps=2)
    optimizer.variables[0].assign(6)
    optimizer.variables[1].assign(0.5)
    assert (optimizer.batches, optimizer.iterations, optimizer.learning_rate) == (6, 3, 0.5)
    metric = lamina.metrics.MeanSquaredError()
    metric.update_state([[1.0]], [[3.0]])
    total, count = metric.variables
    total.assign(9.0)
    count.assign(3.0)
    assert metric.result() == 3.0
    with pytest.raises(ValueError, match="must not be assigned"):
        lamina.metrics.Precision().variables[0].assign([2.0])


def test_an_optimizer_steps_only_on_what_it_was_built_for():
    own, foreign = lamina.Variable([1.0]), lamina.Variable([1.0])
    optimizer = lamina.optimizers.SGD(0.1)
    optimizer.build([own])
    with pytest.raises(ValueError, match="must be one of the variables that build was called with"):
        optimizer.apply([[1.0]], [foreign])
    assert foreign.numpy() == 1.0


def test_callback_lists_are_for_loops_of_ones_own_and_for_fit(capsys):
    seen = []

    class Own(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs)))

    several = callbacks.CallbackList([Own()], add_history=True, add_progbar=True, epochs=1, steps=2, verbose=0)
    several.on_train_begin()
    several.on_epoch_begin(0, {})
    several.on_epoch_end(0, {"loss": 1.0})
    several.on_train_end()
    assert seen == [(0, ["loss"])]
    assert several.callbacks[1].history == {"loss": [1.0]}
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(X, Y[:, :1], callbacks=several, verbose=0)
    assert seen[1:] == [(0, ["loss"])]
    assert history is several.callbacks[1]
    assert capsys.readouterr().out == ""
    model.fit(X, Y[:, :1], callbacks=[callbacks.ProgbarLogger()], verbose=2)  # as fit says, and once
    assert capsys.readouterr().out.count("Epoch 1/1") == 1
    model.evaluate(X, Y[:, :1], callbacks=[callbacks.ProgbarLogger()])
    model.predict(X, callbacks=several)


def test_saving_every_so_many_batches_can_be_asked_for_later(tmp_path):
    keeper = callbacks.ModelCheckpoint(tmp_path / "{batch}.safetensors")
    keeper.save_freq = 2
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y[:, :1], batch_size=2, callbacks=[keeper], verbose=0)
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}.safetensors" for n in range(2, len(X) // 2 + 1, 2)}


def test_columns_of_an_area_under_a_curve_are_as_many_as_was_said():
    metric = lamina.metrics.AUC(multi_label=True, num_labels=3)
    with pytest.raises(ValueError, match="y_pred must have num_labels columns, 3; got 2"):
        metric.update_state([[0.0, 1.0]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match="label_weights must be one a column, 2; got 1"):
        lamina.metrics.AUC(multi_label=True, label_weights=[1.0]).update_state([[0.0, 1.0]], [[0.5, 0.5]])


def test_a_subclass_may_set_arguments_before_its_base_does():
    class Own(layers.Dense):
        def __init__(self, units):
            self.units, self.kernel_regularizer = units, "l2"
            super().__init__(units + 1)

    assert Own(2).units == 3
    with pytest.raises(ValueError, match="Own: units must be >= 1"):
        Own(-1)
