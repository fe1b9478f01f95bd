"""Cross-entropies on NumPy arrays: value and gradient in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import flag, number

__all__ = [
    "binary_cross_entropy",
    "binary_focal_cross_entropy",
    "categorical_cross_entropy",
    "categorical_focal_cross_entropy",
    "sigmoid_cross_entropy",
    "softmax_cross_entropy",
]

Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.integer[Any]]


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
        "softmax_cross_entropy",
        logits,
        labels,
        sample_weight,
        _smoothing("softmax_cross_entropy", label_smoothing),
        loss,
        grad,
        need_grad,
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
    If the logits are known, `softmax_cross_entropy` is exact and faster.

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
        "categorical_cross_entropy",
        y_pred,
        labels,
        sample_weight,
        _smoothing("categorical_cross_entropy", label_smoothing),
        loss,
        grad,
        need_grad,
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
        "sigmoid_cross_entropy",
        logits,
        targets,
        sample_weight,
        _smoothing("sigmoid_cross_entropy", label_smoothing),
        loss,
        grad,
        need_grad,
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

    ``p`` is `y_pred` clipped to ``[1e-7, 1 - 1e-7]``; the gradient is zero outside. If the logits are known,
    `sigmoid_cross_entropy` is exact and faster. Parameters and result are as in that function.

    Examples
    --------
    >>> binary_cross_entropy(np.array([[0.5]]), np.array([[1.0]]))
    (array([0.69314718]), array([[-2.]]))
    """
    return _core.evaluate_loss(
        "binary_cross_entropy",
        y_pred,
        y_true,
        sample_weight,
        _smoothing("binary_cross_entropy", label_smoothing),
        loss,
        grad,
        need_grad,
    )


def binary_focal_cross_entropy(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
    *,
    gamma: float = 2.0,
    alpha: float | None = None,
    from_logits: bool = False,
) -> tuple[Array, Array | None]:
    """Return binary focal cross-entropy of each row, ``mean_j(w_j (1 - q_j)^gamma BCE_j)``, and its gradient.

    ``q_j = t_j p_j + (1 - t_j)(1 - p_j)`` and ``w_j`` is 1, or ``t_j alpha + (1 - t_j)(1 - alpha)`` if `alpha` is
    given (Lin et al. 2017). The other parameters and the result are as in `binary_cross_entropy`.

    Parameters
    ----------
    gamma : float, >= 0
    alpha : float, >= 0, optional
    from_logits : bool
        Whether `y_pred` holds logits, to which a sigmoid would be applied.

    Examples
    --------
    >>> loss, grad = binary_focal_cross_entropy(np.array([[0.5]]), np.array([[1.0]]))
    >>> loss.round(6)
    array([0.173287])
    """
    parameters = _focal("binary_focal_cross_entropy", label_smoothing, gamma, alpha, from_logits)
    return _core.evaluate_loss(
        "binary_focal_cross_entropy", y_pred, y_true, sample_weight, parameters, loss, grad, need_grad
    )


def categorical_focal_cross_entropy(
    y_pred: Array,
    y_true: Array,
    sample_weight: Array | None = None,
    label_smoothing: float = 0.0,
    loss: Array | None = None,
    grad: Array | None = None,
    need_grad: bool = True,
    *,
    gamma: float = 2.0,
    alpha: float = 0.25,
    from_logits: bool = False,
) -> tuple[Array, Array | None]:
    """Return categorical focal cross-entropy of each row, and its gradient.

    ``-Σ_j alpha (1 - p_j)^gamma t_j log(p_j)`` (Lin et al. 2017). The other parameters and
    the result are as in `categorical_cross_entropy`; targets must be probabilities, not class numbers.

    Parameters
    ----------
    gamma, alpha : float, >= 0
    from_logits : bool
        Whether `y_pred` holds logits, to which a softmax would be applied.

    Examples
    --------
    >>> loss, grad = categorical_focal_cross_entropy(np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]]))
    >>> loss.round(6)
    array([0.043322])
    """
    who = "categorical_focal_cross_entropy"
    parameters = _focal(who, label_smoothing, gamma, number(who, "alpha", alpha, least=0), from_logits)
    return _core.evaluate_loss(
        "categorical_focal_cross_entropy", y_pred, y_true, sample_weight, parameters, loss, grad, need_grad
    )


def _smoothing(who: str, label_smoothing: Any) -> dict[str, float]:
    return {"label_smoothing": number(who, "label_smoothing", label_smoothing, 0, 1)}


def _focal(who: str, label_smoothing: Any, gamma: Any, alpha: Any, from_logits: Any) -> dict[str, float]:
    """Return the kernel's parameters of a focal loss; an alpha below 0 means no class balancing."""
    return _smoothing(who, label_smoothing) | {
        "gamma": number(who, "gamma", gamma, least=0),
        "alpha": -1.0 if alpha is None else number(who, "alpha", alpha, least=0),
        "from_logits": float(flag(who, "from_logits", from_logits)),
    }
