"""Functions that save and load the parameters of a model."""

from __future__ import annotations

from typing import Any

from lamina._common.checks import KindError
from lamina.models import Model

__all__ = ["checked_model", "load_weights", "save_weights"]


def save_weights(model: Model, filepath: Any, overwrite: bool = True, max_shard_size: None = None) -> None:
    """Write a model's parameters, as `lamina.models.Sequential.save_weights` does."""
    checked_model("save_weights", model).save_weights(filepath, overwrite, max_shard_size)


def load_weights(model: Model, filepath: Any, skip_mismatch: bool = False) -> None:
    """Read a model's parameters, as `lamina.models.Sequential.load_weights` does."""
    checked_model("load_weights", model).load_weights(filepath, skip_mismatch)


def checked_model(who: str, model: Any) -> Model:
    """Return `model`, or raise if it is none."""
    if not isinstance(model, Model):
        raise KindError(f"{who}: model must be a model; got {type(model).__name__}.")
    return model
