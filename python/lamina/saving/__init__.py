"""Saves models and their parameters in files, and objects as configurations."""

from __future__ import annotations

from lamina._common.custom import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from lamina._common.names import absences
from lamina._common.objects import deserialize_keras_object, serialize_keras_object
from lamina._files.errors import ModelFileError
from lamina.models import load_model, save_model
from lamina.saving.sklearn_models import from_sklearn, to_sklearn
from lamina.saving.torch_models import from_torch, load_torch_weights, save_torch_weights, to_torch
from lamina.saving.weights import load_weights, save_weights

__all__ = [
    "CustomObjectScope",
    "ModelFileError",
    "custom_object_scope",
    "deserialize_keras_object",
    "from_sklearn",
    "from_torch",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_torch_weights",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_torch_weights",
    "save_weights",
    "serialize_keras_object",
    "to_sklearn",
    "to_torch",
]

_ABSENT = {"KerasFileEditor": "h5py and safetensors.numpy show and change what files hold"}

__getattr__ = absences(__name__, globals(), _ABSENT)
