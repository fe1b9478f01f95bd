"""Layers, with the names and arguments of Keras."""

from __future__ import annotations

from typing import Any

from lamina._common.custom import custom_object_scope
from lamina._common.names import absences, required
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry
from lamina.layers.activation import ELU, Activation, LeakyReLU, PReLU, ReLU, Softmax
from lamina.layers.base import Layer, Pass
from lamina.layers.dense import Dense
from lamina.layers.embedding import Embedding
from lamina.layers.function import Lambda
from lamina.layers.normalization import BatchNormalization, LayerNormalization, RMSNormalization
from lamina.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D
from lamina.layers.regularization import (
    ActivityRegularization,
    AlphaDropout,
    Dropout,
    GaussianDropout,
    GaussianNoise,
    SpatialDropout1D,
)
from lamina.layers.scaling import Normalization, Rescaling
from lamina.layers.shaping import Flatten, Identity, Input, InputLayer, Reshape
from lamina.layers.spec import InputSpec as InputSpec
from lamina.layers.symbolic import layer_of as layer_of

__all__ = [
    "ELU",
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GaussianDropout",
    "GaussianNoise",
    "GlobalAveragePooling1D",
    "GlobalAvgPool1D",
    "GlobalMaxPool1D",
    "GlobalMaxPooling1D",
    "Identity",
    "Input",
    "InputLayer",
    "InputSpec",
    "Lambda",
    "Layer",
    "LayerNormalization",
    "LeakyReLU",
    "Normalization",
    "PReLU",
    "Pass",
    "RMSNormalization",
    "ReLU",
    "Rescaling",
    "Reshape",
    "Softmax",
    "SpatialDropout1D",
    "deserialize",
    "serialize",
]

REGISTRY = Registry(
    "layers",
    "layer",
    Layer,
    *(
        (kind, "")
        for kind in (
            Activation, ActivityRegularization, AlphaDropout, BatchNormalization, Dense, Dropout, ELU, Embedding,
            Flatten, GaussianDropout, GaussianNoise, Identity, InputLayer, Lambda, LayerNormalization, LeakyReLU,
            Normalization, PReLU, RMSNormalization, ReLU, Rescaling, Reshape, Softmax, SpatialDropout1D,
        )
    ),
    (GlobalAveragePooling1D, "GlobalAvgPool1D"),
    (GlobalMaxPooling1D, "GlobalMaxPool1D"),
)  # fmt: skip

# The same under Keras's shorter names.
GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D


def deserialize(config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Layer:
    """Return a layer from ``{"class_name", "config"}``, as `serialize` makes it; `custom_objects` are by name."""
    who = "layers.deserialize"
    with custom_object_scope(custom_objects):
        return required(who, "config", REGISTRY.get(config, who, "layer"))


_ABSENT = {
    **dict.fromkeys(
        (
            "Conv1D", "Conv2D", "Conv3D", "Conv1DTranspose", "Conv2DTranspose", "SeparableConv2D", "DepthwiseConv2D",
            "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D",
            "GlobalAveragePooling2D", "GlobalMaxPooling2D", "UpSampling2D", "ZeroPadding2D", "Cropping2D",
        ),
        "lamina has dense layers; Flatten makes rows of images, for Dense",
    ),
    **dict.fromkeys(
        (
            "LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "TimeDistributed", "MultiHeadAttention", "Attention",
            "AdditiveAttention", "GroupedQueryAttention", "Masking",
        ),
        "lamina has dense layers; an Embedding with a Flatten or a GlobalAveragePooling1D and Dense read a sequence",
    ),
    **dict.fromkeys(
        ("Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract"),
        "models are stacks of layers with one input and one output each",
    ),
    **dict.fromkeys(("Permute", "RepeatVector"), "arrange rows with NumPy before; there are Flatten and Reshape"),
    "Wrapper": "subclass lamina.layers.Layer, and define call in functions of lamina.ops",
    **dict.fromkeys(
        ("GroupNormalization", "SpectralNormalization", "UnitNormalization"),
        "there are BatchNormalization, LayerNormalization, RMSNormalization",
    ),
    **dict.fromkeys(
        ("SpatialDropout2D",), "there are Dropout, SpatialDropout1D"
    ),
    **dict.fromkeys(
        ("TextVectorization", "StringLookup", "IntegerLookup", "CategoryEncoding", "Hashing", "Discretization"),
        "prepare text and categories before: scikit-learn's CountVectorizer gives sparse rows that Dense reads",
    ),
}  # fmt: skip


__getattr__ = absences(__name__, globals(), _ABSENT)
