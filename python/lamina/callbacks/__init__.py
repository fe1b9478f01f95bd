"""Callbacks: code that runs between batches and epochs of training."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.callbacks.base import Callback
from lamina.callbacks.control import (
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from lamina.callbacks.lists import CallbackList
from lamina.callbacks.reporting import History, ProgbarLogger
from lamina.callbacks.saving import BackupAndRestore, ModelCheckpoint
from lamina.callbacks.tables import CSVLogger
from lamina.callbacks.tensorboard import TensorBoard

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
    "TensorBoard",
    "TerminateOnNaN",
]

_ABSENT = {
    "RemoteMonitor": "write a Callback that sends the logs",
    "SwapEMAWeights": "optimizers have use_ema, and fit ends with the averages",
}

__getattr__ = absences(__name__, globals(), _ABSENT)
