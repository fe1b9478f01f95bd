"""What layers of PyTorch compute, as a network."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from lamina._common.registry import ConfigurationError
from lamina._files import network as steps
from lamina._files.network import NetworkState, Shape, Step
from lamina._files.torch.layers import TorchLayer, require

__all__ = ["ARGUMENTS", "network_of"]

# Given a layer, the shape of a row of its input and the dtype of the network, its steps.
Reader = Callable[[TorchLayer, Shape, str], list[Step]]

# The arguments of constructors that are read, which are attributes of modules, too.
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "AlphaDropout": ("p",),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "CELU": ("alpha",),
    "Dropout": ("p",),
    "ELU": ("alpha",),
    "Embedding": ("num_embeddings", "embedding_dim", "max_norm"),
    "Flatten": ("start_dim", "end_dim"),
    "GELU": ("approximate",),
    "Hardshrink": ("lambd",),
    "Hardsigmoid": (),
    "Hardswish": (),
    "Hardtanh": ("min_val", "max_val"),
    "Identity": (),
    "LayerNorm": ("normalized_shape", "eps"),
    "LeakyReLU": ("negative_slope",),
    "Linear": ("in_features", "out_features"),
    "LogSigmoid": (),
    "LogSoftmax": ("dim",),
    "Mish": (),
    "PReLU": ("num_parameters",),
    "RMSNorm": ("normalized_shape", "eps"),
    "ReLU": (),
    "ReLU6": (),
    "SELU": (),
    "SiLU": (),
    "Sigmoid": (),
    "Softmax": ("dim",),
    "Softmin": ("dim",),
    "Softplus": ("beta", "threshold"),
    "Softshrink": ("lambd",),
    "Softsign": (),
    "Tanh": (),
    "Tanhshrink": (),
    "Threshold": ("threshold", "value"),
    "Unflatten": ("dim", "unflattened_size"),
}


def network_of(who: str, layers: list[TorchLayer], row_shape: Shape | None) -> NetworkState:
    """Return the network that layers compute for rows of a shape, the one that they say themselves if it is None.

    Raises
    ------
    ValueError
        There is a layer of another kind, or its arguments are others than those of a layer here.
    """
    wide = any(array.dtype == np.float64 for layer in layers for array in layer.tensors.values())
    dtype = "float64" if wide else "float32"
    begin = shape = _row_shape_of(who, layers) if row_shape is None else row_shape
    found: list[Step] = []
    for number, layer in enumerate(layers):
        if layer.kind not in _READERS:
            raise ValueError(f"{who}: there is no layer here for {layer.kind} (module {number}).")
        try:
            found += _READERS[layer.kind](layer, shape, dtype)
        except ConfigurationError as error:
            raise ValueError(f"{who}: module {number}, a {layer.kind}: {error}.") from None
        except KeyError as error:
            raise ValueError(f"{who}: module {number}, a {layer.kind}: it has no tensor {error}.") from None
        shape = found[-1].row_shape if found else begin
    indices = bool(found) and isinstance(found[0], steps.Lookup)
    if any(isinstance(step, steps.Lookup) for step in found[1:]):
        raise ValueError(f"{who}: an Embedding must be the first module.")
    return NetworkState("sequential", dtype, begin, indices, found)


def _row_shape_of(who: str, layers: list[TorchLayer]) -> Shape:
    """Return the shape of a row of input, as the first layer that has one says it."""
    for layer in layers:
        for name in ("in_features", "num_features", "normalized_shape"):
            if name in layer.arguments:
                return tuple(int(size) for size in np.atleast_1d(layer.arguments[name]))
        if layer.kind in ("Embedding", "Flatten", "Unflatten"):
            break
    raise ValueError(f"{who}: input_shape must be given: the modules do not say the shape of a row of input.")


def _activation(name: str, argument: str | None = None) -> Reader:
    def read(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
        alpha = None if argument is None else _not_negative(layer, argument)
        return [steps.activation(name, shape, alpha)]

    return read


def _not_negative(layer: TorchLayer, argument: str) -> float:
    value = float(layer.arguments[argument])
    require(value >= 0, f"{argument} must be >= 0; it is {value}")
    return value


def _shrink(name: str) -> Reader:
    def read(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
        lambd = _not_negative(layer, "lambd")
        return [steps.activation(name, shape, lambd)] if lambd else []

    return read


def _celu(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    require(layer.arguments["alpha"] > 0, f"alpha must be > 0; it is {layer.arguments['alpha']}")
    return [steps.activation("celu", shape, float(layer.arguments["alpha"]))]


def _along_columns(name: str) -> Reader:
    def read(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
        dim = layer.arguments["dim"]
        require(
            dim in (-1, len(shape)) or (dim is None and len(shape) == 1), f"dim must be the last axis, -1; it is {dim}"
        )
        return [steps.activation(name, shape)]

    return read


def _softmin(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    return [steps.affine(shape, -1, 0, dtype), *_along_columns("softmax")(layer, shape, dtype)]


def _linear(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    kernel = layer.tensors["weight"].T
    require(shape[-1] == kernel.shape[0], f"it takes rows of {kernel.shape[0]} numbers; those before give {shape}")
    row = (*shape[:-1], kernel.shape[1])
    return [steps.Dense("dense", row, np.ascontiguousarray(kernel), layer.tensors.get("bias"))]


def _embedding(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    require(layer.arguments["max_norm"] is None, "max_norm changes its weights while it predicts")
    table = layer.tensors["weight"]
    return [steps.Lookup("embedding", (*shape, table.shape[1]), table)]


def _batch_norm(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    given, tensors = layer.arguments, layer.tensors
    require(len(shape) == 1, f"its columns are those of axis 1, and rows have the shape {shape}")
    require(shape[0] == given["num_features"], f"it takes {given['num_features']} columns; there are {shape[0]}")
    require("running_mean" in tensors, "without track_running_stats it predicts by the batch")
    momentum = given["momentum"]
    require(momentum is not None and 0 < momentum <= 1, f"momentum must be in (0, 1]; it is {momentum}")
    return [
        steps.BatchNorm(
            "batch_normalization", shape, tensors["running_mean"], tensors["running_var"], tensors.get("weight"),
            tensors.get("bias"), float(given["eps"]), 0.0, 1 - float(momentum),
        )
    ]  # fmt: skip


def _row_norm(centered: bool) -> Reader:
    def read(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
        normalized = tuple(int(size) for size in np.atleast_1d(layer.arguments["normalized_shape"]))
        begin = len(shape) - len(normalized)
        require(begin >= 0 and shape[begin:] == normalized, f"it normalizes {normalized}; rows have the shape {shape}")
        eps = layer.arguments["eps"]
        epsilon = float(np.finfo(dtype).eps if eps is None else eps)
        flat = (*shape[:begin], math.prod(normalized))
        gamma, beta = (
            None if one is None else one.reshape(-1) for one in (layer.tensors.get("weight"), layer.tensors.get("bias"))
        )
        norm = steps.RowNorm("normalization", flat, gamma, beta, centered, epsilon)
        return [norm] if flat == shape else [steps.Reshape("flatten", flat), norm, steps.Reshape("reshape", shape)]

    return read


def _prelu(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    slopes = layer.tensors["weight"]
    require(len(slopes) == 1 or len(shape) == 1, f"its slopes are for axis 1, and rows have the shape {shape}")
    require(len(slopes) in (1, shape[-1]), f"it has {len(slopes)} slopes; there are {shape[-1]} columns")
    return [steps.Prelu("p_re_lu", shape, np.broadcast_to(slopes, shape[-1:]).copy())]


def _softplus(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    require(layer.arguments["beta"] > 0, f"beta must be > 0; it is {layer.arguments['beta']}")
    require(layer.arguments["threshold"] >= 15, "its threshold must be 15 or more")
    return steps.scaled_activation("softplus", float(layer.arguments["beta"]), shape, dtype)


def _threshold(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    require(layer.arguments["value"] == 0, f"its value must be 0; it is {layer.arguments['value']}")
    return [steps.ClippedRelu("relu", shape, 0.0, math.inf, _not_negative(layer, "threshold"))]


def _hardtanh(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    return steps.between(float(layer.arguments["min_val"]), float(layer.arguments["max_val"]), shape, dtype)


def _gelu(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    return [steps.activation("gelu" if layer.arguments["approximate"] == "none" else "gelu_tanh", shape)]


def _flatten(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    begin, end = layer.arguments["start_dim"], layer.arguments["end_dim"]
    rank = len(shape) + 1
    begin, end = begin % rank, end % rank
    require(begin >= 1, "it joins the rows of a batch")
    joined = (*shape[: begin - 1], math.prod(shape[begin - 1 : end]), *shape[end:])
    return _reshaped(shape, joined)


def _unflatten(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
    dim = layer.arguments["dim"]
    require(isinstance(dim, int) and dim % (len(shape) + 1) > 0, f"dim must be a number of an axis of rows, not {dim}")
    axis, sizes = dim % (len(shape) + 1) - 1, [int(size) for size in layer.arguments["unflattened_size"]]
    if -1 in sizes:
        sizes[sizes.index(-1)] = shape[axis] // max(1, -math.prod(sizes))
    require(math.prod(sizes) == shape[axis], f"it divides {shape[axis]} columns into {tuple(sizes)}")
    return _reshaped(shape, (*shape[:axis], *sizes, *shape[axis + 1 :]))


def _reshaped(before: Shape, after: Shape) -> list[Step]:
    return [] if before == after else [steps.Reshape("reshape", after)]


def _noise(name: str) -> Reader:
    def read(layer: TorchLayer, shape: Shape, dtype: str) -> list[Step]:
        rate = float(layer.arguments["p"])
        require(rate < 1, f"p must be < 1; it is {rate}")
        return [steps.Noise(name, shape, name, rate)]

    return read


_READERS: dict[str, Reader] = {
    "AlphaDropout": _noise("alpha_dropout"),
    "BatchNorm1d": _batch_norm,
    "CELU": _celu,
    "Dropout": _noise("dropout"),
    "ELU": _activation("elu", "alpha"),
    "Embedding": _embedding,
    "Flatten": _flatten,
    "GELU": _gelu,
    "Hardshrink": _shrink("hard_shrink"),
    "Hardsigmoid": _activation("hard_sigmoid"),
    "Hardswish": _activation("hard_silu"),
    "Hardtanh": _hardtanh,
    "Identity": lambda layer, shape, dtype: [],
    "LayerNorm": _row_norm(True),
    "LeakyReLU": _activation("leaky_relu", "negative_slope"),
    "Linear": _linear,
    "LogSigmoid": _activation("log_sigmoid"),
    "LogSoftmax": _along_columns("log_softmax"),
    "Mish": _activation("mish"),
    "PReLU": _prelu,
    "RMSNorm": _row_norm(False),
    "ReLU": _activation("relu"),
    "ReLU6": _activation("relu6"),
    "SELU": _activation("selu"),
    "SiLU": _activation("silu"),
    "Sigmoid": _activation("sigmoid"),
    "Softmax": _along_columns("softmax"),
    "Softmin": _softmin,
    "Softplus": _softplus,
    "Softshrink": _shrink("soft_shrink"),
    "Softsign": _activation("softsign"),
    "Tanh": _activation("tanh"),
    "Tanhshrink": _activation("tanh_shrink"),
    "Threshold": _threshold,
    "Unflatten": _unflatten,
}
