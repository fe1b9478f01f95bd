"""Configurations that either library writes and the other one reads."""

from __future__ import annotations

import numpy as np
import pytest

import lamina

keras = pytest.importorskip("keras", reason="real Keras comes with the extra test-peers")
pytestmark = pytest.mark.filterwarnings("ignore")

STACKS = {
    "dense": lambda k: [k.layers.Dense(3, "relu", kernel_regularizer=k.regularizers.L1L2(0.1, 0.2)), k.layers.Dense(2)],
    "rules": lambda k: [k.layers.Dense(3, kernel_constraint="max_norm", bias_initializer="ones", use_bias=True)],
    "normalizing": lambda k: [
        k.layers.BatchNormalization(),
        k.layers.LayerNormalization(),
        k.layers.RMSNormalization(),
    ],
    "activations": lambda k: [
        k.layers.PReLU(),
        k.layers.LeakyReLU(0.1),
        k.layers.ELU(0.5),
        k.layers.ReLU(3.0),
        k.layers.Softmax(),
        k.layers.Activation("gelu"),
    ],
    "noise": lambda k: [k.layers.Dropout(0.2, seed=1), k.layers.GaussianNoise(0.1), k.layers.GaussianDropout(0.1)],
    "scaling": lambda k: [k.layers.Rescaling(2.0, 1.0), k.layers.Normalization(mean=1.0, variance=4.0)],
    "adapted": lambda k: [k.layers.Normalization()],
    "shapes": lambda k: [k.layers.Reshape((2, 2)), k.layers.Flatten(), k.layers.Identity()],
    "nested": lambda k: [k.Sequential([k.layers.Dense(3)]), k.layers.Dense(1)],
    **{
        name: lambda k, name=name: [k.layers.Dense(4, kernel_initializer=name)]
        for name in (
            "glorot_normal",
            "he_uniform",
            "lecun_normal",
            "orthogonal",
            "identity",
            "random_normal",
            "variance_scaling",
            "truncated_normal",
            "random_uniform",
        )
    },
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("direction", ["from Keras", "to Keras"])
def test_configurations_are_read(name, direction):
    source, target = (keras, lamina) if direction == "from Keras" else (lamina, keras)
    model = source.Sequential([source.Input((4,)), *STACKS[name](source)])
    other = target.models.model_from_json(model.to_json())
    assert [type(layer).__name__ for layer in other.layers] == [type(layer).__name__ for layer in model.layers]
    assert [layer.name for layer in other.layers] == [layer.name for layer in model.layers]
    assert other.input_shape == model.input_shape
    other.set_weights(model.get_weights())
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("f")
    np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-4, atol=1e-5)
