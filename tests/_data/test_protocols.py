"""What other libraries hold is read in their memory, by the protocols that they have; missing values are refused."""

import array

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina._data.arrays import real_array

X = np.random.default_rng(0).normal(size=(6, 4)).astype("f")


class ByDlpack:
    def __init__(self, held):
        self.held = held

    def __dlpack__(self, **arguments):
        return self.held.__dlpack__(**arguments)

    def __dlpack_device__(self):
        return self.held.__dlpack_device__()

    def __len__(self):
        return len(self.held)

    def __getitem__(self, key):
        return self.held[key]


class OnAnotherDevice(ByDlpack):
    def __dlpack_device__(self):
        return (2, 0)

    def __dlpack__(self, **arguments):
        raise BufferError("a GPU's memory")


class ByInterface:
    def __init__(self, held):
        self.held, self.__array_interface__ = held, held.__array_interface__


class ByArray:
    def __init__(self, held):
        self.held = held

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.held, dtype)


HOLDERS = [ByDlpack, ByInterface, ByArray, memoryview]


@pytest.fixture
def model():
    found = lamina.Sequential([lamina.Input((4,)), layers.Dense(3, "tanh"), layers.Dense(1)])
    found.compile("sgd", "mse")
    return found


@pytest.mark.parametrize("holder", HOLDERS)
def test_memory_is_shared(holder, model):
    assert np.shares_memory(real_array("who", "x", holder(X)), X)
    expected = model.predict(X, verbose=0)
    np.testing.assert_array_equal(model.predict(holder(X), verbose=0), expected)
    np.testing.assert_array_equal(model.predict_on_batch(holder(X)), expected)
    np.testing.assert_array_equal(model(holder(X)), expected)


@pytest.mark.parametrize("holder", HOLDERS)
def test_models_train_on_them(holder, model):
    y, weights = X[:, :1].copy(), np.ones(6, "f")
    start = model.get_weights()
    results = []
    for given in (lambda held: held, holder):
        model.set_weights(start)
        model.fit(given(X), given(y), sample_weight=given(weights), epochs=2, shuffle=False, verbose=0)
        results.append([*model.get_weights(), model.evaluate(given(X), given(y), verbose=0)])
        results[-1].append(model.train_on_batch(given(X), given(y)))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_cannot_be_read_is_refused_in_words(model):
    for holder in (OnAnotherDevice(X), ByDlpack(3)):
        with pytest.raises((TypeError, AttributeError), match="x must be an array|__dlpack"):
            model.predict(holder, verbose=0)


def test_numbers_of_half_the_size():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    held = X.astype(ml_dtypes.bfloat16)
    found = real_array("who", "x", held)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, held.astype("f"))


def test_arrow_is_read_in_its_memory():
    pa = pytest.importorskip("pyarrow")
    flat = X.ravel()
    assert np.shares_memory(real_array("who", "x", pa.array(flat)), flat)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(X)
    assert np.shares_memory(real_array("who", "x", tensors), X)
    table = pa.table({name: X[:, column] for column, name in enumerate("abcd")})
    np.testing.assert_array_equal(real_array("who", "x", table), X)


def test_missing_values_are_refused():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    for missing, whole in (
        (pa.array([1.0, None]), pa.array([1.0, np.nan])),
        (pa.chunked_array([[1.0], [None]]), pa.chunked_array([[1.0], [np.nan]])),
        (pl.Series([1.0, None]), pl.Series([1.0, np.nan])),
    ):
        with pytest.raises(ValueError, match="who: x must have no missing values; there are 1. Fill them first"):
            real_array("who", "x", missing)
        np.testing.assert_array_equal(real_array("who", "x", whole), [1, np.nan])
    for missing in (pa.table({"a": [1.0, 2.0], "b": [None, 3.0]}), pl.DataFrame({"a": [1.0, 2.0], "b": [None, 3.0]})):
        with pytest.raises(ValueError, match="there are 1 in column 1"):
            real_array("who", "x", missing)


def test_plain_buffers():
    held = array.array("d", [1.0, 2.0, 3.0])
    assert np.shares_memory(real_array("who", "x", held), np.asarray(held))


def test_values_that_are_missing_inside_of_lists():
    pa, pl = pytest.importorskip("pyarrow"), pytest.importorskip("polars")
    inner = pl.Series([[1.0, None], [3.0, 4.0]], dtype=pl.Array(pl.Float64, 2))
    for held in (inner, [pl.Series([1.0, None]), pl.Series([2.0, 3.0])]):
        with pytest.raises(ValueError, match="must have no missing values; there are 1"):
            real_array("who", "x", held)
    whole = pl.Series([[1.0, 2.0], [3.0, 4.0]], dtype=pl.Array(pl.Float64, 2))
    np.testing.assert_array_equal(real_array("who", "x", whole), [[1, 2], [3, 4]])
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float64(), (2,)),
        pa.array([[1.0, None], [3.0, 4.0]], pa.list_(pa.float64(), 2)),
    )
    with pytest.raises(ValueError, match="must have no missing values; there are 1"):
        real_array("who", "x", tensors)
