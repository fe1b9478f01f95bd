"""State dicts of PyTorch: parameters and moving statistics by their modules' names, in a file or a mapping."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError
from lamina._files.paths import require_file
from lamina._files.safetensors import read_tensors, write_tensors
from lamina._files.torch.layers import TorchLayer

__all__ = ["by_module", "read_state", "state_of", "tensor_array", "write_state"]

Array = npt.NDArray[Any]

_COUNTER = "num_batches_tracked"


def state_of(layers: list[TorchLayer]) -> dict[str, Array]:
    """Return the tensors of layers as an `nn.Sequential` of them names them."""
    return {f"{at}.{name}": array for at, layer in enumerate(layers) for name, array in layer.tensors.items()}


def write_state(who: str, path: Path, layers: list[TorchLayer]) -> None:
    """Write the tensors of layers."""
    write_tensors(who, path, state_of(layers), {"format": "pt"})


def read_state(who: str, source: Any) -> dict[str, dict[str, Array]]:
    """Return tensors by their modules' names, from a safetensors file or a mapping of tensors.

    Those of a file, which does not keep their order, come in that of their names, numbers by their values.
    """
    if isinstance(source, Mapping):
        return by_module({str(name): tensor_array(who, name, value) for name, value in source.items()})
    require_file(who, source)
    _, tensors = read_tensors(who, source)
    return by_module({name: tensors[name] for name in sorted(tensors, key=_natural)})


def by_module(tensors: Mapping[str, Array]) -> dict[str, dict[str, Array]]:
    """Return tensors by the names of their modules."""
    found: dict[str, dict[str, Array]] = {}
    for name, array in tensors.items():
        module, _, own = name.rpartition(".")
        if own != _COUNTER:
            found.setdefault(module, {})[own] = array
    return found


def _natural(name: str) -> list[tuple[int, str]]:
    """Return what sorts names so that numbers in them come by their values."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [part.lstrip("0") for part in parts[1::2]]
    found = [(0, part) for part in parts]
    found[1::2] = [(len(number), number) for number in numbers]
    return found


def tensor_array(who: str, name: Any, value: Any) -> Array:
    """Return a tensor of PyTorch, or an array, as an array of float32 or float64; those of half the size grow."""
    if isinstance(value, Mapping):
        raise KindError(f"{who}: {name!r} must be a tensor; it is a mapping: give that.")
    if hasattr(value, "detach"):
        try:
            value = value.detach().cpu()
            half = str(value.dtype) in ("torch.float16", "torch.bfloat16")
            value = (value.float() if half else value).numpy()
        except (TypeError, RuntimeError, NotImplementedError) as error:  # without memory, quantized, sparse …
            raise KindError(f"{who}: {name!r} cannot be read: {str(error).rstrip('.')}.") from None
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise KindError(f"{who}: {name!r} must hold real numbers; it is of dtype {array.dtype}.")
    return array if array.dtype in (np.float32, np.float64) else array.astype(np.float32)
