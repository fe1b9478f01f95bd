"""Lets `threadpoolctl.threadpool_limits` control lamina's threads, whichever of the two is imported first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from lamina import _core

__all__ = ["register"]

_NAME = "threadpoolctl"


def register() -> None:
    """Tell threadpoolctl how to read and set the number of lamina's threads: now, or when it is imported.

    lamina does not import it: that would be a twentieth of the time that ``import lamina`` takes.
    """
    known = sys.modules.get(_NAME)
    if known is not None:
        _register(known)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds threadpoolctl as the other finders do, and registers lamina with it once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of threadpoolctl, if it is asked for."""
        if fullname != _NAME:
            return None
        finders = (getattr(finder, "find_spec", None) for finder in list(sys.meta_path) if finder is not self)
        specs = (find(fullname, path, target) for find in finders if find is not None)
        spec: ModuleSpec | None = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Registering(spec.loader, self)  # type: ignore[assignment]  # abc.Loader takes long to load
        return spec


class _Registering:
    """Loads threadpoolctl with its own loader, then registers lamina with it; its finder has then done its work."""

    def __init__(self, own: Any, finder: _Finder) -> None:
        self._own, self._finder = own, finder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the module's own loader make it."""
        made: ModuleType | None = self._own.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, and give it back its own loader."""
        self._own.exec_module(module)
        module.__loader__ = self._own
        if module.__spec__ is not None:
            module.__spec__.loader = self._own
        with suppress(ValueError):  # another thread may have removed it
            sys.meta_path.remove(self._finder)
        _register(module)


def _register(threadpoolctl: Any) -> None:
    if not hasattr(threadpoolctl, "LibController"):
        return  # before version 3.2 it took no controllers

    class LaminaController(threadpoolctl.LibController):  # type: ignore[misc]  # threadpoolctl has no types
        """lamina's thread team."""

        user_api = "lamina"
        internal_api = "lamina"
        filename_prefixes = ("_core.",)
        check_symbols = ("lamina_get_num_threads", "lamina_set_num_threads")

        def get_num_threads(self) -> int:
            return int(self.dynlib.lamina_get_num_threads())

        def set_num_threads(self, num_threads: int) -> None:
            self.dynlib.lamina_set_num_threads(num_threads)

        def get_version(self) -> str:
            return _core.__version__

    threadpoolctl.register(LaminaController)
