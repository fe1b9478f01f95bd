"""A check of gradients by finite differences."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy.typing as npt

from lamina import random
from lamina._common.checks import KindError, number
from lamina.layers.applied import is_operation
from lamina.models import Model
from lamina.models.prepared import prepare

__all__ = ["check_gradients"]

Array = npt.NDArray[Any]


def check_gradients(
    model: Model,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    step: float = 1e-6,
) -> float:
    """Return how far a model's gradients are from finite differences of its loss.

    A float64 copy of the model is used. Every parameter ``θ`` is moved by ``±step · max(1, |θ|)``, and the central
    difference of the loss is compared with the gradient of backpropagation.

    Parameters
    ----------
    model : Model
        Built and compiled.
    x, y, sample_weight
        A batch, as for `fit`; a few rows will do.
    step : float
        Relative size of the move.

    Returns
    -------
    float
        Largest ``|analytic - numeric| / max(1e-3, |analytic| + |numeric|)``, NaN if one of them is. About 1e-7 if all
        gradients are right; near 1 if a formula is wrong. A kink (ReLU at 0) within a move can raise it too.

    Raises
    ------
    RuntimeError, ValueError
        The model is not compiled or not built, or the batch does not fit.

    Examples
    --------
    >>> import lamina
    >>> import numpy as np
    >>> model = lamina.Sequential([lamina.layers.Dense(2, activation="tanh", input_dim=3), lamina.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> check_gradients(model, np.eye(3), np.ones(3)) < 1e-5
    True
    """
    if not isinstance(model, Model):
        raise KindError(f"check_gradients: model must be a model; got {type(model).__name__}.")
    step = number("check_gradients", "step", step, above=0)
    compiled = model.executor.require_compiled("check_gradients")
    model.stack.require_built("check_gradients")
    seeds = random.global_seeds.counter
    settings = model.get_config()
    _widen(settings)
    twin = type(model).from_config(settings)
    twin.set_weights(list(model.get_weights()))
    random.global_seeds.counter = seeds  # undo the copy's draws
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compiling the model warned already
        twin.compile("sgd", copy.copy(compiled.loss), compiled.loss_weight)
    prepare("check_gradients", twin.stack, twin.executor.require_compiled("check_gradients"), x, y, sample_weight)
    weights = twin.flat_weights

    def evaluated() -> tuple[float, Array]:  # with the noise of one batch, and with the batch's own moments
        twin.flat_weights = weights
        value, gradient = twin.value_and_gradient(x, y, sample_weight, training=True, flat=True)
        return value, gradient

    worst = 0.0
    for i, slope in enumerate(evaluated()[1]):
        kept = weights[i]
        move = step * max(1.0, abs(kept))
        weights[i] = kept + move
        above = evaluated()[0]
        weights[i] = kept - move
        below = evaluated()[0]
        weights[i] = kept
        numeric = (above - below) / (2 * move)
        error = abs(slope - numeric) / max(1e-3, abs(slope) + abs(numeric))
        worst = worst if error <= worst else error  # a NaN stays
    return float(worst)


def _widen(settings: dict[str, Any]) -> None:
    """Set the floating dtypes of all layers in a model's configuration to float64, also in nested models."""
    for layer in settings["layers"]:
        inner = layer["config"]
        if "layers" in inner:
            _widen(inner)
        elif not (is_operation(layer) or layer["class_name"] == "InputLayer") or inner.get("dtype") == "float32":
            inner["dtype"] = "float64"
