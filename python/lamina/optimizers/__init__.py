"""Optimizers, with the names, arguments and formulas of Keras."""

from __future__ import annotations

from typing import Any

from lamina._names import lazily, look_up, registry
from lamina._names import serialize as serialize
from lamina._registration import get_registered_object
from lamina.optimizers import schedules
from lamina.optimizers.adam import Adam, Adamax, AdamW, Nadam
from lamina.optimizers.base import Optimizer
from lamina.optimizers.lion import Lion
from lamina.optimizers.rmsprop import Adadelta, Adagrad, RMSprop
from lamina.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

# By lower-case name: as in Keras, capitals do not count.
_CLASSES: dict[str, type[Optimizer]] = {
    name.lower(): kind
    for name, kind in registry(
        (SGD, ""),
        (Adam, ""),
        (AdamW, ""),
        (Adamax, ""),
        (Nadam, ""),
        (RMSprop, ""),
        (Adagrad, ""),
        (Adadelta, ""),
        (Lion, ""),
    ).items()
}


def get(identifier: object) -> Optimizer | None:
    """Return an optimizer from a name, a configuration, a class or an instance; in names capitals do not count.

    None stays None.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.

    Examples
    --------
    >>> get("RMSprop").learning_rate
    0.001
    """
    if identifier is None:
        return None
    if isinstance(identifier, str):
        identifier = _folded(identifier)
    if isinstance(identifier, dict) and isinstance(identifier.get("class_name"), str):
        identifier = identifier | {"class_name": _folded(identifier["class_name"])}
    return look_up("optimizers.get", "optimizer", identifier, _CLASSES, Optimizer)


def _folded(name: str) -> str:
    """Return a name of the library's in lower case; others, those of the user's own, as they are."""
    return name.lower() if name.lower() in _CLASSES and get_registered_object(name) is None else name


def deserialize(config: dict[str, object]) -> Optimizer | None:
    """Return an optimizer from ``{"class_name", "config"}``."""
    return get(config)


_ABSENT = {
    **dict.fromkeys(
        ("Adafactor", "Ftrl", "Muon"),
        "there are SGD, Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Lion; subclass Optimizer and define "
        "update for another one",
    ),
    "LossScaleOptimizer": "it serves float16, which lamina does not compute in",
}


def __getattr__(name: str) -> Any:
    """Say what there is instead of Keras's other optimizers."""
    return lazily(__name__, name, {}, _ABSENT, globals())
