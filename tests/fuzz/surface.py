"""Public calls with arguments that are right, and values that are wrong for nearly everything."""

from __future__ import annotations

import atexit
import inspect
import os
import shutil
import tempfile
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np

import lamina
from lamina import (
    activations,
    backend,
    callbacks,
    capi,
    config,
    constraints,
    initializers,
    kernels,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    random,
    regularizers,
    runtime,
    saving,
    utils,
)  # fmt: skip
from lamina._common.names import clear_session
from lamina._engine import variable
from lamina.datasets import boston_housing, california_housing, cifar100, fashion_mnist, imdb, mnist, reuters

X = np.linspace(-1, 1, 12).reshape(4, 3).astype("f")
ONE_HOT = np.eye(3, dtype="f")[[0, 1, 2, 0]]
LABELS = np.array([0, 1, 2, 0])
FLAGS = np.array([[0.0, 1.0, 1.0]] * 4, "f")


def hostile():
    """Return wrong values, made anew: some are changed or used up by those who take them."""
    return [
        None, True, False, 0, 1, -1, 7, 2**45, 2**63, 2**70, -(2**70), 10**400, 0.5, -0.5, 1.5, float("nan"),
        float("inf"), -float("inf"), 1e300, 1e-320, 1j, "", "no", "5", "\ud800", b"x", [], [1], [1, "a"], [None],
        [[1], [1, 2]], (), (2,), (-1,), (10**30,), (2.5,), {}, {"a": 1}, {0: "x"}, {"class_name": "x"},
        {"class_name": "x", "config": 3}, {"class_name": "function"}, {"class_name": "Dense", "config": {"foo": 1}},
        set(), object(), int, len, np.float32(2), np.float32("nan"), np.int64(-3), np.bool_(True), np.array(3.0),
        np.array([1.0, 2.0, 3.0]), np.array(["a", "b"]), np.array([]), np.array([1, "a", None], object),
        np.ones((2, 3, 4)), np.array([1j, 2]), np.ma.masked_array([1.0, 2.0], [True, False]), np.array([1.0, np.nan]),
        np.array(["2020-01-01"], "M8[D]"), np.zeros(2, [("a", "f4")]), range(3), Ellipsis, Decimal("0.5"),
        Fraction(1, 2), Path("/x"), lamina.losses.MeanSquaredError(), lamina.regularizers.L2(0.1),
    ]  # fmt: skip


def compiled(built=True):
    model = lamina.Sequential([*([lamina.Input((3,))] if built else []), layers.Dense(4, "tanh"), layers.Dense(3)])
    model.compile("sgd", "mse", metrics=["mae"])
    return model


def restore():
    """Undo what a call may have set for all that follow."""
    config.set_floatx("float32")
    config.set_epsilon(1e-7)
    runtime.set_num_threads(2)
    clear_session()
    MODEL.set_weights(FIRST)


MODEL = compiled()
INPUTS = lamina.Input((3,))
FIRST = MODEL.get_weights()
_DIRECTORY = tempfile.mkdtemp()
atexit.register(shutil.rmtree, _DIRECTORY, ignore_errors=True)
FILE, WEIGHTS, ENSEMBLE = (os.path.join(_DIRECTORY, f"{name}.safetensors") for name in ("model", "weights", "ensemble"))
MODEL.save(FILE)
models.Ensemble([MODEL]).save(ENSEMBLE)
MODEL.save_weights(WEIGHTS)
TORCH = {  # a state dict of PyTorch
    f"{at}.{name}": array for at, layer in ((0, MODEL.layers[0]), (2, MODEL.layers[1]))
    for name, array in (("weight", layer.kernel.numpy().T), ("bias", layer.bias.numpy()))
}  # fmt: skip

# Arguments that a call must have; the others begin with their defaults.
NEEDED = {
    layers: {
        "Activation": {"activation": "relu"}, "AlphaDropout": {"rate": 0.5}, "Dense": {"units": 3},
        "Dropout": {"rate": 0.5}, "SpatialDropout1D": {"rate": 0.5},
        "Embedding": {"input_dim": 5, "output_dim": 2}, "GaussianDropout": {"rate": 0.5},
        "GaussianNoise": {"stddev": 0.5}, "Input": {"shape": (3,)}, "InputLayer": {"shape": (3,)},
        "Lambda": {"function": np.sin},
        "Rescaling": {"scale": 2.0}, "Reshape": {"target_shape": (3, 1)},
    },
    losses: {}, metrics: {
        "SensitivityAtSpecificity": {"specificity": 0.5}, "SpecificityAtSensitivity": {"sensitivity": 0.5},
        "PrecisionAtRecall": {"recall": 0.5}, "RecallAtPrecision": {"precision": 0.5},
        "MeanMetricWrapper": {"fn": lambda y, p: p[:, 0]},
    },
    optimizers: {}, initializers: {}, regularizers: {}, constraints: {},
    optimizers.schedules: {
        "CosineDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
        "CosineDecayRestarts": {"initial_learning_rate": 0.1, "first_decay_steps": 10},
        "ExponentialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
        "InverseTimeDecay": {"initial_learning_rate": 0.1, "decay_steps": 10, "decay_rate": 0.5},
        "PiecewiseConstantDecay": {"boundaries": [1, 2], "values": [0.1, 0.2, 0.3]},
        "PolynomialDecay": {"initial_learning_rate": 0.1, "decay_steps": 10},
    },
    callbacks: {
        "CSVLogger": {"filename": "log.csv"}, "ModelCheckpoint": {"filepath": "m.safetensors"},
        "BackupAndRestore": {"backup_dir": "b"}, "LearningRateScheduler": {"schedule": lambda epoch: 0.1},
    },
}  # fmt: skip
# Base classes, and what takes anything by design.
LEFT_OUT = {
    "Layer", "Loss", "Metric", "Optimizer", "Initializer", "Regularizer", "Constraint", "LearningRateSchedule",
    "Callback", "CallbackList", "LambdaCallback", "Monitor", "Identity", "Pass", "RowLosses",
}  # fmt: skip
# Arguments that are documented as without effect, that hold what the user likes, or that are right and take days.
FREE = {
    ("PReLU", "kwargs"), ("ModelCheckpoint", "options"), ("BatchNormalization", "renorm_clipping"),
    ("BatchNormalization", "renorm_momentum"), ("fit", "epochs"), ("fit_many", "epochs"), ("cross_validate", "epochs"),
}  # fmt: skip

# Arguments that are code of the user's.
CALLED = {"clone_function", "print_fn", "initializer", "make_model"}

FUNCTIONS = {
    (kernels, "dense_forward"): {"x": X, "w": np.ones((3, 2), "f")},
    (kernels, "dense_backward"): {"x": X, "w": np.ones((3, 2), "f"), "dy": np.ones((4, 2), "f")},
    (kernels, "activation_forward"): {"name": "relu", "x": X},
    (kernels, "activation_backward"): {"name": "relu", "x_or_y": X, "dy": X},
    (kernels, "softmax"): {"x": X}, (kernels, "log_softmax"): {"x": X},
    (kernels, "softmax_cross_entropy"): {"logits": X, "labels": LABELS},
    (kernels, "categorical_cross_entropy"): {"y_pred": np.abs(X), "labels": LABELS},
    (kernels, "sigmoid_cross_entropy"): {"logits": X, "targets": FLAGS},
    (kernels, "binary_cross_entropy"): {"y_pred": np.abs(X) / 2, "y_true": FLAGS},
    (kernels, "binary_focal_cross_entropy"): {"y_pred": np.abs(X) / 2, "y_true": FLAGS},
    (kernels, "categorical_focal_cross_entropy"): {"y_pred": np.abs(X) / 2, "y_true": ONE_HOT},
    **{(kernels, name): {"y_pred": X, "y_true": X} for name in (
        "mse", "mae", "mape", "msle", "huber", "log_cosh", "poisson", "poisson_deviance", "log_poisson_deviance",
        "kl_divergence", "hinge", "squared_hinge", "categorical_hinge", "cosine_similarity", "quantile", "l2_norm",
    )},
    (random, "normal"): {"shape": (2,)}, (random, "uniform"): {"shape": (2,)},
    (random, "truncated_normal"): {"shape": (2,)},
    (random, "randint"): {"shape": (2,), "minval": 0, "maxval": 5},
    (random, "fill"): {"distribution": "normal", "seed": 1, "a": 0.0, "b": 1.0, "shape": (2,), "dtype": "float32"},
    (random, "permutation"): {"key": 1, "counter": 1, "size": 4},
    (losses, "get"): {"identifier": "mse"}, (optimizers, "get"): {"identifier": "sgd"},
    (initializers, "get"): {"identifier": "zeros"}, (regularizers, "get"): {"identifier": "l2"},
    (constraints, "get"): {"identifier": "non_neg"}, (activations, "get"): {"identifier": "relu"},
    (utils, "normalize"): {"x": X}, (utils, "to_categorical"): {"x": LABELS},
    (utils, "pad_sequences"): {"sequences": [[1], [2, 3]]},
    (utils, "split_dataset"): {"dataset": X, "left_size": 0.5},
    **{(activations, name): {"x": X} for name in activations.__all__ if name not in ("get", "serialize")},
    **{(losses, name): {"y_true": np.abs(X), "y_pred": np.abs(X)} for name, function in vars(losses).items()
       if name in losses.__all__ and "y_pred" in inspect.signature(function).parameters},
    (losses, "sparse_categorical_crossentropy"): {"y_true": LABELS, "y_pred": np.abs(X)},
    **{(module, "serialize"): {"item": item} for module, item in (
        (layers, layers.Dense(2)), (losses, losses.Huber()), (metrics, metrics.AUC()),
        (optimizers, optimizers.Adam()), (initializers, initializers.Ones()), (regularizers, regularizers.L2()),
        (constraints, constraints.MaxNorm()), (optimizers.schedules, optimizers.schedules.CosineDecay(0.1, 3)),
    )},
    **{(module, "deserialize"): {"config": module.serialize(item)} for module, item in (
        (layers, layers.Dense(2)), (losses, losses.Huber()), (metrics, metrics.AUC()),
        (optimizers, optimizers.Adam()), (initializers, initializers.Ones()), (regularizers, regularizers.L2()),
        (constraints, constraints.MaxNorm()), (optimizers.schedules, optimizers.schedules.CosineDecay(0.1, 3)),
    )},
    (metrics, "get"): {"identifier": "auc"}, (activations, "serialize"): {"function": activations.relu},
    (activations, "deserialize"): {"config": "relu"},
    (models, "clone_model"): {"model": MODEL}, (models, "model_from_json"): {"json_string": MODEL.to_json()},
    (models, "fit_many"): {"models": [MODEL], "x": X, "y": X, "verbose": 0},
    (models, "predict_many"): {"models": [MODEL], "x": X}, (models, "Ensemble"): {"models": [MODEL]},
    (models, "cross_validate"): {"make_model": compiled, "x": X, "y": X, "folds": 2, "verbose": 0},
    (models, "load_model"): {"filepath": FILE}, (models, "save_model"): {"model": MODEL, "filepath": "s.safetensors"},
    (random, "shuffle"): {"x": X}, (random, "stream_key"): {"seed": 3}, (random, "SeedGenerator"): {},
    (runtime, "show_config"): {"mode": "dicts"}, (runtime, "doctor"): {"mode": "dicts"},
    (runtime, "set_num_threads"): {"threads": 2},
    (config, "set_floatx"): {"value": "float32"}, (config, "set_epsilon"): {"value": 1e-7},
    (backend, "get_uid"): {"prefix": "a"}, (backend, "clear_session"): {},
    (saving, "get_registered_object"): {"name": "a"}, (saving, "register_keras_serializable"): {},
    (saving, "save_torch_weights"): {"model": MODEL, "filepath": "t.safetensors"},
    (saving, "load_torch_weights"): {"model": MODEL, "source": TORCH}, (saving, "to_sklearn"): {"model": MODEL},
    (capi, "network"): {"model": MODEL},
    (utils, "check_gradients"): {"model": MODEL, "x": X, "y": X}, (utils, "PyDataset"): {},
    (utils, "set_random_seed"): {"seed": 1},
    (utils, "get_file"): {"origin": Path(FILE).as_uri(), "cache_dir": os.path.join(_DIRECTORY, "cache")},
    **{(module, "load_data"): {} for module in
       (boston_housing, california_housing, cifar100, fashion_mnist, imdb, mnist, reuters)},
    (imdb, "get_word_index"): {}, (reuters, "get_word_index"): {},
    (kernels, "sgd_update"): {"param": np.ones(3, "f"), "grad": np.ones(3, "f"), "learning_rate": 0.1},
    (kernels, "adam_update"): {
        "param": np.ones(3, "f"), "grad": np.ones(3, "f"), "m": np.ones(3, "f"), "v": np.ones(3, "f"), "step": 1,
    },
    (lamina, "Sequential"): {}, (lamina, "KerasTensor"): {"shape": (None, 3)},
    (lamina, "Model"): {"inputs": INPUTS, "outputs": layers.Dense(2, name="of_a_chain")(INPUTS)},
    (variable, "Variable"): {"initializer": [1.0, 2.0]},
    (callbacks, "LambdaCallback"): {}, (callbacks, "CallbackList"): {},
}  # fmt: skip
METHODS = {
    "compile": {"optimizer": "sgd", "loss": "mse"},
    "fit": {"x": X, "y": X, "verbose": 0},
    "evaluate": {"x": X, "y": X, "verbose": 0},
    "predict": {"x": X},
    "train_on_batch": {"x": X, "y": X},
    "test_on_batch": {"x": X, "y": X},
    "predict_on_batch": {"x": X},
    "value_and_gradient": {"x": X, "y": X},
    "vjp": {"x": X, "dy": X},
    "jacobian": {"x": X},
    "parameter_jacobian": {"x": X},
    "objective": {"x": X, "y": X},
    "summary": {"print_fn": lambda text: None},
    "set_weights": {"weights": None},
    "get_layer": {"index": 0},
    "add": {"layer": None},
    "build": {"input_shape": (None, 3)},
    "compute_output_shape": {"input_shape": (None, 3)},
    "from_config": {"config": MODEL.get_config()},
    "compile_from_config": {"config": MODEL.get_compile_config()},
    "load_weights": {"filepath": WEIGHTS},
    "save": {"filepath": "s.safetensors"},
    "export": {"filepath": "m.h"},
    "save_weights": {"filepath": "w.safetensors"},
    "to_json": {},
    "__call__": {"inputs": X},
}


class Anew:
    """Calls of objects that remember the shape of what they have seen: of a new one each time."""

    def adapt(self, data):
        layers.Normalization().adapt(data)

    def update_state(self, y_true, y_pred, sample_weight=None):
        metrics.Precision().update_state(y_true, y_pred, sample_weight)

    def exclude(self, var_list=None, var_names=None):
        optimizers.Adam().exclude_from_weight_decay(var_list, var_names)

    def build(self, input_shape):
        layers.Dense(2, name="e").build(input_shape)

    def score(self, y_true, y_pred, sample_weight=None):
        metrics.R2Score().update_state(y_true, y_pred, sample_weight)


def of_objects():
    """Yield methods of other objects: (name, function, right arguments)."""
    dense = layers.Dense(2, name="dense_of_three")
    dense.build((None, 3))
    optimizer = optimizers.Adam()
    optimizer.build(dense.trainable_weights)
    gradients = [np.ones(v.shape, "f") for v in dense.trainable_weights]
    kept, metric = variable.Variable([1.0, 2.0]), metrics.Precision()
    ensemble = models.Ensemble([MODEL])
    schedule, seeds = optimizers.schedules.ExponentialDecay(0.1, 10, 0.5), random.SeedGenerator(1)
    for owner, method, arguments in (
        (dense, "__call__", {"inputs": X}), (dense, "set_weights", {"weights": dense.get_weights()}),
        (Anew(), "build", {"input_shape": (None, 3)}),
        (layers.Dense(2, name="d"), "add_weight", {"shape": (2,), "name": "w"}),
        (optimizer, "apply", {"gradients": gradients}), (optimizer, "set_weights", {"weights": optimizer.variables}),
        (Anew(), "exclude", {"var_list": None}), (Anew(), "adapt", {"data": X}),
        (kept, "assign", {"value": [3.0, 4.0]}), (kept, "assign_add", {"value": [3.0, 4.0]}),
        (Anew(), "update_state", {"y_true": FLAGS, "y_pred": np.abs(X) / 2}),
        (metric, "add_variable", {"shape": (2,), "name": "v"}), (metrics.Mean(), "update_state", {"values": X}),
        (Anew(), "score", {"y_true": X, "y_pred": X}),
        (metrics.MeanSquaredError(), "update_state", {"y_true": X, "y_pred": X}),
        (losses.MeanSquaredError(), "__call__", {"y_true": X, "y_pred": X}),
        (losses.SparseCategoricalCrossentropy(), "__call__", {"y_true": LABELS, "y_pred": np.abs(X)}),
        (schedule, "__call__", {"step": 3}), (seeds, "reset", {"seed": 3}),
        (initializers.GlorotUniform(1), "__call__", {"shape": (2, 3)}),
        (initializers.Ones(), "__call__", {"shape": (2, 3)}),
        (initializers.Constant(np.ones(3)), "__call__", {"shape": (2, 3)}),
        (initializers.Identity(), "__call__", {"shape": (3, 3)}),
        (initializers.Orthogonal(1), "__call__", {"shape": (3, 3)}),
        (regularizers.L2(), "__call__", {"w": X}), (constraints.MaxNorm(), "__call__", {"w": X}),
        (callbacks.CallbackList(), "append", {"callback": callbacks.History()}),
        (ensemble, "predict", {"x": X}), (ensemble, "spread", {"x": X}), (ensemble, "predict_members", {"x": X}),
        (ensemble, "quantiles", {"x": X, "q": 0.5}), (ensemble, "save", {"filepath": ENSEMBLE}),
        (ensemble, "load", {"filepath": ENSEMBLE}),
    ):  # fmt: skip
        yield f"{type(owner).__name__}.{method}", getattr(owner, method), arguments


def calls():
    """Yield (name, function that takes keyword arguments, right arguments)."""
    for module, needed in NEEDED.items():
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and name not in LEFT_OUT:
                yield f"{module.__name__}.{name}", kind, _with_defaults(kind, needed.get(name, {}), name)
    for (module, name), arguments in FUNCTIONS.items():
        function = getattr(module, name)
        yield f"{module.__name__}.{name}", function, _with_defaults(function, arguments, name)
    for name, function, arguments in of_objects():
        yield name, function, _with_defaults(function, arguments, name)
    for name, arguments in METHODS.items():
        yield f"Sequential.{name}", getattr(MODEL, name), _with_defaults(getattr(MODEL, name), arguments, name)


def objects():
    """Yield (name, class, arguments) of what keeps its arguments as attributes."""
    for module, needed in NEEDED.items():
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and name not in LEFT_OUT:
                yield f"{module.__name__}.{name}", kind, needed.get(name, {})


def _with_defaults(function, arguments, name):
    found = dict(arguments)
    for parameter in inspect.signature(function).parameters.values():
        keyword = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if keyword and parameter.name not in found and (name, parameter.name) not in FREE:
            found[parameter.name] = parameter.default
    return found
