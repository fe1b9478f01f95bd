"""Layers with noise, moments, constants and slopes: values, gradients, bits, configurations."""

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


def batch_norm(x, epsilon=1e-3):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) / np.sqrt(x.var(axes) + epsilon)


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


@pytest.mark.filterwarnings("ignore:.*no trainable weights")
def test_batch_normalization_by_the_batch_and_by_running_means(dtype, isa, rng):
    x = (rng.standard_normal((300, 40)) * 3 + 1).astype(dtype)
    layer = layers.BatchNormalization(momentum=0.75, dtype=str(dtype))
    limit = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(layer(x, training=True), batch_norm(x.astype(np.float64)), rtol=limit, atol=limit)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * wide.mean(0), rtol=100 * limit, atol=limit)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * wide.var(0), rtol=10 * limit)
    model = lamina.Sequential([layer])
    model.compile("sgd", "mse")
    model.train_on_batch(x, np.zeros((300, 40)))
    np.testing.assert_allclose(layer.moving_mean, 0.4375 * wide.mean(0), rtol=100 * limit, atol=limit)
    np.testing.assert_allclose(layer.moving_variance, 0.5625 + 0.4375 * wide.var(0), rtol=10 * limit)
    assert [v.name for v in layer.trainable_weights] == ["gamma", "beta"]
    layer.trainable = False
    before = model.get_weights()
    model.train_on_batch(x, np.zeros((300, 40)))
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_dropout_drops_its_share_and_keeps_the_mean(dtype, isa):
    x = np.ones((2000, 50), dtype)
    for rate in (0.1, 0.5, 0.9):
        found = layers.Dropout(rate, seed=1, dtype=str(dtype))(x, training=True)
        assert set(np.unique(found)) == {0, x.dtype.type(1 / (1 - rate))}
        share = (found == 0).mean()
        assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / x.size)
        # Neither rows nor columns are alike.
        assert len(np.unique(found, axis=0)) > 1500
        assert len(np.unique(found.T, axis=0)) == 50
    layer = layers.Dropout(0.5, seed=1, dtype=str(dtype))
    first, second = layer(x, training=True), layer(x, training=True)
    assert (first != second).any()
    np.testing.assert_array_equal(layers.Dropout(0.5, seed=1, dtype=str(dtype))(x, training=True), first)
    np.testing.assert_array_equal(layers.Dropout(1.0, dtype=str(dtype))(x, training=True), 0)


def test_gaussian_layers_have_their_moments(dtype, isa):
    x = np.full((2000, 50), 2, dtype)
    noise = layers.GaussianNoise(0.5, dtype=str(dtype))(x, training=True) - x
    assert abs(noise.mean()) < 0.01
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    factor = layers.GaussianDropout(0.2, dtype=str(dtype))(x, training=True) / x
    assert factor.mean() == pytest.approx(1, abs=0.01)
    assert factor.std() == pytest.approx(0.5, rel=0.02)


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


def test_a_penalty_on_the_output_is_in_the_loss(rng):
    x, y = rng.standard_normal((12, 4)), rng.standard_normal((12, 2))
    layer = layers.Dense(2, activity_regularizer=regularizers.L1L2(0.1, 0.2), dtype="float64")
    model = lamina.Sequential([layers.Input((4,), dtype="float64"), layer])
    model.compile("sgd", "mse")
    z = x @ layer.kernel.numpy()
    penalty = (0.1 * np.abs(z).sum() + 0.2 * (z * z).sum()) / 12
    assert model.evaluate(x, y, batch_size=12) == pytest.approx(((z - y) ** 2).mean() + penalty, rel=1e-12)
    weighted = model.evaluate(x, y, batch_size=12, sample_weight=np.zeros(12))
    assert weighted == pytest.approx(penalty, rel=1e-12)
    halves = [np.abs(z[i : i + 6]).sum() * 0.1 / 6 + (z[i : i + 6] ** 2).sum() * 0.2 / 6 for i in (0, 6)]
    assert model.evaluate(x, y, batch_size=6) == pytest.approx(((z - y) ** 2).mean() + np.mean(halves), rel=1e-12)
    layer.activity_regularizer = None
    assert model.evaluate(x, y) == pytest.approx(((z - y) ** 2).mean(), rel=1e-12)


def test_adapt_takes_moments_from_data(rng):
    x = rng.standard_normal((500, 3)) * [1, 2, 3] + [5, 6, 7]
    layer = layers.Normalization()
    np.testing.assert_array_equal(layer(x), x.astype("f"))  # not adapted, as in Keras
    assert [v.shape for v in layer.weights] == [(3,), (3,), ()]
    assert not layer.trainable_weights
    model = lamina.Sequential([layer, layers.Dense(1)])
    layer.adapt(x)
    found = layer(x)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(found.std(0), 1, rtol=1e-5)
    before = model.predict(x)
    layer.adapt(2 * x)
    np.testing.assert_allclose(layer(2 * x), found, rtol=1e-4, atol=1e-5)
    assert (model.predict(x) != before).any()
    whole = layers.Normalization(axis=None)
    whole.adapt(x)
    assert whole(x).mean() == pytest.approx(0, abs=1e-5)
    other = lamina.Sequential([layers.Input((3,)), layers.Normalization(axis=None)])
    other.predict_on_batch(x)
    other.set_weights(whole.get_weights())
    np.testing.assert_array_equal(other.predict_on_batch(x), whole(x))
    parts = layers.Normalization()
    parts.adapt((x[i : i + 70], None) for i in range(0, 500, 70))
    np.testing.assert_allclose(parts.mean, x.mean(0)[np.newaxis], rtol=1e-5)
    np.testing.assert_allclose(parts.variance, x.var(0)[np.newaxis], rtol=1e-5)
    elements = layers.Normalization(axis=(1, 2))
    cube = rng.standard_normal((90, 4, 3)) * 3 + 1
    elements.adapt(cube)
    np.testing.assert_allclose(elements(cube), (cube - cube.mean(0)) / cube.std(0), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="mean and variance already"):
        layers.Normalization(mean=0.0, variance=1.0).adapt(x)


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


def test_saving_normalizing_layers_with_rules(tmp_path):
    class Own(lamina.initializers.Ones):
        pass

    for initializer, fits in (("ones", True), (Own(), False)):
        layer = layers.BatchNormalization(
            gamma_initializer=initializer, gamma_regularizer="l2", beta_constraint="non_neg"
        )
        model = lamina.Sequential([layers.Input((3,)), layer])
        if fits:
            model.save(tmp_path / "m.safetensors")
            again = lamina.models.load_model(tmp_path / "m.safetensors").layers[0]
            assert again.get_config() == layer.get_config()
            assert type(again.gamma.regularizer) is regularizers.L2
        else:
            with pytest.raises(ValueError, match="Own must be a class of lamina's"):
                model.save(tmp_path / "m.safetensors")


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


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
def test_a_layer_over_several_axes_takes_rows_of_one_shape(kind, rng):
    layer = kind(axis=(1, 2))
    x = rng.standard_normal((2, 4, 3))
    assert layer(x).shape == (2, 4, 3)
    for shape in [(2, 5, 3), (2, 4, 4), (2, 2, 4, 3)]:
        with pytest.raises(ValueError, match=r"x must have shape \(n, 4, 3\); got"):
            layer(np.ones(shape))


@pytest.mark.parametrize("kind", [layers.LayerNormalization, layers.RMSNormalization])
def test_a_layer_over_the_last_axis_takes_any_number_of_steps(kind, rng):
    layer = kind()
    x = rng.standard_normal((2, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer(x)[:, 0], layer(x[:, 0]))
    counted = kind(axis=2)
    np.testing.assert_array_equal(counted(x), layer(x))
    assert counted(np.ones((2, 5, 3))).shape == (2, 5, 3)
    with pytest.raises(ValueError, match="axis must be the last axis"):
        counted(np.ones((2, 2, 4, 3)))


def test_batch_normalization_checks_arguments_that_have_no_effect():
    with pytest.raises(TypeError, match="renorm_momentum"):
        layers.BatchNormalization(renorm_momentum="fast")
