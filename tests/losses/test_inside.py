"""Losses of lamina's inside of losses that users write: values and derivatives."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import layers, losses, ops

pytest.importorskip("autograd")

KINDS = [
    name for name in losses.__all__
    if isinstance(kind := getattr(losses, name), type) and issubclass(kind, losses.Loss) and kind is not losses.Loss
]  # fmt: skip


def targets_of(name, rng):
    if name.startswith("Sparse"):
        return rng.integers(0, 4, 6)
    if "Percentage" in name:
        return rng.uniform(0.5, 2, (6, 4))
    shares = "ategorical" in name or name.startswith("KL")
    return rng.dirichlet(np.ones(4), 6) if shares else rng.integers(0, 2, (6, 4)).astype(float)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean_with_sample_weight", "none"])
@pytest.mark.parametrize("name", KINDS)
def test_losses_are_differentiated_with_respect_to_predictions(name, reduction, weighted, rng):
    from autograd import grad

    y, p = targets_of(name, rng), rng.dirichlet(np.ones(4), 6) + 0.05
    weights = rng.uniform(0.5, 2, 6) if weighted else None
    loss = getattr(losses, name)(reduction=reduction)
    share = rng.uniform(0.5, 2, 6) if reduction == "none" else 1.0

    def value(predictions):
        return ops.sum(loss(y, predictions, weights) * share)

    found, step = grad(value)(p), 1e-6
    expected = np.zeros_like(p)
    for i in np.ndindex(p.shape):
        moved = np.zeros_like(p)
        moved[i] = step
        expected[i] = (float(value(p + moved)) - float(value(p - moved))) / (2 * step)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def compiled(loss):
    lamina.utils.set_random_seed(1)
    model = lamina.Sequential([lamina.Input((5,)), layers.Dense(6, "tanh"), layers.Dense(3, "sigmoid")])
    model.compile(lamina.optimizers.SGD(0.5), loss)
    return model


class Weighted(losses.Loss):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = losses.BinaryCrossentropy(reduction="none")

    def call(self, y_true, y_pred):
        return 2 * self.inner(y_true, y_pred)


@pytest.mark.parametrize(
    "loss",
    [
        lambda y, p: losses.binary_crossentropy(y, p) * 2, Weighted(),
        lambda y, p: 2 * losses.BinaryCrossentropy()(y, p),
        lambda y, p: ops.mean(losses.loss_of("binary_crossentropy")(y, p)) * 2,
        lambda y, p: 2 * Weighted(reduction="none")(y, p) / 2,
    ],
)  # fmt: skip
def test_they_train_as_the_built_in_loss(loss, rng):
    x, y = rng.standard_normal((40, 5)), rng.integers(0, 2, (40, 3)).astype("f")
    own, plain = compiled(loss), compiled(losses.BinaryCrossentropy())
    plain.optimizer.learning_rate = 1.0
    for model in (own, plain):
        model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0)
    for one, other in zip(own.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_targets_have_no_derivative_in_compiled_losses(rng):
    from autograd import grad

    y, p = rng.uniform(size=(3, 2)), rng.uniform(size=(3, 2))
    with pytest.raises(TypeError, match="with respect to targets is not known"):
        grad(lambda t: losses.MeanSquaredError()(t, p))(y)
    with pytest.raises(ValueError, match="axis must be one of"):
        grad(lambda q: losses.CosineSimilarity(axis=5)(y, q))(p)
    np.testing.assert_allclose(
        grad(lambda q: losses.CosineSimilarity(axis=0)(y, q))(p),
        grad(lambda q: losses.CosineSimilarity()(y.T, q))(p.T.copy()).T, rtol=1e-6,
    )  # fmt: skip
