"""Slots: the state that an optimizer keeps for each variable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from lamina import _core
from lamina._common.locks import Once
from lamina._engine.variable import Home, Variable

__all__ = ["Slots"]


class Slots:
    """State of variables, such as running means of gradients: per name, one array in each variable's shape.

    The state of one block of parameters is a block of the same layout, which is made on first use.

    Parameters
    ----------
    names : iterable of str
        The kinds of state.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._blocks: dict[str, dict[_core.Parameters, _core.Parameters]] = {name: {} for name in names}
        self._once = Once()

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with copies of the dicts, which grow while another thread trains."""
        return self.__dict__ | {"_blocks": {name: dict(blocks) for name, blocks in dict(self._blocks).items()}}

    @property
    def names(self) -> list[str]:
        """Names of the kinds of state."""
        return list(self._blocks)

    def block(self, name: str, parameters: _core.Parameters, initial: float | None) -> _core.Parameters:
        """Return one kind of state of a block of parameters.

        Parameters
        ----------
        initial : float or None
            Initial value of all elements; None for the values of the parameters.
        """
        blocks = self._blocks.setdefault(name, {})  # a setting that needs it may have been assigned since
        if parameters not in blocks:
            with self._once.taken():
                if parameters not in blocks:
                    made = parameters.copy() if initial is None else parameters.like(initial)
                    blocks.setdefault(parameters, made)  # a signal handler may have made it meanwhile
        return blocks[parameters]

    def of(self, name: str, variable: Variable, initial: float | None) -> Variable:
        """Return one kind of state of a variable; arguments as of `block`."""
        block, tensor = variable.require_block()
        slot = Variable.holding(
            np.zeros(variable.shape, variable.dtype), f"{variable.name}_{name}", f"{name}/{variable.path}"
        )
        slot.join(Home(self.block(name, block, initial)), tensor)
        return slot
