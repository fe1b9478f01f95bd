"""BaseModel: what training, evaluation and prediction need of a model."""

from __future__ import annotations

from typing import Any

from lamina import random
from lamina.callbacks import History
from lamina.layers.symbols import Operation
from lamina.models.differentiator import Differentiator
from lamina.models.executor import Executor
from lamina.models.stack import Stack

__all__ = ["BaseModel"]


class BaseModel(Operation):
    """A stack of layers, the executor that runs it, and what callbacks set.

    Parameters
    ----------
    kind, name : str
        The model's class and name.

    Attributes
    ----------
    stack : Stack
        The layers: composition, shapes and parameters.
    executor : Executor
        Runs them in the engine, and holds the state of training.
    differentiator : Differentiator
        Computes derivatives.
    seed : int
        Seed of the random orders of rows, which depend on the number of passes over the data, too.
    stop_training, stop_evaluating, stop_predicting : bool
        A callback sets one to end the loop after the present batch.
    initial_epoch : int or None
        A callback sets it in `on_train_begin` to the epoch at which `fit` shall begin.
    fit_completed : bool
        Whether the last `fit` ran to its end.
    history : History or None
        Of the last `fit`.
    validates : bool
        Whether the last `fit` had validation data.
    """

    # Whether configurations hold the seed; those of graphs have no place for it.
    seed_in_config = False

    def __init__(self, kind: str, name: str) -> None:
        self.seed = random.global_seeds.next_seed()
        self.stack = Stack(kind, name)
        self.executor = Executor(self.stack)
        self.differentiator = Differentiator(self.stack)
        self.stop_training = self.stop_evaluating = self.stop_predicting = False
        self.initial_epoch: int | None = None
        self.fit_completed = False
        self.history: History | None = None
        self.validates = False

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

    @property
    def metrics_names(self) -> list[str]:
        """Names of the values that `evaluate` returns."""
        return [] if self.executor.compiled is None else list(self.executor.compiled.results())

    def get_metrics_result(self) -> dict[str, Any]:
        """Return the loss and the metrics so far, by name."""
        return {} if self.executor.compiled is None else self.executor.compiled.logs()
