"""Variables of integers: counters and tables of layers that users write."""

import copy
import pickle

import numpy as np
import pytest

import lamina
from lamina import layers, ops


@lamina.saving.register_keras_serializable("tests")
class Counted(layers.Layer):
    """Counts its calls in training, and the rows of each class; multiplies by a weight."""

    def __init__(self, **named):
        super().__init__(**named)
        self.calls = self.add_weight(shape=(), dtype="int32", initializer="zeros", trainable=False, name="calls")
        self.flags = lamina.Variable([True, False], dtype="bool", trainable=False, name="flags")

    def build(self, input_shape):
        self.factor = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="factor")
        self.rows = lamina.Variable(np.zeros(3, "int64"), name="rows")
        self.built = True

    def call(self, x, training=False):
        if training:
            self.calls.assign_add(1)
            self.rows.assign_add([len(x), 0, 1])
        return x * self.factor + ops.cast(self.calls, "float32")


def _trained(rng):
    x, y = rng.standard_normal((8, 3)).astype("f"), rng.standard_normal((8, 1)).astype("f")
    model = lamina.Sequential([Counted(), layers.Dense(1)])
    model.compile("adam", "mse")
    model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    return model, x, y


def test_integers_are_counted_in_training(rng):
    model, x, y = _trained(rng)
    layer = model.layers[0]
    assert layer.calls.numpy() == 4
    assert layer.rows.numpy().tolist() == [16, 0, 4]
    assert layer.rows.dtype == "int64"
    model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    assert layer.calls.numpy() == 4
    assert [v.name for v in layer.trainable_weights] == ["factor"]
    assert [v.name for v in layer.non_trainable_weights] == ["calls", "flags", "rows"]
    assert [v.name for v in layer.weights] == ["factor", "calls", "flags", "rows"]
    assert [array.dtype for array in layer.get_weights()] == ["float32", "int32", "bool", "int64"]


@pytest.mark.parametrize("name", ["model.keras", "model.safetensors"])
def test_files_hold_integers(name, rng, tmp_path):
    model, x, y = _trained(rng)
    model.save(tmp_path / name)
    again = lamina.models.load_model(tmp_path / name)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    again.fit(x, y, batch_size=8, verbose=0)
    assert again.layers[0].calls.numpy() == 5


def test_weight_files_hold_integers(rng, tmp_path):
    model, _, _ = _trained(rng)
    for name in ("one.weights.h5", "two.safetensors"):
        model.save_weights(tmp_path / name)
        other = lamina.Sequential([Counted(), layers.Dense(1)])
        other.build((None, 3))
        other.load_weights(tmp_path / name)
        for mine, its in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_array_equal(mine, its)


def test_copies_are_independent(rng):
    model, x, y = _trained(rng)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), lamina.models.clone_model(model)):
        before = other.layers[0].calls.numpy()
        model.fit(x, y, epochs=1, verbose=0)
        assert other.layers[0].calls.numpy() == before
        other.set_weights(model.get_weights())
        assert other.layers[0].calls.numpy() == model.layers[0].calls.numpy()


def test_dtypes_of_variables_are_checked():
    layer = layers.Layer()
    with pytest.raises(ValueError, match="dtype of a must be the layer's, float32, or one of integers"):
        layer.add_weight(shape=(2,), dtype="float64", name="a")
    with pytest.raises(ValueError, match="one of integers"):
        layer.add_weight(shape=(2,), dtype="float16", name="a")
    assert layer.add_weight(shape=(2,), dtype="int8").numpy().tolist() == [0, 0]
