"""Optimizer: what every optimizer is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

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
            weight_decay = self.checked("weight_decay", weight_decay)
        self.weight_decay = weight_decay
        self.iterations = 0
        self._slots: dict[str, dict[str, Array]] = {}

    def checked(self, name: str, value: Any, most: float = float("inf")) -> float:
        """Return a hyperparameter as a float in ``[0, most]``, finite, or raise."""
        who = type(self).__name__
        if isinstance(value, (bool, str)) or not isinstance(value, (int, float, np.integer, np.floating, np.ndarray)):
            raise TypeError(f"{who}: {name} must be a number; got {type(value).__name__}.")
        number = float(value)
        if not (0 <= number <= most and np.isfinite(number)):
            limits = ">= 0 and finite" if most == float("inf") else f"in [0, {most:g}]"
            raise ValueError(f"{who}: {name} must be {limits}; got {value}.")
        return number

    @property
    def learning_rate(self) -> float:
        """Step size; may be assigned at any time."""
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._learning_rate = self.checked("learning_rate", value)

    def slot(self, name: str, variable: Variable) -> Array:
        """Return the array of state that belongs to a variable, zeros at first."""
        slots = self._slots.setdefault(name, {})
        array = slots.get(variable.path)
        if array is None or array.shape != variable.shape or array.dtype != variable.value.dtype:
            array = slots[variable.path] = np.zeros_like(variable.value)
        return array

    def slot_arrays(self) -> dict[str, Array]:
        """Return all state as ``"slot/variable path"`` → array."""
        return {f"{name}/{path}": array for name, slots in self._slots.items() for path, array in slots.items()}

    def load_slot_arrays(self, arrays: dict[str, Array]) -> None:
        """Take over state as `slot_arrays` returns it."""
        self._slots = {}
        for key, array in arrays.items():
            name, path = key.split("/", 1)
            self._slots.setdefault(name, {})[path] = array.copy()

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
