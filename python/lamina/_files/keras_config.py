"""Configurations for Keras's files: what of a model's configuration Keras reads, and what it has no place for."""

from __future__ import annotations

from typing import Any

from lamina._common.checks import integer
from lamina._files.state import ModelState, checked_states

__all__ = ["checked_for_keras", "compile_for_keras", "extras", "modernized", "with_extras"]


def checked_for_keras(who: str, config: Any) -> dict[str, Any]:
    """Return a configuration that holds only classes that Keras has, or that are the user's; raise otherwise."""
    for item in _items(config):
        if str(item.get("module", "")).split(".")[0] == "lamina":
            raise ValueError(
                f"{who}: Keras's files cannot hold a {item.get('class_name')}, which Keras lacks; names that end in "
                "'.safetensors' can."
            )
    return dict(config)


def _items(value: Any) -> list[dict[str, Any]]:
    """Return all configurations of objects in a value."""
    if isinstance(value, dict):
        own = [value] if "class_name" in value else []
        return own + [item for inner in value.values() for item in _items(inner)]
    if isinstance(value, (list, tuple)):
        return [item for inner in value for item in _items(inner)]
    return []


def compile_for_keras(who: str, compiled: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `compile` in Keras's form."""
    found = checked_for_keras(who, compiled)
    if found.get("loss_weights") == 1.0:
        found["loss_weights"] = None
    for name in ("metrics", "weighted_metrics"):
        found[name] = found.get(name) or None
    return found | {"run_eagerly": False, "steps_per_execution": 1, "jit_compile": False}


def extras(state: ModelState) -> dict[str, Any]:
    """Return what Keras's files have no place for."""
    return {
        "shuffles": state.training.shuffles,
        "draws": state.training.draws,
        "batches": state.training.batches,
        "layers": state.layer_states,
        "without_decay": state.without_decay,
    }


def with_extras(state: ModelState, own: Any) -> ModelState:
    """Return a state with what `extras` returned."""
    if not own:
        return state
    shuffles, draws, batches = (integer("file", name, own[name], 0) for name in ("shuffles", "draws", "batches"))
    training = state.training._replace(shuffles=shuffles, draws=draws, batches=batches)
    state = state._replace(training=training, layer_states=checked_states(own["layers"]))
    return state if own["without_decay"] is None else state._replace(without_decay=own["without_decay"])


# Entries of configurations that older versions of Keras wrote, and that say nothing about a network on one machine.
_DROPPED = (
    "batch_size",
    "decay",
    "initial_decay",
    "is_legacy_optimizer",
    "jit_compile",
    "ragged",
    "sample_weight_mode",
)
# Their names now.
_RENAMED = {"batch_input_shape": "batch_shape", "lr": "learning_rate", "p": "rate"}


def modernized(config: Any) -> Any:
    """Return a configuration that any version of Keras wrote as the present one writes it."""
    if isinstance(config, list):
        return [modernized(item) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "MeanMetricWrapper" and isinstance(config.get("config", {}).get("fn"), str):
        return config["config"]["fn"]
    found = {}
    for name, value in config.items():
        if name in _DROPPED and not isinstance(value, dict):
            continue
        found[_RENAMED.get(name, name)] = modernized(value)
    if found.get("reduction") == "auto":
        found["reduction"] = "sum_over_batch_size"
    kind, inner = found.get("class_name"), found.get("config")
    if isinstance(kind, str) and isinstance(inner, dict):
        found["class_name"] = kind.rpartition(">")[2]
        inner = _layer(inner) if kind != "InputLayer" else inner
        found["config"] = inner
    return found


def _layer(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a layer: a first one could say the shape of the input by itself."""
    if "batch_shape" in config:
        shape = config.pop("batch_shape")
        config["input_shape"] = None if shape is None else tuple(shape[1:])
    dtype = config.get("dtype")
    if isinstance(dtype, dict) and dtype.get("class_name") == "Policy":
        config["dtype"] = dtype["config"]["name"]
    if isinstance(config.get("axis"), list) and len(config["axis"]) == 1 and "momentum" in config:
        config["axis"] = config["axis"][0]
    return config
