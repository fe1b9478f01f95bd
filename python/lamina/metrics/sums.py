"""What a metric has summed up, as a value, and all that it holds, for runs that take turns."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np

from lamina._common.arguments import Argument
from lamina._common.names import redefines
from lamina._engine.variable import Variable
from lamina.metrics.base import Metric

__all__ = ["check_sums", "contents_of", "replace_contents", "sums_of", "take_sums"]


def sums_of(metric: Metric) -> dict[str, Any]:
    """Return copies of what a metric has summed up so far, by name.

    Of a user-defined metric that keeps its state itself, these are the values of `add_variable`'s variables and all
    attributes that are numbers, arrays or None, but for the library's own arguments.
    """
    return {name: copy.deepcopy(getattr(metric, name)) for name in (*metric.summed_attributes, *_own_names(metric))} | {
        variable.path: variable.numpy() for variable in _variables(metric)
    }


def _own_names(metric: Metric) -> list[str]:
    """Return the names of the attributes in which a user-defined metric may keep its state."""
    if not redefines(type(metric), "update_state", "takes_engine_targets"):
        return []
    return [
        name for name, value in vars(metric).items()
        if name not in metric.summed_attributes
        and (value is None or isinstance(value, (int, float, np.ndarray, np.generic)))
        and not isinstance(inspect.getattr_static(type(metric), name, None), Argument)
    ]  # fmt: skip


def _variables(metric: Metric) -> list[Variable]:
    return [variable for variable in metric.variables if variable.on_assign is None]


def check_sums(metric: Metric, sums: dict[str, Any]) -> None:
    """Raise ValueError if `sums` are not those of such a metric; attributes of a user-defined one may come and go."""
    own, kind = sums_of(metric), type(metric).__name__
    needed = {*metric.summed_attributes, *(variable.path for variable in _variables(metric))}
    open_to_more = redefines(type(metric), "update_state", "takes_engine_targets")
    if not needed <= set(sums) or (not open_to_more and set(sums) != needed):
        raise ValueError(f"{kind}: sums must be {sorted(own)}; got {sorted(sums)}.")
    for name in sorted(needed):
        value = own[name]
        if value is not None and sums[name] is not None and np.shape(value) != np.shape(sums[name]):
            raise ValueError(f"{kind}: {name} must have shape {np.shape(value)}; got {np.shape(sums[name])}.")


def take_sums(metric: Metric, sums: dict[str, Any]) -> None:
    """Have a metric continue from what `sums_of` returned."""
    check_sums(metric, sums)
    variables = {variable.path: variable for variable in _variables(metric)}
    for name, value in sums.items():
        if name in variables:
            variables[name].assign(value)
        else:
            setattr(metric, name, copy.deepcopy(value))


def contents_of(metric: Metric) -> dict[str, Any]:
    """Return all attributes of a metric: a shallow copy."""
    return dict(vars(metric))


def replace_contents(metric: Metric, contents: dict[str, Any]) -> None:
    """Replace all attributes of a metric at once, because other threads may read it at any moment."""
    object.__setattr__(metric, "__dict__", contents)
