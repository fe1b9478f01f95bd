"""Warnings point at the line that has called the library, however deep they are issued."""

from __future__ import annotations

import numpy as np
import pytest

import lamina
from lamina import callbacks, layers, optimizers

X, Y = np.ones((20, 3)), np.zeros((20, 2))


def model_of(*parts, loss="mse"):
    model = lamina.Sequential([lamina.Input((3,)), *(parts or [layers.Dense(2)])])
    model.compile("sgd", loss)
    return model


def frozen():
    model = model_of()
    model.trainable = False
    return model


def mismatched(folder):
    model_of().save_weights(folder / "w.safetensors")
    model_of(layers.Dense(3)).load_weights(folder / "w.safetensors", skip_mismatch=True)


CALLS = {
    "fit of nothing": lambda folder: frozen().fit(X, Y, verbose=0),
    "train_on_batch of nothing": lambda folder: frozen().train_on_batch(X, Y),
    "fit with too many steps": lambda folder: model_of().fit(X, Y, batch_size=10, steps_per_epoch=3, verbose=0),
    "evaluate with too many steps": lambda folder: model_of().evaluate(X, Y, batch_size=10, steps=3, verbose=0),
    "predict with too many steps": lambda folder: model_of().predict(X, batch_size=10, steps=3, verbose=0),
    "validation with too many steps": lambda folder: model_of().fit(
        X, Y, validation_data=(X, Y), validation_batch_size=10, validation_steps=3, verbose=0
    ),
    "a generator that ends": lambda folder: model_of().fit(iter([(X, Y)]), epochs=2, verbose=0),
    "logits after softmax": lambda folder: model_of(
        layers.Dense(2, "softmax"), loss=lamina.losses.CategoricalCrossentropy(from_logits=True)
    ),
    "weights that do not fit": mismatched,
    "a gradient that is missing": lambda folder: optimizers.SGD().apply(
        [None, np.zeros(2)], model_of().trainable_weights
    ),
    "a value that is not in the logs": lambda folder: model_of().fit(
        X, Y, verbose=0, callbacks=[callbacks.EarlyStopping("val_loss")]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_warnings_point_at_the_caller(name, tmp_path):
    with pytest.warns(UserWarning, match=r"\w") as found:
        CALLS[name](tmp_path)
    assert {warning.filename for warning in found} == {__file__}
