"""Networks that are drawn at random from all layers that files for other programs can hold."""

from __future__ import annotations

import numpy as np

import lamina
from lamina import layers

ACTIVATIONS = [
    "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "silu", "sigmoid", "hard_sigmoid", "tanh", "softplus",
    "softsign", "exponential", "mish", "celu", "hard_tanh", "hard_silu", "log_sigmoid", "soft_shrink", "hard_shrink",
    "tanh_shrink", "squareplus", "sparse_plus", "sparse_sigmoid", "softmax", "log_softmax", "linear", None,
]  # fmt: skip


def _moments(rng, width):
    return {"mean": rng.normal(size=width), "variance": rng.uniform(0.2, 2, width)}


# By the rank of a row: what makes a layer, given a generator of random numbers, its arguments and the row's shape.
_ANYWHERE = {
    "Dense": lambda rng, named, row: layers.Dense(
        int(rng.integers(1, 9)), str(rng.choice(ACTIVATIONS[:-2])), use_bias=bool(rng.random() < 0.8), **named
    ),
    "Activation": lambda rng, named, row: layers.Activation(ACTIVATIONS[rng.integers(len(ACTIVATIONS) - 1)], **named),
    "ReLU": lambda rng, named, row: layers.ReLU(
        float(rng.uniform(1, 3)), float(rng.uniform(0, 0.5)), float(rng.uniform(0, 0.5)), **named
    ),
    "LeakyReLU": lambda rng, named, row: layers.LeakyReLU(float(rng.uniform(0, 0.5)), **named),
    "ELU": lambda rng, named, row: layers.ELU(float(rng.uniform(0.5, 2)), **named),
    "PReLU": lambda rng, named, row: layers.PReLU(
        "uniform", shared_axes=list(range(1, len(row))) or None, **named
    ),
    "Softmax": lambda rng, named, row: layers.Softmax(**named),
    "BatchNormalization": lambda rng, named, row: layers.BatchNormalization(
        center=bool(rng.random() < 0.7), scale=bool(rng.random() < 0.7), **named
    ),
    "LayerNormalization": lambda rng, named, row: layers.LayerNormalization(
        axis=-1 if rng.random() < 0.7 else list(range(1, len(row) + 1)),
        center=bool(rng.random() < 0.7), scale=bool(rng.random() < 0.7), **named,
    ),
    "RMSNormalization": lambda rng, named, row: layers.RMSNormalization(**named),
    "Normalization": lambda rng, named, row: layers.Normalization(
        **_moments(rng, row[-1]), invert=bool(rng.random() < 0.3), **named
    ),
    "Rescaling": lambda rng, named, row: layers.Rescaling(
        float(rng.uniform(0.5, 2)), rng.normal(size=row[-1]).tolist(), **named
    ),
    "Dropout": lambda rng, named, row: layers.Dropout(0.3, **named),
    "GaussianNoise": lambda rng, named, row: layers.GaussianNoise(0.3, **named),
    "ActivityRegularization": lambda rng, named, row: layers.ActivityRegularization(0.1, 0.1, **named),
    "Identity": lambda rng, named, row: layers.Identity(**named),
    "Flatten": lambda rng, named, row: layers.Flatten(**named),
    "Reshape": lambda rng, named, row: layers.Reshape((*row[:-1], 1, row[-1]) if len(row) < 3 else (-1,), **named),
    "nested": lambda rng, named, row: lamina.Sequential(
        [lamina.Input(row, dtype=named["dtype"]), layers.Dense(4, "tanh", **named), layers.Dense(3, **named)]
    ),
}  # fmt: skip
_OF_STEPS = _ANYWHERE | {
    "GlobalAveragePooling1D": lambda rng, named, row: layers.GlobalAveragePooling1D(
        keepdims=bool(rng.random() < 0.3), **named
    ),
    "GlobalMaxPooling1D": lambda rng, named, row: layers.GlobalMaxPooling1D(keepdims=bool(rng.random() < 0.3), **named),
    "SpatialDropout1D": lambda rng, named, row: layers.SpatialDropout1D(0.3, **named),
}


def random_network(seed, dtype="float32", kinds=None):
    """Return a built model and rows of input for it.

    Parameters
    ----------
    seed : int
    dtype : {"float32", "float64"}
    kinds : list of str, optional
        Which of the layers above may be in it.
    """
    rng = np.random.default_rng(seed)
    lamina.utils.set_random_seed(seed)
    model = lamina.Sequential()
    named = {"dtype": dtype}
    rows = int(rng.integers(1, 12))
    kind = rng.choice(["plain", "steps", "indices"], p=[0.6, 0.2, 0.2])
    if kind == "indices" and (kinds is None or "Embedding" in kinds):
        words, steps = int(rng.integers(2, 20)), int(rng.integers(1, 7))
        masked = bool(rng.random() < 0.5)
        x = rng.integers(0, words, (rows, steps))
        x[:, 0] = rng.integers(1, words, rows)  # the mean of no steps is NaN
        model.add(lamina.Input((steps,), dtype="int32"))
        model.add(layers.Embedding(words, int(rng.integers(1, 8)), mask_zero=masked, **named))
        if masked:
            model.add(layers.GlobalAveragePooling1D(**named))
    else:
        shape = (int(rng.integers(1, 10)),) if kind == "plain" else tuple(map(int, rng.integers(1, 7, 2)))
        x = rng.normal(size=(rows, *shape)).astype(dtype)
        model.add(lamina.Input(shape, dtype=dtype))
    for _ in range(rng.integers(1, 6)):
        row = model.output_shape[1:] if model.layers else x.shape[1:]
        makers = _OF_STEPS if len(row) == 2 else _ANYWHERE
        names = [name for name in makers if kinds is None or name in kinds]
        model.add(makers[str(rng.choice(names))](rng, named, row))
    model.set_weights([_changed(rng, variable) for variable in model.weights])
    return model, x


def _changed(rng, variable):
    if "variance" in variable.name:
        return rng.uniform(0.5, 1.5, variable.shape)
    return variable.numpy() + 0.3 * rng.normal(size=variable.shape)
