"""Models, and functions that copy, save and load them."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.models.cloning import clone_model, model_from_json
from lamina.models.cross_validation import CrossValidation, cross_validate
from lamina.models.ensemble import Ensemble
from lamina.models.finite import NotFiniteError
from lamina.models.functional import Functional as Functional
from lamina.models.loading import load_model, save_model
from lamina.models.many import fit_many, predict_many
from lamina.models.model import Model
from lamina.models.sequential import Sequential

__all__ = [
    "CrossValidation",
    "Ensemble",
    "Model",
    "NotFiniteError",
    "Sequential",
    "clone_model",
    "cross_validate",
    "fit_many",
    "load_model",
    "model_from_json",
    "predict_many",
    "save_model",
]

__getattr__ = absences(__name__, globals(), {})
