"""What callbacks may touch of the model that is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

__all__ = ["TrainedModel"]


class TrainedModel(Protocol):
    """A model as callbacks see it.

    Attributes
    ----------
    stop_training, stop_evaluating, stop_predicting : bool
        Set by a callback: the loop ends after this batch.
    initial_epoch : int or None
        Set in `on_train_begin`: the epoch to begin with.
    history : History or None
    validates : bool
        Whether `fit` evaluates validation data.
    fit_completed : bool
        Whether the last `fit` came to its end.
    """

    name: str
    stop_training: bool
    stop_evaluating: bool
    stop_predicting: bool
    initial_epoch: int | None
    history: Any
    validates: bool
    fit_completed: bool

    @property
    def optimizer(self) -> Any:
        """The optimizer."""

    @property
    def knows_metrics(self) -> bool:
        """Whether it is known which metrics there are."""

    def direction_of(self, name: str) -> str | None:
        """Return "up" or "down" for the name of a metric in the logs: whether more or less is better; None: unknown."""

    def get_weights(self) -> list[Any]:
        """Return copies of all parameters."""

    def set_weights(self, weights: list[Any]) -> None:
        """Write all parameters."""

    def check_saving(self, who: str) -> None:
        """Raise where a file could not hold the model."""

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model into a file."""

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the parameters into a file."""

    def save_backup(self, filepath: Path, epoch: int) -> None:
        """Write all that training goes on from."""

    def restore_backup(self, filepath: Path) -> int:
        """Bring the model to the state of a backup; return the epoch to go on with."""
