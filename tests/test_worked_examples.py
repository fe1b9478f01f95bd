"""The examples of the course notes, with the numbers that are right."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import kernels, layers, losses, optimizers

# Matrices as the notes print them, (out, in); lamina's kernels are (in, out).
W1 = np.array([[1, -1, 0], [0, -1, 1], [1, 1, -1], [1, 1, 1]], np.float64)
B1 = np.array([0, 1, 1, -1], np.float64)
W2 = np.array([[1.5, 1, 1, -1], [0, 0, 1, 1], [-1, 1, 1, -1]], np.float64)
B2 = np.array([1, 0, 0.5], np.float64)
X = np.array([[1.2, -1, 2]])
Y = np.array([[1.5, -1, 2]])

OUTPUT = [7.1, 1.2, 1.1]
LOSS = 6.0835844697020525
DL_DY = [0.92050994, 0.36162891, -0.1479391]  # the notes print the opposite sign
DL_DB1 = [1.52870401, 0.77257085, 0, -0.41094194]  # the notes' code forgets the ReLU's zero


def test_softmax_and_cross_entropy():
    z = np.array([[2.0, -1, 5, 0]])
    np.testing.assert_allclose(kernels.softmax(z), [[0.04701312, 0.00234065, 0.9442837, 0.00636253]], atol=5e-9)
    loss, _ = kernels.softmax_cross_entropy(z, np.array([1]))
    assert loss[0] == pytest.approx(6.0573286242556375, abs=1e-14)
    assert losses.SparseCategoricalCrossentropy(from_logits=True)([1], z) == pytest.approx(6.0573286242556375)


def test_dense_with_relu():
    w = np.array([[-1.0, -1], [-1, 1], [-1, 0]])
    pre = np.empty((1, 3))
    y = kernels.dense_forward(np.array([[1.5, 2]]), np.ascontiguousarray(w.T), activation="relu", pre=pre)
    np.testing.assert_array_equal(pre, [[-3.5, 0.5, -1.5]])
    np.testing.assert_array_equal(y, [[0, 0.5, 0]])


def test_regression_step_by_step_with_kernels(isa):
    w1, w2 = np.ascontiguousarray(W1.T), np.ascontiguousarray(W2.T)
    pre = np.empty((1, 4))
    hidden = kernels.dense_forward(X, w1, B1, activation="relu", pre=pre)
    np.testing.assert_allclose(pre, [[2.2, 4, -0.8, 1.2]], rtol=1e-14)
    output = kernels.dense_forward(hidden, w2, B2)
    np.testing.assert_allclose(output, [OUTPUT], rtol=1e-14)
    loss, dy = kernels.l2_norm(output, Y)
    assert loss[0] == pytest.approx(LOSS, abs=1e-14)
    np.testing.assert_allclose(dy, [DL_DY], atol=5e-9)
    dh, _, _ = kernels.dense_backward(hidden, w2, dy)
    _, _, db1 = kernels.dense_backward(X, w1, dh, y=hidden, activation="relu", need_dx=False)
    np.testing.assert_allclose(db1, DL_DB1, atol=5e-9)
    assert db1[2] == 0


def notes_model(dtype="float64"):
    model = lamina.Sequential(
        [
            layers.Dense(4, activation="relu", input_dim=3, dtype=dtype),
            layers.Dense(3, dtype=dtype),
        ]
    )
    model.set_weights([W1.T, B1, W2.T, B2])
    model.compile(optimizers.SGD(0.01), losses.L2Norm())
    return model


def test_regression_with_a_model():
    model = notes_model()
    np.testing.assert_allclose(model.predict(X), [OUTPUT], rtol=1e-14)
    assert model.evaluate(X, Y, verbose=0) == pytest.approx(LOSS, abs=1e-14)
    b1 = model.layers[0].bias.numpy()
    assert model.train_on_batch(X, Y) == pytest.approx(LOSS, abs=1e-14)
    np.testing.assert_allclose((b1 - model.layers[0].bias.numpy()) / 0.01, DL_DB1, atol=1e-7)
    assert model.evaluate(X, Y, verbose=0) < LOSS
    assert lamina.utils.check_gradients(notes_model(), X, Y) < 1e-7


def test_the_notes_keras_code_runs_unchanged(capsys):
    import lamina as keras

    model = keras.models.Sequential()
    model.add(keras.layers.Dense(units=3, input_dim=3))
    model.add(keras.layers.Dense(units=1))
    model.summary()
    text = capsys.readouterr().out
    rows = [line for line in text.splitlines() if "(Dense)" in line]
    assert [row.split("│")[3].strip() for row in rows] == ["12", "4"]
    assert "Total params: 16 (64.00 B)" in text
    assert model.count_params() == 16


def test_logistic_regression_learns_a_separable_set(rng):
    x = rng.standard_normal((200, 2))
    x = x[np.abs(x @ [1.0, -2.0] + 0.5) > 0.2]
    y = (x @ [1.0, -2.0] + 0.5 > 0).astype(int)
    model = lamina.Sequential([layers.Dense(1, activation="sigmoid", input_dim=2)])
    model.compile(optimizers.SGD(1.0, momentum=0.9), "binary_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=60, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1.0

    model = lamina.Sequential([layers.Dense(2, activation="softmax", input_dim=2)])
    model.compile(optimizers.SGD(1.0, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=60, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1.0


def test_linear_target_is_fitted_to_1e_3(rng):
    x = rng.standard_normal((256, 4))
    y = x @ [1.0, -2.0, 0.5, 3.0] + 0.7
    model = lamina.Sequential([layers.Dense(1, input_dim=4)])
    model.compile(optimizers.SGD(0.1), "mse")
    history = model.fit(x, y, epochs=40, verbose=0)
    assert history.history["loss"][-1] < 1e-6
    np.testing.assert_allclose(model.layers[0].kernel.numpy()[:, 0], [1.0, -2.0, 0.5, 3.0], atol=1e-3)
    np.testing.assert_allclose(model.layers[0].bias.numpy(), [0.7], atol=1e-3)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "leaky_relu", "gelu"])
def test_xor_is_learnt(activation):
    x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    model = lamina.Sequential(
        [layers.Dense(16, activation=activation, input_dim=2), layers.Dense(1, activation="sigmoid")]
    )
    model.compile(optimizers.SGD(0.5, momentum=0.9), "binary_crossentropy")
    model.fit(x, y, batch_size=4, epochs=800, verbose=0)
    np.testing.assert_array_equal(model.predict(x).round()[:, 0], y)


def test_digits_reach_97_percent():
    (x, y), (x_test, y_test) = lamina.datasets.digits.load_data()
    model = lamina.Sequential(
        [layers.Dense(64, activation="relu", input_dim=64), layers.Dense(10, activation="softmax")]
    )
    model.compile(optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x / 16, y, epochs=30, verbose=0)
    assert model.evaluate(x_test / 16, y_test, verbose=0)[1] >= 0.97
