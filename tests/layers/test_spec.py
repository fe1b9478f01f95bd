"""InputSpec: what layers that users write demand of their inputs."""

import numpy as np
import pytest

import lamina
from lamina import layers, ops
from lamina.layers import InputSpec


class Projected(layers.Layer):
    """Demands what `build` says: rows of the length that it was built for."""

    def build(self, input_shape):
        self.kernel = self.add_variable((input_shape[-1], 2), "ones", name="kernel")
        self.input_spec = InputSpec(ndim=2, axes={-1: input_shape[-1]})
        self.built = True

    def call(self, x):
        return ops.matmul(x, self.kernel)


class Demanding(layers.Layer):
    """Demands what it is made with, and returns the mean of its first input."""

    def __init__(self, spec):
        super().__init__()
        self.input_spec = spec

    def call(self, x):
        first = next(iter(x.values())) if isinstance(x, dict) else x[0] if isinstance(x, list) else x
        return ops.mean(first)


def test_layers_with_a_specification_run_in_models_and_alone(rng):
    x = rng.standard_normal((8, 3)).astype("f")
    model = lamina.Sequential([Projected(), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x[:, :1], verbose=0)
    layer = Projected()
    np.testing.assert_allclose(layer(x), x.sum(axis=1, keepdims=True).repeat(2, 1), rtol=1e-5)
    for wrong in (np.ones((8, 4)), np.ones((2, 8, 3))):
        with pytest.raises(ValueError, match="Projected .*(axis -1 of the input must have size 3|must have 2 axes)"):
            layer(wrong)


def test_models_refuse_what_a_specification_refuses():
    with pytest.raises(ValueError, match="input must have 2 axes"):
        lamina.Sequential([lamina.Input((4, 3)), Projected()])
    with pytest.raises(ValueError, match="axis 1 of the input must have size 5"):
        Demanding(InputSpec(axes={1: 5}))(lamina.Input((4,)))


@pytest.mark.parametrize(
    ("spec", "good", "bad"),
    [
        (InputSpec(shape=(None, 3)), (7, 3), (7, 4)),
        (InputSpec(shape=(2, None)), (2, 9), (3, 9)),
        (InputSpec(ndim=3), (1, 2, 3), (1, 2)),
        (InputSpec(min_ndim=2), (1, 2, 3), (1,)),
        (InputSpec(max_ndim=2), (1, 2), (1, 2, 3)),
        (InputSpec(axes={-1: 4, 0: None}), (1, 4), (4, 1)),
        (InputSpec(axes={3: 4}), (1, 1, 1, 4), (1, 4)),
        (InputSpec(shape=(None, 3, 1), allow_last_axis_squeeze=True), (5, 3), (5, 2)),
        (InputSpec(shape=(None, 3), allow_last_axis_squeeze=True), (5, 3, 1), (5, 3, 2)),
        (InputSpec(dtype="float32"), (2, 2), None),
        (InputSpec(dtype="int32"), None, (2, 2)),
    ],
)
def test_each_demand(spec, good, bad):
    if good is not None:
        assert Demanding(spec)(np.ones(good)) == 1
    if bad is not None:
        with pytest.raises(ValueError, match="the input"):
            Demanding(spec)(np.ones(bad))
    again = InputSpec.from_config(spec.get_config())
    assert again.get_config() == spec.get_config()
    assert repr(again) == repr(spec)


def test_several_inputs():
    layer = Demanding([InputSpec(ndim=2), InputSpec(ndim=1)])
    assert layer([np.ones((2, 2)), np.ones(2)]) == 1
    with pytest.raises(ValueError, match="there must be 2 inputs"):
        layer([np.ones((2, 2))])
    with pytest.raises(ValueError, match="must have 1 axes"):
        layer([np.ones((2, 2)), np.ones((2, 2))])
    named = Demanding([InputSpec(ndim=1, name="b"), InputSpec(ndim=2, name="a")])
    assert named({"a": np.ones((2, 2)), "b": np.ones(3)}) == 1
    with pytest.raises(ValueError, match="axes"):
        named({"b": np.ones((2, 2)), "a": np.ones(3)})


def test_wrong_specifications_are_refused():
    with pytest.raises(ValueError, match=r"axes must be in \[-2, 2\)"):
        InputSpec(ndim=2, axes={2: 1})
    with pytest.raises(TypeError, match="axes must be a dict"):
        InputSpec(axes=[1])
    with pytest.raises(TypeError, match="input_spec must be an InputSpec"):
        Demanding("ndim=2")(np.ones((2, 2)))
