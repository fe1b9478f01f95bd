"""GivenStep: an optimizer step with gradients that come from outside the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.interrupts import interrupts_now
from lamina._data.arrays import float_array, real_array
from lamina._engine.specs import LayerUpdateSpec, TensorUpdateSpec, UpdateSpec
from lamina._engine.variable import Variable

__all__ = ["PLAIN_SGD", "GivenStep", "clipped", "constrained"]

Array = npt.NDArray[Any]
# Blocks of parameters, each with the variable to train, or None, for each of its tensors.
Blocks = Sequence[tuple[_core.Parameters, Sequence[Variable | None]]]


class GivenStep:
    """A step on variables, given their gradients: accumulate, clip, update, average, constrain, as `fit` does it.

    Parameters
    ----------
    variables : sequence of Variable
        Different ones, of any dtypes.
    gradients : sequence of array
        C-contiguous, each of its variable's shape and dtype; they are copied.
    spec_of : callable
        Returns the `UpdateSpec` for blocks of parameters.
    """

    def __init__(
        self, variables: Sequence[Variable], gradients: Sequence[Array], spec_of: Callable[[Blocks], UpdateSpec]
    ) -> None:
        self._variables = variables
        by_dtype: dict[int, list[Variable]] = {}
        for variable in variables:
            by_dtype.setdefault(variable.itemsize, []).append(variable)
        self._clips = False
        self._updates: list[_core.Update] = []
        self._places: dict[Variable, tuple[_core.Update, int, int]] = {}  # its update, and its block and tensor there
        for alike in by_dtype.values():
            self._add(alike, spec_of)
        for variable, gradient in zip(variables, gradients, strict=True):
            update, block, tensor = self._places[variable]
            update.write_gradient(block, tensor, gradient)

    def _add(self, variables: Sequence[Variable], spec_of: Callable[[Blocks], UpdateSpec]) -> None:
        """Make the update of variables of one dtype."""
        numbers: dict[_core.Parameters, int] = {}
        trained: list[list[Variable | None]] = []
        places = []
        for variable in variables:
            block, tensor = variable.require_block()
            if block not in numbers:
                numbers[block] = len(numbers)
                trained.append([None] * block.tensors)
            trained[numbers[block]][tensor] = variable
            places.append((numbers[block], tensor))
        spec = spec_of(list(zip(numbers, trained, strict=True)))
        self._clips = spec.clip != "none"
        update = _core.Update(list(numbers), spec)
        self._updates.append(update)
        self._places |= {v: (update, *place) for v, place in zip(variables, places, strict=True)}

    def take(self, iteration: int, rate: float, update: Callable[[Variable, Array], None] | None) -> None:
        """Take the step.

        Parameters
        ----------
        iteration : int
            Number of batches before this one.
        rate : float
            Learning rate.
        update : callable or None
            Called with each variable and its gradient, accumulated and clipped; None for the engine's own formula.
        """
        complete = [part.accumulate(iteration, rate) for part in self._updates]
        if all(complete):
            self._clip()
            if update is None:
                for part in self._updates:
                    part.step()
            else:
                with interrupts_now():
                    for variable, gradient in zip(self._variables, self.gradients(), strict=True):
                        update(variable, gradient)
        for part in self._updates:
            part.finish()
        for variable in self._variables:
            if variable.host_constraint is not None:
                with interrupts_now():
                    values = constrained(variable)
                variable.assign(values)

    def clip(self) -> None:
        """Clip the gradients, without taking the step."""
        for part in self._updates:
            part.accumulate(0, 0.0)
        self._clip()

    def _clip(self) -> None:
        """Clip all gradients; a global norm is that of all dtypes together."""
        if not self._clips:
            return
        squares = [part.measure() for part in self._updates]
        for i, part in enumerate(self._updates):
            part.clip(sum(squares[:i] + squares[i + 1 :]))

    def gradients(self) -> list[Array]:
        """Return the gradients as they are now, one a variable."""
        found = []
        for variable in self._variables:
            update, block, tensor = self._places[variable]
            gradient = np.empty(variable.shape, variable.dtype)
            update.read_gradient(block, tensor, gradient)
            found.append(gradient)
        return found


def clipped(who: str, gradients: Sequence[npt.ArrayLike | None], kind: str, limit: float) -> list[Array | None]:
    """Return copies of gradients, clipped by value, norm or global norm (`UpdateSpec.clip`); None stays None."""
    arrays = [float_array(who, "a gradient", one) for one in gradients if one is not None]
    stand_ins = [Variable(array) for array in arrays]

    def spec_of(blocks: Blocks) -> UpdateSpec:
        layers = [
            LayerUpdateSpec([None], tensors=[TensorUpdateSpec(-1 if variable is None else 0) for variable in trained])
            for _, trained in blocks
        ]
        return UpdateSpec("sgd", [PLAIN_SGD], kind, limit, layers=layers)

    step = GivenStep(stand_ins, [np.ascontiguousarray(array) for array in arrays], spec_of)
    step.clip()
    found = iter(step.gradients())
    return [None if one is None else next(found) for one in gradients]


# Settings of the step that the engine is told where Python takes it, or none is taken.
PLAIN_SGD = {"momentum": 0.0, "nesterov": 0.0, "weight_decay": 0.0}


def constrained(variable: Variable) -> Array:
    """Return the values that a variable's constraint returns, or raise if they do not have its shape."""
    assert variable.constraint is not None
    found = real_array(f"the constraint of {variable.path!r}", "what it returns", variable.constraint(variable.numpy()))
    if found.shape != variable.shape:
        raise ValueError(
            f"the constraint of {variable.path!r}: what it returns must have shape {variable.shape}; got {found.shape}."
        )
    return found
