"""Networks drawn at random, for comparisons with real Keras."""

from __future__ import annotations

import numpy as np

import lamina

ACTIVATIONS = [
    "linear", "relu", "leaky_relu", "relu6", "elu", "selu", "gelu", "silu", "swish", "sigmoid", "hard_sigmoid", "tanh",
    "softplus", "softsign", "exponential", "mish", "softmax", "log_softmax", "celu", "hard_tanh", "hard_silu",
    "hard_swish", "log_sigmoid", "soft_shrink", "hard_shrink", "tanh_shrink", "squareplus", "sparse_plus",
    "sparse_sigmoid",
]  # fmt: skip
HEADS = {
    # loss: (output activations, kind of target)
    "mean_squared_error": (["linear", "tanh"], "numbers"),
    "mae": (["linear"], "numbers"),
    "Huber": (["linear"], "numbers"),
    "log_cosh": (["linear"], "numbers"),
    "mape": (["linear"], "positive"),
    "msle": (["softplus"], "positive"),
    "poisson": (["softplus"], "positive"),
    "cosine_similarity": (["linear"], "numbers"),
    "hinge": (["linear", "tanh"], "flags"),
    "squared_hinge": (["tanh"], "flags"),
    "categorical_hinge": (["softmax"], "one-hot"),
    "kl_divergence": (["softmax"], "shares"),
    "binary_crossentropy": (["sigmoid"], "flags"),
    "BinaryFocalCrossentropy": (["sigmoid"], "flags"),
    "categorical_crossentropy": (["softmax"], "one-hot"),
    "CategoricalFocalCrossentropy": (["softmax"], "one-hot"),
    "sparse_categorical_crossentropy": (["softmax"], "labels"),
}
METRICS = {
    "numbers": ["mse", "mae", "RootMeanSquaredError", "cosine_similarity", "R2Score"],
    "positive": ["mse", "mape", "msle", "LogCoshError", "poisson"],
    "flags": ["accuracy", "binary_accuracy", "Precision", "Recall", "TruePositives", "binary_crossentropy"],
    "one-hot": ["accuracy", "TopKCategoricalAccuracy", "categorical_crossentropy"],
    "shares": ["mse", "kl_divergence"],
    "labels": ["accuracy", "SparseTopKCategoricalAccuracy", "sparse_categorical_crossentropy"],
}


class Draw:
    """One network: what both libraries are told."""

    def __init__(self, number: int) -> None:
        rng = self.rng = np.random.default_rng([7, number])
        self.functional = np.random.default_rng([8, number]).random() < 0.4
        self.inputs = int(rng.integers(1, 13))
        # Rows of several steps. A Flatten or a pooling makes one of them before the last layer, or the output has them.
        self.steps = int(rng.integers(2, 5)) if rng.random() < 0.25 else None
        self.layers = []
        for _ in range(int(rng.integers(0, 4))):
            self.layers.append(self.dense(int(rng.integers(2, 41)), str(rng.choice(ACTIVATIONS))))
            if rng.random() < 0.5:
                self.layers.append(self.between())
        self.loss = str(rng.choice(list(HEADS)))
        activations, self.kind = HEADS[self.loss]
        self.units = (
            1 if self.kind in ("flags", "numbers", "positive") and rng.random() < 0.5 else int(rng.integers(2, 8))
        )
        self.lines = self.steps
        if self.steps and rng.random() < 0.5:
            kinds = ["Flatten", "Flatten", "GlobalAveragePooling1D", "GlobalMaxPooling1D"]
            self.layers.append((str(np.random.default_rng([9, number]).choice(kinds)), (), {}))
            self.lines = None
        self.layers.append(self.dense(self.units, str(rng.choice(activations))))
        self.settings = {}
        if "rossentropy" in self.loss.lower() and self.kind in ("flags", "one-hot") and rng.random() < 0.4:
            self.settings["label_smoothing"] = 0.1
        self.reduction = str(rng.choice(["sum_over_batch_size", "sum_over_batch_size", "sum"]))
        known = [name for name in METRICS[self.kind] if name != "R2Score" or not self.lines]  # which Keras has not
        self.metrics = [str(m) for m in rng.choice(known, 2, replace=False)]
        self.weighted_metrics = [str(m) for m in rng.choice(known, int(rng.integers(0, 2)), replace=False)]
        self.optimizer = self.draw_optimizer()
        self.batch, self.epochs = int(rng.integers(1, 20)), int(rng.integers(1, 4))
        rows = self.rows = int(rng.integers(2, 60))
        shape = (self.inputs,) if self.steps is None else (self.steps, self.inputs)
        self.x = rng.standard_normal((rows, *shape)).astype("f")
        self.y = self.targets(rows * (self.lines or 1))
        if self.lines:
            self.y = self.y.reshape(rows, self.lines, *self.y.shape[1:])
        weighted = (rows,) if not self.lines else (rows, self.lines)
        self.weight = rng.uniform(0, 2, weighted).astype("f") if rng.random() < 0.3 else None
        self.validation = rng.random() < 0.5
        self.fitting = {}
        if self.kind in ("labels", "one-hot") and not self.lines and self.weight is None and rng.random() < 0.3:
            self.fitting["class_weight"] = {0: 0.5, 1: 2.0}
            if rows > 10 and not self.validation:
                self.fitting["validation_split"] = 0.3
        if rng.random() < 0.1:
            self.fitting["steps_per_epoch"] = int(rng.integers(1, 4))
        self.loss_weight = 0.5 if rng.random() < 0.1 else None
        self.nested = rng.random() < 0.15 and len(self.layers) > 2
        self.frozen = int(rng.integers(0, len(self.layers))) if rng.random() < 0.15 and len(self.layers) > 1 else None
        self.jitter = 0.0

    def dense(self, units, activation):
        rng, settings = self.rng, {"activation": activation}
        if rng.random() < 0.15:
            settings["use_bias"] = False
        if rng.random() < 0.2:
            settings["kernel_regularizer"] = str(rng.choice(["l1", "l2", "L1L2"]))
        if rng.random() < 0.1:
            settings["activity_regularizer"] = "l2"
        if rng.random() < 0.15:
            settings["kernel_constraint"] = str(rng.choice(["max_norm", "non_neg", "unit_norm", "min_max_norm"]))
            # JAX takes 1 for the derivative of |w| at 0, TensorFlow, PyTorch and lamina 0; weights are 0 only here.
            if settings["kernel_constraint"] == "non_neg":
                settings.pop("kernel_regularizer", None)
        return "Dense", (units,), settings

    def between(self):
        rng = self.rng
        return [
            ("BatchNormalization", (), {"momentum": 0.8}),
            ("BatchNormalization", (), {"scale": False}),
            ("LayerNormalization", (), {}),
            ("LayerNormalization", (), {"center": False, "epsilon": 1e-2}),
            ("RMSNormalization", (), {}),
            ("PReLU", (), {}),
            ("LeakyReLU", (0.1,), {}),
            ("ELU", (0.7,), {}),
            ("ReLU", (1.5, 0.1, 0.05), {}),
            ("Softmax", (), {}),
            ("Rescaling", (0.5, 0.1), {}),
            ("Activation", ("tanh",), {}),
            ("ActivityRegularization", (0.01, 0.01), {}),
            ("Dropout", (0.0,), {}),
        ][int(rng.integers(14))]

    def draw_optimizer(self):
        rng = self.rng
        name = str(
            rng.choice(["SGD", "SGD", "Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Lion"])
        )
        settings = {}
        if name == "SGD" and rng.random() < 0.5:
            settings |= {"momentum": 0.8, "nesterov": bool(rng.random() < 0.5)}
        if name == "RMSprop" and rng.random() < 0.5:
            settings |= {"centered": True, "momentum": 0.5}
        if name == "Adam" and rng.random() < 0.3:
            settings |= {"amsgrad": True}
        if rng.random() < 0.2:
            settings["weight_decay"] = 0.01
        settings |= [{}, {}, {}, {"clipnorm": 0.5}, {"clipvalue": 0.1}, {"global_clipnorm": 0.5}][int(rng.integers(6))]
        settings |= [{}, {}, {}, {"use_ema": True}, {"gradient_accumulation_steps": 2}][int(rng.integers(5))]
        schedules = [
            None, None, ("ExponentialDecay", (0.01, 3, 0.9)), ("CosineDecay", (0.01, 20)),
            ("PolynomialDecay", (0.02, 10)), ("PiecewiseConstantDecay", ([2, 5], [0.02, 0.01, 0.005])),
        ]  # fmt: skip
        return name, settings, schedules[int(rng.integers(6))]

    def targets(self, rows):
        rng, units = self.rng, self.units
        if self.kind == "numbers":
            return rng.standard_normal((rows, units)).astype("f")
        if self.kind == "positive":
            return rng.uniform(0.5, 3, (rows, units)).astype("f")
        if self.kind == "flags":
            return rng.integers(0, 2, (rows, units)).astype("f")
        if self.kind == "shares":
            return rng.dirichlet(np.ones(units), rows).astype("f")
        labels = rng.integers(0, units, rows)
        return np.eye(units, dtype="f")[labels] if self.kind == "one-hot" else labels

    def build(self, library):
        stack = [getattr(library.layers, name)(*positional, **named) for name, positional, named in self.layers]
        if self.nested:
            stack = [library.Sequential(stack[:2]), *stack[2:]]
            self.frozen = None
        inputs = library.layers.Input(self.x.shape[1:])
        if self.functional:
            x = inputs
            for layer in stack:
                x = layer(x)
            model = library.Model(inputs, x)
        else:
            model = library.Sequential([inputs, *stack])
        if self.frozen is not None:
            stack[self.frozen].trainable = False
        name, settings, schedule = self.optimizer
        plain = 0.01 if self.reduction != "sum" else 0.001
        rate = plain if schedule is None else getattr(library.optimizers.schedules, schedule[0])(*schedule[1])
        loss = self.loss
        if self.settings or self.reduction == "sum" or loss[0].isupper():
            kind = type(lamina.losses.loss_of(loss)).__name__
            loss = getattr(library.losses, kind)(**self.settings, reduction=self.reduction)

        def made(names, prefix):
            return [
                getattr(library.metrics, n)(name=f"{prefix}_{i}") if n[0].isupper() else n for i, n in enumerate(names)
            ]

        model.compile(
            optimizer=getattr(library.optimizers, name)(rate, **settings), loss=loss,
            loss_weights=self.loss_weight, metrics=made(self.metrics, "metric"),
            weighted_metrics=made(self.weighted_metrics, "weighted") or None,
        )  # fmt: skip
        return model

    def run(self, library, weights, jitter=0.0):
        model = self.build(library)
        moved = np.random.default_rng(0)
        model.set_weights([(w * (1 + jitter * moved.standard_normal(w.shape))).astype("f") for w in weights])
        extra = {"validation_data": (self.x[:7], self.y[:7])} if self.validation else {}
        history = model.fit(
            self.x, self.y, batch_size=self.batch, epochs=self.epochs, shuffle=False, verbose=0,
            sample_weight=self.weight, **extra, **self.fitting,
        ).history  # fmt: skip
        found = model.evaluate(self.x, self.y, batch_size=self.batch, verbose=0, return_dict=True)
        return {
            **{f"history {name}": np.asarray(values) for name, values in history.items()},
            **{f"evaluate {name}": np.asarray(value) for name, value in found.items()},
            **{f"weight {i}": np.asarray(w) for i, w in enumerate(model.get_weights())},
            "prediction": np.asarray(model.predict(self.x, verbose=0)),
        }


def first_weights(keras, draw):
    """Return Keras's own first weights, with biases and slopes that are not zero."""
    keras.utils.set_random_seed(1)
    model = draw.build(keras)
    rng = np.random.default_rng(3)
    weights = []
    for variable, value in zip(model.weights, model.get_weights(), strict=True):
        if variable.name in ("bias", "beta", "alpha", "moving_mean"):
            value = value + rng.uniform(-0.2, 0.2, value.shape)
        weights.append(value.astype("f"))
    return weights
