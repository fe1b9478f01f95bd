"""Utilities."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import classification_model
from helpers import blobs

import lamina
from lamina import layers, losses, utils


def test_to_categorical():
    np.testing.assert_array_equal(utils.to_categorical([0, 2, 1]), np.eye(3)[[0, 2, 1]])
    assert utils.to_categorical([0, 1]).dtype == np.float64
    assert utils.to_categorical([[1], [0]], 4).shape == (2, 4)
    assert utils.to_categorical([[1, 0], [0, 1]]).shape == (2, 2, 2)
    assert utils.to_categorical([], 3).shape == (0, 3)
    with pytest.raises(ValueError, match=r"x must be in \[0, 2\)"):
        utils.to_categorical([0, 2], 2)
    with pytest.raises(ValueError, match="whole class numbers"):
        utils.to_categorical([0.5])


def test_data_are_split_at_the_same_rows():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (a, b), (c, d) = utils.split_dataset((x, y), left_size=0.7)
    for found, expected in ((a, x[:7]), (b, y[:7]), (c, x[7:]), (d, y[7:])):
        np.testing.assert_array_equal(found, expected)
    left, right = utils.split_dataset(y, left_size=3, right_size=0.2)
    assert (left.tolist(), right.tolist()) == ([0, 1, 2], [8, 9])
    for wrong in ({}, {"left_size": 0.7, "right_size": 0.7}, {"left_size": 11}, {"left_size": 1.5}):
        with pytest.raises(ValueError, match="split_dataset"):
            utils.split_dataset(y, **wrong)
    with pytest.raises(ValueError, match="same number of rows"):
        utils.split_dataset((x, y[:3]), left_size=1)


def test_data_are_shuffled_by_their_seed():
    x, y = np.arange(20).reshape(10, 2), np.arange(10)
    (a, b), (c, d) = utils.split_dataset((x, y), right_size=4, shuffle=True, seed=1)
    assert sorted([*b, *d]) == list(range(10))
    assert b.tolist() != list(range(6))
    np.testing.assert_array_equal(np.concatenate([a, c])[:, 0], 2 * np.concatenate([b, d]))
    again = utils.split_dataset((x, y), right_size=4, shuffle=True, seed=1)
    np.testing.assert_array_equal(again[0][1], b)


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, -1])
def test_rows_are_divided_by_their_norms(order, axis, rng, dtype):
    x = (rng.standard_normal((4, 5)) * 100).astype(dtype)
    x[:, 2] = x[1] = 0
    norms = (np.abs(x.astype(float)) ** order).sum(axis=axis, keepdims=True) ** (1 / order)
    found = utils.normalize(x, axis, order)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, x / np.where(norms == 0, 1, norms), rtol=10 * np.finfo(dtype).eps)
    np.testing.assert_allclose(utils.normalize([[3, 4], [0, 0]]), [[0.6, 0.8], [0, 0]])


def test_gradients_are_checked_by_differences(rng):
    model = lamina.Sequential([lamina.Input((3,)), layers.Dense(4, "tanh"), layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    before = model.get_weights()
    assert utils.check_gradients(model, x, y) < 1e-6
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_seeds_are_set_for_all_streams():
    def drawn():
        model = lamina.Sequential([lamina.Input((3,)), layers.Dense(2)])
        return [*model.get_weights(), np.random.rand(2)]

    utils.set_random_seed(3)
    first, second = drawn(), drawn()
    utils.set_random_seed(3)
    assert all(map(np.array_equal, drawn(), first))
    assert not np.array_equal(first[0], second[0])


def test_batches_of_ones_own():
    class Squares(utils.PyDataset):
        def __len__(self):
            return 3

        def __getitem__(self, index):
            x = np.full((2, 1), index, "f")
            return x, x**2

    data = Squares()
    assert data.num_batches == 3
    model = lamina.Sequential([lamina.Input((1,)), layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse")
    assert model.evaluate(data, verbose=0) == pytest.approx(np.mean([(i - i**2) ** 2 for i in range(3)]))
    with pytest.raises(NotImplementedError):
        len(utils.PyDataset())


def test_classes_are_registered_under_a_name():
    @utils.register_keras_serializable("own", "Cube")
    class Thing(lamina.regularizers.L2):
        pass

    assert utils.get_registered_name(Thing) == "own>Cube"
    assert utils.get_registered_object("own>Cube") is Thing
    assert utils.get_registered_object("own>Sphere") is None
    assert type(lamina.regularizers.get(lamina.regularizers.serialize(Thing()))) is Thing
    with utils.custom_object_scope({"Sphere": Thing}):
        assert type(lamina.regularizers.get("Sphere")) is Thing
    utils.get_custom_objects()["Ball"] = Thing
    assert type(lamina.regularizers.get("Ball")) is Thing
    del utils.get_custom_objects()["Ball"]
    with pytest.raises(ValueError, match="regularizer must be one of"):
        lamina.regularizers.get("Ball")


def test_check_gradients_of_a_frozen_model_and_its_messages(rng):
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="check_gradients: x must have shape"):
        utils.check_gradients(model, np.zeros((2, 5)), np.zeros((2, 3)))
    model.trainable = False
    assert utils.check_gradients(model, np.zeros((2, 4)), np.zeros((2, 3))) == 0
    model.flat_weights = model.flat_weights
    assert model.flat_weights.shape == (0,)


def test_check_gradients_sees_a_wrong_gradient(rng):
    class Wrong(losses.Loss):
        def value_and_gradient(self, y_true, y_pred):
            return ((y_pred - y_true) ** 2).mean(axis=1), (y_true - y_pred) * 2 / y_pred.shape[1]

    model = classification_model()
    x, y = blobs(rng, 6)
    assert utils.check_gradients(model, x, y) < 1e-6
    model.compile(loss=Wrong())
    assert utils.check_gradients(model, x, np.eye(3)[y]) > 0.5
    model.compile(loss="sparse_categorical_crossentropy")
    counter = lamina.random.global_seeds.counter
    model.layers[0].bias.assign(np.full(5, np.nan))
    assert np.isnan(utils.check_gradients(model, x, y))
    assert lamina.random.global_seeds.counter == counter


def test_sequences_are_datasets_of_batches(rng):
    class Rows(utils.Sequence):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            return x[3 * index : 3 * index + 3], y[3 * index : 3 * index + 3]

    assert utils.Sequence is utils.PyDataset
    x, y = rng.standard_normal((12, 2)), rng.standard_normal((12, 1))
    found = []
    for data in ((Rows(),), (x, y)):
        utils.set_random_seed(0)
        model = lamina.Sequential([lamina.Input((2,)), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(*data, batch_size=None if len(data) == 1 else 3, shuffle=False, verbose=0)
        found.append(model.get_weights())
    assert all(map(np.array_equal, *found))


def test_objects_are_known_within_their_scope():
    class Sphere(lamina.regularizers.L2):
        pass

    class Cube(lamina.regularizers.L1):
        pass

    def known():
        return [utils.get_registered_object(name) for name in ("Body", "Other")]

    assert utils.CustomObjectScope is utils.custom_object_scope
    with utils.CustomObjectScope({"Body": Sphere}):
        assert known() == [Sphere, None]
        with utils.CustomObjectScope({"Body": Cube, "Other": Sphere}):  # the inner one counts
            assert known() == [Cube, Sphere]
            assert type(lamina.regularizers.get("Body")) is Cube
        assert known() == [Sphere, None]
        with pytest.raises(ZeroDivisionError), utils.CustomObjectScope({"Other": Cube}):
            raise ZeroDivisionError
        assert known() == [Sphere, None]
    assert known() == [None, None]
    with pytest.raises(TypeError, match="custom_objects must be"), utils.CustomObjectScope([Sphere]):
        pass


def test_sequences_of_numbers_are_padded_and_cut():
    rows = [[1], [2, 3, 4], []]
    np.testing.assert_array_equal(utils.pad_sequences(rows), [[0, 0, 1], [2, 3, 4], [0, 0, 0]])
    assert utils.pad_sequences(rows).dtype == np.int32
    found = utils.pad_sequences(rows, 2, "float64", padding="post", truncating="post", value=-1.5)
    np.testing.assert_array_equal(found, [[1, -1.5], [2, 3], [-1.5, -1.5]])
    np.testing.assert_array_equal(utils.pad_sequences(rows, 2, truncating="pre"), [[0, 1], [3, 4], [0, 0]])


def test_a_new_session_counts_names_from_the_beginning():
    first, second = layers.Dense(1), layers.Dense(1)
    assert second.name != first.name
    utils.clear_session()
    assert layers.Dense(1).name == first.name
