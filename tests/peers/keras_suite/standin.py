"""Modules named as Keras's own, with lamina behind them, so that Keras's tests run against lamina as they are.

A test of Keras says ``from keras.src.losses import losses``. After `install` that finds lamina's losses. What lamina
does not have is missing here too. `ops`, `random` and `tree`, with which the tests make their data, are NumPy.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import case
import numpy as np

import lamina

HERE = {
    "activations": lamina.activations,
    "callbacks": lamina.callbacks,
    "constraints": lamina.constraints,
    "initializers": lamina.initializers,
    "layers": lamina.layers,
    "losses": lamina.losses,
    "metrics": lamina.metrics,
    "models": lamina.models,
    "optimizers": lamina.optimizers,
    "regularizers": lamina.regularizers,
    "saving": lamina.saving,
    "utils": lamina.utils,
}


def _one_hot(x: Any, num_classes: int, dtype: Any = "float32") -> Any:
    return np.eye(num_classes, dtype=dtype)[np.asarray(x)]


def _named(name: str, namespace: dict[str, Any], rest: Any = None) -> types.ModuleType:
    module = types.ModuleType(name)
    module.__dict__.update(namespace)
    if rest is not None:
        module.__getattr__ = lambda attribute: getattr(rest, attribute)  # type: ignore[method-assign]  # PEP 562
    return module


def _uniform(shape: Any = (), minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    return np.random.default_rng(0 if seed is None else seed).uniform(minval, maxval, shape).astype(dtype or "float32")


def _normal(shape: Any = (), mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: Any = None) -> Any:
    return np.random.default_rng(0 if seed is None else seed).normal(mean, stddev, shape).astype(dtype or "float32")


RANDOM = _named("random", {"uniform": _uniform, "normal": _normal}, lamina.random)


def _floats(function: Any) -> Any:
    def made(shape: Any, dtype: Any = None) -> Any:
        return function(shape, dtype=dtype or "float32")

    return made


OPS = _named(
    "ops",
    {
        "array": lambda x, dtype=None: np.array(x, dtype),
        "convert_to_tensor": lambda x, dtype=None, sparse=None: np.asarray(x, dtype),
        "convert_to_numpy": np.asarray,
        "cast": lambda x, dtype: np.asarray(x).astype(dtype),
        "one_hot": _one_hot,
        "ones": _floats(np.ones),
        "zeros": _floats(np.zeros),
        "shape": np.shape,
        "rsqrt": lambda x: 1 / np.sqrt(x),
        "random": RANDOM,
    },
    np,
)


def _leaves(found: Any) -> list[Any]:
    if isinstance(found, dict):
        return [leaf for value in found.values() for leaf in _leaves(value)]
    if isinstance(found, (list, tuple)):
        return [leaf for value in found for leaf in _leaves(value)]
    return [found]


TREE = _named("tree", {"flatten": _leaves})
BACKEND = _named(
    "backend",
    {
        "backend": lambda: "lamina",
        "Variable": lamina.Variable,
        "config": lamina.config,
        "convert_to_numpy": np.asarray,
        "convert_to_tensor": OPS.convert_to_tensor,
        "is_tensor": lambda x: isinstance(x, np.ndarray),
        "shape": np.shape,
        "standardize_dtype": lambda dtype: np.dtype(dtype).name,
        "random": RANDOM,
        "SUPPORTS_SPARSE_TENSORS": False,
        "SUPPORTS_RAGGED_TENSORS": False,
    },
    lamina.backend,
)
TESTING = _named("testing", {"TestCase": case.TestCase, "test_case": case, "test_utils": case})
for _name in ("uses_gpu", "uses_tpu", "jax_uses_gpu", "jax_uses_tpu", "tensorflow_uses_gpu", "torch_uses_gpu"):
    setattr(TESTING, _name, lambda: False)

SPECIAL = {"ops": OPS, "random": RANDOM, "tree": TREE, "backend": BACKEND, "testing": TESTING}


OTHERS = ("grain", "tensorflow", "torch")  # libraries that some of the tests take their data from


class Absent:
    """A name that lamina does not have: the test that uses it is left out, and says so."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _use(self, *_: Any, **__: Any) -> Any:
        raise unittest.SkipTest(f"lamina has no {self._name!r}")

    __call__ = __iter__ = __enter__ = _use

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Absent(f"{self._name}.{name}")

    def __mro_entries__(self, bases: Any) -> tuple[type]:
        return (type(self._name, (), {"__init__": self._use}),)


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes a module of any name under ``keras`` that real Keras has too."""

    def __init__(self, source: Path) -> None:
        self._source = source  # the installed package keras

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        parts = fullname.split(".")
        if fullname in OTHERS:
            return importlib.machinery.ModuleSpec(fullname, self)
        where = self._source.joinpath(*parts[1:])
        if parts[0] != "keras" or not (where.is_dir() or where.with_suffix(".py").exists()):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=where.is_dir())

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        if spec.name in OTHERS:
            return _named(spec.name, {"__getattr__": Absent})
        parts = [part for part in spec.name.split(".")[1:] if part != "src"]
        behind = lamina if not parts else SPECIAL.get(parts[0]) or HERE.get(parts[0])
        module = types.ModuleType(spec.name)

        def find(attribute: str) -> Any:
            if attribute.startswith("__"):
                raise AttributeError(attribute)
            if not parts and attribute in SPECIAL:
                return SPECIAL[attribute]
            if behind is not None and hasattr(behind, attribute):
                return getattr(behind, attribute)
            if parts and behind is not None and self.find_spec(f"{spec.name}.{attribute}"):
                return importlib.import_module(f"{spec.name}.{attribute}")  # as `keras.src.losses.losses`
            return Absent(attribute)

        module.__getattr__ = find  # type: ignore[method-assign]  # PEP 562
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing to run."""


def install(source: Path) -> None:
    """From here on ``keras`` is lamina."""
    sys.meta_path.insert(0, Finder(source))
    sys.modules["conftest"] = _named("conftest", {"skip_if_backend": lambda *names: lambda test: test})
