"""Model: what the methods that train a model and those that run it have in common."""

from __future__ import annotations

from typing import Any

from lamina.models.executor import Executor
from lamina.models.stack import Stack

__all__ = ["Model"]


class Model:
    """A stack of layers and what runs it.

    Attributes
    ----------
    stack : Stack
        The layers: composition, shapes and parameters.
    executor : Executor
        What runs them in the engine, and where training stands.
    seed : int
        What orders of rows depend on, beside the number of epochs.
    """

    stack: Stack
    executor: Executor
    seed: int

    def build(self, input_shape: Any = None) -> None:
        """Make the parameters.

        Parameters
        ----------
        input_shape : tuple
            Batch first, its size None, as ``(None, 784)``.

        Raises
        ------
        ValueError
            No shape, a wrong one, or the model has no layers. The model is as it was.
        """
        self.stack.build(input_shape)
