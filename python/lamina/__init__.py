"""lamina: trains and runs dense neural networks on CPUs.

``import lamina as keras`` runs Keras code that builds `Sequential` models of dense layers. `lamina.kernels` holds the
compiled functions on NumPy arrays for loops of one's own.
"""

from __future__ import annotations

from lamina import (
    _threadpoolctl,
    activations,
    callbacks,
    config,
    constraints,
    datasets,
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
    utils,
)
from lamina._core import __version__ as __version__
from lamina.layers import Input
from lamina.models import Sequential
from lamina.runtime import get_num_threads, set_num_threads, show_config

_threadpoolctl.register()

__all__ = [
    "Input",
    "Sequential",
    "activations",
    "callbacks",
    "config",
    "constraints",
    "datasets",
    "get_num_threads",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "random",
    "regularizers",
    "runtime",
    "set_num_threads",
    "show_config",
    "utils",
]
