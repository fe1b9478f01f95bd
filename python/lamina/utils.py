"""Helpers: seeds, one-hot rows, a check of gradients."""

from __future__ import annotations

import operator
import random as python_random
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lamina import random
from lamina._arrays import real_array
from lamina._names import serialize

if TYPE_CHECKING:
    from lamina.models import Sequential

__all__ = ["check_gradients", "set_random_seed", "to_categorical"]


def set_random_seed(seed: int) -> None:
    """Make everything that follows repeatable: lamina's seeds, and as in Keras Python's and NumPy's global ones.

    Parameters
    ----------
    seed : int in [0, 2**32)

    Raises
    ------
    TypeError, ValueError
        Not an integer, or out of range.
    """
    number = operator.index(seed)
    if not 0 <= number < 2**32:
        raise ValueError(f"set_random_seed: seed must be in [0, 2**32); got {seed}.")
    python_random.seed(number)
    np.random.seed(number)  # noqa: NPY002  (Keras users draw from it after this call)
    random.global_seeds.reset(number)


def to_categorical(x: npt.ArrayLike, num_classes: int | None = None) -> npt.NDArray[Any]:
    """Return one-hot rows.

    Parameters
    ----------
    x : array_like of int, any shape
        Class numbers; a last axis of size 1 is dropped.
    num_classes : int, optional
        ``max(x) + 1`` if omitted.

    Returns
    -------
    ndarray, shape (..., num_classes), dtype float64
        As Keras returns it.

    Raises
    ------
    TypeError, ValueError
        `x` holds other than class numbers in ``[0, num_classes)``.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]])
    """
    labels = real_array("to_categorical", "x", x)
    if labels.dtype.kind == "f" and not np.array_equal(labels, np.trunc(labels)):
        raise ValueError("to_categorical: x must be whole class numbers; got fractions or NaN.")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    labels = labels.astype(np.int64)
    classes = int(labels.max(initial=-1)) + 1 if num_classes is None else operator.index(num_classes)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"to_categorical: x must be in [0, {classes}); got values from {labels.min()} to {labels.max()}."
        )
    rows = np.zeros((labels.size, classes))
    rows[np.arange(labels.size), labels.ravel()] = 1
    return rows.reshape(*labels.shape, classes)


def check_gradients(
    model: Sequential,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    step: float = 1e-6,
) -> float:
    """Return how far a model's gradients are from finite differences of its loss.

    The model is copied in float64 and left alone. Every parameter ``θ`` is moved by ``±step · max(1, |θ|)``, and the
    central difference compared with the gradient of backpropagation.

    Parameters
    ----------
    model : Sequential
        Built and compiled.
    x, y, sample_weight
        A batch, as for `fit`; a few rows will do.
    step : float
        Relative size of the move.

    Returns
    -------
    float
        Largest ``|analytic - numeric| / max(1e-3, |analytic| + |numeric|)``, NaN where one is. About 1e-7 where all is
        right; near 1 where a formula is wrong. A kink (ReLU at 0) within a step of a parameter can show up too.

    Raises
    ------
    RuntimeError, ValueError
        The model is not compiled or not built, or the batch does not fit.

    Examples
    --------
    >>> import lamina
    >>> model = lamina.Sequential([lamina.layers.Dense(2, activation="tanh", input_dim=3), lamina.layers.Dense(1)])
    >>> model.compile(loss="mse")
    >>> check_gradients(model, np.eye(3), np.ones(3)) < 1e-5
    True
    """
    compiled = model._require_compiled("check_gradients")
    model._require_built("check_gradients")
    seeds = random.global_seeds.counter
    settings = model.get_config()
    for layer in settings["layers"]:
        layer["config"]["dtype"] = "float64"
    twin = type(model).from_config(settings)
    twin.set_weights(list(model.get_weights()))
    random.global_seeds.counter = seeds  # as if nothing had been drawn
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # compiling the model said it already
        twin.compile("sgd", type(compiled.loss).from_config(serialize(compiled.loss)["config"]))
    prepared = twin._prepare("check_gradients", x, y, sample_weight)
    twin._commit(prepared)

    def value() -> float:
        twin.reset_metrics()
        twin._gradients(twin._engine(prepared), prepared)  # with the noise and the moments that training has
        return twin._logs()["loss"]

    worst = 0.0
    for variable, analytic in zip(
        twin.trainable_weights, twin._gradients(twin._engine(prepared), prepared), strict=True
    ):
        values, slopes = variable.numpy(), analytic.reshape(-1)
        flat = values.reshape(-1)
        for i in range(flat.size):
            kept = flat[i]
            move = step * max(1.0, abs(kept))
            flat[i] = kept + move
            variable.assign(values)
            above = value()
            flat[i] = kept - move
            variable.assign(values)
            below = value()
            flat[i] = kept
            variable.assign(values)
            numeric = (above - below) / (2 * move)
            error = abs(slopes[i] - numeric) / max(1e-3, abs(slopes[i]) + abs(numeric))
            worst = worst if error <= worst else error  # a NaN stays
    return float(worst)
