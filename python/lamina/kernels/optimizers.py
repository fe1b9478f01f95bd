"""Optimizer steps on NumPy arrays, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import integer

__all__ = [
    "adam_update",
    "sgd_update",
]

Array = npt.NDArray[np.floating[Any]]


def sgd_update(
    param: Array,
    grad: Array,
    velocity: Array | None = None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
) -> None:
    """Take one step of stochastic gradient descent, in place.

    With rate ``η``, momentum ``μ`` and decay ``λ``: first ``θ ← θ - ηλθ``; then, without velocity,
    ``θ ← θ - ηg``; with it ``v ← μv - ηg`` and ``θ ← θ + v``, or for Nesterov ``θ ← θ + μv - ηg``.

    Parameters
    ----------
    param : ndarray, any shape
        Parameters ``θ``, updated.
    grad : ndarray, shape of `param`
        Gradient ``g``.
    velocity : ndarray, shape of `param`, optional
        ``v``, updated; begins as zeros. Needed where `momentum` > 0.
    learning_rate : float, >= 0
    momentum : float in [0, 1]
    nesterov : bool
    weight_decay : float, >= 0
        Decoupled, as in Keras.

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`; also for a hyperparameter out of range. Nothing is changed then.

    Examples
    --------
    >>> theta = np.array([1.0, 2.0])
    >>> sgd_update(theta, np.array([8.0, 8.0]), learning_rate=0.125)
    >>> theta
    array([0., 1.])
    """
    _core.sgd_update(param, grad, velocity, learning_rate, momentum, nesterov, weight_decay)


def adam_update(
    param: Array,
    grad: Array,
    m: Array,
    v: Array,
    v_max: Array | None = None,
    *,
    step: int,
    learning_rate: float = 0.001,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
) -> None:
    """Take one step of Adam, in place.

    With rate ``η``, decay ``λ`` and step number ``t``: first ``θ ← θ - ηλθ``; then ``m ← β₁m + (1 - β₁)g``,
    ``v ← β₂v + (1 - β₂)g²`` and ``θ ← θ - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)`` (Kingma & Ba 2015, algorithm 1 in
    the order of its section 2). With `v_max`, AMSGrad: ``v_max ← max(v_max, v)`` replaces ``v`` in the last formula
    (Reddi et al. 2018).

    Parameters
    ----------
    param : ndarray, any shape
        Parameters ``θ``, updated.
    grad : ndarray, shape of `param`
        Gradient ``g``.
    m, v : ndarray, shape of `param`
        Running means of ``g`` and ``g²``, updated; begin as zeros.
    v_max : ndarray, shape of `param`, optional
        Largest ``v`` so far, updated; begins as zeros.
    step : int, >= 1
        ``t``, counting from 1.
    learning_rate : float, >= 0
    beta_1, beta_2 : float in [0, 1)
    epsilon : float, >= 0
    weight_decay : float, >= 0
        Decoupled, as in Keras.

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`; also for a hyperparameter out of range. Nothing is changed then.

    Examples
    --------
    >>> theta, m, v = np.zeros(2), np.zeros(2), np.zeros(2)
    >>> adam_update(theta, np.array([1.0, -4.0]), m, v, step=1, learning_rate=0.5)
    >>> theta.round(3)
    array([-0.5,  0.5])
    """
    step = integer("adam_update", "step", step)
    _core.adam_update(param, grad, m, v, v_max, step, learning_rate, beta_1, beta_2, epsilon, weight_decay)
