"""Imports of what Keras has, or had, and lamina has elsewhere or lacks: ``from lamina.layers import LSTM``.

Python asks a module's ``__getattr__`` for such a name, and drops the sentence of its AttributeError. But it then looks
for a submodule of that name, with the finders of ``sys.meta_path``. The finder here is the last of them: it gives
Keras's older modules as further names of lamina's, and raises with the sentence for names that are absent.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from lamina._common.names import reason_for_absence

__all__ = ["MOVED", "install", "late", "late_function"]

# Where modules of older versions of Keras are now.
MOVED = {
    **dict.fromkeys(
        (
            "engine", "engine.base_layer", "engine.input_layer", "engine.topology", "layers.advanced_activations",
            "layers.core", "layers.embeddings", "layers.noise",
        ),
        "layers",
    ),
    **dict.fromkeys(("engine.sequential", "engine.training", "models.sequential"), "models"),
    **dict.fromkeys(
        ("utils.data_utils", "utils.generic_utils", "utils.io_utils", "utils.layer_utils", "utils.np_utils",
         "utils.vis_utils"),
        "utils",
    ),
    "initializers.initializers_v2": "initializers",
    "optimizers.legacy": "optimizers",
    "saving.saving_lib": "saving",
}  # fmt: skip


class _Alias:
    """Gives a module another name."""

    def __init__(self, target: ModuleType) -> None:
        self._target = target

    def create_module(self, spec: ModuleSpec) -> None:
        """Let Python make the module."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill the module with the names of the other one."""
        target = self._target
        vars(module).update({name: value for name, value in vars(target).items() if not name.startswith("_")})
        for name in ("__doc__", "__all__", "__getattr__"):
            if hasattr(target, name):
                setattr(module, name, getattr(target, name))


class _Finder:
    """Finds modules of older versions of Keras, and raises for names that are absent."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return an alias for a module that has moved, None for names that are unknown here."""
        package, _, name = fullname.rpartition(".")
        root, _, rest = fullname.partition(".")
        if root != "lamina":
            return None
        if rest in MOVED:
            loader: Any = _Alias(late(f"{root}.{MOVED[rest]}"))
            return ModuleSpec(fullname, loader, is_package=True)
        reason = reason_for_absence(package, name)
        if reason is None:
            return None
        if name.islower():  # a module, or a function
            raise ModuleNotFoundError(f"{package} has no {name!r}: {reason}.")
        raise ImportError(f"{package} has no {name!r}: {reason}.")


def late(module: str) -> ModuleType:
    """Import a room that is loaded when it is first used, as it needs a library that takes long to load."""
    return importlib.import_module(module)


def late_function(module: str, name: str) -> Callable[..., Any]:
    """Return a function of a module that is imported when it is first called."""

    def call(*values: Any, **named: Any) -> Any:
        return getattr(late(module), name)(*values, **named)

    return call


def install() -> None:
    """Let Python ask the finder after all others."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Finder)]  # after a reload
    sys.meta_path.append(_Finder())
