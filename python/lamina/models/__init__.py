"""Models, and functions that copy, save and load them."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.models.cloning import clone_model, model_from_json
from lamina.models.loading import load_model, save_model
from lamina.models.sequential import Sequential

__all__ = ["Sequential", "clone_model", "load_model", "model_from_json", "save_model"]

_ABSENT = {"Model": "models are Sequential stacks of dense layers; the functional API is not supported"}

__getattr__ = absences(__name__, globals(), _ABSENT)
