"""`fit(on_nan="raise")`: a step that gives NaN or infinity is undone and explained."""

import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse as sp

import lamina
from lamina import layers, losses, models, ops, optimizers
from lamina.models import NotFiniteError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 4)).astype(np.float32)
Y = RNG.normal(size=(64, 2)).astype(np.float32)


def network(optimizer="sgd", loss="mse", *, plain=False, **arguments):
    lamina.utils.set_random_seed(0)
    parts = [] if plain else [layers.Dropout(0.2), layers.BatchNormalization(name="norm")]
    model = models.Sequential(
        [layers.Input((4,)), layers.Dense(8, activation="relu", name="a"), *parts, layers.Dense(2, name="b")]
    )
    model.compile(optimizer, loss, **arguments)
    return model


def state_of(model):
    optimizer = model.optimizer
    slots = [optimizer.slot(name, v).numpy() for name in optimizer.state_names() for v in model.trainable_weights]
    return [*model.get_weights(), *slots, np.array(optimizer.batches), np.array(model.executor.draws.value)]


def refused(model, x, y=None, **arguments):
    with pytest.raises(NotFiniteError) as caught:
        model.fit(x, y, verbose=0, on_nan="raise", **arguments)
    return caught.value


def changed(array, row, value):
    made = array.copy()
    made[row] = value
    return made


# L-BFGS takes all rows in each step.
KINDS = [("lbfgs", "arrays"), *itertools.product(["sgd", "adam", "rmsprop"], ["arrays", "steps", "generator"])]


@pytest.mark.parametrize(("optimizer", "data"), KINDS)
def test_training_that_is_finite_is_the_same(optimizer, data):
    def trained(on_nan):
        model = network(optimizers.LBFGS() if optimizer == "lbfgs" else optimizer, metrics=["mae"])
        given = {
            "arrays": {"x": X, "y": Y, "epochs": 3},
            "steps": {"x": X, "y": Y, "epochs": 3, "batch_size": 8, "steps_per_epoch": 4},
            "generator": {"x": ((X[i : i + 8], Y[i : i + 8]) for i in range(0, 64, 8))},
        }[data]
        history = model.fit(**given, validation_data=(X, Y), verbose=0, on_nan=on_nan).history
        return [*state_of(model), history]

    for one, other in zip(trained(None), trained("raise"), strict=True):
        np.testing.assert_equal(one, other)


SIGNS = np.sign(network().layers[0].get_weights()[0][:, 0])  # products of the first unit that do not cancel
CASES = {
    "x": (lambda: (network("adam"), changed(X, 40, np.nan), Y), None, "x", 40),
    "infinite targets": (lambda: (network(), X, changed(Y, 7, -np.inf)), None, "y", 7),
    "output": (lambda: (network("adam"), changed(X, 9, 3e38 * SIGNS), Y), "a", "output", 9),
    "loss": (lambda: (network("adam"), X, changed(Y, 50, 3e38)), None, "loss", 50),
}


@pytest.mark.parametrize("case", CASES)
def test_it_says_where_and_undoes_the_step(case):
    make, layer, tensor, row = CASES[case]
    model, x, y = make()
    seen = []

    class Watcher(lamina.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append((batch, state_of(self.model)))

    error = refused(model, x, y, batch_size=16, epochs=2, callbacks=[Watcher()])
    assert (error.layer, error.tensor, error.data_rows) == (layer, tensor, [row])
    assert (error.epoch, error.batch) == (0, seen[-1][0])
    order = np.arange(64)[error.batch * 16 :][:16]
    assert 0 <= error.rows[0] < len(order)
    for before, after in zip(seen[-1][1], state_of(model), strict=True):
        np.testing.assert_equal(before, after)
    assert str(row) in str(error)
    assert tensor in str(error)
    assert "undone" in str(error)
    model.fit(X, Y, verbose=0, on_nan="raise")  # usable
    assert all(np.isfinite(array).all() for array in model.get_weights())


def test_rows_of_the_batch_are_its_positions():
    model = network()
    error = refused(model, changed(changed(X, 3, np.nan), 21, np.nan), Y, batch_size=64, shuffle=False)
    assert error.rows == error.data_rows == [3, 21]
    error = refused(model, changed(X, 21, np.nan), Y, batch_size=16, shuffle=False)
    assert (error.batch, error.rows, error.data_rows) == (1, [5], [21])


def test_many_rows_are_not_all_named():
    error = refused(network(), np.full_like(X, np.nan), Y, batch_size=64)
    assert len(error.rows) == 64
    assert "…" in str(error)
    assert len(str(error)) < 400


def test_batches_of_a_generator_have_no_numbers_in_the_data():
    x = changed(X, 17, np.nan)
    error = refused(network(), ((x[i : i + 8], Y[i : i + 8]) for i in range(0, 64, 8)))
    assert (error.batch, error.rows, error.data_rows) == (2, [1], [])


def test_weights_that_were_not_finite_before():
    model = network()
    kernel, bias = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel, changed(bias, 1, np.nan)])
    error = refused(model, X, Y)
    assert (error.layer, error.tensor, error.rows) == ("b", "b/bias", [])


def test_a_step_that_is_too_large():
    model = network(optimizers.SGD(1e38), plain=True)
    before = state_of(model)
    error = refused(model, X * 1e3, Y, batch_size=64)
    assert error.tensor == "step of a/kernel"
    assert error.layer is None
    for one, other in zip(before, state_of(model), strict=True):
        np.testing.assert_equal(one, other)


def test_a_gradient_of_code_of_the_user():
    class Root(layers.Layer):
        def call(self, inputs):
            return ops.sqrt(inputs)

    model = models.Sequential([layers.Input((4,)), layers.Dense(3, use_bias=False, name="a"), Root(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.layers[0].set_weights([np.full((4, 3), 0.5, np.float32)])
    with np.errstate(all="ignore"):
        error = refused(model, changed(np.abs(X), 5, 0), Y[:, :1], batch_size=64, shuffle=False)  # the slope of √0
    assert (error.layer, error.tensor, error.rows) == ("a", "gradient of a/kernel", [5])


def test_a_loss_of_the_user():
    def loss(y_true, y_pred):
        return ops.log(y_true)[:, 0] + 0 * ops.sum(y_pred, -1)

    with np.errstate(divide="ignore"):
        error = refused(network(loss=loss), X, changed(np.abs(Y) + 1, 11, 0), batch_size=64)
    assert (error.tensor, error.data_rows) == ("loss", [11])


@pytest.mark.parametrize("optimizer", [optimizers.LBFGS, optimizers.LevenbergMarquardt])
def test_numbers_of_the_optimizer_are_undone_too(optimizer):
    model = network(optimizer(), plain=True)
    model.fit(X, Y, epochs=2, verbose=0)
    before, numbers = state_of(model), model.optimizer.numbers()
    refused(model, X, changed(Y, 50, 3e38), batch_size=64)
    assert model.optimizer.numbers() == numbers
    for one, other in zip(before, state_of(model), strict=True):
        np.testing.assert_equal(one, other)


def test_sparse_rows():
    dense = np.zeros((32, 50), np.float32)
    dense[:, :6] = 1  # several entries in each row
    dense[20, 3] = np.nan
    model = models.Sequential([layers.Input((50,)), layers.Dense(1)])
    model.compile("sgd", losses.MeanSquaredError())
    error = refused(model, sp.csr_matrix(dense), Y[:32, :1], batch_size=8)
    assert (error.tensor, error.data_rows) == ("x", [20])


def test_embedding():
    model = models.Sequential([layers.Embedding(5, 3, name="table"), layers.Flatten(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.build((None, 2))
    model.layers[0].set_weights([changed(model.layers[0].get_weights()[0], 4, np.inf)])
    error = refused(model, np.full((8, 2), 4), Y[:8, :1])
    assert (error.layer, error.tensor) == ("table", "table/embeddings")


def test_the_error_is_copied_whole():
    error = refused(network(), changed(X, 40, np.nan), Y)
    other = pickle.loads(pickle.dumps(error))
    assert vars(other) == vars(error)
    assert str(other) == str(error)
    assert isinstance(other, FloatingPointError)


@pytest.mark.parametrize("value", ["stop", True, 0])
def test_other_values_are_refused(value):
    model = network()
    before = state_of(model)
    with pytest.raises((TypeError, ValueError), match="on_nan"):
        model.fit(X, Y, on_nan=value)
    for one, other in zip(before, state_of(model), strict=True):
        np.testing.assert_equal(one, other)


def test_without_it_nothing_is_checked():
    model = network()
    model.fit(changed(X, 40, np.nan), Y, verbose=0)
    assert np.isnan(model.get_weights()[0]).any()
