"""Lets `threadpoolctl.threadpool_limits` control lamina's threads, if threadpoolctl is installed."""

from __future__ import annotations

import importlib.util

from lamina import _core

__all__ = ["register"]


def register() -> None:
    """Tell threadpoolctl, if installed, how to read and set the number of lamina's threads."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return
    # threadpoolctl ships no types, and need not be installed when mypy runs.
    import threadpoolctl  # type: ignore[import-untyped, import-not-found, unused-ignore]

    class LaminaController(threadpoolctl.LibController):  # type: ignore[misc, unused-ignore]  # has no types
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
