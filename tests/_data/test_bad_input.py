"""Every refusal happens before anything changes, and says who, what must hold, what came."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import classification_model

import lamina
from lamina import initializers, layers, losses, metrics, optimizers, utils

X, Y = np.ones((6, 8), "f"), np.array([0, 1, 2, 0, 1, 2])


def fit(x=X, y=Y, **arguments):
    return lambda model: model.fit(x, y, verbose=0, **arguments)


WRONG = [
    (fit(x=np.ones((6, 7))), ValueError, r"Sequential 'sequential': fit: x must have shape \(n, 8\); got \(6, 7\)"),
    (fit(x=np.ones(8)), ValueError, r"x must have shape \(n, 8\); got \(8,\). A single row is x\[numpy.newaxis\]"),
    (fit(x=np.ones((6, 8, 2))), ValueError, r"x must have shape \(n, 8\); got \(6, 8, 2\)"),
    (fit(x=np.ones((0, 8)), y=[]), ValueError, "x must have at least one row"),
    (fit(x=np.ones((6, 8), complex)), TypeError, "x must be real numbers; got complex numbers"),
    (fit(x=np.full((6, 8), "a")), TypeError, "x must be real numbers; got strings"),
    (fit(x=np.full((6, 8), None)), TypeError, "x must be real numbers; got an array that holds None"),
    (fit(x=np.full((6, 8), np.datetime64("2020-01-01"))), TypeError, "x must be real numbers; got dates"),
    (fit(x=None), TypeError, "x must be an array; got None"),
    (fit(x=[[1, 2], [3]]), ValueError, "x must be rectangular"),
    (fit(y=None), ValueError, "y must be given; got None"),
    (fit(y=Y[:5]), ValueError, "y must have as many rows as x; got 5 for 6"),
    (fit(y=[0, 1, 2, 3, 0, 1]), ValueError, r"y must be in \[0, 3\).*got 3 at row 3"),
    (fit(y=[0, 1, 2, -1, 0, 1]), ValueError, "got -1 at row 3"),
    (fit(y=[0, 1, 2, 0.5, 0, 1]), ValueError, "y must be whole class numbers"),
    (fit(y=[0, 1, 2, np.nan, 0, 1]), ValueError, "y must be whole class numbers"),
    (fit(y=np.eye(3)[Y]), ValueError, r"y must be class numbers of shape \(n,\); got \(6, 3\)"),
    (fit(batch_size=0), ValueError, "batch_size must be >= 1; got 0"),
    (fit(batch_size=2.5), TypeError, "batch_size must be an int; got float"),
    (fit(epochs=-1), ValueError, "epochs must be >= 0; got -1"),
    (fit(epochs=True), TypeError, "epochs must be an int; got bool"),
    (fit(validation_split=1.5), ValueError, r"validation_split must be in \[0, 1\); got 1.5"),
    (fit(validation_split=-0.5), ValueError, r"validation_split must be in \[0, 1\)"),
    (fit(validation_split=0.99), ValueError, "leaves one part empty"),
    (fit(validation_split="0.2"), TypeError, "validation_split must be a number; got str"),
    (fit(shuffle="no"), TypeError, "shuffle must be True or False"),
    (fit(callbacks=["spy"]), TypeError, "callbacks must be lamina.callbacks.Callback; got str"),
    (fit(x=np.ma.masked_invalid(X)), TypeError, "must be a plain array; got a masked one"),
    (fit(initial_epoch=-1), ValueError, "initial_epoch must be >= 0"),
    (fit(validation_freq=0), ValueError, "validation_freq must be >= 1"),
    (lambda m: m.fit(X, Y, verbose=None), ValueError, "verbose must be one of 'auto', 0, 1, 2"),
    (lambda m: m.fit(X, Y, verbose=0.5), ValueError, "verbose must be one of 'auto', 0, 1, 2"),
    (lambda m: m.compile("sgd", "mse", -0.5), ValueError, "loss_weights must be >= 0"),
    (lambda m: m.compile("sgd", ["mse", "mae"]), ValueError, "loss must be one"),
    (fit(validation_data=(X,)), ValueError, r"validation_data must be \(x, y\)"),
    (fit(validation_data=(X[:, :3], Y)), ValueError, r"x must have shape \(n, 8\)"),
    (fit(validation_data=(X, Y + 1)), ValueError, "got 3 at row 2"),
    (fit(sample_weight=np.ones(5)), ValueError, r"sample_weight must have shape \(6,\)"),
    (fit(sample_weight=np.ones((6, 2))), ValueError, r"sample_weight must have shape \(6,\)"),
    (lambda m: m.fit(X, Y, verbose=3), ValueError, "verbose must be one of 'auto', 0, 1, 2; got 3"),
    (lambda m: m.evaluate(X, Y + 1, verbose=0), ValueError, "evaluate: y must be in"),
    (lambda m: m.evaluate(X, Y, batch_size=0, verbose=0), ValueError, "batch_size must be >= 1"),
    (lambda m: m.predict(X[:, :3]), ValueError, r"predict: x must have shape \(n, 8\)"),
    (lambda m: m.predict(X[0]), ValueError, r"x must have shape \(n, 8\); got \(8,\)"),
    (lambda m: m.predict(X, batch_size=-1), ValueError, "batch_size must be >= 1"),
    (lambda m: m.predict_on_batch(X[0]), ValueError, "predict_on_batch: x must have shape"),
    (lambda m: m(X[0]), ValueError, "call: x must have shape"),
    (lambda m: m.train_on_batch(X, Y + 1), ValueError, "train_on_batch: y must be in"),
    (lambda m: m.test_on_batch(X, Y[:2]), ValueError, "as many rows"),
    (lambda m: m.set_weights(m.get_weights()[:-1]), ValueError, "there must be 4 arrays, one a weight; got 3"),
    (lambda m: m.set_weights([w.T for w in m.get_weights()]), ValueError, "must have shape"),
    (lambda m: m.compile("sdg", "mse"), ValueError, "Did you mean 'sgd'"),
    (lambda m: m.compile("sgd", "crossentropy"), ValueError, "loss must be one of"),
    (lambda m: m.compile("sgd", "mse", metrics=["accurracy"]), ValueError, "metric must be one of"),
    (lambda m: m.add(layers.Dense(3, activation="rellu")), ValueError, "Did you mean 'relu'"),
]


@pytest.mark.parametrize(("call", "error", "message"), WRONG)
def test_wrong_calls_raise_and_change_nothing(call, error, message):
    model = classification_model(metrics=["accuracy"])
    model.fit(X, Y, verbose=0)
    weights, config = model.get_weights(), model.get_config()
    compiled, iterations, shuffles = model.executor.compiled, model.optimizer.iterations, model.executor.shuffles
    with pytest.raises(error, match=message):
        call(model)
    for now, before in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(now, before)
    assert model.get_config() == config
    assert model.executor.compiled is compiled
    assert (model.optimizer.iterations, model.executor.shuffles) == (iterations, shuffles)
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("name", ["count_params", "get_weights", "output_shape", "input_shape"])
def test_unbuilt_model_says_so(name):
    model = lamina.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match=f"{name}: the model must be built"):
        getattr(model, name)()  # a property raises before it is called
    with pytest.raises(ValueError, match="set_weights: the model must be built"):
        model.set_weights([])


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_uncompiled_model_says_so(method):
    model = lamina.Sequential([layers.Dense(3, input_dim=8)])
    with pytest.raises(RuntimeError, match=f"{method}: the model must be compiled first"):
        getattr(model, method)(X, Y)
    with pytest.raises(ValueError, match="must be compiled first"):  # both, as with older and newer Keras
        _ = model.optimizer
    assert model.predict(X).shape == (6, 3)


def test_model_without_layers_says_so():
    for model in (lamina.Sequential(), lamina.Sequential([lamina.Input((8,))])):
        model.compile("sgd", "mse")
        for call in (lambda m: m.fit(X, Y, verbose=0), lambda m: m.predict(X), lambda m: m.build((None, 8))):
            with pytest.raises(ValueError, match="must have at least one layer"):
                call(model)


def test_targets_are_never_broadcast():
    model = lamina.Sequential([layers.Dense(3, input_dim=8)])
    model.compile("sgd", "mse")
    for wrong in (np.ones(6), np.ones((6, 1)), np.ones((6, 2)), np.ones((6, 3, 2)), 1.0):
        with pytest.raises(ValueError, match=r"y must have shape \(n, 3\)"):
            model.fit(X, wrong, verbose=0)
    model = lamina.Sequential([layers.Dense(1, input_dim=8)])
    model.compile("sgd", "mse")
    model.fit(X, np.ones(6), verbose=0)
    with pytest.raises(ValueError, match=r"y must have shape \(n, 1\)"):
        model.fit(X, np.ones((6, 6)), verbose=0)


def test_targets_of_cross_entropy_are_probabilities():
    model = lamina.Sequential([layers.Dense(1, activation="sigmoid", input_dim=8)])
    model.compile("sgd", "binary_crossentropy")
    with pytest.raises(ValueError, match=r"y must be probabilities in \[0, 1\].*from 1 to 2"):
        model.fit(X, np.array([1, 2, 1, 2, 1, 2]), verbose=0)


def test_output_of_higher_rank_needs_flatten():
    model = lamina.Sequential([layers.Dense(2, input_shape=(4, 8))])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="Put a Flatten before the last layer"):
        model.fit(np.ones((3, 4, 8)), np.ones((3, 2)), verbose=0)


def test_build_refuses():
    model = lamina.Sequential([layers.Dense(3)])
    with pytest.raises(ValueError, match="input_shape must be given"):
        model.build()
    for wrong in ((None,), (None, 0), (None, -1), (None, None)):
        with pytest.raises(ValueError, match="must hold positive ints|the last size of input rows must be known"):
            model.build(wrong)
    assert not model.built
    model.build((None, 4))
    assert model.built


def test_refused_fit_leaves_an_unbuilt_model_unbuilt():
    model = lamina.Sequential([layers.Dense(4), layers.Dense(3, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    seeds = lamina.random.global_seeds.counter
    for wrong in (
        fit(y=Y + 1),
        fit(y=Y[:3]),
        fit(y=np.eye(3)[Y]),
        fit(sample_weight=np.ones(2)),
        fit(validation_data=(X, Y + 1)),
        fit(validation_data=(X[:, :2], Y)),
        fit(callbacks=[3]),
        fit(validation_split=0.99),
    ):
        with pytest.raises((ValueError, TypeError)):
            wrong(model)
        assert not model.built
        assert model.stack.row_shape is None
        assert not any(layer.built for layer in model.layers)
    assert lamina.random.global_seeds.counter == seeds
    model.fit(X[:, :5], Y, verbose=0)
    assert model.input_shape == (None, 5)


def test_failed_build_leaves_nothing_behind():
    class Once(lamina.initializers.Zeros):
        failed = False

        def __call__(self, shape, dtype=None):
            if not Once.failed:
                Once.failed = True
                raise RuntimeError("not today")
            return super().__call__(shape, dtype)

    model = lamina.Sequential([layers.Dense(4), layers.Dense(3, bias_initializer=Once())])
    with pytest.raises(RuntimeError, match="not today"):
        model.build((None, 8))
    assert not model.built
    assert model.stack.row_shape is None
    assert [layer.built for layer in model.layers] == [False, False]
    assert model.weights == []
    model.build((None, 5))
    assert [w.shape for w in model.get_weights()] == [(5, 4), (4,), (4, 3), (3,)]

    Once.failed = False
    model = lamina.Sequential()
    with pytest.raises(RuntimeError, match="not today"):
        model.add(layers.Dense(4, input_dim=8, bias_initializer=Once()))
    assert model.layers == []
    assert model.stack.row_shape is None
    model.add(layers.Dense(4, input_dim=3))
    assert model.stack.row_shape == (3,)


def test_built_layers_in_a_new_model_keep_their_shape():
    model = classification_model()
    part = lamina.Sequential(model.layers[:1])
    assert part.built
    assert part.input_shape == (None, 8)
    np.testing.assert_array_equal(part.predict(X), model.layers[0](X))
    built = lamina.Sequential([layers.Dense(8), *model.layers[1:]])
    with pytest.raises(ValueError, match=r"layer 'dense_1' must take rows of shape \(5,\).*are \(8,\)"):
        built.build((None, 4))
    assert built.stack.row_shape is None


def test_partly_frozen_variables():
    model = classification_model()
    model.layers[0].kernel.trainable = False
    model.layers[1].bias.trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False, True, True, False]


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_model_trainable_freezes_everything():
    model = classification_model()
    model.trainable = False
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    for ours, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert model.trainable_weights == []
    assert not lamina.Sequential.from_config(model.get_config()).trainable
    model.trainable = True
    assert len(model.trainable_weights) == 4


def test_optimizer_checks_gradients_before_any_step():
    model = classification_model()
    before = model.get_weights()
    right = [np.ones_like(w) for w in before]
    for wrong in (right[:-1], [*right[:-1], np.ones(7, "f")], [*right[:-1], np.ones(3, complex)]):
        with pytest.raises(ValueError, match="SGD: "):
            model.optimizer.apply(wrong, model.trainable_weights)
    for ours, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_labels_of_foreign_byte_order_and_alignment():
    expected, model = classification_model(), classification_model()
    model.set_weights(expected.get_weights())
    unaligned = np.frombuffer(b"\0" + Y.astype("i4").tobytes(), "i4", offset=1)
    for labels in (Y.astype(">i8"), Y.astype(">u2"), unaligned):
        assert model.evaluate(X, labels, verbose=0) == expected.evaluate(X, Y, verbose=0)
        model.fit(X, labels, validation_data=(X, labels), shuffle=False, verbose=0)
        expected.fit(X, Y, shuffle=False, verbose=0)
        np.testing.assert_array_equal(model.get_weights()[0], expected.get_weights()[0])


def test_hasattr_on_what_is_not_there_yet():
    model = lamina.Sequential([layers.Dense(3)])
    assert not hasattr(model.layers[0], "kernel")
    assert not hasattr(model, "optimizer")
    with pytest.raises(AttributeError):
        model.layers[0].name = "other"


def test_epochs_0_and_initial_epoch():
    model = classification_model()
    before = model.get_weights()
    assert model.fit(X, Y, epochs=0, verbose=0).history == {}
    np.testing.assert_array_equal(model.get_weights()[0], before[0])
    history = model.fit(X, Y, epochs=5, initial_epoch=2, validation_data=(X, Y), validation_freq=2, verbose=0)
    assert history.epoch == [2, 3, 4]
    assert len(history.history["loss"]) == 3
    assert len(history.history["val_loss"]) == 1


def test_nan_goes_through_training():
    model = lamina.Sequential([layers.Dense(3, activation="relu", input_dim=8), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = X.copy()
    x[0, 0] = np.nan
    history = model.fit(x, np.ones(6), verbose=0)
    assert np.isnan(history.history["loss"][0])
    assert np.isnan(model.predict(X)).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("momentum", -1), ("momentum", "x"), ("weight_decay", "x"), ("clipnorm", -1), ("nesterov", "x"), ("use_ema", 3)],
)
def test_an_optimizers_argument_is_checked_where_it_is_assigned(name, value):
    optimizer = optimizers.SGD()
    before = getattr(optimizer, name)
    with pytest.raises((TypeError, ValueError), match="^SGD: "):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before


def test_an_optimizers_argument_acts_where_it_is_assigned():
    x, y = np.ones((4, 3), "f"), np.zeros((4, 1), "f")

    def trained(optimizer, momentum=None):
        if momentum is not None:
            optimizer.momentum = momentum
        model = lamina.Sequential([lamina.Input((3,)), layers.Dense(1, kernel_initializer="ones")])
        model.compile(optimizer, "mse")
        model.fit(x, y, epochs=3, verbose=0)
        return model

    assigned, given = trained(optimizers.SGD(), 0.9), trained(optimizers.SGD(momentum=0.9))
    np.testing.assert_array_equal(assigned.get_weights()[0], given.get_weights()[0])
    without = trained(optimizers.SGD())
    with pytest.raises(ValueError, match=r"momentum must stay 0\.0"):
        without.optimizer.momentum = 0.9
    assert without.optimizer.momentum == 0


@pytest.mark.parametrize("training", ["no", 2, np.ones(2)])
@pytest.mark.parametrize("make", [lambda: layers.Dropout(0.5), lambda: lamina.Sequential([layers.Dropout(0.5)])])
def test_training_is_true_or_false(make, training):
    with pytest.raises((TypeError, ValueError), match="training must be True or False"):
        make()(X, training=training)


@pytest.mark.parametrize("names", ["bias", [3]])
def test_names_without_decay_are_a_list_of_text(names):
    with pytest.raises((TypeError, ValueError), match="^AdamW: exclude_from_weight_decay: "):
        optimizers.AdamW().exclude_from_weight_decay(var_names=names)


def test_a_metrics_axis_must_be_the_outputs_last():
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(3)])
    model.compile("sgd", "mse", metrics=[metrics.CosineSimilarity(axis=0)])
    with pytest.raises(ValueError, match="axis of the metric 'cosine_similarity' must be the last"):
        model.evaluate(np.ones((4, 3)), np.ones((4, 3)), verbose=0)


@pytest.mark.parametrize("name", [b"x", {}, np.float32(1), "\ud800"])
@pytest.mark.parametrize(
    "kind", [lamina.Sequential, losses.MeanSquaredError, metrics.Mean, optimizers.SGD, lamina.random.SeedGenerator]
)
def test_a_name_is_text(kind, name):
    with pytest.raises((TypeError, ValueError), match=f"^{kind.__name__}: name must be"):
        kind(name=name)


@pytest.mark.parametrize("dtype", ["foo", [1], 3, "complex64", "U5"])
@pytest.mark.parametrize(
    "make", [losses.MeanSquaredError, metrics.Mean, lambda dtype: lamina.Variable([1.0], dtype=dtype)]
)
def test_a_dtype_is_one_of_numbers(make, dtype):
    with pytest.raises(TypeError, match="dtype must be one of real numbers"):
        make(dtype=dtype)


@pytest.mark.parametrize(
    "refused",
    [
        lambda: initializers.RandomNormal(stddev=-1), lambda: initializers.RandomUniform(minval="x"),
        lambda: initializers.VarianceScaling(mode="x"), lambda: initializers.Orthogonal(gain="x"),
    ],
)  # fmt: skip
def test_a_refused_initializer_draws_no_seed(refused):
    utils.set_random_seed(3)
    first = initializers.HeNormal()((2, 2))
    utils.set_random_seed(3)
    with pytest.raises((TypeError, ValueError)):
        refused()
    np.testing.assert_array_equal(initializers.HeNormal()((2, 2)), first)


class Refuses(lamina.callbacks.Callback):
    def check(self):
        raise ValueError("Refuses: no")


REFUSALS = {
    "callback": lambda m, folder: m.fit(X, Y, callbacks=[Refuses()], verbose=0),
    "table": lambda m, folder: m.fit(X, Y, callbacks=[lamina.callbacks.CSVLogger(folder / "no" / "t.csv")], verbose=0),
    "backup": lambda m, folder: m.fit(
        X, Y, callbacks=[lamina.callbacks.BackupAndRestore(folder / "a_file" / "b")], verbose=0
    ),
    "checkpoint": lambda m, folder: m.fit(
        X, Y, callbacks=[lamina.callbacks.ModelCheckpoint(folder / "a_file" / "m.safetensors")], verbose=0
    ),
    "out": lambda m, folder: m.predict_on_batch(X, out=np.zeros((3, 3))),
}


@pytest.mark.parametrize("built", [True, False])
@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_come_before_anything_is_built_or_trained(name, built, tmp_path):
    (tmp_path / "a_file").write_text("")
    shape = [lamina.Input(X.shape[1:])] if built else []
    model = lamina.Sequential([*shape, layers.Dense(4), layers.Dense(int(Y.max()) + 1, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    before = [array.tobytes() for array in (model.get_weights() if built else [])]
    seeds = lamina.random.global_seeds.counter
    with pytest.raises((ValueError, TypeError, OSError)):
        REFUSALS[name](model, tmp_path)
    assert model.built is built
    assert all(layer.built is built for layer in model.layers)
    assert [array.tobytes() for array in (model.get_weights() if built else [])] == before
    assert model.history is None
    assert model.optimizer.iterations == 0
    assert model.optimizer.built is False or built
    assert lamina.random.global_seeds.counter == seeds
    model.fit(X, Y, verbose=0)


@pytest.mark.parametrize("shuffle", [None, 0.0, 0.2, "batch", np.True_])
def test_shuffle_may_be_what_counts_as_true_or_false(shuffle):
    model = lamina.Sequential([layers.Dense(3, input_dim=8)])
    model.compile("sgd", "mse")
    model.fit(X, np.zeros((6, 3)), shuffle=shuffle, verbose=0)
