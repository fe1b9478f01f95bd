"""Optimizers, with the names, arguments and formulas of Keras."""

from __future__ import annotations

from lamina._names import look_up, registry
from lamina._names import serialize as serialize
from lamina.optimizers.adam import Adam
from lamina.optimizers.base import Optimizer
from lamina.optimizers.sgd import SGD

__all__ = ["SGD", "Adam", "Optimizer", "get", "serialize"]

_CLASSES: dict[str, type[Optimizer]] = registry((SGD, "sgd"), (Adam, "adam"))


def get(identifier: object) -> Optimizer:
    """Return an optimizer from a name, a configuration, a class or an instance.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.

    Examples
    --------
    >>> get("sgd").learning_rate
    0.01
    """
    return look_up("optimizers.get", "optimizer", identifier, _CLASSES, Optimizer)
