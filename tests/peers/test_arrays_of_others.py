"""Tensors of PyTorch and arrays of JAX are read in their memory."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers
from lamina._data.arrays import real_array

torch = pytest.importorskip("torch")
jnp = pytest.importorskip("jax.numpy")


@pytest.mark.parametrize("holder", [torch.from_numpy, jnp.asarray], ids=["torch", "jax"])
def test_rows(holder):
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("f")
    held = holder(x)
    model = lamina.Sequential([lamina.Input((4,)), layers.Dense(3)])
    np.testing.assert_array_equal(model.predict(held, verbose=0), model.predict(x, verbose=0))
    assert not real_array("who", "x", held).flags.owndata
    model.compile("sgd", "mse")
    model.fit(held, holder(x[:, :3].copy()), verbose=0)


def test_memory_of_pytorch_is_shared():
    held = torch.ones(3, 2)
    found = real_array("who", "x", held)
    held[0, 0] = 7
    assert found[0, 0] == 7


def test_tensors_that_no_array_can_be():
    for held, reason in (
        (torch.ones(2, requires_grad=True), "requires grad"),
        (torch.ones(2, 2).to_sparse(), "to_dense"),
        (torch.ones(2, device="meta"), "meta"),
        (torch.ones(2, dtype=torch.complex64), "complex numbers"),
    ):
        with pytest.raises(TypeError, match=reason):
            real_array("who", "x", held)


def test_bfloat16():
    for held in (torch.full((2, 2), 1.5, dtype=torch.bfloat16), jnp.full((2, 2), 1.5, dtype=jnp.bfloat16)):
        found = real_array("who", "x", held)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.full((2, 2), 1.5))
