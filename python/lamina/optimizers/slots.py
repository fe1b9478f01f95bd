"""Slots: what an optimizer keeps beside each variable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina import _core
from lamina._common.locks import Once
from lamina._engine.variable import Home, Variable

__all__ = ["Slots"]


class Slots:
    """State beside variables, such as running means of gradients: for each name an array in each variable's shape.

    The arrays of the variables of one block lie in a block of the same layout, which is made when first asked for.

    Parameters
    ----------
    names : iterable of str
        Of the kinds of state.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._blocks: dict[str, dict[_core.Parameters, _core.Parameters]] = {name: {} for name in names}
        self._once = Once()

    def __getstate__(self) -> dict[str, Any]:
        """Copy what grows while another thread trains."""
        return self.__dict__ | {"_blocks": {name: dict(blocks) for name, blocks in dict(self._blocks).items()}}

    @property
    def names(self) -> list[str]:
        """Names of the kinds of state."""
        return list(self._blocks)

    def block(self, name: str, parameters: _core.Parameters, initial: float | None) -> _core.Parameters:
        """Return the state of one kind beside a block of parameters.

        Parameters
        ----------
        initial : float or None
            What all elements begin with; None for the values of the parameters.
        """
        blocks = self._blocks.setdefault(name, {})  # a setting that needs it may have been assigned since
        if parameters not in blocks:
            with self._once:
                made = parameters.copy() if initial is None else parameters.like(initial)
                blocks.setdefault(parameters, made)  # what interrupts this may have made it meanwhile
        return blocks[parameters]

    def blocks(self, name: str) -> list[_core.Parameters]:
        """Return all blocks of one kind of state."""
        return list(self._blocks.get(name, {}).values())

    def of(self, name: str, variable: Variable, initial: float | None) -> Variable:
        """Return the state of one kind beside a variable; arguments as of `block`."""
        block, tensor = variable.require_block()
        slot = Variable.holding(
            np.zeros(variable.shape, variable.dtype), f"{variable.name}_{name}", f"{name}/{variable.path}"
        )
        slot.join(Home(self.block(name, block, initial)), tensor)
        return slot
