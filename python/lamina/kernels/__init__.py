"""Kernels on NumPy arrays, in place and without copies.

Every array is C-contiguous ``float32`` or ``float64``, all of a call in one dtype; class labels are
integers of any width. Anything else raises and names the argument; nothing is converted. With every
output given (``out=`` and its kin) a call allocates nothing. Outputs may not share memory with inputs
except where a function says so. Calls that do more than a few microseconds of work release the GIL.

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
    mae,
    mape,
    mse,
    msle,
    poisson,
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
    "log_softmax",
    "mae",
    "mape",
    "mse",
    "msle",
    "poisson",
    "quantile",
    "sgd_update",
    "sigmoid_cross_entropy",
    "softmax",
    "softmax_cross_entropy",
    "squared_hinge",
]
