"""Several quantiles: an output each, whose order is that of the quantiles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import d2_pinball_score

__all__ = ["band", "mean_score", "order", "several"]

Array = npt.NDArray[Any]


def several(given: Any) -> list[float] | None:
    """Return quantiles if there are several, None for one number; or raise."""
    if np.ndim(given) == 0:
        return None
    if len(given) == 0:
        raise ValueError("quantile must be a number, or a sequence of one at least; got an empty one.")
    found: list[float] = np.asarray(given, float).tolist()
    return found


def order(outputs: Array, quantiles: Sequence[float]) -> Array:
    """Return for each row which output is each quantile's: the smallest that of the smallest (n, quantiles)."""
    ranks = np.argsort(np.argsort(quantiles, kind="stable"), kind="stable")
    found: Array = np.argsort(outputs, axis=1, kind="stable")[:, ranks]
    return found


def band(outputs: Array) -> tuple[Array, Array]:
    """Return the lowest and the highest output of each row, (n, 1)."""
    return outputs.min(axis=1, keepdims=True), outputs.max(axis=1, keepdims=True)


def mean_score(targets: Array, outputs: Array, weight: Array | None, quantiles: Sequence[float]) -> float:
    """Return the mean over the columns of D²: 1 - loss / loss of the best constants."""
    columns = np.broadcast_to(targets, outputs.shape)
    scores = [
        d2_pinball_score(columns[:, j], outputs[:, j], sample_weight=weight, alpha=quantile)
        for j, quantile in enumerate(quantiles)
    ]
    return float(np.mean(scores))
