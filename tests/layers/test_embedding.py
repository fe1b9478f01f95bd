"""Rows of a table, looked up: the same numbers as with a dense layer on one-hot rows."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import OPTIMIZERS, language_model

import lamina
from lamina import layers, losses, optimizers, regularizers


def one_hot_twin(model, optimizer, dtype, dim, penalty):
    """The same network fed by one-hot rows: the table is a dense kernel without bias."""
    twin = lamina.Sequential(
        [
            lamina.Input((6, 50), dtype=dtype),
            layers.Dense(dim, use_bias=False, dtype=dtype, kernel_regularizer=penalty),
            layers.Flatten(dtype=dtype),
            layers.Dense(40, "tanh", dtype=dtype),
            layers.Dense(3, "softmax", dtype=dtype),
        ]
    )
    twin.set_weights(model.get_weights())
    twin.compile(OPTIMIZERS[optimizer](), "sparse_categorical_crossentropy")
    return twin


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("dim", [1, 32, 33, 100])
@pytest.mark.parametrize("penalty", [None, regularizers.L2(0.01)])
def test_an_embedding_trains_as_a_dense_layer_on_one_hot_rows(optimizer, dim, penalty, dtype, rng):
    x, y = rng.integers(0, 50, (150, 6)), rng.integers(0, 3, 150)
    model = language_model(optimizer, dtype, dim, penalty)
    twin = one_hot_twin(model, optimizer, dtype, dim, penalty)
    one_hot = np.eye(50, dtype=dtype)[x]
    wanted = twin.fit(one_hot, y, batch_size=32, epochs=3, shuffle=False, verbose=0).history["loss"]
    found = model.fit(x, y, batch_size=32, epochs=3, shuffle=False, verbose=0).history["loss"]
    tolerance = 2e-4 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(found, wanted, rtol=tolerance)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(model.predict(x), twin.predict(one_hot), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ["uint8", "int16", "int64", "uint32", "float32", "float64", ">i4"])
def test_an_embedding_reads_whole_numbers_of_any_type(kind, rng):
    x = rng.integers(0, 50, (20, 6))
    model = language_model()
    wanted = model.predict(x)
    np.testing.assert_array_equal(model.predict(x.astype(kind)), wanted)
    np.testing.assert_array_equal(model.predict(np.asfortranarray(x.astype(kind))), wanted)
    np.testing.assert_array_equal(model.predict(x.tolist()), wanted)
    np.testing.assert_array_equal(model.predict_on_batch(x.astype(kind)), wanted)


@pytest.mark.parametrize("bad", [-1, 50, 2**40])
def test_numbers_outside_the_table_raise_and_change_nothing(bad, rng):
    x, y = rng.integers(0, 50, (20, 6)), rng.integers(0, 3, 20)
    x[7, 2] = bad
    model = language_model()
    before = model.get_weights()
    for call in (lambda: model.fit(x, y, verbose=0), lambda: model.predict(x), lambda: model.layers[0](x)):
        with pytest.raises(ValueError, match=r"\[0, 50\).*row 7"):
            call()
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="whole numbers"):
        model.predict(np.full((2, 6), 0.5))


def test_an_embedding_elsewhere_raises():
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(3), layers.Embedding(5, 2)])
    with pytest.raises(ValueError, match="first layer"):
        model.predict(np.zeros((1, 5)))


def test_an_embedding_is_saved(tmp_path, rng):
    x, y = rng.integers(0, 50, (40, 6)), rng.integers(0, 3, 40)
    model = language_model("adam")
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.safetensors")
    loaded = lamina.models.load_model(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(loaded.predict(x), model.predict(x))
    again = layers.Embedding.from_config(model.layers[0].get_config())
    assert again.get_config() == model.layers[0].get_config()
    for a in (loaded, model):
        a.fit(x, y, verbose=0, shuffle=False)
    for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_of_an_embedding_are_right(rng):
    x, y = rng.integers(0, 50, (12, 6)), rng.integers(0, 3, 12)
    model = language_model(dtype="float64", penalty=regularizers.L2(0.01))
    model.compile(optimizers.SGD(0.1), losses.SparseCategoricalCrossentropy())
    lamina.utils.check_gradients(model, x, y)


@pytest.mark.parametrize("value", [52, 10**8, -3])
def test_indices_that_change_after_the_check_raise_and_touch_nothing_else(value, rng):
    x, y = rng.integers(0, 50, (60, 6)), rng.integers(0, 3, 60)

    class Spoil(lamina.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                x[:] = value

    model = language_model()
    with pytest.raises(ValueError, match="must stay as it is while it is read"):
        model.fit(x, y, epochs=2, verbose=0, callbacks=[Spoil()])
    assert model.optimizer.iterations == 2
    assert np.isfinite(model.get_weights()[0]).all()


def test_embedding_takes_keras_arguments():
    table = np.arange(10.0).reshape(5, 2)
    for weights in (table, [table]):
        layer = layers.Embedding(5, 2, weights=weights)
        np.testing.assert_array_equal(layer(np.array([[4, 0, 1]])), table.astype("f")[[[4, 0, 1]]])
    with pytest.raises(ValueError, match=r"weights must have shape \(5, 2\)"):
        layers.Embedding(5, 2, weights=table.T)


def test_the_mask_says_which_indices_are_not_0():
    assert layers.Embedding(4, 2, mask_zero=True).compute_mask([[0, 1], [3, 0]]).tolist() == [
        [False, True], [True, False],
    ]  # fmt: skip
    assert layers.Embedding(4, 2).compute_mask([[0, 1]]) is None
