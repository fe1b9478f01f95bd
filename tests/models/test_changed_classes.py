"""Files of models whose classes are the user's and have changed, or do not fit the file."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import same

import lamina
from lamina import layers


def deep(count):
    """Return a class of models that are made by code, with that many layers."""

    class Deep(lamina.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.steps = [layers.Dense(4) for _ in range(count)]

        def call(self, x):
            for step in self.steps:
                x = step(x)
            return x

    return Deep


class Narrow(lamina.Sequential):
    """It has an argument that the configuration lacks."""

    def __init__(self, units):
        super().__init__([lamina.Input((4,)), layers.Dense(units)])


class Filled(lamina.Sequential):
    """It can be made without arguments, and has layers then."""

    def __init__(self, units=3, **kwargs):
        super().__init__([lamina.Input((4,)), layers.Dense(units)], **kwargs)


class Scaled(layers.Layer):
    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, x):
        return x * self.factor

    def get_config(self):
        return super().get_config()  # without the factor


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Narrow(3), "Narrow: .*unexpected keyword argument 'name'. Its from_config, or else its"),
        (lambda: Filled(3), "the constructor must make an empty model"),
        (lambda: lamina.Sequential([lamina.Input((4,)), Scaled(2)]), "Scaled: .*missing .*'factor'"),
    ],
)
def test_a_class_that_does_not_fit_its_configuration_is_named(model, message, suffix, tmp_path):
    model = model()
    model.save(tmp_path / f"m{suffix}")
    own = {"Narrow": Narrow, "Filled": Filled, "Scaled": Scaled}
    with pytest.raises(TypeError, match=message) as raised:
        lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects=own)
    assert isinstance(raised.value, ValueError)
    assert "damaged" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_weights_are_read_from_the_file_of_a_class_that_cannot_be_made(suffix, tmp_path):
    model, other = Narrow(3), Narrow(3)
    model.save(tmp_path / f"m{suffix}")
    other.load_weights(tmp_path / f"m{suffix}")
    assert same(model.get_weights(), other.get_weights())


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_a_class_that_has_other_layers_now_is_named(suffix, tmp_path):
    model = deep(2)()
    model.build((None, 4))
    model.save(tmp_path / f"m{suffix}")
    with pytest.raises(TypeError, match=r"it holds 3 layers; the model has 4\. .*, or Deep has changed"):
        lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"Deep": deep(3)})


class Pair(layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.one, self.other = layers.Dense(4), layers.Dense(4)

    def call(self, x):
        return self.other(self.one(x))


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_layers_that_have_other_variables_now_are_named(suffix, tmp_path):
    def kind(bias, units):
        class Deep(lamina.Model):
            def __init__(self, **kwargs):
                super().__init__(**kwargs)
                self.dense, self.last = layers.Dense(units, use_bias=bias), layers.Dense(4)

            def call(self, x):
                return self.last(self.dense(x))

        return Deep

    model = kind(True, 4)()
    model.build((None, 4))
    model.save(tmp_path / f"m{suffix}")
    for changed in (kind(False, 4), kind(True, 5)):
        with pytest.raises(TypeError, match="Either the file is damaged, or Deep has changed since it was written"):
            lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"Deep": changed})


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
def test_models_and_layers_that_code_makes_are_frozen_as_before(suffix, tmp_path):
    class Holder(lamina.Model):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.base = lamina.Sequential([layers.Dense(4), layers.Dense(4)])
            self.pair, self.last = Pair(), layers.Dense(4)

        def call(self, x):
            return self.last(self.pair(self.base(x)))

    model = Holder()
    model.build((None, 4))
    model.base.trainable = model.pair.trainable = False
    model.pair.other.trainable = True
    model.save(tmp_path / f"m{suffix}")
    again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"Holder": Holder})
    for one in (model, again):
        found = [one.base, *one.base.layers, one.pair, one.pair.one, one.pair.other, one.last]
        assert [part.trainable for part in found] == [False, False, False, False, False, True, True]


@pytest.mark.parametrize("suffix", [".keras", ".safetensors"])
@pytest.mark.parametrize("outer", [False, True])
def test_layers_that_code_makes_train_as_before(outer, suffix, tmp_path, rng):
    x = rng.standard_normal((8, 4)).astype("f")
    kind = deep(3)
    inner = kind(name="deep")
    inner.build((None, 4))
    model = lamina.Sequential([lamina.Input((4,)), inner, layers.Dense(4)]) if outer else inner
    model.trainable = False
    inner.steps[1].trainable = True
    model.compile("adam", "mse")
    model.fit(x, x, verbose=0)
    model.save(tmp_path / f"m{suffix}")
    again = lamina.models.load_model(tmp_path / f"m{suffix}", custom_objects={"Deep": kind})
    assert [layer.trainable for layer in again.flat_layers] == [layer.trainable for layer in model.flat_layers]
    ours, theirs = (one.fit(x, x, epochs=2, verbose=0).history for one in (model, again))
    assert ours == theirs
    assert same(model.get_weights(), again.get_weights())
    assert not np.array_equal(model.get_weights()[2], 0)
