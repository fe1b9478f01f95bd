"""The dense layer on NumPy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core

__all__ = [
    "dense_backward",
    "dense_forward",
]

Array = npt.NDArray[np.floating[Any]]


def dense_forward(
    x: Array,
    w: Array,
    b: Array | None = None,
    activation: str = "linear",
    alpha: float | None = None,
    out: Array | None = None,
    pre: Array | None = None,
) -> Array:
    """Return ``activation(x @ w + b)``.

    The bits of a row of the result depend neither on the other rows of the batch nor on the number of threads.

    Parameters
    ----------
    x : ndarray, shape (n, in)
        Batch of rows.
    w : ndarray, shape (in, out)
        Weights.
    b : ndarray, shape (out,), optional
        Bias; none if omitted.
    activation : str
        A name of `lamina.activations`, with ``"gelu_tanh"`` for the approximate GELU.
    alpha : float, optional
        The activation's parameter, >= 0: slope below zero of ``"leaky_relu"`` (default 0.2), ``alpha`` of ``"elu"`` and
        ``"celu"`` (1), threshold of ``"soft_shrink"`` and ``"hard_shrink"`` (0.5), ``b`` of ``"squareplus"`` (4).
    out : ndarray, shape (n, out), optional
        Receives the result.
    pre : ndarray, shape (n, out), optional
        Receives the pre-activation ``x @ w + b``, which `dense_backward` needs for some activations.

    Returns
    -------
    ndarray, shape (n, out)
        `out` if it was given.

    Raises
    ------
    TypeError
        An argument is no array, or its dtype is not float32 or float64 or differs from the others'.
    ValueError
        A shape, a memory layout or the activation's name is wrong, or arrays overlap.

    Notes
    -----
    Each element is a sum over ``in`` in segments of 128 terms, the last of at most 191. Its error is bounded by about
    ``(min(in, 191) + in / 128) * eps * (|x| @ |w|)``.

    Examples
    --------
    >>> x = np.array([[1.5, 2.0]])
    >>> w = np.array([[-1.0, -1.0, -1.0], [-1.0, 1.0, 0.0]])
    >>> dense_forward(x, w, activation="relu")
    array([[0. , 0.5, 0. ]])
    """
    return _core.dense_forward(x, w, b, activation, alpha, out, pre)


def dense_backward(
    x: Array,
    w: Array,
    dy: Array,
    y: Array | None = None,
    pre: Array | None = None,
    activation: str = "linear",
    alpha: float | None = None,
    dx: Array | None = None,
    dw: Array | None = None,
    db: Array | None = None,
    need_dx: bool = True,
) -> tuple[Array | None, Array, Array]:
    """Return the gradients of a dense layer, given ``dy = dL/dy``.

    With ``dz = dy * activation'``: ``dw = x.T @ dz``, ``db = dz.sum(axis=0)``, ``dx = dz @ w.T``. All three
    outputs are overwritten; nothing is divided by ``n``.

    Parameters
    ----------
    x : ndarray, shape (n, in)
        Input of the forward pass.
    w : ndarray, shape (in, out)
        Weights.
    dy : ndarray, shape (n, out)
        Gradient of the loss with respect to the output.
    y : ndarray, shape (n, out), optional
        Output of the forward pass; needed by activations whose derivative is computed from it.
    pre : ndarray, shape (n, out), optional
        Pre-activation of the forward pass; needed by ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"mish"``,
        ``"hard_silu"``, ``"tanh_shrink"`` and ``"squareplus"``.
    activation, alpha
        As in the forward pass.
    dx : ndarray, shape (n, in), optional
        Receives the gradient with respect to `x`.
    dw : ndarray, shape (in, out), optional
        Receives the gradient with respect to `w`.
    db : ndarray, shape (out,), optional
        Receives the gradient with respect to the bias.
    need_dx : bool
        False skips `dx`: the first layer of a network needs none.

    Returns
    -------
    dx : ndarray, shape (n, in), or None
    dw : ndarray, shape (in, out)
    db : ndarray, shape (out,)

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`; also if the activation needs `y` or `pre` and it is missing.

    Examples
    --------
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> dense_backward(x, w, dy=np.array([[1.0]]))
    (array([[3., 4.]]), array([[1.],
           [2.]]), array([1.]))
    """
    return _core.dense_backward(x, w, dy, y, pre, activation, alpha, dx, dw, db, need_dx)
