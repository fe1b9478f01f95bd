"""Configurations for Keras's files: what of a model's configuration Keras reads, and what it has no place for."""

from __future__ import annotations

from typing import Any

from lamina._common.checks import integer
from lamina._common.registry import registries
from lamina._files.state import ModelState, checked_states

__all__ = [
    "checked_for_keras", "compile_arguments", "compile_for_keras", "extras", "modernized", "modernized_compile",
    "with_extras",
]  # fmt: skip


_OWN_ACTIVATIONS = ("gelu_tanh",)


def checked_for_keras(who: str, config: Any) -> dict[str, Any]:
    """Return a configuration that holds only classes that Keras has, or that are the user's; raise otherwise."""
    for item in _items(config):
        if isinstance(item.get("config"), dict) and item["config"].get("activation") in _OWN_ACTIVATIONS:
            raise ValueError(
                f"{who}: Keras's files cannot hold the activation {item['config']['activation']!r}, which Keras lacks; "
                "names that end in '.safetensors' can."
            )
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
        "names": state.names,
        "without_decay": state.without_decay,
    }


def with_extras(state: ModelState, own: Any) -> ModelState:
    """Return a state with what `extras` returned."""
    if not own:
        return state
    shuffles, draws, batches = (integer("file", name, own[name], 0) for name in ("shuffles", "draws", "batches"))
    training = state.training._replace(shuffles=shuffles, draws=draws, batches=batches)
    names = [str(name) for name in own.get("names", [])]
    state = state.replaced(training=training, layer_states=checked_states(own["layers"]), names=names)
    return state if own["without_decay"] is None else state.replaced(without_decay=own["without_decay"])


# Arguments that older versions of Keras wrote, and that say nothing about a network on one machine.
_DROPPED = ("batch_size", "decay", "initial_decay", "is_legacy_optimizer", "jit_compile", "ragged")
# Their names now.
_RENAMED = {"batch_input_shape": "batch_shape", "lr": "learning_rate", "p": "rate"}


def modernized(config: Any) -> Any:
    """Return a configuration that any version of Keras wrote as the present one writes it.

    Arguments of the user's own classes stay as they are.
    """
    if isinstance(config, list):
        return [modernized(item) for item in config]
    if not isinstance(config, dict):
        return config
    found = {name: modernized(value) for name, value in config.items()}
    kind, inner = found.get("class_name"), found.get("config")
    if not isinstance(kind, str) or not isinstance(inner, dict) or found.get("registered_name") not in (None, kind):
        return found
    if kind == "MeanMetricWrapper" and isinstance(inner.get("fn"), str):
        return inner["fn"]
    if any(kind in room.classes() for room in registries.values()):
        found["config"] = _modern_arguments(kind, inner)
    return found


def _modern_arguments(kind: str, old: dict[str, Any]) -> dict[str, Any]:
    """Return the present arguments of one of Keras's classes."""
    config = {_RENAMED.get(name, name): value for name, value in old.items() if name not in _DROPPED}
    if config.get("reduction") == "auto":
        config["reduction"] = "sum_over_batch_size"
    if kind == "InputLayer":
        return config
    if "batch_shape" in config:  # a first layer could say the shape of the input by itself
        shape = config.pop("batch_shape")
        config["input_shape"] = None if shape is None else tuple(shape[1:])
    dtype = config.get("dtype")
    if isinstance(dtype, dict) and dtype.get("class_name") == "Policy":
        config["dtype"] = dtype["config"]["name"]
    if kind == "BatchNormalization" and isinstance(config.get("axis"), list) and len(config["axis"]) == 1:
        config["axis"] = config["axis"][0]
    return config


def compile_arguments(config: Any) -> dict[str, Any] | None:
    """Return the arguments of `compile` that a file holds; None if there are none, for which Keras writes {}."""
    return dict(config) if config else None


def modernized_compile(old: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `compile` from the training configuration of an older file."""
    optimizer = old["optimizer_config"]
    if isinstance(optimizer, dict):
        # Keras 2.11 calls its own so.
        optimizer = optimizer | {"class_name": str(optimizer["class_name"]).removeprefix("Custom>")}
    names = ("loss", "loss_weights", "metrics", "weighted_metrics")
    kept = {name: old[name] for name in names if name in old}
    return {name: modernized(value) for name, value in (kept | {"optimizer": optimizer}).items()}
