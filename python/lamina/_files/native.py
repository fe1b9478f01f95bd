"""lamina's own files: safetensors, with settings as JSON in the metadata.

Tensors of a model are named ``weights/<layer>/<variable>`` and ``optimizer/<slot>/<layer>/<variable>``. A backup
(`lamina.callbacks.BackupAndRestore`) holds the same tensors, numbered instead of named, all counters, and no
configuration. An ensemble holds the tensors of all members, each name after the member's number and a slash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core
from lamina._common.checks import flag, integer, number
from lamina._files import strict
from lamina._files.errors import ModelFileError, damaged_where_wrong
from lamina._files.packing import pack, unpack
from lamina._files.paths import require_file
from lamina._files.safetensors import read_tensors, write_tensors
from lamina._files.state import BackupState, ModelState, TrainingState, WeightState, checked_state, checked_states

__all__ = [
    "SUFFIX", "read_backup", "read_ensemble", "read_model", "read_weights", "write_backup", "write_ensemble",
    "write_model", "write_weights",
]  # fmt: skip

Array = npt.NDArray[Any]

FORMAT, BACKUP_FORMAT = 4, 2
SUFFIX = ".safetensors"


def write_model(who: str, path: Path, state: ModelState) -> None:
    """Write a model."""
    write_tensors(who, path, _tensors(state), {"lamina": json.dumps(_settings(state))})


def write_ensemble(who: str, path: Path, states: Sequence[ModelState]) -> None:
    """Write the members of an ensemble: their tensors with their number before the names."""
    tensors = {f"{i}/{name}": array for i, state in enumerate(states) for name, array in _tensors(state).items()}
    write_tensors(who, path, tensors, {"lamina ensemble": json.dumps([_settings(state) for state in states])})


def _settings(state: ModelState) -> dict[str, Any]:
    """Return what a file's metadata hold of a model."""
    settings: dict[str, Any] = {
        "format": FORMAT,
        "lamina": _core.__version__,
        "model": state.config,
        "shuffles": state.training.shuffles,
        "draws": state.training.draws,
        "layers": state.layer_states,
        "names": state.names,
        "paths": state.paths,
        "compiled": state.compile_config,
    }
    if state.compile_config is not None:
        settings |= {"batches": state.training.batches, "without_decay": state.without_decay}
    return settings


def _tensors(state: ModelState) -> dict[str, Array]:
    """Return the tensors of a model by their names in a file."""
    tensors = {f"weights/{path}": array for path, array in state.weights.items()}
    return tensors | {f"optimizer/{name}": array for name, array in state.slots.items()}


def read_model(who: str, path: Path) -> ModelState:
    """Read what `write_model` wrote."""
    metadata, tensors = _read(who, path)
    if "lamina ensemble" in metadata:
        raise ModelFileError(f"{who}: {path} holds an ensemble; lamina.Ensemble.load reads it.")
    if "lamina" not in metadata:
        raise ModelFileError(f"{who}: {path} must be a model that lamina has saved; it holds no configuration.")
    with damaged_where_wrong(who, path):
        return _model_state(strict.loads(metadata["lamina"]), tensors)


def read_ensemble(who: str, path: Path) -> list[ModelState]:
    """Read what `write_ensemble` wrote."""
    metadata, tensors = _read(who, path)
    if "lamina ensemble" not in metadata:
        raise ModelFileError(f"{who}: {path} must be an ensemble that lamina has saved.")
    with damaged_where_wrong(who, path):
        settings = strict.loads(metadata["lamina ensemble"])
        members: list[dict[str, Array]] = [{} for _ in settings]
        for name, array in tensors.items():
            number, _, own = name.partition("/")
            members[integer("file", "the number of a member", int(number), 0)][own] = array
        return [_model_state(one, own) for one, own in zip(settings, members, strict=True)]


def _model_state(settings: dict[str, Any], tensors: dict[str, Array]) -> ModelState:
    if settings["format"] != FORMAT:
        raise ValueError(f"its format is {settings['format']}, this lamina reads {FORMAT}")
    foreign = [name for name in tensors if not name.startswith(("weights/", "optimizer/"))]
    if foreign:
        raise ValueError(f"it holds tensors that belong to nothing: {sorted(foreign)[:3]}")
    training = TrainingState(
        shuffles=integer("file", "shuffles", settings["shuffles"], 0),
        draws=integer("file", "draws", settings.get("draws", 0), 0),
    )
    state = ModelState(
        config=settings["model"],
        weights={name.removeprefix("weights/"): array for name, array in tensors.items() if name[0] == "w"},
        training=training,
        layer_states=checked_states(settings.get("layers", {})),
        compile_config=settings["compiled"],
        slots={name.removeprefix("optimizer/"): array for name, array in tensors.items() if name[0] == "o"},
        names=[str(name) for name in settings.get("names", [])],
        paths=[str(path) for path in settings.get("paths", [])],
    )
    if state.compile_config is None:
        return state
    batches = integer("file", "batches", settings["batches"], 0)
    return state.replaced(training=training._replace(batches=batches), without_decay=settings["without_decay"])


def write_weights(who: str, path: Path, state: WeightState) -> None:
    """Write only the parameters, by the path of the variable; the metadata hold their order."""
    named = {f"weights/{name}": array for name, array in state.weights.items()}
    write_tensors(who, path, named, {"lamina weights": json.dumps(list(named))})


def read_weights(who: str, path: Path) -> list[Array] | ModelState:
    """Return the parameters of a file in their order, or the model that it holds."""
    metadata, tensors = _read(who, path)
    if "lamina weights" not in metadata:
        return read_model(who, path)
    with damaged_where_wrong(who, path):
        return [tensors[name] for name in strict.loads(metadata["lamina weights"])]


def write_backup(who: str, path: Path, state: BackupState) -> None:
    """Write a backup."""
    tensors = {f"weights/{i}": array for i, array in enumerate(state.weights)}
    for name, arrays in state.slots.items():
        tensors |= {f"optimizer/{name}/{i}": array for i, array in enumerate(arrays)}
    more = {name: getattr(state, name) for name in _PACKED} | {"metrics": state.training.metrics}
    settings = {
        "format": BACKUP_FORMAT,
        "optimizer": state.optimizer,
        "learning_rate": state.learning_rate,
        "training": state.training._replace(metrics=[])._asdict(),
        "batch": state.batch,
        "stopped": state.stopped,
        "made_by": state.made_by,
        "seed": state.seed,
        "layers": state.layer_states,
        "numbers": state.numbers,
        "packed": pack(who, more, "state", tensors),
    }
    write_tensors(who, path, tensors, {"lamina backup": json.dumps(settings)})


# Attributes of a `BackupState` that may hold arrays.
_PACKED = ("streams", "callbacks", "data")


def read_backup(who: str, path: Path) -> BackupState:
    """Read what `write_backup` wrote."""
    metadata, tensors = _read(who, path)
    with damaged_where_wrong(who, path):
        settings = strict.loads(metadata["lamina backup"])
        if settings["format"] != BACKUP_FORMAT:
            raise ValueError(f"its format is {settings['format']}, this lamina reads {BACKUP_FORMAT}")
        packed = unpack(settings["packed"], tensors)
        groups: dict[str, dict[int, Array]] = {"weights": {}}
        for name, array in tensors.items():
            group, _, own = name.rpartition("/")
            groups.setdefault(group, {})[integer("file", "the number of a tensor", int(own), 0)] = array
        found = {name: [arrays[i] for i in range(len(arrays))] for name, arrays in groups.items()}
        rate, counters = settings["learning_rate"], settings["training"]

        def counter(name: str) -> int:
            return integer("file", name, counters[name], 0)

        return BackupState(
            weights=found.pop("weights"),
            slots={name.removeprefix("optimizer/"): arrays for name, arrays in found.items()},
            optimizer=str(settings["optimizer"]),
            learning_rate=None if rate is None else number("file", "learning_rate", rate, least=0),
            training=TrainingState(
                batches=counter("batches"),
                shuffles=counter("shuffles"),
                draws=counter("draws"),
                epoch=counter("epoch"),
                row=counter("row"),
                metrics=list(packed["metrics"]),
            ),
            batch=integer("file", "batch", settings["batch"], 0),
            stopped=flag("file", "stopped", settings["stopped"]),
            streams=list(packed["streams"]),
            callbacks=[(str(kind), dict(state)) for kind, state in packed["callbacks"]],
            made_by={str(name): str(value) for name, value in settings["made_by"].items()},
            data=dict(packed["data"]),
            seed=integer("file", "seed", settings["seed"], -(2**63)),
            layer_states=[checked_state(own) for own in settings["layers"]],
            numbers={
                str(name): number("file", str(name), value) for name, value in settings.get("numbers", {}).items()
            },
        )


def _read(who: str, path: Path) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    """Return metadata and tensors of a file."""
    require_file(who, path)
    return read_tensors(who, path)
