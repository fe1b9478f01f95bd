"""Models and their parts as text and as files."""

from __future__ import annotations

from typing import Any

from lamina._names import lazily
from lamina._registration import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)

__all__ = [
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
]

# Imported when first asked for.
_MODULES = {
    "deserialize_keras_object": "objects",
    "serialize_keras_object": "objects",
    "load_model": "api",
    "load_weights": "api",
    "save_model": "api",
    "save_weights": "api",
}

_ABSENT = {"KerasFileEditor": "files are safetensors; safetensors.numpy reads and writes them"}


def __getattr__(name: str) -> Any:
    """Import a function when it is first asked for; say what there is instead of Keras's others."""
    return lazily(__name__, name, _MODULES, _ABSENT, globals())
