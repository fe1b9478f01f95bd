"""Whole models: an estimator's network with what it does to rows before and to outputs after it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._files import network as steps
from lamina._files.network import NetworkState
from lamina.models import Sequential
from lamina.models.from_network import model_from_network
from lamina.models.networks import network_state

__all__ = ["whole_model"]

Array = npt.NDArray[Any]


def whole_model(who: str, network: Sequential, x_scaler: Any, y_scaler: Any) -> Sequential:
    """Return a model of its own that scales rows, runs a network, and scales outputs back; scalers may be None."""
    state = network_state(who, network.stack)
    found, row_shape = list(state.steps), state.steps[-1].row_shape
    if x_scaler is not None:
        mean = x_scaler.mean_ if x_scaler.with_mean else np.zeros(state.row_shape)
        rounded = mean.astype(state.dtype)
        scaled = _affine("standardization", state, state.row_shape, 0.0, 1 / x_scaler.scale_, 0.0)
        # Two steps, as in the scaler: the difference is exact even if the mean is large against the deviation.
        found = [_affine("mean", state, state.row_shape, rounded, 1.0, 0.0), scaled, *found]
    if y_scaler is not None:
        found.append(_affine("targets", state, row_shape, 0.0, y_scaler.scale_, y_scaler.mean_))
    return model_from_network(state.replaced(steps=found))


def _affine(
    name: str, state: NetworkState, row_shape: steps.Shape, center: Any, scale: Any, shift: Any
) -> steps.Affine:
    wide = [np.broadcast_to(np.asarray(one, state.dtype), row_shape).copy() for one in (center, scale, shift)]
    return steps.Affine(name, row_shape, *wide)
