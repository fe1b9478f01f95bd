"""Optimizer: what every optimizer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._checks import number
from lamina._names import snake_case
from lamina.variables import Variable

__all__ = ["Optimizer"]

Array = npt.NDArray[Any]


class Optimizer:
    """Base class of optimizers.

    Parameters
    ----------
    learning_rate : float, >= 0
    weight_decay : float, >= 0, optional
        Decoupled: before each step parameters shrink by ``learning_rate * weight_decay`` of themselves.
    name : str, optional

    Attributes
    ----------
    iterations : int
        Steps taken.
    """

    def __init__(self, learning_rate: float, weight_decay: float | None = None, name: str | None = None) -> None:
        self.name = name if name is not None else snake_case(type(self).__name__)
        self.learning_rate = learning_rate
        if weight_decay is not None:
            weight_decay = number(type(self).__name__, "weight_decay", weight_decay, least=0)
        self.weight_decay = weight_decay
        self.iterations = 0
        # Slot name → block of parameters → block of state in the same layout.
        self._slots: dict[str, dict[_core.Parameters, _core.Parameters]] = {name: {} for name in self.slot_names()}

    @property
    def learning_rate(self) -> float:
        """Step size; may be assigned at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = number(type(self).__name__, "learning_rate", value, least=0)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the arrays of state that belong to each variable."""
        return ()

    # Name of the compiled optimizer; None for one that is written in Python and defines `update`.
    kernel: str | None = None

    def settings(self) -> list[float]:
        """Return what the compiled optimizer takes besides the learning rate, in its order."""
        return []

    def rates(self, steps: int) -> list[float]:
        """Return the learning rates of the next steps; the last one holds from there on."""
        return [self.learning_rate]

    def slot_blocks(self, block: _core.Parameters) -> list[_core.Parameters]:
        """Return the state that belongs to a block of parameters, zeros at first."""
        found = []
        for name in self.slot_names():
            slots = self._slots[name]
            if block not in slots:
                slots[block] = block.like()
            found.append(slots[block])
        return found

    def slot(self, name: str, variable: Variable) -> Variable:
        """Return the state that belongs to a variable."""
        block, tensor = variable.require_block()
        slot = Variable(np.zeros(variable.shape, variable.dtype), f"{variable.name}_{name}", f"{name}/{variable.path}")
        slot.bind(self.slot_blocks(block)[self.slot_names().index(name)], tensor, fresh=True)
        return slot

    def slot_arrays(self, variables: Sequence[Variable]) -> dict[str, Array]:
        """Return the state of variables as ``"slot/variable path"`` → array."""
        return {f"{name}/{v.path}": self.slot(name, v).numpy() for name in self.slot_names() for v in variables}

    def load_slot_arrays(self, arrays: dict[str, Array], variables: Sequence[Variable]) -> None:
        """Take over state as `slot_arrays` returns it for the same variables."""
        for name in self.slot_names():
            for variable in variables:
                own, array = self.slot(name, variable), arrays[f"{name}/{variable.path}"]
                if array.shape != own.shape or str(array.dtype) != own.dtype:
                    raise ValueError(f"optimizer state {own.path!r} must be {own.dtype} of shape {own.shape}")
                own.assign(array)

    def update(self, variable: Variable, gradient: Array) -> None:
        """Take one step on one variable; `iterations` counts the steps before."""
        if self.kernel is None:
            raise NotImplementedError(f"{type(self).__name__}: an optimizer defines update.")
        block, tensor = variable.require_block()
        _core.apply_gradient(
            block, tensor, np.ascontiguousarray(gradient), self.slot_blocks(block), self.kernel, self.settings(),
            self.rates(1)[0], self.iterations + 1,
        )  # fmt: skip

    def apply(self, gradients: Sequence[Array], variables: Sequence[Variable]) -> None:
        """Take one step on all variables.

        Parameters
        ----------
        gradients : sequence of ndarray
        variables : sequence of Variable
            In the same order.
        """
        who = type(self).__name__
        if len(gradients) != len(variables):
            raise ValueError(f"{who}: there must be {len(variables)} gradients, one a variable; got {len(gradients)}.")
        for variable, gradient in zip(variables, gradients, strict=True):
            if gradient.shape != variable.shape or str(gradient.dtype) != variable.dtype:
                raise ValueError(
                    f"{who}: the gradient of {variable.path!r} must be {variable.dtype} of shape {variable.shape}; "
                    f"got {gradient.dtype} of shape {gradient.shape}."
                )
        for variable, gradient in zip(variables, gradients, strict=True):
            self.update(variable, gradient)
        self.iterations += 1

    def apply_gradients(self, gradients_and_variables: Iterable[tuple[Array, Variable]]) -> None:
        """Take one step, given (gradient, variable) pairs."""
        pairs = list(gradients_and_variables)
        self.apply([gradient for gradient, _ in pairs], [variable for _, variable in pairs])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that make the same optimizer, without its state."""
        return {"name": self.name, "learning_rate": self.learning_rate, "weight_decay": self.weight_decay}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Optimizer:
        """Return an optimizer from `get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} learning_rate={self.learning_rate:g}, iterations={self.iterations}>"
