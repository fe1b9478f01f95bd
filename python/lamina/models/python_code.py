"""Which code written in Python takes part in a model's steps, so that the engine cannot train it alone."""

from __future__ import annotations

from collections.abc import Iterable

from lamina._engine.ops import HostOp
from lamina._engine.variable import Variable
from lamina.metrics import Metric
from lamina.models.compilation import Compilation, CompiledTrainer
from lamina.models.compiled import Compiled
from lamina.models.stack import Stack

__all__ = ["has_host_rules", "python_in_steps"]


def has_host_rules(variables: Iterable[Variable]) -> bool:
    """Return whether a regularizer or a constraint is written in Python."""
    return any(v.host_regularizer is not None or v.host_constraint is not None for v in variables)


def python_in_steps(stack: Stack, compiled: Compiled, compilation: Compilation, trainer: CompiledTrainer) -> str:
    """Return what in a model's steps is computed in Python, as a clause; empty if nothing is.

    Metrics count whose result is not a mean over rows.
    """
    for use in compiled.uses or []:
        if use.metric.takes_batches or type(use.metric).result is not Metric.result:
            return f"the metric {use.metric.name!r} is computed in Python, from whole batches"
    if compiled.optimizer.in_python:
        return f"the optimizer {compiled.optimizer.name!r} is computed in Python"
    if has_host_rules(trainer.variables):
        return _host_rule(trainer.variables)
    if trainer.engine.host:
        return _host_code(stack, compiled)
    return "a function receives the gradients of every step" if compilation.hooked else ""


def _host_rule(variables: Iterable[Variable]) -> str:
    for variable in variables:
        for rule, host in (
            (variable.regularizer, variable.host_regularizer),
            (variable.constraint, variable.host_constraint),
        ):
            if host is not None:
                return f"the {type(rule).__name__} of {variable.path!r} is computed in Python"
    return ""


def _host_code(stack: Stack, compiled: Compiled) -> str:
    for layer in stack.layers:
        if any(isinstance(op, HostOp) for op in layer.all_ops()):
            return f"the layer {layer.name!r} is computed in Python"
    if compiled.loss.in_python:
        return f"the loss {compiled.loss.name!r} is computed in Python"
    for use in compiled.uses or []:
        if use.metric.kernel() is None:
            return f"the metric {use.metric.name!r} is computed in Python"
    return "code written in Python takes part in the steps"
