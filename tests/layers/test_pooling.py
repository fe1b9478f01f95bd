"""Pooling of steps: their mean, with and without a mask, and their largest values."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import same
from tolerances import EPS

import lamina
from lamina import layers, utils

POOLINGS = {"GlobalAveragePooling1D": np.mean, "GlobalMaxPooling1D": np.max}


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("features", [1, 3, 16, 31, 32, 33, 100])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 130])
def test_pooling_is_that_of_numpy(name, features, steps, dtype, isa, rng):
    x = rng.standard_normal((9, steps, features)).astype(dtype)
    layer = getattr(layers, name)(dtype=str(dtype))
    wanted = POOLINGS[name](x.astype("f8"), axis=1)
    np.testing.assert_allclose(layer(x), wanted, atol=20 * EPS[np.dtype(dtype)])
    assert layer.output_shape == (None, features)
    kept = getattr(layers, name)(keepdims=True, dtype=str(dtype))
    assert kept(x).shape == (9, 1, features)
    assert same([kept(x)[:, 0]], [layer(x)])


def network(name, dtype, steps, mask_zero=False, between=(), keepdims=False):
    """Embedding, other layers, a pooling and an output."""
    utils.set_random_seed(1)
    pool = getattr(layers, name)(keepdims=keepdims, dtype=str(dtype))
    model = lamina.Sequential(
        [
            lamina.Input((steps,), dtype="int32"), layers.Embedding(11, 5, mask_zero=mask_zero, dtype=str(dtype)),
            *between, pool, *([layers.Flatten(dtype=str(dtype))] if keepdims else []),
            layers.Dense(2, dtype=str(dtype)),
        ]
    )  # fmt: skip
    model.compile("adam", "mse")
    return model


def oracle(model, x, name, masked, hidden=None):
    """The prediction in NumPy float64."""
    table, *others = [np.asarray(w, "f8") for w in model.get_weights()]
    h = table[x]
    if hidden is not None:
        h = hidden(h @ others[0] + others[1])
        others = others[2:]
    if name == "GlobalMaxPooling1D":
        pooled = h.max(axis=1)
    else:
        weight = (x != 0) if masked else np.ones(x.shape)
        with np.errstate(invalid="ignore"):
            pooled = (h * weight[:, :, None]).sum(axis=1) / weight.sum(axis=1, keepdims=True)
    return pooled @ others[0] + others[1]


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("kind", ["int32", "uint8", "int64", "float32"])
def test_words_are_pooled_and_those_of_index_0_left_out(name, mask_zero, deep, kind, dtype, rng):
    x = rng.integers(0, 11, (70, 6))
    x[:, 3:] *= rng.integers(0, 2, (70, 3))
    x[:, 0] = 1 + x[:, 0] % 10
    between = [layers.Dense(7, "tanh", dtype=str(dtype)), layers.Dropout(0.0, dtype=str(dtype))] if deep else []
    model = network(name, dtype, 6, mask_zero, between)
    wanted = oracle(model, x, name, mask_zero, np.tanh if deep else None)
    np.testing.assert_allclose(model.predict(x.astype(kind)), wanted, atol=100 * EPS[np.dtype(dtype)])
    np.testing.assert_allclose(
        model.predict(np.asfortranarray(x).astype(kind)[:3]), wanted[:3], atol=100 * EPS[np.dtype(dtype)]
    )


@pytest.mark.parametrize("deep", [False, True])
def test_the_mean_of_masked_words_only_is_nan(deep, rng):
    model = network("GlobalAveragePooling1D", "float32", 4, True, [layers.Dense(3)] if deep else [])
    found = model.predict(np.array([[0, 0, 0, 0], [0, 2, 0, 0]]))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("mask_zero", [False, True])
@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("keepdims", [False, True])
def test_gradients_are_those_of_finite_differences(name, mask_zero, between, keepdims, rng):
    hidden = [layers.Dense(4, "tanh", dtype="float64")] if between else []
    model = network(name, "float64", 5, mask_zero, hidden, keepdims)
    x = rng.integers(0, 11, (40, 5))
    x[:, 0] = 1 + x[:, 0] % 10
    if name == "GlobalMaxPooling1D":  # no ties: the derivative is that of one of them
        x = np.array([rng.permutation(11)[:5] for _ in range(40)])
    assert utils.check_gradients(model, x, rng.standard_normal((40, 2))) < 1e-6


def test_the_gradient_of_a_largest_value_is_shared_by_all_that_have_it():
    inputs = np.zeros((1, 4, 1))
    inputs[0, 1:3] = 5
    model = lamina.Sequential(
        [
            lamina.Input((4, 1)), layers.Dense(1, kernel_initializer="ones", name="d"),
            layers.GlobalMaxPooling1D(), layers.Dense(1, kernel_initializer="ones"),
        ]
    )  # fmt: skip
    model.compile(lamina.optimizers.SGD(0.01), "mse")
    model.fit(inputs, np.array([[4.0]]), verbose=0)
    # dL/dy = 2 (5 - 4) = 2, half of it for each of two lines of 5: the gradient of w is 2 · 5.
    assert model.layers[0].get_weights()[0][0, 0] == pytest.approx(1 - 0.01 * 10)
    assert model.layers[0].get_weights()[1][0] == pytest.approx(-0.01 * 2)


def test_a_nan_among_the_steps_is_the_largest(rng):
    x = rng.standard_normal((3, 5, 4))
    x[1, 2, 3] = np.nan
    found = layers.GlobalMaxPooling1D()(x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(x.max(axis=1)))


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("between", [False, True])
@pytest.mark.parametrize("mask_zero", [False, True])
def test_bits_do_not_depend_on_threads(name, between, mask_zero, restore_threads, rng):
    x, y = rng.integers(0, 11, (700, 7)), rng.standard_normal((700, 2))
    x[:, 0] = 1 + x[:, 0] % 10
    found = []
    for threads in (1, 2, 3, 4):
        lamina.set_num_threads(threads)
        utils.set_random_seed(1)
        noise = [layers.SpatialDropout1D(0.3, seed=3), layers.Dense(40, "relu")] if between else []
        model = network(name, "float32", 7, mask_zero, noise)
        for size in (700, 64):
            model.fit(x, y, batch_size=size, epochs=2, verbose=0)
        found.append([*model.get_weights(), model.predict(x)])
    assert all(same(found[0], other) for other in found[1:])


def test_a_mask_ends_where_keras_ends_it(rng):
    """Layers that do not pass masks on, and a Flatten, leave the mean over all steps."""
    x = np.array([[1, 2, 0, 0], [3, 0, 0, 0]])
    masked = network("GlobalAveragePooling1D", "float32", 4, True, [layers.LayerNormalization()])
    plain = network("GlobalAveragePooling1D", "float32", 4, False, [layers.LayerNormalization()])
    assert not same([masked.predict(x)], [plain.predict(x)])
    dropped = network("GlobalAveragePooling1D", "float32", 4, True, [layers.RMSNormalization()])
    plain = network("GlobalAveragePooling1D", "float32", 4, False, [layers.RMSNormalization()])
    assert same([dropped.predict(x)], [plain.predict(x)])


@pytest.mark.parametrize("name", POOLINGS)
def test_pooling_says_what_it_cannot_read(name):
    kind = getattr(layers, name)
    for shape in ((3,), (2, 3, 4)):
        with pytest.raises(ValueError, match=r"input must have shape \(n, steps, features\)"):
            kind()(np.zeros((2, *shape)))
    with pytest.raises(ValueError, match="data_format must be one of"):
        kind(data_format="channels_first")
    with pytest.raises(ValueError, match="mask must be None"):
        kind()(np.zeros((2, 3, 4)), mask=np.ones((2, 3)))


def test_keras_shorter_names_are_the_same_layers():
    assert layers.GlobalAvgPool1D is layers.GlobalAveragePooling1D
    assert layers.GlobalMaxPool1D is layers.GlobalMaxPooling1D
    config = layers.serialize(layers.GlobalAvgPool1D(keepdims=True))
    assert config["class_name"] == "GlobalAveragePooling1D"
    assert layers.deserialize(config).keepdims is True


@pytest.mark.parametrize("steps", [lambda x: x[:, 1:], lambda x: lamina.ops.concatenate([x] * 50, axis=1)])
def test_a_mask_of_other_steps_is_refused(steps):
    class Steps(layers.Layer):
        supports_masking = True

        def call(self, x):
            return steps(x)

    model = lamina.Sequential(
        [lamina.Input((6,), dtype="int32"), layers.Embedding(7, 3, mask_zero=True), Steps(), layers.GlobalAvgPool1D()]
    )
    with pytest.raises(ValueError, match="reads a mask of 6 steps"):
        model.predict(np.ones((30, 6), int))
