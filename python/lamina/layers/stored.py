"""Parameter values from a file, for the layers that are made from its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import numpy.typing as npt

__all__ = ["Stored", "loading"]

Array = npt.NDArray[Any]


class Stored:
    """Parameter values from a file; layers made from its configuration use them instead of initializers.

    Parameters
    ----------
    config : dict
        The model's configuration. Other models that are built while the file is loaded (by a finalizer, or inside a
        layer) are not made from it, and do not use the values.
    values : dict of str to ndarray
        By the path of the variable.
    """

    def __init__(self, config: Any, values: dict[str, Array]) -> None:
        self._configs = set(_models_in(config))
        self.values = values
        # Layers of nested models may have the same name: which value is whose is known when all layers are there.
        numbered = {path: path.rpartition("_")[0] for path in values if path.rpartition("_")[2].isdecimal()}
        self._doubtful = {name for pair in numbered.items() if pair[1] in values for name in pair}
        self.taken: set[str] = set()

    def take(self, path: str, dtype: str) -> Array:
        """Return the values of a variable; raise if they are of another dtype."""
        value = self.values[path]
        self.taken.add(path)
        if value.dtype != dtype:
            raise ValueError(f"{path!r} in the file must be {dtype}; it is {value.dtype}")
        return value

    def knows(self, path: str) -> bool:
        """Return whether a path says by itself which values are those of a variable."""
        return path not in self._doubtful

    def belongs_to(self, config: Any) -> bool:
        """Return whether a model's configuration is that of the file, or of a model in it."""
        return id(config) in self._configs


def _models_in(config: Any) -> Iterator[int]:
    """Yield the identities of the configurations of a model and of the models in it."""
    if isinstance(config, dict) and isinstance(config.get("layers"), list):
        yield id(config)
        for layer in config["layers"]:
            yield from _models_in(layer.get("config") if isinstance(layer, dict) else None)


# The values of the file that is being loaded.
loading: ContextVar[Stored | None] = ContextVar("loading", default=None)
