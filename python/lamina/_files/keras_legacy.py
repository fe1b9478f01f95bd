"""Keras's older HDF5 files, ``.h5`` and ``.hdf5``: weights under layers' names, configurations as attributes.

A whole model has its weights in the group ``model_weights``, the configuration in the attributes ``model_config`` and
``training_config``, and the optimizer's state in ``optimizer_weights``; a file of weights alone has the former group's
contents at its top. Keras 1 and 2 wrote these files too; their configurations are brought up to date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lamina._common.names import all_unique, snake_case, unique
from lamina._common.warn import warn
from lamina._files.errors import damaged_where_wrong
from lamina._files.hdf5 import arrays_in, json_of, opened, plain, require_h5py, text_of
from lamina._files.keras_config import (
    checked_for_keras,
    compile_arguments,
    compile_for_keras,
    extras,
    modernized,
    modernized_compile,
    with_extras,
)
from lamina._files.paths import require_file
from lamina._files.state import Finder, FinderByName, FoundWeights, ModelState, Tensors, TrainingState, WeightState
from lamina._files.writing import replace_file

if TYPE_CHECKING:
    import h5py

__all__ = ["SUFFIXES", "check", "read_model", "read_weights", "write_model", "write_weights"]

Array = npt.NDArray[Any]

SUFFIXES = (".h5", ".hdf5")
_WEIGHTS, _OPTIMIZER, _OWN = "model_weights", "optimizer_weights", "lamina"
# HDF5 holds at most so many bytes in an attribute; longer lists of names are divided, as Keras does.
_MOST_ATTRIBUTE = 64_000

check = require_h5py


def write_model(who: str, path: Path, state: ModelState) -> None:
    """Write a model."""
    require_h5py(who)
    assert state.tensors is not None
    config = _without_modules(checked_for_keras(who, state.config))
    compiled = None if state.compile_config is None else compile_for_keras(who, state.compile_config)
    with replace_file(who, path) as file, opened(who, file, "w") as store:
        store.attrs["backend"], store.attrs["keras_version"] = "lamina", "3.15.1"
        store.attrs["model_config"] = json.dumps(config)
        store.attrs[_OWN] = json.dumps(extras(state))
        _fill(store.create_group(_WEIGHTS), state.tensors)
        if compiled is not None and "optimizer" in compiled:  # else they are those of a class of the user's
            optimizer = compiled.pop("optimizer")
            compiled["optimizer_config"], prefix = _optimizer_config(optimizer)
            store.attrs["training_config"] = json.dumps(compiled)
            group = store.create_group(_OPTIMIZER)
            names = all_unique(f"{prefix}/{name.replace('/', '_')}" for name, _ in state.optimizer)
            for name, (_, array) in zip(names, state.optimizer, strict=True):
                group.create_dataset(name, data=plain(array))
            _set_names(group, "weight_names", names)


def _optimizer_config(optimizer: Any) -> tuple[Any, str]:
    """Return an optimizer's configuration as the older files have it, and its name."""
    if not isinstance(optimizer, dict):  # a name, from a `get_compile_config` of the user's
        return optimizer, str(optimizer)
    own = ("class_name", "config", "module", "registered_name")
    of_user = optimizer.get("registered_name") is not None
    kept = {name: optimizer[name] for name in (own if of_user else own[:2]) if name in optimizer}
    return kept, dict(optimizer.get("config") or {}).get("name", snake_case(str(optimizer.get("class_name"))))


def _without_modules(config: dict[str, Any]) -> dict[str, Any]:
    """Return a model's configuration as the older files have it: layers are named by their class alone."""
    inner = dict(config["config"])
    if isinstance(inner.get("layers"), list):
        inner["layers"] = [_without_modules(layer) for layer in inner["layers"]]
    kept: dict[str, Any] = {k: config[k] for k in ("class_name", "name", "inbound_nodes") if k in config}
    kept["config"] = inner
    registered = config.get("registered_name")
    return kept if registered is None else kept | {"module": config["module"], "registered_name": registered}


def write_weights(who: str, path: Path, state: WeightState) -> None:
    """Write only the parameters."""
    require_h5py(who)
    with replace_file(who, path) as file, opened(who, file, "w") as store:
        _fill(store, state.tensors)


def _fill(group: h5py.Group, tensors: Tensors) -> None:
    layers = tensors.layers
    group.attrs["backend"], group.attrs["keras_version"] = "lamina", "3.15.1"
    for layer in layers:
        own = group.create_group(layer.name)
        names: list[str] = []
        for owner, name, array in _in_keras_order(layer):
            names.append(unique(f"{owner}/{name}", names))
            own.create_dataset(names[-1], data=plain(array))
        _set_names(own, "weight_names", names)
    _set_names(group.create_group("top_level_model_weights"), "weight_names", [])
    _set_names(group, "layer_names", [layer.name for layer in layers])


def _in_keras_order(layer: Tensors) -> list[tuple[str, str, Array]]:
    """Return owner, name and values of the variables of a layer: first those that are trained, as Keras does."""
    each = [
        (owner.name, name, array, trained)
        for owner in _with_inner(layer)
        for (name, array), trained in zip(owner.arrays.items(), owner.trained, strict=True)
    ]
    return [one[:3] for one in sorted(each, key=lambda one: not one[3])]


def _with_inner(layer: Tensors) -> Iterator[Tensors]:
    yield layer
    for inner in layer.layers:
        yield from _with_inner(inner)


def _set_names(group: h5py.Group, attribute: str, names: list[str]) -> None:
    encoded = [name.encode() for name in names]
    most = max(1, _MOST_ATTRIBUTE // (max(map(len, encoded), default=0) + 1))
    if len(encoded) <= most:
        group.attrs[attribute] = np.array(encoded, dtype="S") if encoded else np.array([], dtype="S1")
        return
    for i, first in enumerate(range(0, len(encoded), most)):
        group.attrs[f"{attribute}{i}"] = np.array(encoded[first : first + most], dtype="S")


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """Return the names that `_set_names` or Keras wrote."""
    if attribute in group.attrs:
        return [text_of(name) for name in group.attrs[attribute]]
    parts = takewhile(lambda part: part in group.attrs, (f"{attribute}{i}" for i in count()))
    return [text_of(name) for part in parts for name in group.attrs[part]]


def read_model(who: str, path: Path) -> ModelState:
    """Read what `write_model` or Keras wrote."""
    require_h5py(who)
    require_file(who, path)
    size = path.stat().st_size
    with damaged_where_wrong(who, path), path.open("rb") as file, opened(who, file, "r") as store:
        if "model_config" not in store.attrs:
            raise ValueError("it holds weights alone; make the model, and call its load_weights")
        config = modernized(json_of(store.attrs["model_config"]))
        state = ModelState(
            config=config,
            weights={},
            training=TrainingState(),
            layer_states={},
            without_decay=([], []),
            find=_finder(store[_WEIGHTS], size),
        )
        if "training_config" in store.attrs:
            compiled = modernized_compile(json_of(store.attrs["training_config"]))
            state = state.replaced(compile_config=compile_arguments(compiled))
            if state.compile_config is not None and _OPTIMIZER in store:
                found = arrays_in(store[_OPTIMIZER], size)
                names = _names(store[_OPTIMIZER], "weight_names")
                state = state.replaced(optimizer=[(name, found[name]) for name in names])
        return with_extras(state, json_of(store.attrs[_OWN]) if _OWN in store.attrs else {})


def read_weights(who: str, path: Path) -> FoundWeights:
    """Read the parameters that `write_weights`, `write_model` or Keras wrote."""
    require_h5py(who)
    require_file(who, path)
    with damaged_where_wrong(who, path), path.open("rb") as file, opened(who, file, "r") as store:
        group, size = store.get(_WEIGHTS, store), path.stat().st_size
        return FoundWeights(_finder(group, size), by_name=_finder_by_name(group, size))


def _by_layer(group: h5py.Group, size: int) -> list[tuple[str, list[Array]]]:
    """Return the names of the layers that have values, and these, in the order of the file."""
    found = arrays_in(group, size)
    held = []
    for layer in _names(group, "layer_names"):
        own = [found[f"{layer}/{name}"] for name in _names(group[layer], "weight_names")]
        if own:
            held.append((layer, own))
    return held


def _finder_by_name(group: h5py.Group, size: int) -> FinderByName:
    """Return what finds the values of the layers whose names are in the file."""
    held = dict(_by_layer(group, size))

    def find(tensors: Tensors, skip_mismatch: bool) -> list[Array | None]:
        values: dict[int, Array] = {}
        for layer in tensors.layers:
            if layer.name in held:
                try:
                    values |= _values(layer, layer.name, held[layer.name])
                except ValueError as error:
                    if not skip_mismatch:
                        raise
                    warn(f"load_weights: {layer.name!r} was left as it is: {error}.")
        return [values.get(id(mine)) for mine in tensors.in_order()]

    return find


def _finder(group: h5py.Group, size: int) -> Finder:
    """Return what finds a model's values: layers that have some follow each other as in the file."""
    held = _by_layer(group, size)

    def find(tensors: Tensors) -> list[Array]:
        layers = [layer for layer in tensors.layers if layer.in_order()]
        if len(layers) != len(held):
            raise ValueError(f"it holds {len(held)} layers with weights; the model has {len(layers)}")
        values: dict[int, Array] = {}
        for layer, (name, own) in zip(layers, held, strict=True):
            values |= _values(layer, name, own)
        return [values[id(mine)] for mine in tensors.in_order()]

    return find


def _values(layer: Tensors, name: str, own: list[Array]) -> dict[int, Array]:
    """Return the values that the file has under a name, by the identity of the layer's arrays."""
    expected = _in_keras_order(layer)
    if len(own) != len(expected):
        raise ValueError(f"it holds {len(own)} tensors for {name!r}, and {layer.name!r} has {len(expected)}")
    return {id(mine): array for (_, _, mine), array in zip(expected, own, strict=True)}
