"""Layers, losses, activations and regularizers that users write in functions of `lamina.ops`."""

from __future__ import annotations

import json
import pickle
import threading

import numpy as np
import pytest

import lamina
from lamina import activations, layers, losses, ops, regularizers
from lamina.models import clone_model, load_model
from lamina.utils import check_gradients

pytest.importorskip("autograd")

X = np.random.default_rng(0).standard_normal((20, 4))
Y = X[:, :2] * 2


class Linear(layers.Layer):
    """A dense layer with tanh, as its users write it."""

    def __init__(self, units, **named):
        super().__init__(**named)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="glorot_uniform", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, inputs):
        return ops.tanh(ops.matmul(inputs, self.w) + self.b)

    def get_config(self):
        return super().get_config() | {"units": self.units}


class WithOperators(Linear):
    def call(self, x):
        return ops.tanh(x @ self.w + self.b)


class InAList(Linear):
    def build(self, input_shape):
        super().build(input_shape)
        self.parts = [self.w, {"b": self.b}]

    def call(self, x):
        return ops.tanh(x @ self.parts[0] + self.parts[1]["b"])


class ByWeights(Linear):
    def call(self, x):
        w, b = self.weights
        return ops.tanh(ops.add(ops.matmul(x, w), b))


class OnlyInTraining(Linear):
    def call(self, x, training=None):
        return super().call(x) * (2.0 if training else 1.0)


def network(first, loss="mse", metrics=("mae",), **compiled):
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input((4,)), first, layers.Dense(2)])
    model.compile(lamina.optimizers.SGD(0.1), loss, metrics=list(metrics), **compiled)
    return model


def assert_same_training(one, other, y=Y, **arguments):
    other.set_weights(one.get_weights())
    ours, theirs = (m.fit(X, y, epochs=2, batch_size=7, verbose=0, **arguments).history for m in (one, other))
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_allclose(values, theirs[name], rtol=1e-4, err_msg=name)
    for a, b in zip(one.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [Linear, WithOperators, InAList, ByWeights])
def test_a_layer_with_a_call_trains_as_the_compiled_one(kind):
    model = network(kind(5))
    assert_same_training(model, network(layers.Dense(5, "tanh")), validation_data=(X, Y))
    assert model.layers[0].output_shape == (None, 5)
    with lamina.saving.custom_object_scope({kind.__name__: kind}):
        assert check_gradients(model, X[:4], Y[:4]) < 1e-5


def test_a_layer_with_a_call_is_a_layer_like_any(tmp_path):
    layer = Linear(3, name="mine")
    assert layer.compute_output_shape((None, 4)) == (None, 3)
    assert not layer.built
    assert layer(X).shape == (20, 3)
    assert layer(X[:0]).shape == (0, 3)
    inputs = lamina.Input((4,))
    model = lamina.Model(inputs, layers.Dense(2)(Linear(3)(inputs)))
    assert model.predict(X).shape == (20, 2)
    with lamina.saving.custom_object_scope({"Linear": Linear}):
        model.save(tmp_path / "m.safetensors")
        again = load_model(tmp_path / "m.safetensors")
        clone = clone_model(model)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert clone.layers[1].units == 3
    copied = pickle.loads(pickle.dumps(Linear(3)))
    assert copied(X).shape == (20, 3)


def test_call_is_told_whether_it_trains():
    layer = OnlyInTraining(3)
    np.testing.assert_allclose(layer(X, training=True), 2 * layer(X), rtol=1e-6)
    model = network(OnlyInTraining(5), metrics=())
    before = model.predict(X)
    loss = model.train_on_batch(X, Y)
    assert loss != pytest.approx(float(np.mean((before - Y) ** 2)), rel=1e-3)


def test_parameters_that_do_not_train_stay():
    layer = Linear(5)
    model = network(layer)
    layer.trainable = False
    before = layer.get_weights()
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(layer.get_weights()[0], before[0])

    class Counts(layers.Layer):
        def build(self, input_shape):
            self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x, training=False):
            if training:
                self.calls.assign(self.calls.numpy() + 1)
            return x * self.scale

    counts = Counts()
    network(counts).fit(X, Y, batch_size=10, epochs=3, verbose=0)
    assert float(counts.calls.numpy()) == 6
    assert float(counts.scale.numpy()) != 1


def test_a_gradient_is_never_lost_silently():
    class Lost(Linear):
        def call(self, x):
            return x @ self.weights[0] + self.b  # not an attribute, and no function of ops

    with pytest.raises(TypeError, match="its gradient would be lost"):
        network(Lost(5)).fit(X, Y, verbose=0)

    class OfNumpy(Linear):
        def call(self, x):
            return np.linalg.pinv(x) @ self.w

    with pytest.raises((TypeError, ValueError)):
        network(OfNumpy(5)).fit(X, Y, verbose=0)


def test_what_call_returns_must_be_rows():
    with pytest.raises(ValueError, match="call must return a row for each row"):
        network(layers.Lambda(lambda x: ops.sum(x)))


def test_threads_use_a_layer_together():
    model = network(Linear(5))
    expected = model.predict(X)
    found, stop = [], threading.Event()

    def predict():
        while not stop.is_set():
            found.append(np.isfinite(model.predict(X)).all())

    threads = [threading.Thread(target=predict) for _ in range(3)]
    for thread in threads:
        thread.start()
    model.fit(X, Y, epochs=10, verbose=0)
    stop.set()
    for thread in threads:
        thread.join()
    assert all(found)
    assert not np.array_equal(model.predict(X), expected)


def test_lambda():
    assert_same_training(
        network(layers.Lambda(lambda x, a: ops.relu(x) * a, arguments={"a": 1.0})), network(layers.ReLU())
    )
    assert layers.Lambda(lambda x: x[:, :2]).compute_output_shape((None, 4)) == (None, 2)
    assert layers.Lambda(lambda x: x, output_shape=(7,)).compute_output_shape((None, 4)) == (None, 7)
    with pytest.raises(TypeError, match="function must be"):
        layers.Lambda(3)
    spelled = layers.serialize(layers.Lambda(square))
    with pytest.raises(ValueError, match="'square' of the module .* must be registered"):
        layers.deserialize(spelled)
    assert layers.deserialize(spelled, custom_objects={"square": square}).function is square
    with pytest.raises(ValueError, match="is a lambda expression"):
        layers.deserialize(layers.serialize(layers.Lambda(lambda x: x)))
    np.testing.assert_allclose(layers.Lambda(ops.tanh)(X), np.tanh(X), rtol=1e-5)


def test_code_in_a_configuration_is_refused():
    for held in ({"class_name": "__lambda__", "config": {"code": "4wEAAAA"}}, ["4wEAAAA", None, None]):
        with pytest.raises(TypeError, match="this one is code, which is not executed"):
            layers.deserialize({"class_name": "Lambda", "config": {"name": "l", "function": held}})


def square(x):
    return ops.square(x)


def penalty(w):
    return 0.1 * ops.sum(ops.square(w))


class Penalty(regularizers.Regularizer):
    def __call__(self, w):
        return 0.1 * ops.sum(ops.square(w))


class OfLibrary(regularizers.L2):
    """A subclass of the library's, whose own call counts."""

    def __call__(self, w):
        return 0.1 * ops.sum(ops.square(w))


class Absolute(losses.Loss):
    def call(self, y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred), axis=-1)


def absolute(y_true, y_pred):
    return ops.mean(ops.abs(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("activation", [lambda x: ops.tanh(x), ops.tanh, lambda x: ops.sigmoid(2 * x) * 2 - 1])
def test_activations_may_be_functions(activation):
    for made in (layers.Dense(5, activation=activation), [layers.Dense(5), layers.Activation(activation)]):
        first = lamina.Sequential([lamina.Input((4,)), *made]) if isinstance(made, list) else made
        assert_same_training(network(first), network(layers.Dense(5, "tanh")))


def test_functions_of_other_frameworks_are_taken_by_name():
    def relu(x):
        raise AssertionError

    relu.__module__ = "tensorflow.python.ops.gen_nn_ops"
    assert layers.Dense(3, activation=relu).activation is lamina.activations.relu
    assert layers.Dense(3, activation=ops.relu).activation is lamina.activations.relu
    relu.__module__ = "mine"
    assert isinstance(layers.Dense(3, activation=relu).activation, layers.Lambda)


@pytest.mark.parametrize("regularizer", [penalty, Penalty(), OfLibrary(7.0), lambda w: 0.1 * ops.sum(w * w)])
def test_regularizers_may_be_functions(regularizer):
    assert_same_training(
        network(layers.Dense(5, kernel_regularizer=regularizer)),
        network(layers.Dense(5, kernel_regularizer=regularizers.L2(0.1))),
    )


WEIGHTS = np.random.default_rng(2).uniform(0, 2, 20)


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (absolute, "mae"),
        (Absolute(), "mae"),
        (lambda y, p: ops.abs(y - p), "mae"),
        (Absolute(reduction="sum"), losses.MeanAbsoluteError(reduction="sum")),
        (
            Absolute(reduction="mean_with_sample_weight"),
            losses.MeanAbsoluteError(reduction="mean_with_sample_weight"),
        ),
    ],
)
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_losses_may_be_functions(loss, reference, weights):
    first, second = network(layers.Dense(5), loss), network(layers.Dense(5), reference)
    assert_same_training(first, second, sample_weight=weights, validation_data=(X, Y))
    assert check_gradients(first, X[:4], Y[:4], None if weights is None else weights[:4]) < 1e-5
    assert float(losses.loss_of(loss)(Y, 0 * Y, weights)) == pytest.approx(
        float(losses.loss_of(reference)(Y, 0 * Y, weights))
    )
    assert first.evaluate(X, Y, verbose=0) == pytest.approx(second.evaluate(X, Y, verbose=0), rel=1e-4)


def test_a_loss_may_be_one_number_for_the_batch():
    model = network(layers.Dense(5), lambda y, p: ops.mean(ops.abs(y - p)))
    assert_same_training(model, network(layers.Dense(5), "mae"))
    assert check_gradients(model, X[:5], Y[:5]) < 1e-5
    assert check_gradients(model, X[:5], Y[:5], WEIGHTS[:5]) < 1e-5


def test_a_loss_gets_targets_as_they_were_given():
    seen = []

    def packed(y_true, y_pred):  # two targets and a mask
        seen.append(np.shape(y_true))
        return ops.sum(ops.square(y_true[:, :2] - y_pred) * y_true[:, 2:], axis=1)

    y = np.concatenate([Y, (X[:, :1] > 0)], axis=1)
    model = network(layers.Dense(5), packed, metrics=())
    model.fit(X, y, batch_size=10, verbose=0)
    assert set(seen) == {(10, 3)}
    assert check_gradients(model, X[:5], y[:5]) < 1e-5

    labels = np.arange(20) % 2
    model = network(layers.Dense(5), lambda y, p: ops.sparse_categorical_crossentropy(y, p, True), ["accuracy"])
    other = network(layers.Dense(5), losses.SparseCategoricalCrossentropy(from_logits=True), ["accuracy"])
    assert_same_training(model, other, y=labels)


def test_a_loss_of_outputs_with_several_axes():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 3, 4)), rng.standard_normal((12, 3, 2))
    histories = []
    for loss in ("mae", absolute, lambda t, p: ops.abs(t - p), losses.MeanAbsoluteError(reduction="sum")):
        lamina.utils.set_random_seed(1)
        model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(2)])
        model.compile(lamina.optimizers.SGD(0.01), loss)
        histories.append(model.fit(x, y, epochs=3, batch_size=4, verbose=0).history["loss"])
    np.testing.assert_allclose(histories[1], histories[0], rtol=1e-5)
    np.testing.assert_allclose(histories[2], histories[0], rtol=1e-5)
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input((3, 4)), layers.Dense(2)])
    model.compile(lamina.optimizers.SGD(0.01), Absolute(reduction="sum"))
    found = model.fit(x, y, epochs=3, batch_size=4, verbose=0).history["loss"]
    np.testing.assert_allclose(found, histories[3], rtol=1e-5)


def test_what_a_loss_must_return():
    for loss, message in (
        (lambda y, p: ops.sum(p, axis=0), "must return a value for each of"),
        (lambda y, p: "no", "what it returns"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            network(layers.Dense(5), loss, metrics=()).fit(X, Y, batch_size=20, verbose=0)
    with pytest.raises(ValueError, match="y must have as many rows as x"):
        network(layers.Dense(5), absolute, metrics=()).fit(X, Y[:3], verbose=0)
    with pytest.raises(ValueError, match="must return one number"):
        network(layers.Dense(5, kernel_regularizer=lambda w: w)).fit(X, Y, verbose=0)


@lamina.saving.register_keras_serializable("tests")
def registered(x):
    return ops.sin(x)


@lamina.saving.register_keras_serializable("tests")
def registered_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("suffix", [".safetensors", ".keras", ".h5"])
def test_registered_functions_are_saved_by_name(suffix, tmp_path):
    model = lamina.Sequential(
        [
            lamina.Input((4,)), layers.Dense(3, activation=registered), layers.Lambda(registered),
            layers.Activation(registered), layers.Dense(2),
        ]
    )  # fmt: skip
    model.compile("adam", registered_loss)
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = load_model(tmp_path / f"m{suffix}")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.executor.require_compiled("loss").loss.name == "registered_loss"
    ours, theirs = (one.fit(X, Y, epochs=2, verbose=0).history for one in (model, again))
    np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-6)


INSIDE = {
    **{
        name: getattr(activations, name)
        for name in activations.__all__
        if name not in ("get", "serialize", "deserialize")
    },
    "general relu": lambda t: activations.relu(t, negative_slope=0.1, max_value=1.5, threshold=0.2),
    "softmax of steps": lambda t: activations.softmax(t, axis=1),
    "log softmax of steps": lambda t: activations.log_softmax(t, axis=-2),
    "leaky": lambda t: activations.leaky_relu(t, negative_slope=0.3),
    "exact gelu": lambda t: activations.gelu(t, approximate=False),
    "approximate gelu": lambda t: activations.gelu(t, approximate=True),
    "by name": activations.get("tanh"),
    "none": activations.get(None),
}


@pytest.mark.parametrize("name", INSIDE)
def test_compiled_activations_are_differentiated_in_a_call(name, rng):
    function = INSIDE[name]

    class Own(layers.Layer):
        def call(self, x):
            return function(x * 1.1)

    model = lamina.Sequential(
        [
            lamina.Input((3, 4)), layers.Dense(5, dtype="float64"), Own(dtype="float64"),
            layers.Dense(2, dtype="float64"),
        ]
    )  # fmt: skip
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((8, 3, 4)), rng.standard_normal((8, 3, 2))
    with lamina.saving.custom_object_scope({"Own": Own}):
        assert check_gradients(model, x, y) < 1e-6
    np.testing.assert_allclose(Own(dtype="float64")(x), np.asarray(function(1.1 * x)), rtol=1e-12)


class Gate(layers.Layer):
    """Its variables are attributes: one, and a list of others."""

    def __init__(self, fails=False, **kwargs):
        super().__init__(**kwargs)
        self.fails = fails
        self.gate = lamina.Variable(np.ones(4, "f"), name="gate")
        self.others = [lamina.Variable(np.zeros(4, "f"), trainable=False)]

    def build(self, input_shape):
        self.late = lamina.Variable("ones", shape=(input_shape[-1],), name="late")
        if self.fails:
            raise ArithmeticError

    def call(self, x):
        return x * self.gate * self.late + self.others[0]


def test_variables_that_are_attributes_are_parameters(tmp_path):
    model = lamina.Sequential([lamina.Input((4,)), Gate(name="g"), layers.Dense(2)])
    assert [v.path for v in model.layers[0].weights] == ["g/gate", "g/late", "g/variable"]
    assert model.count_params() == 12 + 10
    assert len(model.trainable_weights) == 4
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    assert (model.layers[0].gate.numpy() != 1).all()
    assert (model.layers[0].late.numpy() != 1).all()
    assert (model.layers[0].others[0].numpy() == 0).all()
    model.save_weights(tmp_path / "w.safetensors")
    before = model.predict(X)
    model.fit(X, Y, verbose=0)
    model.load_weights(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(model.predict(X), before)
    with pytest.raises(RuntimeError, match="must be assigned before the layer is used"):
        model.layers[0].extra = lamina.Variable(np.ones(4, "f"))
    with pytest.raises(ValueError, match="must have the layer's dtype"):
        Gate().extra = lamina.Variable(np.ones(4, "f2"))
    failing = Gate(fails=True)
    for _ in range(2):
        with pytest.raises(ArithmeticError):
            failing.build_or_discard((None, 4))
        assert len(failing.weights) == 2
    tied = Gate()
    tied.other = model.layers[1].kernel  # that of another layer stays there
    assert len(tied.weights) == 2


class Counts(layers.Layer):
    """Counts its calls, in a variable and in an attribute."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False, name="count")

    def call(self, x):
        self.count.assign_add(1.0)
        return x


def test_variables_change_once_in_each_call():
    layer = Counts()
    for calls in (1, 2):
        layer(X)
        assert layer.count == calls
    model = network(Counts())
    layer = model.layers[0]
    assert layer.count == 0  # the model was built, and the shape of its output found out
    model.fit(X, Y, batch_size=5, verbose=0)
    assert layer.count == len(X) / 5
    model.predict(X, batch_size=len(X), verbose=0)
    assert layer.count == len(X) / 5 + 1


def test_state_follows_values_that_are_differentiated():
    class Centered(layers.Layer):
        def build(self, input_shape):
            self.mean = self.add_weight(shape=(input_shape[-1],), initializer="zeros", trainable=False)

        def call(self, x, training=False):
            if training:
                self.mean.assign(0.5 * self.mean + 0.5 * ops.mean(x, axis=0))
            return x - self.mean

    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3), Centered(), layers.Dense(2)])
    model.compile(lamina.optimizers.SGD(0.0), "mse")
    hidden = lamina.Model(model.input, model.layers[0].output).predict(X, verbose=0)
    model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.layers[1].mean.numpy(), 0.5 * hidden.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_call_outside_of_models_returns_what_it_likes():
    class Total(layers.Layer):
        def __init__(self):
            super().__init__()
            self.total = self.add_weight(shape=(4,), initializer="zeros", trainable=False)

        def call(self, x):
            self.total.assign_add(ops.sum(x, axis=0))
            return self.total

    layer = Total()
    np.testing.assert_allclose(layer(X), X.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(layer(X), 2 * X.sum(axis=0), rtol=1e-5)
    assert layer.total.numpy().dtype == np.float32
    with pytest.raises(ValueError, match="call must return a row for each row of its input"):
        network(Total())


class Scaled(layers.Layer):
    def call(self, x, factor=2.0, mask=None):
        x = x * factor
        return x if mask is None else x * ops.cast(mask, x.dtype)[..., None]


def test_further_arguments_of_a_call():
    layer = Scaled()
    x = np.ones((2, 3, 4), "f")
    assert (layer(x) == 2).all()
    assert (layer(x, factor=3.0) == 3).all()
    assert (layer(x, 4.0) == 4).all()
    mask = np.array([[True, False, True]] * 2)
    np.testing.assert_array_equal(layer(x, mask=mask)[..., 0], 2.0 * mask)
    inputs = lamina.Input((3, 4))
    assert layer(inputs, factor=2.0, mask=None).shape == (None, 3, 4)  # what it takes without them
    for further in ({"factor": 3.0}, {"mask": mask}):
        with pytest.raises(TypeError, match=f"{next(iter(further))} must be given to the constructor"):
            Scaled()(inputs, **further)
    with pytest.raises(TypeError, match="a call takes inputs, training and mask; got"):
        layers.Dense(2)(X, factor=3.0)
    with pytest.raises(TypeError, match="a call takes inputs, training and mask; got"):
        layers.Dense(2)(X, True, None, 3.0)
    with pytest.raises(ValueError, match="mask must be None: the layer does not read one"):
        layers.Dense(2)(X, mask=mask)
    assert layers.Dropout(0.5, seed=1)(X, True).shape == X.shape


def test_configurations_may_hold_objects(tmp_path):
    class Regularized(layers.Layer):
        def __init__(self, units, penalty=None, start=None, factors=(1.0,), **kwargs):
            super().__init__(**kwargs)
            self.units, self.factors = units, np.asarray(factors, "f")
            self.penalty, self.start = lamina.regularizers.get(penalty), lamina.initializers.get(start)

        def build(self, input_shape):
            shape = (input_shape[-1], self.units)
            self.kernel = self.add_weight(shape, self.start, regularizer=self.penalty, name="kernel")
            super().build(input_shape)

        def call(self, x):
            return ops.matmul(x, self.kernel) * self.factors

        def get_config(self):
            own = {"units": self.units, "penalty": self.penalty, "start": self.start, "factors": list(self.factors)}
            return super().get_config() | own

    layer = Regularized(3, lamina.regularizers.L2(0.1), "he_normal", [2.0])
    model = network(layer)
    json.dumps(layers.serialize(layer))
    for suffix in (".keras", ".safetensors"):
        model.save(tmp_path / f"m{suffix}")
        again = load_model(tmp_path / f"m{suffix}", custom_objects={"Regularized": Regularized})
        np.testing.assert_array_equal(again.predict(X), model.predict(X))
        assert again.layers[0].penalty.l2 == pytest.approx(0.1)
    assert lamina.models.model_from_json(model.to_json(), {"Regularized": Regularized}).layers[0].units == 3


@pytest.mark.parametrize(
    ("layer", "shape", "shapes"),
    [
        (lambda: layers.Embedding(5, 2), (1,), [(5, 2)]), (lambda: layers.Embedding(5, 2), (None,), [(5, 2)]),
        (lambda: layers.Dense(3), (4,), [(4, 3), (3,)]), (lambda: layers.LayerNormalization(), (4,), [(4,), (4,)]),
        (lambda: Linear(3), (4,), [(4, 3), (3,)]),
    ],
)  # fmt: skip
def test_layers_may_be_built_for_one_size(layer, shape, shapes):
    layer = layer()
    layer.build(shape)
    assert [variable.shape for variable in layer.weights] == shapes
    rows = [layers.Input((3,)), layer, layers.Flatten()] if layer.vocabulary else [layers.Input((4,)), layer]
    assert len(lamina.Sequential(rows).weights) == len(shapes)


class Lookup(layers.Layer):
    """An embedding in functions of `lamina.ops`."""

    def build(self, input_shape):
        self.table = self.add_weight(shape=(10, 3), name="table")
        super().build(input_shape)

    def call(self, indices):
        assert indices.dtype == "int32"
        return ops.take(self.table, indices, axis=0)


@pytest.mark.parametrize("functional", [False, True])
def test_integers_of_an_input_reach_a_call(functional, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 10, (20, 4)), rng.standard_normal((20, 1))
    start, rest = layers.Input((4,), dtype="int32"), [Lookup(), layers.Flatten(), layers.Dense(1)]
    if functional:
        tensor = start
        for layer in rest:
            tensor = layer(tensor)
        model = lamina.Model(start, tensor)
    else:
        model = lamina.Sequential([start, *rest])
    assert model.output_shape == (None, 1)
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    table, kernel = rest[0].table.numpy(), rest[2].kernel.numpy()
    np.testing.assert_allclose(model.predict(x, verbose=0), table[x].reshape(20, 12) @ kernel, rtol=1e-4, atol=1e-6)
    model.fit(x, y, epochs=2, verbose=0)
    assert (rest[0].table.numpy() != table).any()
    model.save(tmp_path / "m.keras")
    with lamina.saving.custom_object_scope({"Lookup": Lookup}):
        again = load_model(tmp_path / "m.keras")
        np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
        np.testing.assert_array_equal(clone_model(model).predict(x, verbose=0).shape, (20, 1))
        assert check_gradients(model, x, y) < 1e-4


def test_a_layer_gets_rows_of_one_kind():
    class Doubled(layers.Layer):
        def call(self, x):
            return 2 * x

    layer, integers, floats = Doubled(), layers.Input((4,), dtype="int32"), layers.Input((4,))
    layer(integers)
    with pytest.raises(ValueError, match="rows must be int32, as in another model that has it; got float32"):
        layer(floats)
    with pytest.raises(ValueError, match="rows must be int32"):
        lamina.Sequential([floats, layers.Dense(4), layer])
    other = Doubled()
    model = lamina.Sequential([layers.Input((4,)), layers.Dense(4), other])
    assert model.predict(X, verbose=0).dtype == np.float32
    with pytest.raises(ValueError, match="rows must be float32, as in another model that has it; got int32"):
        lamina.Sequential([layers.Input((4,), dtype="int32"), other])
    np.testing.assert_array_equal(layer(X), 2 * X.astype("f"))
