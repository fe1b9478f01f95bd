"""A layer of PyTorch, described: nothing here needs PyTorch."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from lamina._common.records import Record
from lamina._common.registry import ConfigurationError

__all__ = ["TorchLayer", "require"]

Array = npt.NDArray[Any]


class TorchLayer(Record):
    """A layer of PyTorch.

    Attributes
    ----------
    kind : str
        Name of the class in `torch.nn`.
    arguments : dict
        Of its constructor, by name.
    tensors : dict
        Parameters and moving statistics, by their names in its state.
    """

    kind: str
    arguments: dict[str, Any]
    tensors: dict[str, Array]


def require(condition: bool, message: str) -> None:
    """Raise ConfigurationError unless a condition holds."""
    if not condition:
        raise ConfigurationError(message)
