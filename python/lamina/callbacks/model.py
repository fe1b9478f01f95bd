"""The part of a model that callbacks may use."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

__all__ = ["TrainedModel"]


class TrainedModel(Protocol):
    """A model as callbacks see it.

    Attributes
    ----------
    stop_training, stop_evaluating, stop_predicting : bool
        A callback sets it to end the loop after the present batch.
    initial_epoch : int or None
        The epoch to begin with, if a callback sets it in `on_train_begin`.
    history : History or None
    validates : bool
        Whether `fit` evaluates validation data.
    fit_completed : bool
        Whether the last `fit` ran to its end.
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
        """Whether all metrics are known yet: the targets decide what some names mean."""

    def direction_of(self, name: str) -> str | None:
        """Return "up" or "down" for the name of a metric in the logs: whether more or less is better; None: unknown."""

    def get_weights(self) -> list[Any]:
        """Return copies of all parameters."""

    def set_weights(self, weights: list[Any]) -> None:
        """Set all parameters."""

    def check_saving(self, who: str, filepath: Any) -> None:
        """Raise if the model cannot be kept in files whose names end as `filepath`."""

    def check_saving_weights(self, who: str, filepath: Any) -> None:
        """Raise if the model's weights cannot be kept in files whose names end as `filepath`."""

    def save(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the model into a file."""

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the parameters into a file."""

    def load_weights(self, filepath: Any) -> None:
        """Read the parameters, and in Keras's format the optimizer's state, from a file."""

    @property
    def trainable_variables(self) -> list[Any]:
        """Variables that training changes."""

    def save_backup(self, filepath: Path, callbacks: Sequence[tuple[str, dict[str, Any]]], epoch: int) -> None:
        """Write a file from which training can resume.

        `callbacks` are their classes and states, `epoch` is the next one in a loop of the user's; a `fit` knows it.
        """

    def restore_backup(self, filepath: Path) -> list[tuple[str, dict[str, Any]]]:
        """Restore the model's state from a backup; return classes and states of the callbacks."""
