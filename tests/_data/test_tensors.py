from __future__ import annotations

import copy
import json
import math
import pickle

import numpy as np
import pytest

import lamina
from lamina import activations, layers, losses, metrics, regularizers
from lamina._data.tensors import Tensor, tensor


def small_model():
    return lamina.Sequential([lamina.Input((3,)), layers.Dense(4, "relu"), layers.Dense(2)])


X = np.linspace(-1, 1, 12).reshape(4, 3).astype("f")
Y = np.ones((4, 2), "f")
MADE = {
    "model": lambda: small_model()(X),
    "model in training": lambda: small_model()(X, training=True),
    "nested model": lambda: lamina.Sequential([small_model()])(X),
    "layer": lambda: layers.Dense(3)(X),
    "layer of one row": lambda: layers.Activation("relu")(X[0]),
    "embedding": lambda: layers.Embedding(5, 2)(np.array([1, 2])),
    "activation": lambda: activations.tanh(X),
    "activation along an axis": lambda: activations.softmax(X, axis=0),
    "general activation": lambda: activations.relu(X, max_value=1),
    "loss": lambda: losses.MeanSquaredError()(Y, Y),
    "losses of rows": lambda: losses.MeanSquaredError(reduction=None)(Y, Y),
    "function of a loss": lambda: losses.mean_squared_error(Y, Y),
    "metric": lambda: metrics.MeanAbsoluteError()(Y, Y),
    "mean": lambda: metrics.Mean()([1.0, 2.0]),
    "sum": lambda: metrics.Sum().result(),
    "area": lambda: metrics.AUC()([0, 1], [0.2, 0.7]),
    "precision at thresholds": lambda: metrics.Precision([0.2, 0.4])([0, 1], [0.2, 0.7]),
    "score": lambda: metrics.R2Score().result(),
    "scores": lambda: metrics.F1Score()([[0, 1], [1, 0]], [[0.2, 0.7], [0.9, 0.1]]),
    "trade-off": lambda: metrics.PrecisionAtRecall(0.5)([0, 1], [0.2, 0.7]),
    "root": lambda: metrics.RootMeanSquaredError()(Y, 0 * Y),
    "similarity": lambda: metrics.CosineSimilarity()(Y, Y),
    "penalty": lambda: regularizers.L2(0.1)(X),
    "penalty of a layer": lambda: sum(
        lamina.Sequential([lamina.Input((3,)), layers.Dense(2, kernel_regularizer="l2")]).losses
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_what_comes_back_is_an_array_with_numpy(name):
    found = MADE[name]()
    assert isinstance(found, np.ndarray)
    plain = found.numpy()
    assert not isinstance(plain, Tensor)
    np.testing.assert_array_equal(plain, found)
    assert plain.dtype == found.dtype
    if found.ndim:
        assert type(plain) is np.ndarray
        assert np.shares_memory(plain, found)
        assert isinstance(found[0].numpy(), np.ndarray if found.ndim > 1 else np.generic)
        assert found[(0,) * found.ndim].numpy() == plain.flat[0]
    else:
        assert isinstance(plain, float)


def test_predictions_are_plain_arrays():
    model = small_model()
    assert {type(model.predict(X)), type(model.predict_on_batch(X))} == {np.ndarray}
    assert type(model.get_weights()[0]) is np.ndarray
    model.compile("sgd", "mse", metrics=["mae"])
    assert {type(value) for value in model.evaluate(X, Y, verbose=0)} == {float}
    history = model.fit(X, Y, verbose=0, validation_data=(X, Y)).history
    assert {type(values[0]) for values in history.values()} == {float}


def repr_of(t):
    return repr(t).replace("Tensor", "array").replace(" ", "")


FUNCTIONS = [
    lambda t: t + 1, lambda t: 1 - t, lambda t: t * t, lambda t: t / 2, lambda t: t**2, lambda t: -t, abs,
    lambda t: t > 0, lambda t: t == t, lambda t: np.exp(t), np.mean, np.sum, np.std, np.max, np.argmax, np.median,
    np.any, np.isnan, lambda t: np.clip(t, 0, 1), lambda t: np.round(t, 1), lambda t: np.where(t > 0, t, 0),
    lambda t: np.sum(t, axis=0), lambda t: np.concatenate([np.atleast_1d(t), np.ones(np.shape(np.atleast_1d(t)))]),
    lambda t: t.mean(), lambda t: t.T, lambda t: np.sort(t, axis=None), lambda t: np.expand_dims(t, 0),
    lambda t: np.allclose(t, t), lambda t: t.reshape(-1), lambda t: t.astype("f8"),
    lambda t: np.multiply(t, np.ones_like(t)), lambda t: np.linalg.norm(t), lambda t: t.tolist(),
    lambda t: np.array_equal(t, t), str, repr_of, lambda t: np.stack([t, t]), lambda t: np.percentile(t, 30),
    lambda t: np.ravel(t), lambda t: sum([t, t]), lambda t: np.random.default_rng(0).permutation(np.ravel(t)),
    lambda t: len(np.atleast_1d(t)),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore")  # means of empty arrays
@pytest.mark.parametrize("number", range(len(FUNCTIONS)))
@pytest.mark.parametrize("values", [X, X[0], X[:0], np.float32(0.7), np.float64(-3.25), np.arange(4)], ids=repr)
def test_functions_give_what_they_give_for_arrays(number, values):
    function = FUNCTIONS[number]
    try:
        expected = function(np.asarray(values))
    except (ValueError, IndexError) as error:
        with pytest.raises(type(error)):
            function(tensor(values))
        return
    found = function(tensor(values))
    np.testing.assert_array_equal(found, expected)
    assert np.shape(found) == np.shape(expected)
    if isinstance(expected, (np.ndarray, np.generic)):
        assert found.dtype == expected.dtype


def test_a_tensor_without_axes_acts_as_a_number():
    loss = tensor(0.123456)
    assert f"{loss:.3f} {float(loss):.1f} {loss!s}" == "0.123 0.1 0.123456"
    assert round(loss, 2) == 0.12
    assert round(tensor(2.6)) == 3
    assert math.sqrt(tensor(4.0)) == 2
    assert int(tensor(2.6)) == 2
    assert {loss: 1}[0.123456] == 1
    assert loss.item() == 0.123456
    assert json.dumps([loss.numpy(), loss.item()]) == "[0.123456, 0.123456]"
    assert loss < 1
    assert not loss > 1
    assert max([tensor(1.0), tensor(3.0), tensor(2.0)]) == 3
    assert (2 * loss + loss).numpy() == 2 * 0.123456 + 0.123456
    with pytest.raises(TypeError, match="unhashable"):
        hash(tensor([1.0]))


def test_in_place_operators_leave_numbers_of_others_alone():
    loss = total = tensor(3.0)
    total += 1
    total *= 2
    total -= 1
    total /= 7
    total **= 2
    total //= 1
    total %= 3
    assert (loss, total) == (3, 1)
    whole = bits = tensor(6)
    bits &= 3
    bits |= 8
    bits ^= 1
    bits <<= 2
    bits >>= 1
    assert (whole, bits) == (6, 22)
    array = same = tensor([1.0, 2.0])
    same += 1
    same[0] = 9
    assert array.tolist() == [9, 3]


def test_tensors_are_read_as_arrays(rng):
    model = small_model()
    x = layers.Dense(3)(X)
    np.testing.assert_array_equal(model(x), model.predict(x.numpy()))
    model.compile("sgd", "mse")
    model.fit(x, model(x), verbose=0)
    for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        np.testing.assert_array_equal(again.numpy(), x)
    model.set_weights([tensor(w) for w in model.get_weights()])
    assert type(model.layers[0].kernel.numpy()) is np.ndarray


def test_metrics_of_users_may_return_either():
    class Twice(metrics.Mean):
        def result(self):
            return 2 * super().result()

    class Plain(metrics.MeanAbsoluteError):
        def result(self):
            return float(super().result()) + 1

    assert Twice()([1.0]).numpy() == 2
    model = small_model()
    model.compile("sgd", "mse", metrics=[Plain(name="plain")])
    assert isinstance(model.evaluate(X, Y, verbose=0)[1], float)
