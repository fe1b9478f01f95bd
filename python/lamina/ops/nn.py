"""Activations and losses of networks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lamina import config
from lamina._data.autodiff import array_module, constant, floats, given, returned
from lamina.ops import elementwise, reductions


def relu(x: Any) -> Any:
    """Return ``max(x, 0)``; the derivative at 0 is 0."""
    value = given(x)
    return returned(array_module().where(value > 0, value, np.zeros((), constant(value).dtype)))


def relu6(x: Any) -> Any:
    """Return ``min(max(x, 0), 6)``."""
    return elementwise.clip(x, 0, 6)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """Return ``x`` where it is positive, ``negative_slope x`` elsewhere."""
    value = floats(x)
    return returned(array_module().where(value > 0, value, negative_slope * value))


def elu(x: Any, alpha: float = 1.0) -> Any:
    """Return ``x`` where it is positive, ``alpha (e**x - 1)`` elsewhere."""
    module, value = array_module(), floats(x)
    return returned(module.where(value > 0, value, alpha * module.expm1(module.where(value > 0, 0 * value, value))))


def selu(x: Any) -> Any:
    """Return the scaled exponential linear unit (Klambauer et al. 2017)."""
    return returned(1.05070098735548049 * given(elu(x, 1.67326324235437728)))


def gelu(x: Any, approximate: bool = True) -> Any:
    """Return ``x Φ(x)`` (Hendrycks & Gimpel 2016); approximately, with tanh, as Keras does by default here."""
    value = floats(x)
    if approximate:
        inner = math.sqrt(2 / math.pi) * (value + 0.044715 * value * value * value)
        return returned(0.5 * value * (1 + array_module().tanh(inner)))
    return returned(0.5 * value * (1 + given(elementwise.erf(value / math.sqrt(2)))))


def sigmoid(x: Any) -> Any:
    """Return ``1 / (1 + e**-x)``."""
    return returned(0.5 * array_module().tanh(0.5 * floats(x)) + 0.5)


def silu(x: Any) -> Any:
    """Return ``x sigmoid(x)``."""
    return returned(floats(x) * given(sigmoid(x)))


swish = silu


def hard_sigmoid(x: Any) -> Any:
    """Return ``x / 6 + 0.5``, limited to [0, 1]."""
    return elementwise.clip(floats(x) / 6 + 0.5, 0.0, 1.0)


def softplus(x: Any) -> Any:
    """Return ``log(1 + e**x)``."""
    return returned(array_module().logaddexp(floats(x), np.zeros((), constant(floats(x)).dtype)))


def softsign(x: Any) -> Any:
    """Return ``x / (1 + |x|)``."""
    value = floats(x)
    return returned(value / (1 + array_module().abs(value)))


def log_sigmoid(x: Any) -> Any:
    """Return ``log(sigmoid(x))``."""
    return returned(-given(softplus(-floats(x))))


def log_softmax(x: Any, axis: Any = -1) -> Any:
    """Return ``x - log(Σ e**x)`` along an axis."""
    value = floats(x)
    return returned(value - given(reductions.logsumexp(value, axis=axis, keepdims=True)))


def softmax(x: Any, axis: Any = -1) -> Any:
    """Return ``e**x / Σ e**x`` along an axis."""
    return returned(array_module().exp(given(log_softmax(x, axis))))


def one_hot(x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False) -> Any:
    """Return a new axis with 1 at the place of each class number and 0 elsewhere; no 1 for numbers out of range."""
    numbers = constant(x)
    found = (numbers[..., np.newaxis] == np.arange(num_classes)).astype(dtype or config.floatx())
    return returned(np.moveaxis(found, -1, axis))


def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Return ``-(t log p + (1 - t) log(1 - p))`` of each element; `output` is p, or its logit."""
    module, t = array_module(), floats(target)
    if from_logits:
        z = floats(output)
        return returned(given(relu(z)) - z * t + given(softplus(-module.abs(z))))
    p = given(elementwise.clip(floats(output), config.epsilon(), 1 - config.epsilon()))
    return returned(-(t * module.log(p) + (1 - t) * module.log(1 - p)))


def categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """Return ``-Σ t log p`` along an axis; `output` is p, which is divided by its sum, or its logits."""
    module, t, value = array_module(), floats(target), floats(output)
    if from_logits:
        return returned(-module.sum(t * given(log_softmax(value, axis)), axis=axis))
    p = value / module.sum(value, axis=axis, keepdims=True)
    p = given(elementwise.clip(p, config.epsilon(), 1 - config.epsilon()))
    return returned(-module.sum(t * module.log(p), axis=axis))


def sparse_categorical_crossentropy(target: Any, output: Any, from_logits: bool = False, axis: int = -1) -> Any:
    """Return ``-log p`` of the class with a number, along an axis; `output` is p, or its logits."""
    classes = np.shape(constant(output))[axis]
    numbers = constant(target)
    if numbers.ndim == np.ndim(constant(output)) and numbers.shape[axis] == 1:
        numbers = np.squeeze(numbers, axis)
    return categorical_crossentropy(one_hot(numbers, classes, axis), output, from_logits, axis)
