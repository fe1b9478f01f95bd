"""Layers of several modules, alone and stacked: values, gradients, bits, files, refusals."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import forced_model

import lamina
from lamina import layers, optimizers, regularizers

ROWS, COLUMNS = 70, 37


def relu(x, slope, most, threshold):
    above = x if most is None else np.clip(x, 0, most)
    return np.where(x > threshold, above, slope * (x - threshold))


def layer_norm(x, epsilon=1e-3):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)


PREDICTING = {
    "relu general": (lambda: layers.ReLU(2.0, 0.25, 0.5), lambda x: relu(x, 0.25, 2.0, 0.5)),
    "relu threshold": (lambda: layers.ReLU(threshold=0.5), lambda x: relu(x, 0, None, 0.5)),
    "elu": (lambda: layers.ELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    "prelu": (lambda: layers.PReLU(lamina.initializers.Constant(0.25)), lambda x: np.where(x > 0, x, 0.25 * x)),
    "dropout": (lambda: layers.Dropout(0.5), lambda x: x),
    "noise": (lambda: layers.GaussianNoise(0.5), lambda x: x),
    "batch norm": (lambda: layers.BatchNormalization(), lambda x: x / np.sqrt(1.001)),
    "layer norm": (lambda: layers.LayerNormalization(), layer_norm),
    "rms norm": (
        lambda: layers.RMSNormalization(),
        lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6),
    ),
    "rescaling": (lambda: layers.Rescaling(2.0, 1.0), lambda x: 2 * x + 1),
    "normalization": (lambda: layers.Normalization(mean=1.0, variance=4.0), lambda x: (x - 1) / 2),
    "inverse": (lambda: layers.Normalization(mean=1.0, variance=4.0, invert=True), lambda x: 2 * x + 1),
    "activity": (lambda: layers.ActivityRegularization(0.1), lambda x: x),
}


@pytest.mark.parametrize("name", PREDICTING)
@pytest.mark.parametrize("shape", [(ROWS, COLUMNS), (1, 1), (5, 32), (3, 100), (4, 3, 5)], ids=str)
def test_values_are_those_of_the_formula(name, shape, dtype, isa, rng):
    make, formula = PREDICTING[name]
    x = rng.standard_normal(shape).astype(dtype)
    layer = make()
    layer.dtype = str(dtype)
    limit = 60 * np.finfo(dtype).eps
    expected = formula(x.astype(np.float64))
    np.testing.assert_allclose(layer(x), expected, rtol=limit, atol=limit * max(1, np.abs(expected).max()))
    model = lamina.Sequential([layers.Input(shape[1:], dtype=str(dtype)), layer])
    np.testing.assert_array_equal(model.predict(x), layer(x))
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == layer.get_config()
    np.testing.assert_array_equal(again(x), layer(x))


def stack(dtype="float32", noisy=True):
    noise = [layers.Dropout(0.3, seed=4), layers.GaussianNoise(0.1, seed=5)] if noisy else []
    middle = [
        layers.Dense(45, "tanh"), layers.BatchNormalization(), layers.PReLU("ones"), layers.LayerNormalization(),
        layers.ReLU(1.5, 0.1, 0.05), *noise, layers.Dense(33, activity_regularizer=regularizers.L1L2(0.01, 0.02)),
        layers.RMSNormalization(), layers.ELU(), layers.Rescaling(0.5, 0.1), layers.Reshape((3, 11)),
        layers.BatchNormalization(scale=False), layers.LayerNormalization(center=False), layers.Flatten(),
    ]  # fmt: skip
    for layer in middle:
        layer.dtype = dtype
    return [layers.Normalization(mean=0.5, variance=2.0, dtype=dtype), *middle, layers.Dense(3, dtype=dtype)]


def test_gradients_are_those_of_finite_differences(isa, rng):
    for noisy in (False, True):
        lamina.utils.set_random_seed(3)
        model = lamina.Sequential([layers.Input((9,)), *stack(noisy=noisy)])
        model.compile("sgd", "mse")
        assert lamina.utils.check_gradients(model, rng.standard_normal((7, 9)), rng.standard_normal((7, 3))) < 1e-4


@pytest.mark.parametrize("size", [1, 33, 300])
def test_bits_do_not_depend_on_schedule_or_threads(size, rng):
    n = 2 * size + 7
    x, y = rng.standard_normal((n, 9)).astype("f"), rng.standard_normal((n, 3)).astype("f")
    for normalized in (True, False):
        found = set()
        for schedule in ("stationary", "chunked"):
            for threads in (1, 2, 3):
                for as_long in (False, True):
                    lamina.utils.set_random_seed(3)
                    own = stack()
                    if not normalized:  # the other schedule takes part only where rows do not depend on each other
                        own = [layer for layer in own if not isinstance(layer, layers.BatchNormalization)]
                    model = lamina.Sequential([layers.Input((9,)), *own])
                    model.compile(optimizers.Adam(0.01), "mse")
                    forced_model(model, schedule, threads, as_long)
                    loss = model.fit(x, y, batch_size=size, epochs=2, verbose=0).history["loss"]
                    found.add((tuple(loss), b"".join(w.tobytes() for w in model.get_weights())))
        assert len(found) == 1


def test_saving_keeps_running_means_and_the_noise_to_come(tmp_path, rng):
    x, y = rng.standard_normal((40, 9)), rng.standard_normal((40, 3))
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([layers.Input((9,)), *stack()])
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=8, verbose=0)
    model.save(tmp_path / "m.safetensors")
    again = lamina.models.load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.predict(x), model.predict(x))
    for one in (model, again):
        one.fit(x, y, batch_size=8, verbose=0, shuffle=False)
    for a, b in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Dropout(1.5), r"rate must be in \[0, 1\]"),
        (lambda: layers.Dropout(0.5, noise_shape=(1,)), "noise_shape must be None"),
        (lambda: layers.GaussianDropout(1.0), r"rate must be in \[0, 1\)"),
        (lambda: layers.BatchNormalization(axis=1)(np.zeros((2, 3, 4))), "axis must be the last axis"),
        (lambda: layers.BatchNormalization(axis=[1, 2]), "axis must be one axis"),
        (lambda: layers.BatchNormalization(momentum=2), r"momentum must be in \[0, 1\]"),
        (lambda: layers.LayerNormalization(epsilon=-1), "epsilon must be >= 0"),
        (lambda: layers.Reshape((-1, -1)), "at most one of them -1"),
        (lambda: layers.Reshape((4,))(np.zeros((2, 5))), "cannot become"),
        (lambda: layers.Normalization(mean=1.0), "given together"),
        (lambda: layers.PReLU(shared_axes=[1])(np.zeros((2, 3, 4, 5))), "shared_axes must be"),
        (lambda: layers.Rescaling([1.0, 2.0])(np.zeros((2, 3))), "broadcast"),
    ],
)
def test_layers_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()
