"""What every kernel must compute, in NumPy float64, written from the formulas.

Nothing here is fast, and nothing here looks at how the kernels do it.
"""

from __future__ import annotations

import math

import numpy as np

erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return np.where(x >= 0, 1 / (1 + np.exp(-np.abs(x))), np.exp(-np.abs(x)) / (1 + np.exp(-np.abs(x))))


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def log_softmax(x):
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softplus(x):
    return np.logaddexp(0.0, x)


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
GELU_C = math.sqrt(2 / math.pi)

# name: function of (x, alpha)
ACTIVATIONS = {
    "linear": lambda x, a: x,
    "relu": lambda x, a: np.maximum(x, 0),
    "leaky_relu": lambda x, a: np.where(x > 0, x, a * x),
    "relu6": lambda x, a: np.minimum(np.maximum(x, 0), 6),
    "elu": lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "selu": lambda x, a: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(np.minimum(x, 0))),
    "gelu": lambda x, a: x * 0.5 * (1 + erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x, a: 0.5 * x * (1 + np.tanh(GELU_C * (x + 0.044715 * x**3))),
    "silu": lambda x, a: x * sigmoid(x),
    "sigmoid": lambda x, a: sigmoid(x),
    "hard_sigmoid": lambda x, a: np.clip(x + 3, 0, 6) / 6,
    "tanh": lambda x, a: np.tanh(x),
    "softplus": lambda x, a: softplus(x),
    "softsign": lambda x, a: x / (1 + np.abs(x)),
    "exponential": lambda x, a: np.exp(x),
    "mish": lambda x, a: x * np.tanh(softplus(x)),
    "celu": lambda x, a: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0) / a)),
    "hard_tanh": lambda x, a: np.clip(x, -1, 1),
    "hard_silu": lambda x, a: x * (np.clip(x + 3, 0, 6) / 6),
    "log_sigmoid": lambda x, a: -softplus(-x),
    "soft_shrink": lambda x, a: np.sign(x) * np.maximum(np.abs(x) - a, 0),
    "hard_shrink": lambda x, a: np.where(np.abs(x) > a, x, 0),
    "tanh_shrink": lambda x, a: x - np.tanh(x),
    "squareplus": lambda x, a: np.where(x > 0, (x + np.sqrt(x * x + a)) / 2, a / 2 / (np.sqrt(x * x + a) - x)),
    "sparse_plus": lambda x, a: np.where(x > 1, x, np.clip(x + 1, 0, 2) ** 2 / 4),
    "sparse_sigmoid": lambda x, a: np.clip((x + 1) / 2, 0, 1),
    "softmax": lambda x, a: softmax(x),
    "log_softmax": lambda x, a: log_softmax(x),
}

ROWWISE = ("softmax", "log_softmax")
FROM_INPUT = ("gelu", "gelu_tanh", "silu", "mish", "hard_silu", "tanh_shrink", "squareplus")
DEFAULT_ALPHA = {
    "leaky_relu": 0.2, "elu": 1.0, "celu": 1.0, "soft_shrink": 0.5, "hard_shrink": 0.5, "squareplus": 4.0,
}  # fmt: skip


def activation(name, x, alpha=None):
    alpha = DEFAULT_ALPHA.get(name) if alpha is None else alpha
    return ACTIVATIONS[name](np.asarray(x, np.float64), alpha)


def numeric_vjp(f, x, dy, step=1e-6):
    """Central differences of sum(f(x) * dy) with respect to every element of x."""
    x = np.array(x, np.float64)
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = np.array(f(x))
        x[i] = kept - step
        below = np.array(f(x))
        x[i] = kept
        gradient[i] = ((above - below) * dy).sum() / (2 * step)
    return gradient


def dense_forward(x, w, b=None, name="linear", alpha=None):
    z = np.asarray(x, np.float64) @ np.asarray(w, np.float64)
    if b is not None:
        z = z + np.asarray(b, np.float64)
    return activation(name, z, alpha)


def dense_backward(x, w, dz):
    x, w, dz = (np.asarray(a, np.float64) for a in (x, w, dz))
    return dz @ w.T, x.T @ dz, dz.sum(axis=0)


def one_hot(labels, classes):
    return np.eye(classes)[np.asarray(labels, np.int64)]


# Losses: value of each row, for predictions p and targets t of shape (n, c).

PROBABILITY_MARGIN = 1e-7


def softmax_cross_entropy(z, t, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / t.shape[1]
    terms = t * -log_softmax(z)
    return np.where(t == 0, 0, terms).sum(axis=1)


def categorical_cross_entropy(p, t, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / t.shape[1]
    q = np.clip(p / p.sum(axis=1, keepdims=True), PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    return -(t * np.log(q)).sum(axis=1)


def sigmoid_cross_entropy(z, t, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / 2
    return (np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean(axis=1)


def binary_cross_entropy(p, t, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / 2
    p = np.clip(p, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    return -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(axis=1)


def mse(p, t, smoothing=0.0):
    return ((p - t) ** 2).mean(axis=1)


def mae(p, t, smoothing=0.0):
    return np.abs(p - t).mean(axis=1)


def l2_norm(p, t, smoothing=0.0):
    return np.sqrt(((p - t) ** 2).sum(axis=1))


def mape(p, t, smoothing=0.0):
    return (100 * np.abs(p - t) / np.maximum(np.abs(t), PROBABILITY_MARGIN)).mean(axis=1)


def msle(p, t, smoothing=0.0):
    p, t = np.fmax(p, PROBABILITY_MARGIN), np.fmax(t, PROBABILITY_MARGIN)
    return ((np.log1p(p) - np.log1p(t)) ** 2).mean(axis=1)


def huber(p, t, smoothing=0.0):
    e = np.abs(p - t)
    return np.where(e <= 1, e * e / 2, e - 0.5).mean(axis=1)


def log_cosh(p, t, smoothing=0.0):
    return np.log(np.cosh(p - t)).mean(axis=1)


def poisson(p, t, smoothing=0.0):
    return (p - t * np.log(p + PROBABILITY_MARGIN)).mean(axis=1)


def poisson_deviance(p, t, smoothing=0.0):
    return log_poisson_deviance(np.log(p), t)


def log_poisson_deviance(z, t, smoothing=0.0):
    logs = np.log(t, out=np.zeros_like(t), where=t != 0)
    return (np.exp(z) - t + t * (logs - z)).mean(axis=1)


def kl_divergence(p, t, smoothing=0.0):
    p, t = np.clip(p, PROBABILITY_MARGIN, 1), np.clip(t, PROBABILITY_MARGIN, 1)
    return (t * np.log(t / p)).sum(axis=1)


def hinge(p, t, smoothing=0.0):
    return np.maximum(1 - t * p, 0).mean(axis=1)


def squared_hinge(p, t, smoothing=0.0):
    return (np.maximum(1 - t * p, 0) ** 2).mean(axis=1)


def categorical_hinge(p, t, smoothing=0.0):
    return np.maximum(((1 - t) * p).max(axis=1) - (t * p).sum(axis=1) + 1, 0)


def cosine_similarity(p, t, smoothing=0.0):
    lengths = np.sqrt((p * p).sum(axis=1) * (t * t).sum(axis=1))
    return -(p * t).sum(axis=1) / np.maximum(lengths, PROBABILITY_MARGIN)


def quantile(p, t, smoothing=0.0):
    return np.abs(t - p).mean(axis=1) / 2


def binary_focal_cross_entropy(p, t, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / 2
    q = np.clip(p, PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    right = t * p + (1 - t) * (1 - p)
    return -((1 - right) ** 2 * (t * np.log(q) + (1 - t) * np.log(1 - q))).mean(axis=1)


def categorical_focal_cross_entropy(p, t, smoothing=0.0):
    t = t * (1 - smoothing) + smoothing / t.shape[1]
    q = np.clip(p / p.sum(axis=1, keepdims=True), PROBABILITY_MARGIN, 1 - PROBABILITY_MARGIN)
    return -(0.25 * (1 - q) ** 2 * t * np.log(q)).sum(axis=1)


LOSSES = {
    f.__name__: f
    for f in (
        softmax_cross_entropy,
        categorical_cross_entropy,
        sigmoid_cross_entropy,
        binary_cross_entropy,
        mse,
        mae,
        l2_norm,
        mape,
        msle,
        huber,
        log_cosh,
        poisson,
        poisson_deviance,
        log_poisson_deviance,
        kl_divergence,
        hinge,
        squared_hinge,
        categorical_hinge,
        cosine_similarity,
        quantile,
        binary_focal_cross_entropy,
        categorical_focal_cross_entropy,
    )
}


# Optimizers: update(state, g, t) -> step that is subtracted, at learning rate 1, for gradient number t from 1.


def adamax(s, g, t):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0), np.abs(g))
    return s["m"] / ((1 - 0.9**t) * (s["u"] + 1e-7))


def nadam(s, g, t):
    s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.999 * s.get("v", 0) + 0.001 * g * g
    shares = [0.9 * (1 - 0.5 * 0.96**i) for i in range(1, t + 2)]
    ahead = shares[t] * s["m"] / (1 - np.prod(shares)) + (1 - shares[t - 1]) * g / (1 - np.prod(shares[:t]))
    return ahead / (np.sqrt(s["v"] / (1 - 0.999**t)) + 1e-7)


def rmsprop(s, g, t):
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    return g / np.sqrt(s["v"] + 1e-7)


def rmsprop_centered(s, g, t):
    s["v"], s["a"] = 0.9 * s.get("v", 0) + 0.1 * g * g, 0.9 * s.get("a", 0) + 0.1 * g
    s["m"] = 0.5 * s.get("m", 0) + g / np.sqrt(s["v"] - s["a"] ** 2 + 1e-7)
    return s["m"]


def adagrad(s, g, t):
    s["a"] = s.get("a", 0.1) + g * g
    return g / np.sqrt(s["a"] + 1e-7)


def adadelta(s, g, t):
    s["a"] = 0.95 * s.get("a", 0) + 0.05 * g * g
    step = g * np.sqrt(s.get("b", 0) + 1e-7) / np.sqrt(s["a"] + 1e-7)
    s["b"] = 0.95 * s.get("b", 0) + 0.05 * step * step
    return step


def lion(s, g, t):
    step = np.sign(0.9 * s.get("m", 0) + 0.1 * g)
    s["m"] = 0.99 * s.get("m", 0) + 0.01 * g
    return step


def sgd(theta, gradients, learning_rate, momentum=0.0, nesterov=False, weight_decay=0.0):
    """Take one step for each gradient, from zero velocity; return the last theta."""
    theta = np.array(theta, np.float64)
    velocity = np.zeros_like(theta)
    for g in gradients:
        theta = theta - learning_rate * weight_decay * theta
        velocity = momentum * velocity - learning_rate * g
        theta = theta + (momentum * velocity - learning_rate * g if nesterov else velocity)
    return theta


def adam(theta, gradients, learning_rate, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=0.0, amsgrad=False):
    """Take one step for each gradient, from zero means; return the last theta."""
    theta = np.array(theta, np.float64)
    m, v, largest = np.zeros_like(theta), np.zeros_like(theta), np.zeros_like(theta)
    for t, g in enumerate(gradients, 1):
        theta = theta - learning_rate * weight_decay * theta
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        largest = np.maximum(largest, v)
        rate = learning_rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t)
        theta = theta - rate * m / (np.sqrt(largest if amsgrad else v) + epsilon)
    return theta


def train_mlp(weights, x, labels, order, batch, learning_rate, momentum=0.0):
    """Plain loops over batches of a ReLU network with softmax cross-entropy; return the weights after them."""
    weights = [np.array(w, np.float64) for w in weights]
    velocities = [np.zeros_like(w) for w in weights]
    for begin in range(0, len(order), batch):
        rows = order[begin : begin + batch]
        h = [np.asarray(x[rows], np.float64)]
        for i in range(0, len(weights), 2):
            z = h[-1] @ weights[i] + weights[i + 1]
            h.append(np.maximum(z, 0) if i + 2 < len(weights) else z)
        dz = (softmax(h[-1]) - one_hot(labels[rows], h[-1].shape[1])) / len(rows)
        for i in range(len(weights) - 2, -1, -2):
            gw, gb = h[i // 2].T @ dz, dz.sum(axis=0)
            dz = (dz @ weights[i].T) * (h[i // 2] > 0)
            for j, g in ((i, gw), (i + 1, gb)):
                velocities[j] = momentum * velocities[j] - learning_rate * g
                weights[j] = weights[j] + velocities[j]
    return weights
