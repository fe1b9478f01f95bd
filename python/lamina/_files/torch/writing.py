"""The layers of PyTorch that compute a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.network import NetworkState, Shape, Step
from lamina._files.torch.layers import TorchLayer, require

__all__ = ["layers_of"]


def layers_of(who: str, state: NetworkState) -> list[TorchLayer]:
    """Return the layers of PyTorch that compute a network.

    Raises
    ------
    ValueError
        PyTorch has no module for one of its steps.
    """
    shape, found = state.row_shape, []
    for step in state.steps:
        try:
            found += list(_WRITERS[type(step)](step, shape))
        except ConfigurationError as error:
            raise ValueError(f"{who}: PyTorch has no module for {step.layer!r}: {error}.") from None
        shape = step.row_shape
    return found


def _write_dense(step: steps.Dense, shape: Shape) -> Iterator[TorchLayer]:
    ins, outs = step.kernel.shape
    bias = {} if step.bias is None else {"bias": step.bias}
    arguments = {"in_features": ins, "out_features": outs, "bias": step.bias is not None}
    yield TorchLayer("Linear", arguments, {"weight": np.ascontiguousarray(step.kernel.T), **bias})


def _write_lookup(step: steps.Lookup, shape: Shape) -> Iterator[TorchLayer]:
    rows, columns = step.table.shape
    yield TorchLayer("Embedding", {"num_embeddings": rows, "embedding_dim": columns}, {"weight": step.table})


_NAMES = {
    "celu": ("CELU", "alpha"),
    "elu": ("ELU", "alpha"),
    "hard_shrink": ("Hardshrink", "lambd"),
    "hard_sigmoid": ("Hardsigmoid", None),
    "hard_silu": ("Hardswish", None),
    "hard_tanh": ("Hardtanh", None),
    "leaky_relu": ("LeakyReLU", "negative_slope"),
    "log_sigmoid": ("LogSigmoid", None),
    "mish": ("Mish", None),
    "relu": ("ReLU", None),
    "relu6": ("ReLU6", None),
    "selu": ("SELU", None),
    "sigmoid": ("Sigmoid", None),
    "silu": ("SiLU", None),
    "soft_shrink": ("Softshrink", "lambd"),
    "softplus": ("Softplus", None),
    "softsign": ("Softsign", None),
    "tanh": ("Tanh", None),
    "tanh_shrink": ("Tanhshrink", None),
}
_FIXED: dict[str, tuple[str, dict[str, Any]]] = {
    "gelu": ("GELU", {"approximate": "none"}),
    "gelu_tanh": ("GELU", {"approximate": "tanh"}),
    "log_softmax": ("LogSoftmax", {"dim": -1}),
    "softmax": ("Softmax", {"dim": -1}),
}


def _write_activation(step: steps.Activation, shape: Shape) -> Iterator[TorchLayer]:
    if step.name in _FIXED:
        kind, arguments = _FIXED[step.name]
        yield TorchLayer(kind, dict(arguments), {})
        return
    require(step.name in _NAMES, f"it has no {step.name}")
    kind, argument = _NAMES[step.name]
    yield TorchLayer(kind, {} if argument is None else {argument: step.alpha}, {})


def _write_reshape(step: steps.Reshape, shape: Shape) -> Iterator[TorchLayer]:
    if len(shape) > 1:
        yield TorchLayer("Flatten", {}, {})
    if len(step.row_shape) > 1:
        yield TorchLayer("Unflatten", {"dim": 1, "unflattened_size": step.row_shape}, {})


def _write_batch_norm(step: steps.BatchNorm, shape: Shape) -> Iterator[TorchLayer]:
    require(len(shape) == 1, f"rows have the shape {shape}, and its columns are those of axis 1")
    require(step.least == 0, "its deviations have a least value")
    gamma = np.ones_like(step.mean) if step.gamma is None else step.gamma
    beta = np.zeros_like(step.mean) if step.beta is None else step.beta
    tensors = {
        "weight": gamma, "bias": beta, "running_mean": step.mean, "running_var": step.variance,
        "num_batches_tracked": np.array(0),
    }  # fmt: skip
    arguments = {"num_features": shape[0], "eps": step.epsilon, "momentum": round(1 - step.momentum, 12)}
    yield TorchLayer("BatchNorm1d", arguments, tensors)


def _write_row_norm(step: steps.RowNorm, shape: Shape) -> Iterator[TorchLayer]:
    gamma = step.gamma
    if gamma is None and step.beta is not None:
        gamma = np.ones_like(step.beta)
    arguments = {
        "normalized_shape": [shape[-1]], "eps": step.epsilon, "elementwise_affine": gamma is not None,
    }  # fmt: skip
    tensors = {} if gamma is None else {"weight": gamma}
    if step.centered:
        arguments["bias"] = step.beta is not None
        tensors |= {} if step.beta is None else {"bias": step.beta}
    yield TorchLayer("LayerNorm" if step.centered else "RMSNorm", arguments, tensors)


def _write_prelu(step: steps.Prelu, shape: Shape) -> Iterator[TorchLayer]:
    alike = bool(np.all(step.slopes == step.slopes[0]))
    require(len(shape) == 1 or alike, f"rows have the shape {shape}, and its slopes are those of axis 1")
    slopes = step.slopes if len(shape) == 1 else step.slopes[:1]
    yield TorchLayer("PReLU", {"num_parameters": len(slopes)}, {"weight": slopes})


def _write_clipped_relu(step: steps.ClippedRelu, shape: Shape) -> Iterator[TorchLayer]:
    require(step.most > 0, "its numbers have no range")
    if step.slope == step.threshold == 0:
        yield TorchLayer("Hardtanh", {"min_val": 0.0, "max_val": step.most}, {})
        return
    require(math.isinf(step.most) and 0 in (step.slope, step.threshold), "of slope, limit and threshold it takes one")
    if step.threshold:
        yield TorchLayer("Threshold", {"threshold": step.threshold, "value": 0.0}, {})
    else:
        yield TorchLayer("LeakyReLU", {"negative_slope": step.slope}, {})


def _write_noise(step: steps.Noise, shape: Shape) -> Iterator[TorchLayer]:
    kinds = {"dropout": "Dropout", "alpha_dropout": "AlphaDropout"}
    require(step.noise in kinds and not step.lines_alike, f"it has no such {step.noise} noise")
    yield TorchLayer(kinds[step.noise], {"p": step.rate}, {})


def _refuse(what: str) -> Callable[[Any, Shape], Iterator[TorchLayer]]:
    def write(step: Step, shape: Shape) -> Iterator[TorchLayer]:
        raise ConfigurationError(what)

    return write


_WRITERS: dict[type[Step], Callable[[Any, Shape], Iterator[TorchLayer]]] = {
    steps.Activation: _write_activation,
    steps.Affine: _refuse("it has none that scales and shifts columns by constants"),
    steps.BatchNorm: _write_batch_norm,
    steps.ClippedRelu: _write_clipped_relu,
    steps.Dense: _write_dense,
    steps.Lookup: _write_lookup,
    steps.Noise: _write_noise,
    steps.Pool: _refuse("its pooling is along the last axis"),
    steps.Prelu: _write_prelu,
    steps.Reshape: _write_reshape,
    steps.RowNorm: _write_row_norm,
}
