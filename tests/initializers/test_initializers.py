"""Initializers: the deviations of their formulas, seeds, configurations, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from lamina import initializers, layers


@pytest.mark.parametrize(
    ("name", "deviation", "limit"),
    [
        ("glorot_uniform", (2 / 500) ** 0.5, (6 / 500) ** 0.5),
        ("glorot_normal", (2 / 500) ** 0.5, None),
        ("he_uniform", (2 / 200) ** 0.5, (6 / 200) ** 0.5),
        ("he_normal", (2 / 200) ** 0.5, None),
        ("lecun_uniform", (1 / 200) ** 0.5, (3 / 200) ** 0.5),
        ("lecun_normal", (1 / 200) ** 0.5, None),
        ("random_normal", 0.05, None),
        ("random_uniform", 0.05 / 3**0.5, 0.05),
        ("truncated_normal", 0.05 * 0.87962566103423978, 0.1),
    ],
)
def test_initializer_deviation(name, deviation, limit):
    values = initializers.get(name)((200, 300), "float64")
    assert values.shape == (200, 300)
    assert abs(values.std() / deviation - 1) < 0.02
    assert abs(values.mean()) < 5 * deviation / values.size**0.5
    if limit is not None:
        assert np.abs(values).max() <= limit
        assert np.abs(values).max() > 0.99 * limit


def test_initializer_constants_seeds_and_configuration():
    assert (initializers.get("zeros")((2, 2)) == 0).all()
    assert (initializers.get("ones")((2, 2)) == 1).all()
    assert (initializers.Constant(3)((2,)) == 3).all()
    one = initializers.HeNormal(seed=3)
    np.testing.assert_array_equal(one((4, 4)), one((4, 4)))
    np.testing.assert_array_equal(one((4, 4)), initializers.HeNormal(seed=3)((4, 4)))
    assert not np.array_equal(initializers.HeNormal()((4, 4)), initializers.HeNormal()((4, 4)))
    for name in initializers.REGISTRY:
        made = initializers.get(name)
        again = initializers.get(initializers.serialize(made))
        assert type(again) is type(made)
        assert again.get_config() == made.get_config()
    with pytest.raises(ValueError, match="Did you mean 'he_normal'"):
        initializers.get("he_norma")
    with pytest.raises(ValueError, match="stddev must be >= 0"):
        initializers.RandomNormal(stddev=-1)
    for wrong in (lambda: initializers.RandomNormal(mean=np.inf), lambda: initializers.RandomUniform(-np.inf, 1)):
        with pytest.raises(ValueError, match="must be finite"):
            wrong()
    with pytest.raises(ValueError, match="a and b must be finite"):
        initializers.RandomUniform(-1e300, 1e300)((2,))
    with pytest.raises(TypeError, match="seed must be an int"):
        initializers.HeNormal(seed=1.7)
    assert initializers.HeNormal(seed=np.int64(3)).get_config() == {"seed": 3}
    with pytest.raises(ValueError, match="minval must be <= maxval"):
        initializers.RandomUniform(1, 0)
    with pytest.raises(ValueError, match="mode must be"):
        initializers.VarianceScaling(mode="fan")
    with pytest.raises(TypeError, match="initializer must be a name"):
        initializers.get(3)


def test_initializers_of_matrices(dtype):
    for shape in ((5, 5), (3, 8), (8, 3)):
        q = initializers.Orthogonal(2.0, seed=1)(shape, str(dtype)).astype(np.float64)
        product = q @ q.T if shape[0] <= shape[1] else q.T @ q
        np.testing.assert_allclose(product, 4 * np.eye(min(shape)), atol=1e-5)
    np.testing.assert_array_equal(initializers.get("identity")((2, 3), str(dtype)), np.eye(2, 3))
    layer = layers.Dense(3, kernel_initializer=lambda shape, dtype: np.full(shape, 7.0), input_dim=2)
    layer.build((None, 2))
    np.testing.assert_array_equal(layer.kernel, 7)
    with pytest.raises(ValueError, match="matrix"):
        initializers.Identity()((3,))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("zeros", initializers.Zeros), ("ones", initializers.Ones), ("constant", initializers.Constant),
        ("glorot_uniform", initializers.GlorotUniform), ("glorot_normal", initializers.GlorotNormal),
        ("he_uniform", initializers.HeUniform), ("he_normal", initializers.HeNormal),
        ("lecun_uniform", initializers.LecunUniform), ("lecun_normal", initializers.LecunNormal),
        ("random_uniform", initializers.RandomUniform), ("random_normal", initializers.RandomNormal),
        ("truncated_normal", initializers.TruncatedNormal), ("variance_scaling", initializers.VarianceScaling),
        ("orthogonal", initializers.Orthogonal), ("identity", initializers.Identity),
    ],
)  # fmt: skip
def test_names_stand_for_their_classes(name, kind):
    assert issubclass(kind, initializers.Initializer)
    for identifier in (name, kind.__name__, kind, kind()):
        made = initializers.get(identifier)
        assert type(made) is kind
        assert made.clone().get_config() == kind().get_config()


def test_an_initializer_of_ones_own_fills_a_parameter():
    class Counted(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.arange(np.prod(shape), dtype=dtype).reshape(shape)

    layer = layers.Dense(3, kernel_initializer=Counted())
    layer.build((None, 2))
    np.testing.assert_array_equal(layer.kernel, [[0, 1, 2], [3, 4, 5]])
    with pytest.raises(NotImplementedError, match="a subclass of Initializer defines __call__"):
        initializers.Initializer()((2,))
