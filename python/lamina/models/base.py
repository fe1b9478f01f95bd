"""Model: common base of the methods that train a model and those that run it."""

from __future__ import annotations

from typing import Any

from lamina.models.executor import Executor
from lamina.models.stack import Stack

__all__ = ["Model"]


class Model:
    """A stack of layers and the executor that runs it.

    Attributes
    ----------
    stack : Stack
        The layers: composition, shapes and parameters.
    executor : Executor
        Runs them in the engine, and holds the state of training.
    seed : int
        Seed of the random orders of rows, which depend on the number of passes over the data, too.
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
            No shape, a wrong one, or the model has no layers. The model is unchanged.
        """
        self.stack.build(input_shape)
