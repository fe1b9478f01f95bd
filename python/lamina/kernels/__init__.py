"""Kernels on NumPy arrays, in place and without copies.

Arrays must be C-contiguous and ``float32`` or ``float64``, all arrays of a call of one dtype; class labels are integers
of any width. Any other argument raises an error that names it; nothing is converted. A call that is given all its
outputs (``out=`` and the like) allocates nothing. Outputs must not share memory with inputs unless a function allows
it. Calls that do more than a few microseconds of work release the GIL.

Axes: ``n`` rows of a batch, ``in`` features, ``out`` units, ``c`` columns or classes.
"""

from __future__ import annotations

from lamina.kernels.activations import (
    activation_backward,
    activation_forward,
    log_softmax,
    softmax,
)
from lamina.kernels.cross_entropy import (
    binary_cross_entropy,
    binary_focal_cross_entropy,
    categorical_cross_entropy,
    categorical_focal_cross_entropy,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
)
from lamina.kernels.dense import (
    dense_backward,
    dense_forward,
)
from lamina.kernels.losses import (
    categorical_hinge,
    cosine_similarity,
    hinge,
    huber,
    kl_divergence,
    l2_norm,
    log_cosh,
    log_poisson_deviance,
    mae,
    mape,
    mse,
    msle,
    poisson,
    poisson_deviance,
    quantile,
    squared_hinge,
)
from lamina.kernels.optimizers import (
    adam_update,
    sgd_update,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "adam_update",
    "binary_cross_entropy",
    "binary_focal_cross_entropy",
    "categorical_cross_entropy",
    "categorical_focal_cross_entropy",
    "categorical_hinge",
    "cosine_similarity",
    "dense_backward",
    "dense_forward",
    "hinge",
    "huber",
    "kl_divergence",
    "l2_norm",
    "log_cosh",
    "log_poisson_deviance",
    "log_softmax",
    "mae",
    "mape",
    "mse",
    "msle",
    "poisson",
    "poisson_deviance",
    "quantile",
    "sgd_update",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_hinge",
]
