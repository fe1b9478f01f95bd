"""A hook, argument or attribute that is taken acts or raises; and warnings that Keras gives are given."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, losses, metrics, optimizers, regularizers
from lamina.layers import Pass

RNG = np.random.default_rng(11)
X, Y = RNG.standard_normal((12, 4)).astype("f"), RNG.standard_normal((12, 3)).astype("f")


def trained(stack, loss="mse", optimizer="sgd", epochs=1, **settings):
    lamina.utils.set_random_seed(2)
    model = lamina.Sequential([lamina.Input((4,)), *stack, layers.Dense(3, kernel_initializer="ones")])
    model.compile(optimizer, loss, **settings)
    history = model.fit(X, Y, epochs=epochs, batch_size=4, verbose=0, shuffle=False).history
    return model, history


# Subclasses of what is compiled.

COMPILED = {
    "Dense": lambda kind: kind(4, kernel_initializer="identity"),
    "ReLU": lambda kind: kind(),
    "Dropout": lambda kind: kind(0.5, seed=1),
    "BatchNormalization": lambda kind: kind(),
    "LayerNormalization": lambda kind: kind(),
    "Activation": lambda kind: kind("tanh"),
}


@pytest.mark.parametrize("name", COMPILED)
def test_a_subclass_of_a_compiled_layer_may_compute_in_python(name):
    calls = {"forward": 0, "backward": 0}

    class Own(getattr(layers, name)):
        def forward(self, x, *, training):
            calls["forward"] += 1
            return Pass(3 * x)

        def backward(self, dy, forward_pass, *, need_dx):
            calls["backward"] += 1
            return 3 * dy, [np.ones(v.shape, v.dtype) for v in self.trainable_weights]

    own = COMPILED[name](Own)
    model, _ = trained([layers.Dense(4, kernel_initializer="identity"), own])
    assert calls == {"forward": 3, "backward": 3}
    np.testing.assert_allclose(own(np.ones((2, 4), "f")), 3)
    if name == "Dense":  # its gradients arrive where they belong
        np.testing.assert_allclose(own.kernel.numpy(), np.eye(4) - 0.01 * 3, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(own.bias.numpy(), -0.03, rtol=1e-5)
    assert np.isfinite(model.predict(X)).all()


def test_half_a_hook_is_refused():
    class Half(layers.Dense):
        def forward(self, x, *, training):
            return Pass(x)

    with pytest.raises(TypeError, match="must define both forward and backward"):
        lamina.Sequential([Half(3)])

    class Words(layers.Embedding):
        def forward(self, x, *, training):
            return Pass(x)

        def backward(self, dy, forward_pass, *, need_dx):
            return dy, []

    with pytest.raises(TypeError, match="its input be numbers to compute with"):
        lamina.Sequential([Words(3, 2)])


def test_a_models_own_build_is_called():
    class Own(lamina.Sequential):
        def build(self, input_shape=None):
            shapes.append(input_shape)
            super().build(input_shape)

    shapes = []
    Own([lamina.Input((4,)), layers.Dense(3), layers.Dense(2)])
    assert shapes == [(None, 4)]
    model = Own([layers.Dense(3)])
    assert shapes == [(None, 4)]
    model.predict(X)
    assert shapes == [(None, 4), (None, 4)]
    model.add(layers.Dense(2))
    model.add(layers.Dense(2), rebuild=False)
    assert shapes == [(None, 4)] * 3


@pytest.mark.parametrize("base", ["MeanSquaredError", "CategoricalCrossentropy", "Huber", "Loss"])
def test_a_subclass_of_a_compiled_loss_may_compute_in_python(base):
    calls = []

    class Own(getattr(losses, base)):
        def value_and_gradient(self, y_true, y_pred):
            calls.append(len(y_pred))
            return np.full(len(y_pred), 7.0), np.zeros_like(y_pred)

    y = np.eye(3, dtype="f")[RNG.integers(0, 3, 12)]
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, "softmax")])
    model.compile("sgd", Own())
    before = model.get_weights()
    assert model.fit(X, y, verbose=0).history["loss"] == [7.0]
    assert calls == [12]
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    assert Own()(y, y) == 7.0

    class Called(getattr(losses, base)):
        def __call__(self, y_true, y_pred, sample_weight=None):
            return 1.0

    with pytest.raises(TypeError, match="its __call__ would not be called while training"):
        model.compile("sgd", Called())


def test_a_subclass_of_a_compiled_optimizer_may_compute_in_python():
    calls = {"update": 0, "apply": 0}

    class Update(optimizers.Adam):
        def update(self, variable, gradient):
            calls["update"] += 1
            variable.assign(variable.value - 1)

    class Apply(optimizers.SGD):
        def apply(self, gradients, variables=None):
            calls["apply"] += 1
            super().apply([0 * g for g in gradients], variables)

    model, _ = trained([], optimizer=Update())
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), 1 - 3)
    model, _ = trained([], optimizer=Apply(0.5))
    np.testing.assert_allclose(model.layers[0].kernel.numpy(), 1)
    assert calls == {"update": 6, "apply": 3}
    assert model.optimizer.iterations == 3


def test_a_subclass_of_a_compiled_regularizer_may_compute_in_python():
    class Own(regularizers.L2):
        def value_and_gradient(self, w):
            return 1000.0, np.ones_like(w)

    model, history = trained([layers.Dense(4, kernel_regularizer=Own(0.1), kernel_initializer="zeros", use_bias=False)])
    assert history["loss"][0] > 1000
    assert (model.layers[0].kernel.numpy() < 0).all()
    with pytest.raises(ValueError, match="activity_regularizer must be one of"):
        layers.Dense(3, activity_regularizer=Own(0.1))


REFUSED = [
    "call", "train_step", "test_step", "predict_step", "compute_loss", "compute_metrics", "make_train_function",
    "make_test_function", "make_predict_function", "train_function",
]  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_not_be_called_is_refused_on_classes_and_on_instances(name):
    kind = type("Own", (lamina.Sequential,), {name: lambda self, *a, **k: None})
    with pytest.raises(TypeError, match=f"{name} would not be called"):
        kind([layers.Dense(1)])
    model = lamina.Sequential([layers.Dense(1)])
    with pytest.raises(TypeError, match=f"{name} would not be called"):
        setattr(model, name, lambda *a: None)


@pytest.mark.parametrize("name", ["__call__", "compute_mask", "compute_output_spec"])
def test_what_would_not_be_called_of_a_layer_is_refused(name):
    kind = type("Own", (layers.ReLU,), {name: lambda self, *a, **k: None})
    with pytest.raises(TypeError, match=f"its {name} would not be called"):
        lamina.Sequential([lamina.Input((3,)), kind()])


@pytest.mark.parametrize("name", ["trainable_variables", "trainable_weights"])
def test_what_would_not_be_read_of_a_model_is_refused(name):
    kind = type("Own", (lamina.Sequential,), {name: property(lambda self: [])})
    with pytest.raises(TypeError, match=f"{name} would not be read"):
        kind([layers.Dense(1)])


def test_state_of_a_metric_of_ones_own_may_be_whole_numbers():
    class Rows(metrics.Metric):
        def __init__(self):
            super().__init__("rows")
            self.seen = self.add_variable((), "zeros", dtype="int64", aggregation="sum", name="seen")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen.assign_add(len(y_pred))

        def result(self):
            return {"rows": int(self.seen.value), "twice": 2 * int(self.seen.value)}

    _, history = trained([], metrics=[Rows()], epochs=2)
    assert history["rows"] == [len(X)] * 2
    assert history["twice"] == [2 * len(X)] * 2


def test_get_metrics_result_acts():
    class Own(lamina.Sequential):
        def get_metrics_result(self):
            return super().get_metrics_result() | {"extra": 5.0}

    model = Own([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    assert model.fit(X, Y, verbose=0, validation_split=0.5).history["val_extra"] == [5.0]


def test_a_layer_that_holds_a_layer_is_refused():
    class Holds(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3)

    with pytest.raises(TypeError, match="inner must not be a layer"):
        Holds()
    layer = layers.Dense(3)
    with pytest.raises(TypeError, match="call would not be called"):
        layer.call = lambda x: x
    built = layers.Dense(3)
    built(X)
    with pytest.raises(ValueError, match="dtype must be set before the layer is built"):
        built.dtype = "float64"


def test_penalties_of_a_layer_that_is_an_activation_count():
    inside = lamina.Sequential(
        [lamina.Input((4,)), layers.Dense(4, layers.ReLU(activity_regularizer=regularizers.L2(1.0)))]
    )
    outside = lamina.Sequential(
        [lamina.Input((4,)), layers.Dense(4), layers.ReLU(activity_regularizer=regularizers.L2(1.0))]
    )
    outside.set_weights(inside.get_weights())
    for model in (inside, outside):
        model.compile("sgd", "mse")
    assert inside.evaluate(X, X, verbose=0) == pytest.approx(outside.evaluate(X, X, verbose=0))


# Warnings.


def test_outputs_of_one_column_that_learn_nothing_are_told_of():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1, "softmax")])
    with pytest.warns(UserWarning, match="softmax of one column is always 1"):
        model.predict(X)
    for loss in ("categorical_crossentropy", "categorical_focal_crossentropy"):
        model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1, "sigmoid")])
        model.compile("sgd", loss)
        with pytest.warns(UserWarning, match="the output has one column, and so one class"):
            model.fit(X, np.ones(12), verbose=0)
        with pytest.warns(UserWarning, match="the output has one column"):
            losses.loss_of(loss)(np.ones((2, 1)), np.ones((2, 1)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.LeakyReLU(alpha=0.1), "alpha is an older name of negative_slope"),
        (lambda: layers.Embedding(3, 2, input_length=4), "input_length is no longer needed"),
        (lambda: layers.InputLayer(input_shape=(3,)), "input_shape is an older name of shape"),
    ],
)
def test_older_names_of_arguments_are_taken_with_a_warning(make, words):
    with pytest.warns(UserWarning, match=words) as told:
        make()
    assert told[0].filename == __file__


def test_training_a_frozen_model_is_told_of():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.trainable = False
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="fit: the model has no trainable weights") as told:
        model.fit(X, Y, verbose=0)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="train_on_batch: the model has no trainable weights"):
        model.train_on_batch(X, Y)
