"""Kernels on NumPy arrays, in place and without copies.

Every array is C-contiguous ``float32`` or ``float64``, all of a call in one dtype; class labels are
integers of any width. Anything else raises and names the argument; nothing is converted. With every
output given (``out=`` and its kin) a call allocates nothing. Outputs may not share memory with inputs
except where a function says so. Calls that do more than a few microseconds of work release the GIL.

Axes: ``n`` rows of a batch, ``in`` features, ``out`` units, ``c`` columns or classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core

__all__ = [
    "activation_backward",
    "activation_forward",
    "adam_update",
    "binary_cross_entropy",
    "categorical_cross_entropy",
    "dense_backward",
    "dense_forward",
    "l2_norm",
    "log_softmax",
    "mae",
    "mse",
    "sgd_update",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
]

Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]


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

    A row of the result has the same bits whatever batch the row came in, and for any number of threads.

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
        Slope below zero of ``"leaky_relu"`` (default 0.2) or scale of ``"elu"`` (default 1); >= 0.
    out : ndarray, shape (n, out), optional
        Receives the result.
    pre : ndarray, shape (n, out), optional
        Receives the pre-activation ``x @ w + b``, which the backward pass of GELU, SiLU and Mish needs.

    Returns
    -------
    ndarray, shape (n, out)
        `out` where it was given.

    Raises
    ------
    TypeError
        An argument is no array, or its dtype is not float32 or float64 or differs from the others'.
    ValueError
        A shape, the memory layout, an overlap, or the name of the activation.

    Notes
    -----
    Each element is a sum over ``in`` in segments of at most 384 terms, so its error is bounded by about
    ``(min(in, 384) + in / 256) * eps * (|x| @ |w|)``.

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
    overwrite; nothing is divided by ``n``.

    Parameters
    ----------
    x : ndarray, shape (n, in)
        What the forward pass received.
    w : ndarray, shape (in, out)
        Weights.
    dy : ndarray, shape (n, out)
        Gradient of the loss with respect to the output.
    y : ndarray, shape (n, out), optional
        Output of the forward pass; needed by activations whose derivative is computed from it.
    pre : ndarray, shape (n, out), optional
        Pre-activation of the forward pass; needed by ``"gelu"``, ``"gelu_tanh"``, ``"silu"``, ``"mish"``.
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
        As `dense_forward`; also where the activation needs `y` or `pre` and it is missing.

    Examples
    --------
    >>> x, w = np.array([[1.0, 2.0]]), np.array([[3.0], [4.0]])
    >>> dense_backward(x, w, dy=np.array([[1.0]]))
    (array([[3., 4.]]), array([[1.],
           [2.]]), array([1.]))
    """
    return _core.dense_backward(x, w, dy, y, pre, activation, alpha, dx, dw, db, need_dx)


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
        The input of ``"gelu"``, ``"gelu_tanh"``, ``"silu"`` and ``"mish"``, the output of all others.
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


def softmax_cross_entropy(
    logits: Array,
    labels: Labels | Array,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the cross-entropy of ``softmax(logits)`` for each row, and its gradient for each row.

    ``loss = sum_j t_j (log(sum_k exp(z_k)) - z_j)`` and ``dlogits_j = softmax(z)_j sum_k t_k - t_j``, both
    times the sample weight; neither is divided by ``n``.

    Parameters
    ----------
    logits : ndarray, shape (n, c)
        Unnormalised log-probabilities ``z``; finite, or -inf for impossible classes.
    labels : ndarray of integers, shape (n,), or of probabilities, shape (n, c)
        Class of each row in ``[0, c)``, or the target distribution ``t``.
    sample_weight : ndarray, shape (n,), optional
        Factor of each row.
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / c``.
    loss : ndarray, shape (n,), optional
        Receives the values.
    grad : ndarray, shape (n, c), optional
        Receives the gradient; may be `logits` itself.
    need_grad : bool
        False skips the gradient.

    Returns
    -------
    loss : ndarray, shape (n,)
    dlogits : ndarray, shape (n, c), or None

    Raises
    ------
    TypeError
        As `dense_forward`.
    ValueError
        As `dense_forward`; also for a label outside ``[0, c)``, before anything is written.

    Examples
    --------
    >>> loss, _ = softmax_cross_entropy(np.array([[2.0, -1.0, 5.0, 0.0]]), np.array([1]))
    >>> loss
    array([6.05732862])
    """
    return _core.evaluate_loss(
        "softmax_cross_entropy", logits, labels, sample_weight, label_smoothing, loss, grad, need_grad, 1.0
    )


def categorical_cross_entropy(
    y_pred: Array,
    labels: Labels | Array,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the cross-entropy of probabilities that do not come from a softmax of known logits.

    ``q = y_pred / y_pred.sum()`` of each row, kept within ``[1e-7, 1 - 1e-7]``; ``loss = -sum_j t_j log(q_j)``.
    Where logits are at hand, `softmax_cross_entropy` is exact and faster.

    Parameters
    ----------
    y_pred : ndarray, shape (n, c)
        Non-negative scores.
    labels, sample_weight, label_smoothing, loss, grad, need_grad
        As in `softmax_cross_entropy`; the gradient is with respect to `y_pred`.

    Returns
    -------
    loss : ndarray, shape (n,)
    grad : ndarray, shape (n, c), or None

    Raises
    ------
    TypeError, ValueError
        As `softmax_cross_entropy`.

    Examples
    --------
    >>> categorical_cross_entropy(np.array([[0.25, 0.75]]), np.array([0]))[0].round(6)
    array([1.386294])
    """
    return _core.evaluate_loss(
        "categorical_cross_entropy", y_pred, labels, sample_weight, label_smoothing, loss, grad, need_grad, 1.0
    )


def sigmoid_cross_entropy(
    logits: Array,
    targets: Array,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the binary cross-entropy of ``sigmoid(logits)``, the mean over each row, and its gradient.

    ``loss = mean_j(max(z_j, 0) - z_j t_j + log(1 + exp(-|z_j|)))``, ``dlogits_j = (sigmoid(z_j) - t_j) / c``,
    both times the sample weight; neither is divided by ``n``.

    Parameters
    ----------
    logits : ndarray, shape (n, c)
    targets : ndarray, shape (n, c)
        Probabilities in [0, 1].
    sample_weight : ndarray, shape (n,), optional
    label_smoothing : float in [0, 1]
        ``s`` in ``t (1 - s) + s / 2``.
    loss, grad, need_grad
        As in `softmax_cross_entropy`.

    Returns
    -------
    loss : ndarray, shape (n,)
    dlogits : ndarray, shape (n, c), or None

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`.

    Examples
    --------
    >>> sigmoid_cross_entropy(np.array([[0.0]]), np.array([[1.0]]))
    (array([0.69314718]), array([[-0.5]]))
    """
    return _core.evaluate_loss(
        "sigmoid_cross_entropy", logits, targets, sample_weight, label_smoothing, loss, grad, need_grad, 1.0
    )


def binary_cross_entropy(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``mean_j(-t_j log(p_j) - (1 - t_j) log(1 - p_j))`` of each row, and its gradient.

    ``p`` is `y_pred` kept within ``[1e-7, 1 - 1e-7]``; outside the gradient is zero. Where logits are at hand,
    `sigmoid_cross_entropy` is exact and faster. Parameters and result as there.

    Examples
    --------
    >>> binary_cross_entropy(np.array([[0.5]]), np.array([[1.0]]))
    (array([0.69314718]), array([[-2.]]))
    """
    return _core.evaluate_loss(
        "binary_cross_entropy", y_pred, y_true, sample_weight, label_smoothing, loss, grad, need_grad, 1.0
    )


def mse(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the squared error of each row, ``mean_j((p_j - t_j)²)``, and its gradient ``2 (p_j - t_j) / c``.

    Parameters
    ----------
    y_pred, y_true : ndarray, shape (n, c)
    sample_weight : ndarray, shape (n,), optional
        Factor of each row, of value and gradient alike.
    loss, grad, need_grad
        As in `softmax_cross_entropy`; `grad` may be `y_pred` itself.

    Returns
    -------
    loss : ndarray, shape (n,)
    grad : ndarray, shape (n, c), or None
        Neither is divided by ``n``.

    Raises
    ------
    TypeError, ValueError
        As `dense_forward`.

    Examples
    --------
    >>> mse(np.array([[1.0, 2.0]]), np.array([[0.0, 0.0]]))
    (array([2.5]), array([[1., 2.]]))
    """
    return _core.evaluate_loss("mse", y_pred, y_true, sample_weight, None, loss, grad, need_grad, 1.0)


def mae(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the absolute error of each row, ``mean_j(|p_j - t_j|)``, and its gradient ``sign(p_j - t_j) / c``.

    The gradient is 0 where prediction and target are equal. Parameters and result as in `mse`.

    Examples
    --------
    >>> mae(np.array([[1.0, 2.0]]), np.array([[0.0, 4.0]]))
    (array([1.5]), array([[ 0.5, -0.5]]))
    """
    return _core.evaluate_loss("mae", y_pred, y_true, sample_weight, None, loss, grad, need_grad, 1.0)


def l2_norm(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the Euclidean distance of each row, ``L = ‖p - t‖₂``, and its gradient ``(p - t) / L``.

    The gradient is 0 where ``L`` is. Parameters and result as in `mse`.

    Examples
    --------
    >>> l2_norm(np.array([[3.0, 4.0]]), np.array([[0.0, 0.0]]))
    (array([5.]), array([[0.6, 0.8]]))
    """
    return _core.evaluate_loss("l2_norm", y_pred, y_true, sample_weight, None, loss, grad, need_grad, 1.0)


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
    the order of its section 2). With `v_max`, AMSGrad: ``v_max ← max(v_max, v)`` takes the place of ``v`` in the last
    one (Reddi et al. 2018).

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
    _core.adam_update(param, grad, m, v, v_max, step, learning_rate, beta_1, beta_2, epsilon, weight_decay)
