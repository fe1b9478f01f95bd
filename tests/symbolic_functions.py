"""Functions of a symbolic tensor (n, 4, 6), for lamina and real Keras alike.

Each takes the library, whose `ops` and `activations` it uses, and the tensor.
"""

import numpy as np

_WEIGHTS = np.linspace(-1, 1, 12, dtype="float32").reshape(6, 2)
_ROW = np.arange(1, 7, dtype="float32")

OPERATORS = {
    "divided": lambda _, t: t / 4.0,
    "divided by it": lambda _, t: 2.0 / (t * t + 1.0),
    "less": lambda _, t: t - 0.5,
    "from": lambda _, t: 1 - t,
    "times": lambda _, t: 3 * t,
    "plus": lambda _, t: t + 1,
    "plus row": lambda _, t: t + _ROW,
    "power": lambda _, t: t**2,
    "of power": lambda _, t: 2.0**t,
    "negative": lambda _, t: -t,
    "magnitude": lambda _, t: abs(t),
    "rest": lambda _, t: t % 2.0,
    "floor": lambda _, t: t // 0.5,
    "matrix": lambda _, t: t @ _WEIGHTS,
    "first": lambda _, t: t[:, 0],
    "columns": lambda _, t: t[:, 1:3, ::2],
    "last": lambda _, t: t[..., -1],
    "axis": lambda _, t: t[:, None],
    "square": lambda _, t: t * t,
}

_ONE_ARGUMENT = [
    "abs", "absolute", "arcsinh", "arctan", "ceil", "copy", "cos", "erf", "exp", "expm1", "floor", "hard_sigmoid",
    "log_sigmoid", "log_softmax", "negative", "ones_like", "relu", "relu6", "selu", "sigmoid", "sign", "silu", "sin",
    "softmax", "softplus", "softsign", "square", "stop_gradient", "swish", "tanh", "zeros_like",
]  # fmt: skip
OPS = {name: (lambda lib, t, name=name: getattr(lib.ops, name)(t)) for name in _ONE_ARGUMENT} | {
    "add": lambda lib, t: lib.ops.add(t, 3),
    "amax": lambda lib, t: lib.ops.amax(t, axis=1),
    "amin": lambda lib, t: lib.ops.amin(t, axis=1, keepdims=True),
    "average": lambda lib, t: lib.ops.average(t, axis=2, weights=_ROW),
    "cast": lambda lib, t: lib.ops.cast(t, "float32"),
    "clip": lambda lib, t: lib.ops.clip(t, -0.3, 0.4),
    "cumsum": lambda lib, t: lib.ops.cumsum(t, axis=2),
    "diff": lambda lib, t: lib.ops.diff(t, axis=2),
    "divide": lambda lib, t: lib.ops.divide(t, 4.0),
    "dot": lambda lib, t: lib.ops.dot(t, _WEIGHTS),
    "einsum": lambda lib, t: lib.ops.einsum("nij,jk->nik", t, _WEIGHTS),
    "elu": lambda lib, t: lib.ops.elu(t, alpha=0.5),
    "expand_dims": lambda lib, t: lib.ops.expand_dims(t, 1),
    "flip": lambda lib, t: lib.ops.flip(t, axis=2),
    "gelu": lambda lib, t: lib.ops.gelu(t, approximate=False),
    "gelu, nearly": lambda lib, t: lib.ops.gelu(t),
    "leaky_relu": lambda lib, t: lib.ops.leaky_relu(t, negative_slope=0.1),
    "log1p": lambda lib, t: lib.ops.log1p(abs(t)),
    "logaddexp": lambda lib, t: lib.ops.logaddexp(t, 0.5),
    "logsumexp": lambda lib, t: lib.ops.logsumexp(t, axis=-1),
    "matmul": lambda lib, t: lib.ops.matmul(t, _WEIGHTS),
    "max": lambda lib, t: lib.ops.max(t, axis=1),
    "maximum": lambda lib, t: lib.ops.maximum(t, 0.2),
    "mean": lambda lib, t: lib.ops.mean(t, axis=1),
    "mean of two axes": lambda lib, t: lib.ops.mean(t, axis=(1, 2), keepdims=True),
    "min": lambda lib, t: lib.ops.min(t, axis=-1),
    "minimum": lambda lib, t: lib.ops.minimum(0.2, t),
    "moveaxis": lambda lib, t: lib.ops.moveaxis(t, 1, 2),
    "multiply": lambda lib, t: lib.ops.multiply(t, _ROW),
    "normalize": lambda lib, t: lib.ops.normalize(t, axis=-1),
    "pad": lambda lib, t: lib.ops.pad(t, ((0, 0), (1, 0), (0, 2))),
    "power": lambda lib, t: lib.ops.power(t, 3),
    "prod": lambda lib, t: lib.ops.prod(t, axis=1),
    "reciprocal": lambda lib, t: lib.ops.reciprocal(t + 5.0),
    "repeat": lambda lib, t: lib.ops.repeat(t, 2, axis=1),
    "reshape": lambda lib, t: lib.ops.reshape(t, (-1, 24)),
    "roll": lambda lib, t: lib.ops.roll(t, 1, axis=1),
    "rsqrt": lambda lib, t: lib.ops.rsqrt(t * t + 1.0),
    "softmax of another axis": lambda lib, t: lib.ops.softmax(t, axis=1),
    "sort": lambda lib, t: lib.ops.sort(t, axis=2),
    "sqrt": lambda lib, t: lib.ops.sqrt(abs(t)),
    "squeeze": lambda lib, t: lib.ops.squeeze(t[:, :1], axis=1),
    "stack": lambda lib, t: lib.ops.stack([t, t], axis=1),
    "std": lambda lib, t: lib.ops.std(t, axis=1),
    "subtract": lambda lib, t: lib.ops.subtract(2.0, t),
    "sum": lambda lib, t: lib.ops.sum(t, axis=1, keepdims=True),
    "swapaxes": lambda lib, t: lib.ops.swapaxes(t, 1, 2),
    "take": lambda lib, t: lib.ops.take(t, np.array([0, 2]), axis=1),
    "tensordot": lambda lib, t: lib.ops.tensordot(t, _WEIGHTS, axes=1),
    "tile": lambda lib, t: lib.ops.tile(t, (1, 2, 1)),
    "transpose": lambda lib, t: lib.ops.transpose(t, (0, 2, 1)),
    "true_divide": lambda lib, t: lib.ops.true_divide(t, _ROW),
    "var": lambda lib, t: lib.ops.var(t, axis=-1),
    "where": lambda lib, t: lib.ops.where(np.array([True, False] * 3), t, 0.5),
    "concatenate": lambda lib, t: lib.ops.concatenate([t, t], axis=-1),
}

_OF_ACTIVATIONS = [
    "celu", "elu", "exponential", "gelu", "hard_shrink", "hard_sigmoid", "hard_tanh", "leaky_relu", "log_sigmoid",
    "log_softmax", "relu", "relu6", "selu", "sigmoid", "silu", "soft_shrink", "softmax", "softplus", "softsign",
    "sparse_plus", "sparse_sigmoid", "squareplus", "swish", "tanh", "tanh_shrink",
]  # fmt: skip
ACTIVATIONS = {
    f"activation {name}": (lambda lib, t, name=name: getattr(lib.activations, name)(t)) for name in _OF_ACTIVATIONS
} | {
    "activation relu to 0.5": lambda lib, t: lib.activations.relu(t, max_value=0.5),
    "activation celu with alpha": lambda lib, t: lib.activations.celu(t, alpha=0.5),
    "activation softmax of another axis": lambda lib, t: lib.activations.softmax(t, axis=1),
}

FUNCTIONS = OPERATORS | OPS | ACTIVATIONS
