"""What a metric has summed up, as a value, and all that it holds, for runs that take turns."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from lamina._common.names import redefines
from lamina.metrics.base import Metric

__all__ = ["check_sums", "contents_of", "replace_contents", "sums_of", "take_sums"]


def sums_of(metric: Metric) -> dict[str, Any]:
    """Return copies of what a metric has summed up so far, by name.

    Of a user-defined metric that keeps its state itself, these are the values of `add_variable`'s variables and all
    attributes that are numbers or arrays.
    """
    variables = {variable.path: variable.numpy() for variable in metric.variables if variable.on_assign is None}
    return {name.lstrip("_"): copy.deepcopy(getattr(metric, name)) for name in _names(metric)} | variables


def _names(metric: Metric) -> list[str]:
    """Return the names of the attributes that sum up what was seen."""
    own = redefines(type(metric), "update_state", "takes_engine_targets")
    numbers = [name for name, value in vars(metric).items() if isinstance(value, (int, float, np.ndarray, np.generic))]
    return sorted({*metric.summed_attributes, *(numbers if own else ())})


def check_sums(metric: Metric, sums: dict[str, Any]) -> None:
    """Raise ValueError if `sums` are not those of such a metric."""
    own = sums_of(metric)
    if set(sums) != set(own):
        raise ValueError(f"{type(metric).__name__}: sums must be {sorted(own)}; got {sorted(sums)}.")
    for name, value in own.items():
        if value is not None and sums[name] is not None and np.shape(value) != np.shape(sums[name]):
            raise ValueError(
                f"{type(metric).__name__}: {name} must have shape {np.shape(value)}; got {np.shape(sums[name])}."
            )


def take_sums(metric: Metric, sums: dict[str, Any]) -> None:
    """Have a metric continue from what `sums_of` returned."""
    check_sums(metric, sums)
    for name in _names(metric):
        setattr(metric, name, copy.deepcopy(sums[name.lstrip("_")]))
    for variable in metric.variables:
        if variable.on_assign is None:
            variable.assign(sums[variable.path])


def contents_of(metric: Metric) -> dict[str, Any]:
    """Return all attributes of a metric: a shallow copy."""
    return dict(vars(metric))


def replace_contents(metric: Metric, contents: dict[str, Any]) -> None:
    """Replace all attributes of a metric at once, because other threads may read it at any moment."""
    object.__setattr__(metric, "__dict__", contents)
