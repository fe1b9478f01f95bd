"""ParameterSet: the variables of a layer, and the storage of their values."""

from __future__ import annotations

from typing import Any

from lamina import _core
from lamina._common.locks import Once
from lamina._engine.variable import Home, Variable

__all__ = ["ParameterSet"]


class ParameterSet:
    """The variables of a layer. Their values move into one block of the engine's memory, all together.

    Those of integers do not: the engine computes with none of them.

    Attributes
    ----------
    variables : list of Variable
        In the order in which they were added; as in Keras those that are trained when they are added come first.
    """

    def __init__(self) -> None:
        self.variables: list[Variable] = []
        self._trained = 0  # how many come first
        self._home = Home()

    def add(self, variable: Variable, owner: Any) -> None:
        """Add a variable, whose values will move when `owner.block` is called."""
        if variable.is_float:
            variable.owner = owner
            variable.join(self._home, 0)
        place = self._trained if variable.trainable else len(self.variables)
        self._trained += variable.trainable
        self.variables = [*self.variables[:place], variable, *self.variables[place:]]

    def keep(self, variables: list[Variable]) -> None:
        """Drop all variables but those given."""
        kept = {id(variable) for variable in variables}
        self._trained = sum(id(variable) in kept for variable in self.variables[: self._trained])
        self.variables = [variable for variable in self.variables if id(variable) in kept]

    @property
    def in_engine(self) -> list[Variable]:
        """The variables whose values move, in the order of the block's tensors."""
        return [variable for variable in self.variables if variable.is_float]

    @property
    def moved(self) -> bool:
        """Whether the values lie in the engine's memory."""
        return self._home.block is not None

    def block(self, once: Once, dtype: str, dense: bool) -> _core.Parameters:
        """Return the engine's memory; the values are moved there on the first call.

        Parameters
        ----------
        once : Once
            The owner's lock.
        dtype : str
            That of the variables.
        dense : bool
            Whether they are a dense kernel and its bias, which lie in panels; others lie one after the other.
        """
        if self._home.block is not None:
            return self._home.block
        variables = self.in_engine
        shapes = [variable.matrix_shape for variable in variables]
        with once.taken():
            if not self.moved:  # a copy with more variables may share some of them: their places count from here on
                for tensor, variable in enumerate(variables):
                    variable.join(self._home, tensor)
            block = self._home.move(lambda: _core.Parameters(dtype, dense, shapes), variables)
        for variable in variables:
            variable.owner = None  # not needed any more; the layer must not be kept alive
        return block

    def __copy__(self) -> ParameterSet:
        """Return a set that shares the variables; the copy of an empty set is independent."""
        copied = ParameterSet()
        if self.variables:
            copied.variables, copied._trained, copied._home = list(self.variables), self._trained, self._home
        return copied
