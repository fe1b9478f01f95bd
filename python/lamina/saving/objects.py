"""Objects as configurations of plain values, which JSON can hold, and back."""

from __future__ import annotations

import importlib
import types
from typing import Any

import numpy as np

from lamina import _registration
from lamina._checks import text
from lamina._names import look_up, serialize, unknown_name

__all__ = ["deserialize_keras_object", "serialize_keras_object"]

_PACKAGES = (
    "layers", "initializers", "regularizers", "constraints", "losses", "metrics", "optimizers",
    "optimizers.schedules",
)  # fmt: skip


def serialize_keras_object(obj: Any) -> Any:
    """Return an object as plain values.

    Parameters
    ----------
    obj : object
        A number, text, array, list, tuple or dict of such; a function that is registered or lamina's; or an object that
        has ``get_config``, as layers, losses and optimizers do.

    Returns
    -------
    object
        Of an object with ``get_config``: a dict of ``"module"``, ``"class_name"``, ``"config"`` and
        ``"registered_name"``, as Keras writes it.

    Raises
    ------
    TypeError
        The object is none of these.

    Examples
    --------
    >>> import lamina
    >>> serialize_keras_object(lamina.regularizers.L2(0.5))["config"]
    {'l2': 0.5}
    """
    if obj is None or isinstance(obj, (bool, int, float, str)):
        return obj
    if isinstance(obj, np.generic):
        return obj.item()
    if isinstance(obj, (list, tuple)):
        return type(obj)(serialize_keras_object(item) for item in obj)
    if isinstance(obj, dict):
        return {key: serialize_keras_object(value) for key, value in obj.items()}
    if isinstance(obj, bytes):
        try:
            return {"class_name": "__bytes__", "config": {"value": obj.decode()}}
        except UnicodeDecodeError:
            raise ValueError("serialize_keras_object: bytes must be UTF-8, for JSON; these are not.") from None
    if isinstance(obj, np.ndarray):
        return {"class_name": "__numpy__", "config": {"value": obj.tolist(), "dtype": obj.dtype.name}}
    if obj is Ellipsis:
        return {"class_name": "__ellipsis__", "config": {}}
    if isinstance(obj, slice):
        ends = {"start": obj.start, "stop": obj.stop, "step": obj.step}
        return {"class_name": "__slice__", "config": serialize_keras_object(ends)}
    if isinstance(obj, types.FunctionType):
        if not obj.__module__.startswith("lamina.") and not _registration.is_registered(obj):
            raise TypeError(
                f"serialize_keras_object: {obj.__name__} must be registered with "
                "lamina.saving.register_keras_serializable, to be found again."
            )
        module = obj.__module__.replace("lamina.", "keras.", 1)
        name = _registration.get_registered_name(obj)
        return {"module": module, "class_name": "function", "config": obj.__name__, "registered_name": name}
    if hasattr(obj, "get_config") and not isinstance(obj, type):
        return serialize(obj)
    raise TypeError(f"serialize_keras_object: obj must be plain or have get_config; got {type(obj).__name__}.")


def deserialize_keras_object(
    config: Any, custom_objects: dict[str, Any] | None = None, safe_mode: bool = True, **_: Any
) -> Any:
    """Return the object that `serialize_keras_object` spelled; Keras's configurations are read too.

    Parameters
    ----------
    config : object
    custom_objects : dict, optional
        Name → class or function, for classes of one's own.
    safe_mode : bool
        Accepted as in Keras: a configuration never holds code here.

    Raises
    ------
    TypeError, ValueError
        A class or function is not known.
    """
    with _registration.custom_object_scope(custom_objects):
        return _restore(config)


def _restore(config: Any) -> Any:
    if isinstance(config, str):
        return _registration.get_registered_object(config) or config
    if isinstance(config, (list, tuple)):
        return type(config)(_restore(item) for item in config)
    if not isinstance(config, dict):
        return config
    if "class_name" not in config or "config" not in config:
        return {key: _restore(value) for key, value in config.items()}
    name, inner = config["class_name"], config["config"]
    if isinstance(name, str) and name in _PLAIN:
        return _PLAIN[name](inner)
    if name == "function":
        return _function(config)
    if name == "Sequential":
        from lamina.sequential import deserialize_part

        return deserialize_part(config)
    return _of_class(config)


_PLAIN: dict[str, Any] = {
    "__bytes__": lambda inner: inner["value"].encode(),
    "__numpy__": lambda inner: np.array(inner["value"], inner["dtype"]),
    "__ellipsis__": lambda inner: Ellipsis,
    "__slice__": lambda inner: slice(inner["start"], inner["stop"], inner["step"]),
    "__tuple__": lambda inner: tuple(_restore(item) for item in inner["value"]),
}


def _function(config: dict[str, Any]) -> Any:
    """Return a function that is registered, or one of the library's modules of functions."""
    name = str(config.get("registered_name") or config["config"])
    found = _registration.find(name)
    for path in ("activations", "losses", "metrics"):
        if found is None:
            module = importlib.import_module(f"lamina.{path}")
            candidate = getattr(module, str(config["config"]), None)
            found = candidate if isinstance(candidate, types.FunctionType) else None
    if found is None:
        raise unknown_name("deserialize_keras_object", "function", name, _registration.get_custom_objects())
    return found


def _of_class(config: dict[str, Any]) -> Any:
    name, module = (
        text("deserialize_keras_object", "'class_name'", config["class_name"]),
        str(config.get("module") or ""),
    )
    registered = config.get("registered_name")
    own = module.startswith(("keras", "lamina"))
    if own and registered and registered != name:
        raise ValueError(f"deserialize_keras_object: {registered!r} cannot stand for {module}.{name}.")
    packages = [path for path in _PACKAGES if own and module.endswith(f".{path}")] or _PACKAGES
    known: dict[str, Any] = {}
    for path in reversed(packages):
        classes = importlib.import_module(f"lamina.{path}")._CLASSES
        known |= {kind.__name__: kind for kind in classes.values()}
    return look_up("deserialize_keras_object", "class", config, known, None)
