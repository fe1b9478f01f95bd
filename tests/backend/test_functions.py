"""Functions of ``keras.backend`` that are not in `lamina.ops` under the same name."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import backend as K
from lamina import layers, ops

X = np.random.default_rng(0).standard_normal((3, 4))


def test_functions_of_ops_are_here_too():
    for name in ("mean", "square", "sum", "abs", "exp", "clip", "softmax", "binary_crossentropy", "argmax", "cast"):
        assert getattr(K, name) is getattr(ops, name)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (lambda: K.flatten(X), X.ravel()),
        (lambda: K.batch_flatten(X.reshape(3, 2, 2)), X),
        (lambda: K.permute_dimensions(X, (1, 0)), X.T),
        (lambda: K.pow(X, 2), X**2),
        (lambda: K.repeat_elements(X, 2, 0), np.repeat(X, 2, 0)),
        (lambda: K.l2_normalize(X, axis=1), X / np.linalg.norm(X, axis=1, keepdims=True)),
        (lambda: K.switch(X > 0, X, lambda: -X), np.abs(X)),
        (lambda: K.constant([1, 2]), np.array([1, 2], "f")),
        (lambda: K.constant(3, shape=(2,), dtype="int32"), np.array([3, 3], "int32")),
        (lambda: K.cast_to_floatx(X), X.astype("f")),
    ],
)
def test_values(found, expected):
    np.testing.assert_allclose(found(), expected, rtol=1e-12)
    assert found().dtype == expected.dtype


def test_shapes_kinds_and_random_numbers():
    assert K.int_shape(lamina.Input((5,))) == (None, 5)
    assert K.int_shape(X) == (3, 4)
    assert K.is_tensor(K.zeros((2, 2)))
    assert K.random_normal((50,), 3.0, 0.1).mean() == pytest.approx(3, abs=0.1)
    assert K.random_uniform((50,), 2, 3, seed=1).min() >= 2


def test_values_of_variables_and_rates_are_set():
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile(lamina.optimizers.SGD(0.1), "mse")
    K.set_value(model.optimizer.learning_rate, 0.25)
    assert float(K.get_value(model.optimizer.learning_rate)) == 0.25
    K.set_value(model.layers[0].bias, [7.0])
    assert model.layers[0].bias.numpy() == 7
    with pytest.raises(TypeError, match="x must be a variable"):
        K.set_value(3, 4)


def test_losses_of_older_programs():
    pytest.importorskip("autograd")

    def root_mean_squared_error(y_true, y_pred):
        return K.sqrt(K.mean(K.square(y_pred - y_true)))

    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(1)])
    model.compile("adam", loss=root_mean_squared_error, metrics=[root_mean_squared_error])
    history = model.fit(X, X[:, 0], epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    np.testing.assert_allclose(history["loss"], history["root_mean_squared_error"], rtol=1e-5)
