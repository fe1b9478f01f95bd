"""Optimizer: what every optimizer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
        self._slots: dict[str, dict[Variable, Array]] = {name: {} for name in self.slot_names()}

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

    def slot(self, name: str, variable: Variable) -> Array:
        """Return the array of state that belongs to a variable, zeros at first."""
        slots = self._slots[name]
        if variable not in slots:
            slots[variable] = np.zeros_like(variable.value)
        return slots[variable]

    def slot_arrays(self, variables: Sequence[Variable]) -> dict[str, Array]:
        """Return the state of variables as ``"slot/variable path"`` → array."""
        return {f"{name}/{v.path}": self.slot(name, v) for name in self.slot_names() for v in variables}

    def load_slot_arrays(self, arrays: dict[str, Array], variables: Sequence[Variable]) -> None:
        """Take over state as `slot_arrays` returns it for the same variables."""
        for key, own in self.slot_arrays(variables).items():
            if arrays[key].shape != own.shape or arrays[key].dtype != own.dtype:
                raise ValueError(f"optimizer state {key!r} must be {own.dtype} of shape {own.shape}")
            own[...] = arrays[key]

    def update(self, variable: Variable, gradient: Array) -> None:
        """Take one step on one variable, in place."""
        raise NotImplementedError(f"{type(self).__name__}: an optimizer defines update.")

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
            if gradient.shape != variable.shape or gradient.dtype != variable.value.dtype:
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
