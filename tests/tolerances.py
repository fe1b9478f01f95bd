"""Every tolerance of the tests, with its reason.

Errors of sums are compared with ``eps`` times the sum of the magnitudes of the terms, which a correct algorithm
satisfies whatever cancels; the factors below allow for the number of roundings.
"""

from __future__ import annotations

import numpy as np

EPS = {np.dtype("float32"): 2.0**-23, np.dtype("float64"): 2.0**-52}

# Largest error in ULP of each function, measured over every ISA and rounded up. The comments of csrc/simd/math.hpp and
# docs say the same. Lower bound of the range for those that lose relative accuracy far out on the left.
ULP_LIMITS = {
    "exponential": 1.2,
    "sigmoid": 2.5,
    "tanh": 3.0,
    "softplus": 3.0,
    "elu": 1.3,
    "selu": 2.5,
    "silu": 3.5,
    "mish": 5.0,
    "softsign": 2.0,
    "gelu": 8.0,
}

# GELU's tanh form: the argument of the sigmoid is a cubic whose rounding the exponential magnifies where the result is
# tiny, so that its error is bounded relative to |x|, in eps.
GELU_TANH_EPS = 4.0


def product_bound(a, b, extra=0.0):
    """Bound on the error of a @ b: a sum of k products in segments of at most 191, plus what is added to it."""
    eps = EPS[a.dtype]
    k = a.shape[1]
    factor = min(k, 191) + k / 128 + 4
    magnitudes = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64)) + np.abs(extra)
    return factor * eps * magnitudes + np.finfo(a.dtype).tiny


def column_sum_bound(a):
    """Bound on the error of a.sum(axis=0): a chain of at most 128 terms, and one chain of the parts."""
    factor = min(len(a), 128) + len(a) / 128 + 2
    return factor * EPS[a.dtype] * np.abs(a.astype(np.float64)).sum(axis=0) + np.finfo(a.dtype).tiny


# A derivative is a handful of operations on values that carry the function's own error: 16 eps relative to the largest
# factor, the upstream gradient times the steepest slope.
DERIVATIVE_EPS = 16

# A loss of a row of c terms: the functions' few ULP, and the rounding of a sum of c terms. Gradients likewise.
LOSS_EPS = 8

# Central differences of step 1e-6 in float64: truncation 1e-12 times the third derivative, rounding 1e-16 / 1e-6.
FINITE_DIFFERENCE = 2e-8

# Ten optimizer steps: a few roundings each, relative to the largest magnitude on the way.
OPTIMIZER_EPS = 40

# Training for some tens of steps in float32 against the same in float64: errors grow with the number of steps.
TRAINING_RTOL = 2e-3
