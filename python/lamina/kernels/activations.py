"""Activations on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core

__all__ = [
    "activation_backward",
    "activation_forward",
    "log_softmax",
    "softmax",
]

Array = npt.NDArray[np.floating[Any]]


def activation_forward(name: str, x: Array, alpha: float | None = None, out: Array | None = None) -> Array:
    """Return an activation of `x`.

    Parameters
    ----------
    name : str
        A name of `lamina.activations`, or ``"gelu_tanh"``.
    x : ndarray, any shape
        ``"softmax"`` and ``"log_softmax"`` work along the last axis, the others on each element.
    alpha : float, optional
        As in `dense_forward`.
    out : ndarray, shape of `x`, optional
        Receives the result; may be `x` itself.

    Returns
    -------
    ndarray, shape of `x`

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`.

    Notes
    -----
    Errors in ULP are stated for each function in ``csrc/simd/math.hpp`` and tested. NaN gives NaN.

    Examples
    --------
    >>> activation_forward("relu", np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _core.activation_forward(name, x, alpha, out)


def activation_backward(
    name: str, x_or_y: Array, dy: Array, alpha: float | None = None, out: Array | None = None
) -> Array:
    """Return ``dy * f'`` of an activation.

    Parameters
    ----------
    name : str
        As in `activation_forward`.
    x_or_y : ndarray, any shape
        The input of ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"mish"``, ``"hard_silu"``, ``"tanh_shrink"`` and
        ``"squareplus"``, the output of all others.
    dy : ndarray, shape of `x_or_y`
        Gradient of the loss with respect to the output.
    alpha : float, optional
        As in the forward pass.
    out : ndarray, shape of `x_or_y`, optional
        Receives the result; may be `dy` or `x_or_y` itself.

    Returns
    -------
    ndarray, shape of `x_or_y`
        Gradient of the loss with respect to the input.

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`.

    Examples
    --------
    >>> y = activation_forward("tanh", np.array([0.0, 1.0]))
    >>> activation_backward("tanh", y, np.ones(2)).round(4)
    array([1.  , 0.42])
    """
    return _core.activation_backward(name, x_or_y, dy, alpha, out)


def softmax(x: Array, out: Array | None = None) -> Array:
    """Return ``exp(x - max) / sum(exp(x - max))`` along the last axis.

    Parameters
    ----------
    x : ndarray, shape (..., c)
    out : ndarray, shape of `x`, optional
        Receives the result; may be `x` itself.

    Returns
    -------
    ndarray, shape of `x`
        Rows sum to one up to rounding. A row with NaN or +inf becomes NaN.

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`.

    Examples
    --------
    >>> softmax(np.array([2.0, -1.0, 5.0, 0.0])).round(8)
    array([0.04701312, 0.00234065, 0.9442837 , 0.00636253])
    """
    return _core.activation_forward("softmax", x, None, out)


def log_softmax(x: Array, out: Array | None = None) -> Array:
    """Return ``x - max - log(sum(exp(x - max)))`` along the last axis.

    Parameters and result as in `softmax`; finite where `softmax` underflows to zero.

    Examples
    --------
    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    return _core.activation_forward("log_softmax", x, None, out)
