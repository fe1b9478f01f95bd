"""Losses other than cross-entropies on NumPy arrays: value and gradient in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import number, numbers

__all__ = [
    "categorical_hinge",
    "cosine_similarity",
    "hinge",
    "huber",
    "kl_divergence",
    "l2_norm",
    "log_cosh",
    "log_poisson_deviance",
    "mae",
    "mape",
    "mse",
    "msle",
    "poisson",
    "poisson_deviance",
    "quantile",
    "squared_hinge",
]

Array = npt.NDArray[np.floating[Any]]


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
        Factor of each row's value and gradient.
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
    return _core.evaluate_loss("mse", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


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
    return _core.evaluate_loss("mae", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


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
    return _core.evaluate_loss("l2_norm", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def mape(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the absolute percentage error of each row, and its gradient.

    ``mean_j(100 |p_j - t_j| / max(|t_j|, 1e-7))``.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> mape(np.array([[1.0]]), np.array([[2.0]]))
    (array([50.]), array([[-50.]]))
    """
    return _core.evaluate_loss("mape", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def msle(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return the squared logarithmic error of each row, ``mean_j((log(1 + p_j) - log(1 + t_j))²)``, and its gradient.

    Predictions and targets below 1e-7 count as 1e-7.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> msle(np.array([[0.0]]), np.array([[0.0]]))
    (array([0.]), array([[0.]]))
    """
    return _core.evaluate_loss("msle", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def huber(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
    *,
    delta: float = 1.0,
) -> tuple[Array, Array | None]:
    """Return the Huber loss of each row, the mean of ``e² / 2`` or ``delta |e| - delta² / 2``, and its gradient.

    ``e = p - t``; the first form applies to ``|e| <= delta``. The gradient is ``e`` clipped to ``[-delta, delta]``,
    divided by ``c``.

    Parameters
    ----------
    delta : float, >= 0
    others
        As in `mse`, like the result.

    Examples
    --------
    >>> huber(np.array([[3.0]]), np.array([[0.0]]))
    (array([2.5]), array([[1.]]))
    """
    return _core.evaluate_loss(
        "huber",
        y_pred,
        y_true,
        sample_weight,
        {"delta": number("huber", "delta", delta, least=0)},
        loss,
        grad,
        need_grad,
    )


def log_cosh(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``mean_j(log(cosh(p_j - t_j)))`` of each row, and its gradient ``tanh(p - t) / c``.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> log_cosh(np.array([[0.0]]), np.array([[0.0]]))
    (array([0.]), array([[0.]]))
    """
    return _core.evaluate_loss("log_cosh", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def poisson(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``mean_j(p_j - t_j log(p_j + 1e-7))`` of each row, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> poisson(np.array([[1.0]]), np.array([[0.0]]))
    (array([1.]), array([[1.]]))
    """
    return _core.evaluate_loss("poisson", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def poisson_deviance(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``mean_j(p_j - t_j + t_j log(t_j / p_j))`` of each row, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> poisson_deviance(np.array([[2.0]]), np.array([[0.0]]))
    (array([2.]), array([[1.]]))
    """
    return _core.evaluate_loss("poisson_deviance", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def log_poisson_deviance(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return `poisson_deviance` of ``exp(y_pred)``, and its gradient with respect to `y_pred`.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> log_poisson_deviance(np.array([[0.0]]), np.array([[0.0]]))
    (array([1.]), array([[1.]]))
    """
    return _core.evaluate_loss("log_poisson_deviance", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def kl_divergence(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``Σ_j t_j log(t_j / p_j)`` of each row, both kept within ``[1e-7, 1]``, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> kl_divergence(np.array([[0.5]]), np.array([[0.5]]))
    (array([0.]), array([[-1.]]))
    """
    return _core.evaluate_loss("kl_divergence", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def hinge(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``mean_j(max(1 - t_j p_j, 0))`` of each row, for targets -1 and 1, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> hinge(np.array([[0.5]]), np.array([[1.0]]))
    (array([0.5]), array([[-1.]]))
    """
    return _core.evaluate_loss("hinge", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def squared_hinge(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``mean_j(max(1 - t_j p_j, 0)²)`` of each row, for targets -1 and 1, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> squared_hinge(np.array([[0.5]]), np.array([[1.0]]))
    (array([0.25]), array([[-1.]]))
    """
    return _core.evaluate_loss("squared_hinge", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def categorical_hinge(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``max(max_j((1 - t_j) p_j) - Σ_j t_j p_j + 1, 0)`` of each row, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> categorical_hinge(np.array([[0.5, 0.25]]), np.array([[1.0, 0.0]]))
    (array([0.75]), array([[-1.,  1.]]))
    """
    return _core.evaluate_loss("categorical_hinge", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def cosine_similarity(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
) -> tuple[Array, Array | None]:
    """Return ``-cos`` of the angle between prediction and target of each row, and its gradient.

    Parameters and result as in `mse`.

    Examples
    --------
    >>> cosine_similarity(np.array([[2.0, 0.0]]), np.array([[1.0, 0.0]]))[0]
    array([-1.])
    """
    return _core.evaluate_loss("cosine_similarity", y_pred, y_true, sample_weight, {}, loss, grad, need_grad)


def quantile(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
    *,
    q: float | Sequence[float] = 0.5,
) -> tuple[Array, Array | None]:
    """Return the pinball loss of each row, ``mean_j(max(q e_j, (q - 1) e_j))`` with ``e = t - p``, and its gradient.

    Parameters
    ----------
    q : float in [0, 1], or sequence of them, one for each column
    others
        As in `mse`, like the result.

    Examples
    --------
    >>> quantile(np.array([[0.0]]), np.array([[2.0]]), q=0.75)
    (array([1.5]), array([[-0.75]]))
    """
    found = numbers("quantile", "q", q, 0, 1)
    several = isinstance(q, (list, tuple)) or getattr(q, "ndim", 0) > 0
    return _core.evaluate_loss(
        "quantile", y_pred, y_true, sample_weight, {} if several else {"quantile": found[0]}, loss, grad, need_grad,
        found if several else [],
    )  # fmt: skip
