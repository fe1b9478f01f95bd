"""Small trainings, one for each feature of the engine: what they end with must not depend on threads or caches.

As a program it prints a digest of each, ``python feature_models.py``, trained by teams of threads where given a number.
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from helpers import forced_model

import lamina
from lamina import constraints, layers, losses, optimizers

ROWS, COLUMNS, STEPS = 517, 37, 6  # more than four of the segments of 128 rows in which gradients are added up


def _numbers(*shape, seed=7):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _labels(classes=5):
    return np.random.default_rng(8).integers(0, classes, ROWS)


class Training(NamedTuple):
    """A compiled model, its data, and the arguments of its `fit`."""

    model: Any
    x: Any
    y: Any
    fit: dict[str, Any]

    def ended(self):
        """Train, and return the weights, the optimizer's state, the history and predictions."""
        model = self.model
        past = model.fit(self.x, self.y, verbose=0, **self.fit).history
        optimizer = model.optimizer
        slots = [optimizer.slot(n, v).numpy() for n in optimizer.state_names() for v in model.trainable_weights]
        history = [np.array(values) for values in past.values()]
        return [*model.get_weights(), *slots, *history, model.predict(self.x[:300])]


def _train(stack, x=None, y=None, *, optimizer="adam", loss="mse", size=260, **fit):
    x, y = _numbers(ROWS, COLUMNS) if x is None else x, _numbers(ROWS, 3, seed=9) if y is None else y
    model = lamina.Sequential(stack)
    model.compile(optimizer, loss)
    return Training(model, x, y, {"batch_size": size, "epochs": 2, **fit})


def _dense(*between, out=3, units=33):
    return [layers.Dense(units, "tanh"), *between, layers.Dense(out)]


def _sequence(*between):
    x, y = _numbers(ROWS, STEPS, COLUMNS), _numbers(ROWS, STEPS, 3)
    return _train([layers.Dense(9, "relu"), *between, layers.Dense(3)], x, y)


def _tokens(*after):
    tokens = np.random.default_rng(5).integers(0, 50, (ROWS, STEPS))
    reader = after or (layers.GlobalAveragePooling1D(),)
    return _train([layers.Embedding(50, 8, mask_zero=not after), *reader, layers.Dense(3)], tokens)


def _sparse():
    random = np.random.RandomState(3)
    x = sp.random(ROWS, 400, 0.02, "csr", np.float32, random, lambda n: random.standard_normal(n))
    return _train(_dense(layers.Dropout(0.1)), x)


def _weighted():
    weights = np.random.default_rng(6).random(ROWS).astype(np.float32)
    return _train(_dense(), sample_weight=weights, validation_data=(_numbers(200, COLUMNS), _numbers(200, 3)))


_SETTINGS = {
    "clipping": {"clipnorm": 0.1},
    "clipping of all": {"global_clipnorm": 0.1},
    "clipping of values": {"clipvalue": 0.01},
    "moving average": {"use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 2},
    "weight decay": {"weight_decay": 0.01},
}
_OPTIMIZERS = (
    "SGD",
    "RMSprop",
    "AdamW",
    "Adamax",
    "Nadam",
    "Adagrad",
    "Adadelta",
    "Lion",
    "LBFGS",
    "LevenbergMarquardt",
)
_BETWEEN = {
    "dropout": lambda: layers.Dropout(0.3),
    "alpha dropout": lambda: layers.AlphaDropout(0.2),
    "noise": lambda: layers.GaussianNoise(0.2),
    "factors": lambda: layers.GaussianDropout(0.2),
    "batch normalization": layers.BatchNormalization,
    "layer normalization": layers.LayerNormalization,
    "root mean square": layers.RMSNormalization,
    "slopes": lambda: layers.PReLU("ones"),
    "activity": lambda: layers.ActivityRegularization(1e-3, 1e-3),
    "penalty": lambda: layers.Dense(40, kernel_regularizer="l1_l2", kernel_constraint=constraints.MaxNorm(1.0)),
    "unit norm": lambda: layers.Dense(40, kernel_constraint="unit_norm", bias_constraint="non_neg"),
}
_LOSSES = {
    "softmax": lambda: _train(
        _dense(),
        y=np.eye(3)[_labels(3)].astype("f"),
        loss=losses.CategoricalCrossentropy(label_smoothing=0.1, from_logits=True),
    ),
    "labels": lambda: _train(
        [*_dense(), layers.Dense(5, "softmax")], y=_labels(), loss="sparse_categorical_crossentropy"
    ),
    "focal": lambda: _train([*_dense(), layers.Dense(1, "sigmoid")], y=_labels(2), loss="binary_focal_crossentropy"),
    "huber": lambda: _train(_dense(), loss=losses.Huber(0.5)),
    "quantiles": lambda: _train(_dense(), y=_numbers(ROWS, 1), loss=losses.Quantile([0.1, 0.5, 0.9])),
}

FEATURES = {
    "weights of rows": _weighted,
    "sparse": _sparse,
    "masked mean": lambda: _tokens(),
    "maximum": lambda: _tokens(layers.GlobalMaxPooling1D()),
    "tokens": lambda: _tokens(layers.Dropout(0.2), layers.Flatten()),
    "steps": lambda: _sequence(layers.SpatialDropout1D(0.1), layers.LayerNormalization()),
    "wide": lambda: _train([layers.Dense(300, "relu"), layers.Dense(200, "gelu"), layers.Dense(3)], size=517),
    "float64": lambda: _train([layers.Dense(40, "tanh", dtype="float64"), layers.Dense(3, dtype="float64")]),
    **{name: lambda make=make: _train(_dense(make())) for name, make in _BETWEEN.items()},
    **{
        name: lambda settings=settings: _train(
            _dense(layers.Dropout(0.1)), optimizer=optimizers.AdamW(**settings), size=90
        )
        for name, settings in _SETTINGS.items()
    },
    **{
        name: lambda name=name: _train(
            _dense(units=5),
            optimizer=getattr(optimizers, name)(),
            size=None if name.startswith("L") and name != "Lion" else 260,
        )
        for name in _OPTIMIZERS
    },
    **_LOSSES,
}


def digest(arrays) -> str:
    """Return a digest of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def made(feature: str) -> Training:
    """Return a training, always the same one."""
    lamina.utils.set_random_seed(1)
    return FEATURES[feature]()


def many_models():
    """Train several models in one call; return their weights and predictions."""
    lamina.utils.set_random_seed(1)
    models = [lamina.Sequential([lamina.Input((COLUMNS,)), *_dense(layers.Dropout(0.1 * n))]) for n in range(5)]
    for number, model in enumerate(models):
        model.compile(optimizers.Adam(1e-3 * (number + 1)), "mse")
    x, y = _numbers(ROWS, COLUMNS), _numbers(ROWS, 3, seed=9)
    lamina.fit_many(models, x, y, batch_size=260, epochs=2, verbose=0)
    return [*(array for model in models for array in model.get_weights()), *lamina.predict_many(models, x)]


if __name__ == "__main__":
    for name in FEATURES:
        training = made(name)
        if len(sys.argv) > 1:
            forced_model(training.model, "stationary", int(sys.argv[1]))
        print(name, digest(training.ended()), sep="\t")
    print("many models", digest(many_models()), sep="\t")
