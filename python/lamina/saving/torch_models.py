"""Models from PyTorch's modules, and for them; PyTorch itself is needed only to make modules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina._common.checks import KindError, listed, sizes, text
from lamina._common.paths import path as checked_path
from lamina._engine.variable import Variable
from lamina._engine.variables import assign_together
from lamina._files.errors import ModelFileError
from lamina._files.paths import check_path
from lamina._files.torch.layers import TorchLayer
from lamina._files.torch.reading import ARGUMENTS, network_of
from lamina._files.torch.state import read_state, tensor_array, write_state
from lamina._files.torch.writing import layers_of
from lamina.models import Model, Sequential
from lamina.models.from_network import model_from_network
from lamina.models.networks import network_state, parameters_of
from lamina.saving.weights import checked_model

__all__ = ["from_torch", "load_torch_weights", "save_torch_weights", "to_torch"]

Array = npt.NDArray[Any]

# By the names that steps have for their variables, those of PyTorch's.
_TORCH_NAMES = {
    "kernel": "weight", "table": "weight", "slopes": "weight", "gamma": "weight", "bias": "bias", "beta": "bias",
    "mean": "running_mean", "variance": "running_var",
}  # fmt: skip


def from_torch(module: Any, input_shape: Any = None) -> Sequential:
    """Return a model that computes what a module of PyTorch computes in evaluation mode, with its parameters.

    The model can be trained: dropout and the momentum of batch normalization are taken over. Optimizers, and which
    parameters are frozen, are not. Batch normalization here, as in Keras, moves its variance by that of the batch,
    PyTorch by ``n / (n - 1)`` times it.

    Parameters
    ----------
    module : torch.nn.Module
        An `nn.Sequential`, also of others, or one of the modules that docs/interchange.md lists. It is read by its
        names and attributes, without importing PyTorch.
    input_shape : tuple of int, optional
        Shape of a row of input. Needed where no module says it, before `Embedding`, `Flatten` and `Unflatten`, and for
        rows of several axes: a `Linear` or `LayerNorm` at the beginning says the last ones only.

    Returns
    -------
    Sequential
        Of float64 if there is a float64 parameter, else of float32. Not compiled.

    Raises
    ------
    TypeError
        `module` is none.
    ValueError
        There is a module of another kind, or with arguments that no layer here has; the message says which.
    """
    who = "from_torch"
    shape = None if input_shape is None else sizes(who, "input_shape", input_shape, least=1)
    if not hasattr(module, "named_children") or not hasattr(module, "state_dict"):
        raise KindError(f"{who}: module must be a module of PyTorch; got {type(module).__name__}.")
    return model_from_network(network_of(who, list(_layers(who, module, set())), shape))


def _layers(who: str, module: Any, parameters: set[int]) -> Iterator[TorchLayer]:
    """Yield a module as a layer, or those of which it is a sequence; `parameters` are those of modules before it."""
    kind = type(module)
    own = kind.__module__.startswith("torch.nn.modules.")
    if own and kind.__name__.startswith("Lazy"):
        raise ValueError(f"{who}: a {kind.__name__} has no parameters before it has run: run it once.")
    hooks = [getattr(module, name, None) for name in ("_forward_hooks", "_forward_pre_hooks")]
    if any(hooks) or "forward" in vars(module):
        raise ValueError(f"{who}: a {kind.__name__} must do what its class does; it has hooks, or its own forward.")
    if own and kind.__name__ == "Sequential":
        for child in module:  # a module may be there twice
            yield from _layers(who, child, parameters)
        return
    if not own or kind.__name__ not in ARGUMENTS:
        raise ValueError(
            f"{who}: there is no layer here for {kind.__module__}.{kind.__qualname__}; docs/interchange.md lists the "
            "modules that there are layers for, alone or in an nn.Sequential."
        )
    mine = {id(parameter) for parameter in module.parameters()}
    if mine & parameters:
        raise ValueError(f"{who}: a {kind.__name__} must have parameters of its own; it shares them with another one.")
    parameters |= mine
    tensors = {name: tensor_array(who, name, tensor) for name, tensor in module.state_dict().items()}
    arguments = {name: getattr(module, name, None) for name in ARGUMENTS[kind.__name__]}
    yield TorchLayer(kind.__name__, arguments, tensors)


def to_torch(model: Model) -> Any:
    """Return an `nn.Sequential` of PyTorch that computes what a model predicts, in evaluation mode.

    Parameters
    ----------
    model : Model
        Built. Dropout and batch normalization are taken over as such, so that the module can be trained; which weights
        are frozen is not.

    Returns
    -------
    torch.nn.Sequential
        With copies of the parameters. Its state dict has the names of `save_torch_weights`.

    Raises
    ------
    ImportError
        PyTorch is missing.
    ValueError
        PyTorch has no module for a layer.
    """
    layers = _torch_layers("to_torch", model)
    try:
        import torch
    except ImportError:
        raise ImportError("to_torch needs PyTorch: pip install torch.") from None
    modules = []
    for layer in layers:
        kind = getattr(torch.nn, layer.kind)
        if not layer.tensors:
            modules.append(kind(**layer.arguments))
            continue
        wide = any(array.dtype == np.float64 for array in layer.tensors.values())
        placed = {"device": "cpu", "dtype": torch.float64 if wide else torch.float32}
        module = torch.nn.utils.skip_init(kind, **layer.arguments, **placed)  # which draws no random numbers
        module.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in layer.tensors.items()})
        modules.append(module)
    return torch.nn.Sequential(*modules).eval()


def _torch_layers(who: str, model: Model) -> list[TorchLayer]:
    stack = checked_model(who, model).stack
    stack.require_built(who)
    return layers_of(who, network_state(who, stack))


def save_torch_weights(model: Model, filepath: Any, overwrite: bool = True) -> None:
    """Write a model's parameters as the state dict of the module that `to_torch` would return, without PyTorch.

    ``module.load_state_dict(safetensors.torch.load_file(filepath))`` reads it.

    Parameters
    ----------
    model : Model
        Built.
    filepath : str or Path
        Ends in ``.safetensors``.
    overwrite : bool
        False raises if the file exists.

    Raises
    ------
    ValueError
        PyTorch has no module for a layer.
    """
    who = "save_torch_weights"
    layers = _torch_layers(who, model)
    write_state(who, check_path(who, filepath, (".safetensors",), overwrite), layers)


def load_torch_weights(model: Model, source: Any, names: Any = None) -> None:
    """Read a model's parameters from a state dict of PyTorch, all or none.

    The modules that have parameters are taken in their order: for each layer here that has some, one there. A mapping
    has the order in which its modules were defined. In a file tensors have none, so there it is that of the numbers in
    their names: 2.weight comes before 10.weight, fc1.weight before fc2.weight.

    Parameters
    ----------
    model : Model
        Built.
    source : str, Path, or mapping of str to tensor
        A safetensors file of a state dict, for which PyTorch is not needed, or the state dict itself.
    names : sequence of str, optional
        Names of the modules in the order in which they are used, such as ``["encoder.in", "encoder.out", "head"]``.
        Other tensors are then not read.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, it is damaged, or its modules or shapes are not those of the model (for a file a
        `ModelFileError`). Or modules of the same shapes in a file differ in more than numbers, and `names` is missing.
    """
    who = "load_torch_weights"
    stack = checked_model(who, model).stack
    stack.require_built(who)
    wanted = parameters_of(stack.layers)
    chosen = None if names is None else [text(who, "names", name) for name in listed(who, "names", names)]
    if isinstance(source, Mapping):
        pairs = _all_paired(who, wanted, _chosen(who, read_state(who, source), chosen))
    elif hasattr(source, "state_dict"):
        raise KindError(f"{who}: source must be a state dict, or a file of one; give source.state_dict().")
    else:
        path = checked_path(who, "source", source)
        if path.suffix != ".safetensors":
            raise ValueError(
                f"{who}: source must end in .safetensors; got {path.name!r}. Files of torch.save are pickles, "
                "which are not read."
            )
        modules = read_state(who, path)
        try:
            if chosen is None:
                _refuse_unordered(who, modules)
            pairs = _all_paired(who, wanted, _chosen(who, modules, chosen))
        except ValueError as error:
            raise ModelFileError(f"{error} The file is {path}.") from None
    assign_together([variable for variable, _ in pairs], [array for _, array in pairs])


def _chosen(who: str, modules: dict[str, dict[str, Array]], names: list[str] | None) -> dict[str, dict[str, Array]]:
    """Return the modules that have some names, in that order; all where there are none."""
    if names is None:
        return modules
    if missing := [name for name in names if name not in modules]:
        raise ValueError(f"{who}: there is no module {missing[0]!r}; there are {', '.join(map(repr, modules))}.")
    return {name: modules[name] for name in names}


def _refuse_unordered(who: str, modules: dict[str, dict[str, Array]]) -> None:
    """Raise if there are modules that could be taken for each other: their names do not tell which comes first."""
    seen: dict[Any, tuple[str, str]] = {}
    for name, tensors in modules.items():
        shapes = tuple(sorted((own, array.shape) for own, array in tensors.items()))
        plain = re.sub(r"[0-9]+", "#", name)
        other, other_plain = seen.setdefault(shapes, (name, plain))
        if plain != other_plain:
            raise ValueError(
                f"{who}: names must be given, the modules' in their order: {other!r} and {name!r} have the same "
                "shapes, and a file does not keep the order."
            )


def _all_paired(
    who: str, wanted: list[dict[str, Variable]], modules: dict[str, dict[str, Array]]
) -> list[tuple[Variable, Array]]:
    """Return the variables of all layers with their values."""
    if len(modules) != len(wanted):
        raise ValueError(
            f"{who}: the model has {len(wanted)} layers with parameters; there are {len(modules)} such modules"
            f"{': ' if modules else ''}{', '.join(modules)}."
        )
    return [
        pair
        for variables, (name, tensors) in zip(wanted, modules.items(), strict=True)
        for pair in _paired(who, variables, name, tensors)
    ]


def _paired(
    who: str, variables: dict[str, Variable], module: str, tensors: dict[str, Array]
) -> Iterator[tuple[Variable, Array]]:
    """Yield the variables of a layer with their values."""
    names = {_TORCH_NAMES[name]: name for name in variables}
    if names.keys() != tensors.keys():
        raise ValueError(
            f"{who}: module {module!r} has {', '.join(sorted(tensors))}; the layer in its place has "
            f"{', '.join(sorted(names))}, by PyTorch's names."
        )
    for torch_name, name in names.items():
        variable, array = variables[name], tensors[torch_name]
        array = array.T if name == "kernel" else array
        if name == "slopes" and array.size == 1:
            array = np.broadcast_to(array.reshape(-1), variable.shape[-1:])
        flat = name not in ("kernel", "table") and array.size == np.prod(variable.shape)
        if array.shape != variable.shape and not flat:
            shape = variable.shape[::-1] if name == "kernel" else variable.shape
            raise ValueError(
                f"{who}: {module}.{torch_name} must have shape {shape} for {variable.path!r}; it has "
                f"{tensors[torch_name].shape}. Nothing was set."
            )
        yield variable, array.reshape(variable.shape)
