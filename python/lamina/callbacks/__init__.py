"""Callbacks: what happens between batches and epochs of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lamina._names import lazily
from lamina.callbacks.base import Callback
from lamina.callbacks.lists import CallbackList
from lamina.callbacks.reporting import History, ProgbarLogger

if TYPE_CHECKING:
    from lamina.callbacks.control import (
        EarlyStopping,
        LambdaCallback,
        LearningRateScheduler,
        ReduceLROnPlateau,
        TerminateOnNaN,
    )
    from lamina.callbacks.saving import BackupAndRestore, ModelCheckpoint
    from lamina.callbacks.tables import CSVLogger

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
]

# Imported when first asked for.
_MODULES = {
    "BackupAndRestore": "saving",
    "CSVLogger": "tables",
    "EarlyStopping": "control",
    "LambdaCallback": "control",
    "LearningRateScheduler": "control",
    "ModelCheckpoint": "saving",
    "ReduceLROnPlateau": "control",
    "TerminateOnNaN": "control",
}

_ABSENT = {
    "TensorBoard": "write a Callback, or use CSVLogger",
    "RemoteMonitor": "write a Callback that sends the logs",
    "SwapEMAWeights": "optimizers have use_ema, and fit ends with the averages",
}


def __getattr__(name: str) -> Any:
    """Import a callback when it is first asked for."""
    return lazily(__name__, name, _MODULES, _ABSENT, globals())
