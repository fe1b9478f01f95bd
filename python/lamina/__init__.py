"""lamina: trains and runs dense neural networks on CPUs.

``import lamina as keras`` runs Keras code that builds models of dense layers. `lamina.kernels` holds the
compiled functions on NumPy arrays, for custom training loops.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina._common import interpreter  # isort: skip  (must refuse subinterpreters before the core is loaded)
from lamina import (
    activations,
    callbacks,
    config,
    constraints,
    initializers,
    layers,
    losses,
    metrics,
    models,
    optimizers,
    random,
    regularizers,
    runtime,
)
from lamina._common import imports, threadpoolctl
from lamina._common.names import absences
from lamina._core import __version__ as __version__
from lamina._engine.variable import Variable
from lamina.callbacks import Callback
from lamina.initializers import Initializer
from lamina.layers import Input, InputSpec, Layer
from lamina.layers.symbols import KerasTensor
from lamina.losses import Loss
from lamina.metrics import Metric
from lamina.models import Ensemble, Model, Sequential, cross_validate, fit_many, predict_many
from lamina.optimizers import Optimizer
from lamina.regularizers import Regularizer
from lamina.runtime import doctor, get_num_threads, set_num_threads, show_config

if TYPE_CHECKING:
    from lamina import backend, capi, datasets, kernels, ops, preprocessing, saving, utils, wrappers

threadpoolctl.register()
imports.install()
_late = imports.late
del imports, interpreter, threadpoolctl

__all__ = [
    "Callback",
    "Ensemble",
    "Initializer",
    "Input",
    "InputSpec",
    "KerasTensor",
    "Layer",
    "Loss",
    "Metric",
    "Model",
    "Optimizer",
    "Regularizer",
    "Sequential",
    "Variable",
    "activations",
    "backend",
    "callbacks",
    "capi",
    "config",
    "constraints",
    "cross_validate",
    "datasets",
    "doctor",
    "fit_many",
    "get_include",
    "get_num_threads",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "predict_many",
    "preprocessing",
    "random",
    "regularizers",
    "runtime",
    "saving",
    "set_num_threads",
    "show_config",
    "utils",
    "version",
    "wrappers",
]

_CHAINS = "lamina's models are chains of layers"
_ABSENT = {
    "Function": _CHAINS,
    "applications": "there are no pretrained networks",
    "tree": "data are arrays, or tuples of arrays in batches",
    "export": "save with Sequential.save",
    "distribution": "not there yet",
    "quantizers": "there are no quantized weights",
    "mixed_precision": "there are float32 and float64; see lamina.config.set_floatx",
    "dtype_policies": "there are float32 and float64; see lamina.config.set_floatx",
}


def version() -> str:
    """Return lamina's version."""
    return __version__


def get_include() -> str:
    """Return the folder of `lamina.h`, for compilers of C, C++ and Cython code; see `lamina.capi`."""
    return str(Path(__file__).parent / "include")


# Rooms that are loaded when they are first used.
_LATE = frozenset({"backend", "capi", "datasets", "kernels", "ops", "preprocessing", "saving", "utils", "wrappers"})

_absent = absences(__name__, globals(), _ABSENT)


def __getattr__(name: str) -> Any:
    """Load a room on first use, or raise an AttributeError that says what there is instead."""
    return _late(f"{__name__}.{name}") if name in _LATE else _absent(name)
