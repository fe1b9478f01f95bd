"""Optimizers, with the names, arguments and formulas of Keras."""

from __future__ import annotations

from typing import Any

from lamina._common.custom import custom_object_scope
from lamina._common.names import absences
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry
from lamina.optimizers import schedules
from lamina.optimizers.adam import Adam, Adamax, AdamW, Nadam
from lamina.optimizers.base import Optimizer
from lamina.optimizers.lion import Lion
from lamina.optimizers.rmsprop import Adadelta, Adagrad, RMSprop
from lamina.optimizers.second_order import LBFGS, LevenbergMarquardt
from lamina.optimizers.sgd import SGD

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LevenbergMarquardt",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "deserialize",
    "get",
    "schedules",
    "serialize",
]

# As in Keras, names are not case-sensitive.
REGISTRY = Registry(
    "optimizers",
    "optimizer",
    Optimizer,
    *(
        (kind, "")
        for kind in (SGD, Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Lion, LBFGS, LevenbergMarquardt)
    ),
    fold_case=True,
)


def get(identifier: object) -> Optimizer | None:
    """Return an optimizer from a name, a configuration, a class or an instance; names are not case-sensitive.

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
    return REGISTRY.get(identifier)


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Optimizer | None:
    """Return an optimizer from ``{"class_name", "config"}``; `custom_objects` are by name."""
    with custom_object_scope(custom_objects):
        return get(config)


_ABSENT = {
    **dict.fromkeys(
        ("Adafactor", "Ftrl", "Muon"),
        "there are SGD, Adam, AdamW, Adamax, Nadam, RMSprop, Adagrad, Adadelta, Lion, LBFGS, LevenbergMarquardt; "
        "subclass Optimizer and define update for another one",
    ),
    "LossScaleOptimizer": "it serves float16, which lamina does not compute in",
}


__getattr__ = absences(__name__, globals(), _ABSENT)
