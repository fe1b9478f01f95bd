"""Keras 3's weights in HDF5: ``.weights.h5`` files, and the part of that name in ``.keras`` files.

A layer's tensors are ``layers/<class>/vars/<i>``, where a model's layers are named by their class in snake case, with
``_1``, ``_2``, … from the second one of a class; those of a layer that is an attribute of a user's model or layer are
``<attribute>/vars/<i>`` (`Tensors.place`); the optimizer's are ``optimizer/vars/<i>``. The layer's own name is an
attribute.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from lamina._files.errors import damaged_where_wrong
from lamina._files.hdf5 import arrays_in, opened, plain, require_h5py
from lamina._files.paths import require_file
from lamina._files.state import Finder, FoundWeights, Tensors, WeightState
from lamina._files.writing import replace_file

if TYPE_CHECKING:
    import h5py

__all__ = ["SUFFIX", "check", "fill", "finder", "optimizer_arrays", "read_weights", "write_weights"]

Array = npt.NDArray[Any]

SUFFIX = ".weights.h5"

check = require_h5py


def fill(group: h5py.Group, tensors: Tensors, optimizer: list[tuple[str, Array]]) -> None:
    """Write a model's tensors."""
    for path, layer in _placed(tensors):
        own = group.create_group(f"{path}vars")
        own.attrs["name"] = layer.name
        for i, array in enumerate(layer.arrays.values()):
            own.create_dataset(str(i), data=plain(array))
    if optimizer:
        own = group.create_group("optimizer/vars")
        for i, (_, array) in enumerate(optimizer):
            own.create_dataset(str(i), data=plain(array))


def _placed(tensors: Tensors) -> Iterator[tuple[str, Tensors]]:
    """Yield a model and all in it that has a place, each with the path of its group."""
    if tensors.place is not None:
        yield tensors.place, tensors
    for layer in tensors.layers:
        yield from _placed(layer)


def finder(found: dict[str, Array]) -> Finder:
    """Return what finds a model's values among the tensors of a file."""

    def find(tensors: Tensors) -> list[Array]:
        values, places = [], dict(_placed(tensors))
        for path, layer in places.items():
            own = [f"{path}vars/{i}" for i in range(len(layer.arrays))]
            held = [name for name in found if name.startswith(f"{path}vars/")]
            if set(own) != set(held):
                raise ValueError(f"it holds {len(held)} tensors for {layer.name!r}, which has {len(own)}")
            values += [found[name] for name in own]
        foreign = {name.rpartition("vars/")[0] for name in found} - set(places) - {"optimizer/"}
        foreign = {name for name in foreign if not name.endswith("seed_generator/")}
        if foreign:
            raise ValueError(f"it holds layers that the model lacks: {', '.join(sorted(foreign)[:3])}")
        return values

    return find


def optimizer_arrays(found: dict[str, Array]) -> list[tuple[str, Array]]:
    """Return the optimizer's tensors of a file in order."""
    names = sorted((name for name in found if name.startswith("optimizer/vars/")), key=lambda name: int(name[15:]))
    return [(name, found[name]) for name in names]


def write_weights(who: str, path: Path, state: WeightState) -> None:
    """Write the parameters, and the optimizer's state, as Keras does."""
    require_h5py(who)
    with replace_file(who, path) as file, opened(who, file, "w") as store:
        fill(store, state.tensors, state.optimizer)


def read_weights(who: str, path: Path) -> FoundWeights:
    """Read what `write_weights` or Keras wrote."""
    require_h5py(who)
    require_file(who, path)
    with damaged_where_wrong(who, path), path.open("rb") as file, opened(who, file, "r") as store:
        found = arrays_in(store, path.stat().st_size)
        return FoundWeights(finder(found), optimizer_arrays(found))
