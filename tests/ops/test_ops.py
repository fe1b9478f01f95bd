"""Values beside NumPy, derivatives beside finite differences."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import lamina
from lamina import activations, layers, ops
from lamina._data.autodiff import pullback
from lamina._data.tensors import Tensor

RNG = np.random.default_rng(0)
X = RNG.uniform(0.2, 0.9, (3, 4))
Y = RNG.uniform(0.2, 0.9, (3, 4))
S = RNG.normal(size=(3, 4))  # of both signs, none near 0
S += np.sign(S) * 0.05
P = X / X.sum(axis=1, keepdims=True)
LABELS = np.array([2, 0, 3])

# By name: a function of one array, where it is differentiated, and the formula in NumPy.
CASES = {
    "abs": (ops.abs, S, np.abs),
    "absolute": (ops.absolute, S, np.abs),
    "add": (lambda x: ops.add(x, Y), S, lambda x: x + Y),
    "amax": (lambda x: ops.amax(x, axis=1), S, lambda x: x.max(axis=1)),
    "amin": (lambda x: ops.amin(x), S, np.min),
    "arccos": (ops.arccos, X, np.arccos),
    "arccosh": (ops.arccosh, 1 + X, np.arccosh),
    "arcsin": (ops.arcsin, X, np.arcsin),
    "arcsinh": (ops.arcsinh, S, np.arcsinh),
    "arctan": (ops.arctan, S, np.arctan),
    "arctan2": (lambda x: ops.arctan2(x, Y), X, lambda x: np.arctan2(x, Y)),
    "arctanh": (ops.arctanh, X, np.arctanh),
    "array": (ops.array, S, lambda x: x),
    "binary_crossentropy": (
        lambda p: ops.binary_crossentropy(Y, p), X, lambda p: -(Y * np.log(p) + (1 - Y) * np.log(1 - p)),
    ),
    "binary_crossentropy from logits": (
        lambda z: ops.binary_crossentropy(Y, z, from_logits=True), S, lambda z: np.logaddexp(0, z) - Y * z,
    ),
    "broadcast_to": (lambda x: ops.broadcast_to(x, (2, 3, 4)), S, lambda x: np.broadcast_to(x, (2, 3, 4))),
    "cast": (lambda x: ops.cast(x, "float64"), S, lambda x: x),
    "categorical_crossentropy": (
        lambda p: ops.categorical_crossentropy(Y, p), X,
        lambda p: -(Y * np.log(p / p.sum(axis=1, keepdims=True))).sum(axis=1),
    ),
    "categorical_crossentropy from logits": (
        lambda z: ops.categorical_crossentropy(Y, z, from_logits=True), S,
        lambda z: -(Y * (z - np.log(np.exp(z).sum(axis=1, keepdims=True)))).sum(axis=1),
    ),
    "clip": (lambda x: ops.clip(x, -0.3, 0.4), S, lambda x: np.clip(x, -0.3, 0.4)),
    "concatenate": (lambda x: ops.concatenate([x, Y, x], axis=0), S, lambda x: np.concatenate([x, Y, x])),
    "convert_to_tensor": (ops.convert_to_tensor, S, lambda x: x),
    "cos": (ops.cos, S, np.cos),
    "cosh": (ops.cosh, S, np.cosh),
    "average": (
        lambda x: ops.average(x, axis=1, weights=[1.0, 2.0, 0.0, 3.0]), S, lambda x: np.average(x, 1, [1, 2, 0, 3]),
    ),
    "average of all": (lambda x: ops.average(x, weights=Y), S, lambda x: np.average(x, weights=Y)),
    "average without weights": (lambda x: ops.average(x, axis=0), S, lambda x: np.mean(x, 0)),
    "copy": (ops.copy, S, np.copy),
    "cumprod": (lambda x: ops.cumprod(x, axis=1), S, lambda x: np.cumprod(x, axis=1)),
    "cumprod of all": (ops.cumprod, S, np.cumprod),
    "cumsum": (lambda x: ops.cumsum(x, axis=1), S, lambda x: np.cumsum(x, axis=1)),
    "diag": (lambda x: ops.diag(x, 1), S, lambda x: np.diag(x, 1)),
    "diag of a vector": (lambda x: ops.diag(x[0], -1), S, lambda x: np.diag(x[0], -1)),
    "diagonal": (lambda x: ops.diagonal(x, -1), S, lambda x: np.diagonal(x, -1)),
    "diff": (lambda x: ops.diff(x, 2), S, lambda x: np.diff(x, 2)),
    "diff along rows": (lambda x: ops.diff(x, axis=0), S, lambda x: np.diff(x, axis=0)),
    "divide": (lambda x: ops.divide(Y, x), X, lambda x: Y / x),
    "dot": (lambda x: ops.dot(x, Y.T), S, lambda x: x @ Y.T),
    "einsum": (lambda x: ops.einsum("ij,kj->ik", x, Y), S, lambda x: x @ Y.T),
    "elu": (lambda x: ops.elu(x, 0.7), S, lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    "erf": (ops.erf, S, np.vectorize(math.erf)),
    "exp": (ops.exp, S, np.exp),
    "expand_dims": (lambda x: ops.expand_dims(x, 1), S, lambda x: x[:, None]),
    "expm1": (ops.expm1, S, np.expm1),
    "flip": (lambda x: ops.flip(x, 1), S, lambda x: x[:, ::-1]),
    "gelu": (
        ops.gelu, S, lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "gelu exact": (
        lambda x: ops.gelu(x, approximate=False), S, lambda x: 0.5 * x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))),
    ),
    "hard_sigmoid": (ops.hard_sigmoid, 4 * S, lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    "leaky_relu": (ops.leaky_relu, S, lambda x: np.where(x > 0, x, 0.2 * x)),
    "hstack": (lambda x: ops.hstack([x, Y]), S, lambda x: np.hstack([x, Y])),
    "hstack of vectors": (lambda x: ops.hstack([x[0], x[1]]), S, lambda x: np.hstack([x[0], x[1]])),
    "inner": (lambda x: ops.inner(x, Y), S, lambda x: np.inner(x, Y)),
    "log": (ops.log, X, np.log),
    "log10": (ops.log10, X, np.log10),
    "log1p": (ops.log1p, X, np.log1p),
    "log2": (ops.log2, X, np.log2),
    "log_sigmoid": (ops.log_sigmoid, S, lambda x: -np.logaddexp(0, -x)),
    "log_softmax": (ops.log_softmax, S, lambda x: x - np.log(np.exp(x).sum(axis=1, keepdims=True))),
    "logaddexp": (lambda x: ops.logaddexp(x, Y), S, lambda x: np.logaddexp(x, Y)),
    "logsumexp": (lambda x: ops.logsumexp(x, axis=1), 9 * S, lambda x: np.log(np.exp(x).sum(axis=1))),
    "logsumexp of all": (ops.logsumexp, S, lambda x: np.log(np.exp(x).sum())),
    "matmul": (lambda x: ops.matmul(x, Y.T), S, lambda x: x @ Y.T),
    "max": (lambda x: ops.max(x, axis=0, keepdims=True), S, lambda x: x.max(axis=0, keepdims=True)),
    "max with a least value": (lambda x: ops.max(x, axis=0, initial=0.5), S, lambda x: x.max(axis=0, initial=0.5)),
    "maximum": (lambda x: ops.maximum(x, 0.1), S, lambda x: np.maximum(x, 0.1)),
    "mean": (lambda x: ops.mean(x, axis=-1), S, lambda x: x.mean(axis=-1)),
    "min": (lambda x: ops.min(x, axis=1), S, lambda x: x.min(axis=1)),
    "minimum": (lambda x: ops.minimum(x, 0.1), S, lambda x: np.minimum(x, 0.1)),
    "mod": (lambda x: ops.mod(x, 0.4), X, lambda x: np.mod(x, 0.4)),
    "moments": (lambda x: ops.stack(ops.moments(x, 1)), S, lambda x: np.stack([x.mean(1), x.var(1)])),
    "moveaxis": (lambda x: ops.moveaxis(x, 0, 1), S, lambda x: x.T),
    "median": (lambda x: ops.median(x, axis=1), S, lambda x: np.median(x, 1)),
    "median of all": (lambda x: ops.median(x, keepdims=True), S, lambda x: np.median(x, keepdims=True)),
    "nan_to_num": (ops.nan_to_num, S, np.nan_to_num),
    "quantile": (
        lambda x: ops.quantile(x, [0.1, 0.5, 1.0], axis=0, keepdims=True), S,
        lambda x: np.quantile(x, [0.1, 0.5, 1.0], 0, keepdims=True),
    ),
    "trace": (lambda x: ops.trace(x, 1), S, lambda x: np.trace(x, 1)),
    "tril": (lambda x: ops.tril(x, -1), S, lambda x: np.tril(x, -1)),
    "triu": (lambda x: ops.triu(x, 1), S, lambda x: np.triu(x, 1)),
    "unstack": (lambda x: ops.unstack(x, 4, axis=1)[2], S, lambda x: x[:, 2]),
    "vstack": (lambda x: ops.vstack([x, Y[0]]), S, lambda x: np.vstack([x, Y[0]])),
    "multiply": (lambda x: ops.multiply(x, Y), S, lambda x: x * Y),
    "negative": (ops.negative, S, lambda x: -x),
    "norm": (lambda x: ops.norm(x, axis=1), S, lambda x: np.linalg.norm(x, axis=1)),
    "norm of order 1": (lambda x: ops.norm(x, 1, axis=1), S, lambda x: np.abs(x).sum(axis=1)),
    **{
        f"norm {order} of rows": (
            lambda x, order=order: ops.norm(x, order, axis=1),
            S,
            lambda x, order=order: np.linalg.norm(x, order, axis=1),
        )
        for order in (2, 3, 0.5, np.inf, -np.inf)
    },
    **{
        f"norm {order} of a matrix": (
            lambda x, order=order: ops.norm(x, order),
            S,
            lambda x, order=order: np.linalg.norm(x, order),
        )
        for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)
    },
    "normalize of order 1": (
        lambda x: ops.normalize(x, axis=1, order=1), S, lambda x: x / np.abs(x).sum(axis=1, keepdims=True)
    ),
    "normalize": (ops.normalize, S, lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)),
    "outer": (lambda x: ops.outer(x, Y[0]), S, lambda x: np.outer(x, Y[0])),
    "pad": (lambda x: ops.pad(x, ((1, 0), (0, 2))), S, lambda x: np.pad(x, ((1, 0), (0, 2)))),
    "power": (lambda x: ops.power(x, 2.5), X, lambda x: x**2.5),
    "prod": (lambda x: ops.prod(x, axis=1), S, lambda x: x.prod(axis=1)),
    "ravel": (ops.ravel, S, np.ravel),
    "reciprocal": (ops.reciprocal, S, lambda x: 1 / x),
    "relu": (ops.relu, S, lambda x: np.maximum(x, 0)),
    "relu6": (ops.relu6, 9 * S, lambda x: np.clip(x, 0, 6)),
    "repeat": (lambda x: ops.repeat(x, 2, axis=1), S, lambda x: np.repeat(x, 2, axis=1)),
    "reshape": (lambda x: ops.reshape(x, (-1, 2)), S, lambda x: x.reshape(-1, 2)),
    "roll": (lambda x: ops.roll(x, 1, 1), S, lambda x: np.roll(x, 1, 1)),
    "rsqrt": (ops.rsqrt, X, lambda x: x**-0.5),
    "selu": (ops.selu, S, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    "sigmoid": (ops.sigmoid, S, lambda x: 1 / (1 + np.exp(-x))),
    "silu": (ops.silu, S, lambda x: x / (1 + np.exp(-x))),
    "sin": (ops.sin, S, np.sin),
    "sinh": (ops.sinh, S, np.sinh),
    "softmax": (ops.softmax, S, lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)),
    "softmax of columns": (lambda x: ops.softmax(x, 0), S, lambda x: np.exp(x) / np.exp(x).sum(axis=0)),
    "softplus": (ops.softplus, S, lambda x: np.logaddexp(0, x)),
    "softsign": (ops.softsign, S, lambda x: x / (1 + np.abs(x))),
    "sort": (lambda x: ops.sort(x, axis=1), S, lambda x: np.sort(x, axis=1)),
    "sparse_categorical_crossentropy": (
        lambda p: ops.sparse_categorical_crossentropy(LABELS, p), X,
        lambda p: -np.log((p / p.sum(axis=1, keepdims=True))[np.arange(3), LABELS]),
    ),
    "split": (lambda x: ops.split(x, [1, 3], axis=1)[1], S, lambda x: x[:, 1:3]),
    "split in equal parts": (lambda x: ops.split(x, 2, axis=1)[0], S, lambda x: x[:, :2]),
    "sqrt": (ops.sqrt, X, np.sqrt),
    "square": (ops.square, S, np.square),
    "squeeze": (lambda x: ops.squeeze(ops.expand_dims(x, 1)), S, lambda x: x),
    "stack": (lambda x: ops.stack([x, Y], axis=1), S, lambda x: np.stack([x, Y], axis=1)),
    "std": (lambda x: ops.std(x, axis=0), S, lambda x: x.std(axis=0)),
    "subtract": (lambda x: ops.subtract(Y, x), S, lambda x: Y - x),
    "sum": (lambda x: ops.sum(x, axis=(0, 1)), S, np.sum),
    "swapaxes": (lambda x: ops.swapaxes(x, 0, 1), S, lambda x: x.T),
    "swish": (ops.swish, S, lambda x: x / (1 + np.exp(-x))),
    "take": (lambda x: ops.take(x, [1, 1, 0], axis=1), S, lambda x: x[:, [1, 1, 0]]),
    "take of all": (lambda x: ops.take(x, [5, 1]), S, lambda x: x.ravel()[[5, 1]]),
    "take_along_axis": (
        lambda x: ops.take_along_axis(x, LABELS[:, None], 1), S, lambda x: x[np.arange(3), LABELS][:, None],
    ),
    "tan": (ops.tan, X, np.tan),
    "tanh": (ops.tanh, S, np.tanh),
    "tensordot": (lambda x: ops.tensordot(x, Y, 2), S, lambda x: np.tensordot(x, Y, 2)),
    "tile": (lambda x: ops.tile(x, (2, 1)), S, lambda x: np.tile(x, (2, 1))),
    "top_k": (lambda x: ops.top_k(x, 2)[0], S, lambda x: -np.sort(-x, axis=1)[:, :2]),
    "transpose": (ops.transpose, S, np.transpose),
    "true_divide": (lambda x: ops.true_divide(x, 3), S, lambda x: x / 3),
    "var": (lambda x: ops.var(x, axis=1), S, lambda x: x.var(axis=1)),
    "where": (lambda x: ops.where(x > 0, x, 2 * Y), S, lambda x: np.where(x > 0, x, 2 * Y)),
    "operators": (
        lambda x: (x - Y) @ ops.transpose(x * 2) / 3 + x[0] @ x[1], S, lambda x: (x - Y) @ (x * 2).T / 3 + x[0] @ x[1],
    ),
}  # fmt: skip
# Without a derivative.
CONSTANT = {
    "all": (lambda x: ops.all(x > 0, axis=1), lambda x: (x > 0).all(axis=1)),
    "any": (lambda x: ops.any(x > 0), lambda x: (x > 0).any()),
    "argmax": (lambda x: ops.argmax(x, axis=1), lambda x: x.argmax(axis=1)),
    "argmin": (ops.argmin, np.argmin),
    "argsort": (ops.argsort, lambda x: np.argsort(x, axis=-1)),
    "ceil": (ops.ceil, np.ceil),
    "count_nonzero": (ops.count_nonzero, np.count_nonzero),
    "equal": (lambda x: ops.equal(x, x), lambda x: x == x),
    "floor": (ops.floor, np.floor),
    "floor_divide": (lambda x: ops.floor_divide(x, 0.3), lambda x: x // 0.3),
    "full_like": (lambda x: ops.full_like(x, 3), lambda x: np.full_like(x, 3)),
    "greater": (lambda x: ops.greater(x, 0), lambda x: x > 0),
    "greater_equal": (lambda x: ops.greater_equal(x, 0), lambda x: x >= 0),
    "isfinite": (ops.isfinite, np.isfinite),
    "isinf": (ops.isinf, np.isinf),
    "isnan": (ops.isnan, np.isnan),
    "allclose": (lambda x: ops.allclose(x, x + 1e-7), lambda x: np.allclose(x, x + 1e-7)),
    "bincount": (
        lambda x: ops.bincount(ops.cast(x > 0, "int32"), minlength=4),
        lambda x: np.array([np.bincount(row, minlength=4) for row in (x > 0).astype(int)]),
    ),
    "digitize": (lambda x: ops.digitize(x, [-0.5, 0.5]), lambda x: np.digitize(x, [-0.5, 0.5])),
    "isclose": (lambda x: ops.isclose(x, np.abs(x)), lambda x: np.isclose(x, np.abs(x))),
    "less": (lambda x: ops.less(x, 0), lambda x: x < 0),
    "less_equal": (lambda x: ops.less_equal(x, 0), lambda x: x <= 0),
    "logical_and": (lambda x: ops.logical_and(x > 0, x < 1), lambda x: (x > 0) & (x < 1)),
    "logical_not": (lambda x: ops.logical_not(x > 0), lambda x: x <= 0),
    "logical_or": (lambda x: ops.logical_or(x > 0, x < 1), lambda x: (x > 0) | (x < 1)),
    "logical_xor": (lambda x: ops.logical_xor(x > 0, x < 1), lambda x: (x > 0) ^ (x < 1)),
    "not_equal": (lambda x: ops.not_equal(x, 0), lambda x: x != 0),
    "one_hot": (lambda x: ops.one_hot(LABELS, 4), lambda x: np.eye(4)[LABELS]),
    "ones_like": (ops.ones_like, np.ones_like),
    "round": (ops.round, np.round),
    "sign": (ops.sign, np.sign),
    "stop_gradient": (ops.stop_gradient, lambda x: x),
    "zeros_like": (ops.zeros_like, np.zeros_like),
}
MADE = {
    "arange": (ops.arange(2, 9, 3), np.arange(2, 9, 3, "int32")),
    "eye": (ops.eye(2, 3), np.eye(2, 3, dtype="f")),
    "full": (ops.full((2,), 7), np.full(2, 7, "f")),
    "bincount of weights": (ops.bincount([0, 2, 2], [1.0, 2.0, 0.5]), np.array([1.0, 0.0, 2.5])),
    "identity": (ops.identity(2), np.eye(2, dtype="f")),
    "in_top_k": (ops.in_top_k([1, 0, 2], [[1, 3, 2], [1, 3, 2], [5, 6, 7]], 2), np.array([True, False, True])),
    "linspace": (ops.linspace(0, 1, 5), np.linspace(0, 1, 5, dtype="f")),
    "ones": (ops.ones((2, 3)), np.ones((2, 3), "f")),
    "zeros": (ops.zeros(3, "int32"), np.zeros(3, "int32")),
}
OF_OTHERS = {"convert_to_numpy", "is_tensor", "ndim", "shape", "size"}


def test_every_function_is_tested():
    assert {name.split()[0] for name in (*CASES, *CONSTANT, *MADE)} - {"operators"} | OF_OTHERS == set(ops.__all__)


@pytest.mark.parametrize("name", CASES)
def test_values_and_derivatives(name):
    function, x, formula = CASES[name]
    found = function(x)
    assert isinstance(found, np.ndarray)
    expected = formula(x)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    single = function(x.astype("f"))
    if name not in ("operators", "cast"):
        np.testing.assert_allclose(single, expected, rtol=3e-5, atol=1e-5)
    pytest.importorskip("autograd")
    value, back = pullback("test", function, [x])
    np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-13)
    upstream = np.random.default_rng(1).normal(size=value.shape)
    (gradient,) = back(upstream)
    assert gradient.shape == x.shape
    numeric = np.empty_like(x)
    for at in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][at] += 1e-6
        moved[1][at] -= 1e-6
        numeric[at] = ((formula(moved[0]) - formula(moved[1])) * upstream).sum() / 2e-6
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", CONSTANT)
def test_values_without_a_derivative(name):
    function, formula = CONSTANT[name]
    np.testing.assert_array_equal(function(S), formula(S))
    pytest.importorskip("autograd")
    value, back = pullback("test", lambda x: function(x) * ops.sum(x), [S])  # as a part of something else
    np.testing.assert_allclose(value, formula(S) * S.sum())
    np.testing.assert_allclose(back(np.ones_like(value))[0], np.full_like(S, np.sum(formula(S))))


@pytest.mark.parametrize("name", MADE)
def test_arrays_that_are_made(name):
    found, expected = MADE[name]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_arguments_that_are_refused_and_values_that_are_replaced():
    for call, message in (
        (lambda: ops.unstack(S, 2), "num must be 3"),
        (lambda: ops.quantile(S, 0.5, method="mode"), "method must be one of 'linear', 'lower'"),
        (lambda: ops.bincount([1], sparse=True), "sparse must be False"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    for call in (
        lambda: ops.quantile(S, 1.5), lambda: ops.quantile(S, [[0.5]]), lambda: ops.quantile(S, 0.5, axis=(0, 1)),
        lambda: ops.quantile([], 0.5), lambda: ops.diff(S, -1), lambda: ops.tril(S[0]), lambda: ops.diag(S[0, 0]),
        lambda: ops.average(S, weights=[1.0, 2.0]),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"(quantile|diff|tril|diag|average): "):
            call()
    huge = np.full((2, 2), -np.inf)
    assert ops.triu(huge, 1).tolist() == [[0, -np.inf], [0, 0]]
    assert ops.diag(huge[0]).tolist() == [[-np.inf, 0], [0, -np.inf]]
    assert ops.triu(huge == 0).dtype == bool
    assert np.isnan(ops.median([1.0, np.nan, 3.0]))
    assert ops.average(np.ones((2, 3), "f"), 1, np.ones((2, 3), "f")).dtype == np.float32
    assert ops.vstack([1.0, 2.0]).shape == (2, 1)
    assert ops.hstack([1.0, 2.0]).shape == (2,)
    assert ops.cumprod(np.array([20, 20], np.uint8), dtype="int32").tolist() == [20, 400]
    values = np.array([np.nan, np.inf, -np.inf, 1.0])
    np.testing.assert_array_equal(ops.nan_to_num(values, 7, 8, 9), [7, 8, 9, 1])
    np.testing.assert_array_equal(ops.inner(2.0, values[3:]), [2.0])


def test_what_arrays_are():
    assert (ops.shape(S), ops.ndim(S), ops.size(S)) == ((3, 4), 2, 12)
    assert ops.is_tensor(ops.sum(S))
    assert not ops.is_tensor([1.0])
    assert type(ops.convert_to_numpy(ops.ones(2))) is np.ndarray
    assert isinstance(ops.relu(S), Tensor)


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (lambda: ops.sqrt(np.array([4])), "float32"), (lambda: ops.mean([1, 2]), "float32"),
        (lambda: ops.convert_to_tensor([1, 2]), "int32"), (lambda: ops.convert_to_tensor(2.0), "float32"),
        (lambda: ops.convert_to_tensor([True]), "bool"), (lambda: ops.convert_to_tensor([1], "float64"), "float64"),
        (lambda: 2.0 * ops.ones(2), "float32"), (lambda: ops.multiply(2.0, ops.ones(2)), "float32"),
        (lambda: ops.divide(np.array([1]), 2), "float32"), (lambda: ops.exp(np.ones(2)), "float64"),
        (lambda: ops.square(np.array([2])), "int64"), (lambda: ops.where(True, ops.ones(2), 0.0), "float32"),
        (lambda: ops.maximum(ops.ones(2), 0), "float32"), (lambda: ops.argmax(S, 1), "int32"),
    ],
)  # fmt: skip
def test_dtypes(make, dtype):
    assert make().dtype == dtype


def test_the_derivative_of_relu_at_0_is_0():
    pytest.importorskip("autograd")
    _, back = pullback("test", ops.relu, [np.zeros(3)])
    assert back(np.ones(3))[0].tolist() == [0, 0, 0]


def test_large_numbers_do_not_overflow():
    huge = np.array([[1000.0, -1000.0]], "f")
    for function in (ops.softmax, ops.log_softmax, ops.sigmoid, ops.softplus, ops.logsumexp, ops.log_sigmoid, ops.elu):
        assert np.isfinite(function(huge)).all()


def test_where_alone_gives_indices():
    np.testing.assert_array_equal(ops.where(S > 0)[0], np.where(S > 0)[0])


def test_other_functions_are_refused_by_a_sentence():
    pytest.importorskip("autograd")
    with pytest.raises(TypeError, match=r"only functions of lamina\.ops and operators can be differentiated"):
        pullback("test", np.linalg.svd, [S])
    for call, message in (
        (lambda: ops.split(S, 3, axis=1), "must make 3 equal parts"),
        (lambda: ops.squeeze(S, 0), "axes of size 1"),
        (lambda: ops.norm(S, 3), "ord must be None, 'fro', 'nuc', 1, -1, 2, -2, inf or -inf"),
        (lambda: ops.norm(S, 0), "ord must be"),
        (lambda: ops.norm(S, "fro", axis=1), "ord must be a number for vectors; got 'fro'"),
        (lambda: ops.norm(S[np.newaxis], 2), "axis must be one axis, for vectors, or two, for matrices"),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_values_need_no_autograd():
    code = (
        "import sys; sys.modules['autograd'] = sys.modules['autograd.numpy'] = None\n"
        "import lamina, numpy as np; from lamina import ops, layers\n"
        "assert ops.tanh(np.zeros(2)).tolist() == [0, 0]\n"
        "model = lamina.Sequential([lamina.Input((3,)), layers.Lambda(lambda x: ops.relu(x)), layers.Dense(1)])\n"
        "model.predict(np.ones((2, 3))); model.compile('sgd', 'mse'); model.fit(np.ones((2, 3)), np.ones(2), verbose=0)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError" in found.stderr
    assert "pip install 'lamina[ops]'" in found.stderr


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, [0.0, 0.1, 0.9, 1.0]])
def test_quantiles_between_two_elements(method, q, rng):
    x = rng.standard_normal((4, 5))
    for axis in (None, 0, 1):
        np.testing.assert_allclose(ops.quantile(x, q, axis, method), np.quantile(x, q, axis, method=method), rtol=1e-12)
    x[0, 1] = np.inf
    found = ops.quantile(x, q, 1, method)
    assert not np.isnan(found).any()
    np.testing.assert_allclose(found[..., 1:], np.quantile(x[1:], q, 1, method=method), rtol=1e-12)
    if method in ("lower", "higher", "nearest"):
        np.testing.assert_array_equal(found[..., 0], np.quantile(x[0], q, method=method))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "amax", "amin", "var", "std", "any", "all",
                                  "logsumexp", "count_nonzero", "norm"])  # fmt: skip
def test_axes_may_be_a_list(name, rng):
    x = rng.standard_normal((2, 3, 4))
    np.testing.assert_array_equal(getattr(ops, name)(x, axis=[1, 2]), getattr(ops, name)(x, axis=(1, 2)))
    assert ops.moments(x, axes=[0, 2])[0].shape == (3,)


def test_none_is_the_size_of_the_rows_in_a_shape():
    x = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(ops.reshape(x, (None, 2, 3)), x.reshape(2, 2, 3))

    class Split(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(6)

        def call(self, inputs):
            return ops.reshape(self.dense(inputs), (ops.shape(inputs)[0], 2, 3))

    assert lamina.Sequential([lamina.Input((6,)), Split()]).predict(x, verbose=0).shape == (2, 2, 3)


def test_a_class_that_there_is_not_is_not_among_the_best():
    assert ops.in_top_k([5, 1, -1], np.ones((3, 3)), 2).tolist() == [False, True, False]


def test_norm_of_matrices_along_two_axes():
    stack = np.stack([S, 2 * S, -S])
    for order in (None, "fro", "nuc", 1, 2, -np.inf):
        for axes in ((1, 2), (2, 1), (0, 2), (-1, -3)):
            for keepdims in (False, True):
                found = ops.norm(stack, order, axes, keepdims)
                np.testing.assert_allclose(found, np.linalg.norm(stack, order, axes, keepdims), rtol=1e-12)
    np.testing.assert_allclose(ops.norm(stack), np.sqrt((stack**2).sum()))
    np.testing.assert_array_equal(ops.norm([[0.0, 2.0], [0.0, 0.0]], 0, axis=1), [1, 0])
    np.testing.assert_allclose(ops.normalize([[0.0, 0.0], [3.0, 1.0]], order=1), [[0, 0], [0.75, 0.25]])
    assert ops.norm(S.astype("f"), 2).dtype == np.float32


def test_defaults_of_axes_are_those_of_keras():
    x = np.arange(6.0).reshape(2, 3)
    assert ops.concatenate([x, x]).shape == (4, 3)
    assert lamina.backend.concatenate([x, x]).shape == (2, 6)
    np.testing.assert_array_equal(ops.take_along_axis(x, np.array([0, 5])), [0, 5])
    np.testing.assert_array_equal(ops.take_along_axis(x, np.array([[2], [0]]), axis=1), [[2], [3]])


def test_linspace_may_return_the_step():
    numbers, step = ops.linspace(0, 1, 5, retstep=True)
    np.testing.assert_array_equal(numbers, [0, 0.25, 0.5, 0.75, 1])
    assert step == 0.25
    assert ops.linspace(0, 1, 3, dtype="float64").dtype == np.float64
    assert ops.prod([2, 3], dtype="float64").dtype == np.float64


@pytest.mark.parametrize(
    "function",
    [ops.relu, ops.relu6, activations.relu, activations.relu6, activations.hard_sigmoid, activations.hard_tanh],
)
def test_a_derivative_of_zero_stays_zero_times_infinity(function):
    """As that of sqrt(relu(x)) at 0."""
    x = np.array([-9.0, 0.0, 0.5, 9.0])
    _, back = pullback("test", function, [x])
    finite, infinite = back(np.ones(4))[0], back(np.full(4, np.inf))[0]
    np.testing.assert_array_equal(infinite, np.where(finite == 0, 0.0, np.inf))


@pytest.mark.parametrize(
    "value",
    [
        ops.add([1, 2], 1.5), ops.multiply(np.arange(3), 0.5), ops.mod([1, 2], 1.5), ops.maximum(1, 1.5),
        ops.where([True, False], 1.5, 2.0), ops.where([True, False], 1, 2.0), ops.stack([1.0, 2.0]),
        ops.expand_dims([1.0, 2.0], 0), ops.concatenate([[1.0], [2, 3.0]]), ops.norm([3.0, 4.0]),
        ops.quantile([1.0, 2.0], 0.5), ops.floor([1, 2]), ops.ceil(np.arange(3)), ops.logsumexp([[1.0, 2.0]]),
    ],
)  # fmt: skip
def test_plain_numbers_are_of_the_default_dtype(value):
    assert value.dtype == "float32"


@pytest.mark.parametrize(
    "value",
    [
        ops.add(np.ones(2), 1.5), ops.add(np.float64(1), [1, 2]), ops.stack([np.ones(2), np.zeros(2)]),
        ops.square([np.float64(1.0)]), ops.maximum(np.arange(2), np.float64(0.5)),
    ],
)  # fmt: skip
def test_arrays_keep_their_dtype(value):
    assert value.dtype == "float64"


def test_lists_beside_float64_are_exact():
    for value in (
        ops.add(np.zeros(2), [0.1, 0.2]), ops.where([True, False], np.full(2, 0.1), [0.3, 0.2]),
        ops.concatenate([np.full(1, 0.1), [0.2]]), ops.matmul(np.eye(2), [0.1, 0.2]),
    ):  # fmt: skip
        assert value.tolist() == [0.1, 0.2]
