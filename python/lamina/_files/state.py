"""Contents of files as values: the state of training, a model, a backup of its training."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from lamina._common.checks import integer
from lamina._common.records import Record

__all__ = [
    "BackupState", "Finder", "FinderByName", "FoundWeights", "ModelState", "Tensors", "TrainingState", "WeightState",
    "checked_state", "checked_states",
]  # fmt: skip

Array = npt.NDArray[Any]


class TrainingState(NamedTuple):
    """State of training: everything that the next step depends on besides parameters and the optimizer's slots.

    Attributes
    ----------
    batches : int
        Batches that the optimizer has seen.
    shuffles : int
        Number of passes over the data (of epochs, for streams); the next random order depends on it.
    draws : int
        Number of batches that ran as in training; noise depends on it.
    epoch, row : int
        The current epoch, and the position in its row order at which the next batch begins.
    metrics : list of dict
        Attributes of the loss's mean and of each metric, with their sums so far.
    """

    batches: int = 0
    shuffles: int = 0
    draws: int = 0
    epoch: int = 0
    row: int = 0
    metrics: list[dict[str, Any]] = []  # noqa: RUF012  (never changed)


class Tensors(Record):
    """The variables of a layer or model, and of the layers in it.

    Attributes
    ----------
    name, kind : str
        Its name and that of its class.
    arrays : dict of str to ndarray
        By the variable's name: those of a layer, in its order.
    trained : list of bool
        Whether each of them is trained; none if the outermost layer or model that holds them is frozen.
    layers : list of Tensors
        Those of a model, or of a layer that holds others.
    place : str or None
        The path in Keras's files, ends in a slash; None for a layer to which no attributes lead.
    """

    name: str
    kind: str
    arrays: dict[str, Array]
    trained: list[bool]
    layers: list[Tensors]
    place: str | None

    def in_order(self) -> list[Array]:
        """Return the arrays of all layers in order."""
        return [*self.arrays.values(), *(array for layer in self.layers for array in layer.in_order())]


class Finder(Protocol):
    """Finds the values of a model's variables in a file, whose layers may have other names."""

    def __call__(self, tensors: Tensors) -> list[Array]:
        """Return values for the variables of a model, in their order; those they have say their shapes."""
        ...


class FinderByName(Protocol):
    """Finds the values of the variables of those layers of a model whose names are in a file."""

    def __call__(self, tensors: Tensors, skip_mismatch: bool) -> list[Array | None]:
        """Return values for the variables of a model, in their order, None for those of other layers.

        A layer that has another number of variables in the file is left out, or, without `skip_mismatch`, raises.
        """
        ...


class WeightState(Record):
    """What a file of weights is written from.

    Attributes
    ----------
    weights : dict of str to ndarray
        By the path of the variable.
    tensors : Tensors
        The same by layers.
    optimizer : list of (str, ndarray)
        Names and values of `Optimizer.variables`; Keras's format holds them, too.
    """

    weights: dict[str, Array]
    tensors: Tensors
    optimizer: list[tuple[str, Array]]


class FoundWeights(Record):
    """What is read from a file of weights in one of Keras's formats.

    Attributes
    ----------
    find : callable
        Finds the values of a model's variables.
    optimizer : list of (str, ndarray)
        The optimizer's state, empty if the file holds none.
    by_name : callable or None
        Finds them by the names of layers, in formats where these count.
    """

    find: Finder
    optimizer: list[tuple[str, Array]] = []  # noqa: RUF012  (never changed)
    by_name: FinderByName | None = None


class ModelState(Record):
    """A model as a value.

    Attributes
    ----------
    config : dict
        The model's configuration, as `lamina._common.objects.serialize` returns it.
    weights : dict of str to ndarray
        By the path of the variable.
    training : TrainingState
        Files hold its batches, shuffles and draws.
    layer_states : dict of str to dict
        What `lamina.layers.inner.whole_state` returns, by the name of the layer; without layers that have no state.
    compile_config : dict or None
        The arguments of `compile`, None for a model that is not compiled; then the following are empty.
    without_decay : object
        `Optimizer.without_decay`.
    slots : dict of str to ndarray
        The optimizer's state, by ``<slot>/<variable path>``.
    tensors : Tensors or None
        The weights by layers; None for what was read from a file.
    optimizer : list of (str, ndarray)
        Names and values of `Optimizer.variables`.
    find : callable or None
        In place of `weights` where the file's format is Keras's.
    names : list of str
        Of the model, the models in it, and all layers: a class of the user's may give other ones when it is made again.
    paths : list of str
        Of the variables, in the order of the model's weights; for the same reason.
    """

    config: dict[str, Any]
    weights: dict[str, Array]
    training: TrainingState
    layer_states: dict[str, dict[str, int]]
    compile_config: dict[str, Any] | None = None
    without_decay: Any = None
    slots: dict[str, Array] = {}  # noqa: RUF012  (never changed)
    tensors: Tensors | None = None
    optimizer: list[tuple[str, Array]] = []  # noqa: RUF012  (never changed)
    find: Finder | None = None
    names: list[str] = []  # noqa: RUF012  (never changed)
    paths: list[str] = []  # noqa: RUF012  (never changed)


class BackupState(Record):
    """The state from which training resumes, without the model's configuration.

    Attributes
    ----------
    weights : list of ndarray
    slots : dict of str to list of ndarray
        The optimizer's state: by the name of the slot an array for each weight.
    optimizer : str
        Name of the optimizer's class.
    learning_rate : float or None
        None if it follows a schedule or a function.
    training : TrainingState
        Its `epoch` is the one to resume with.
    batch : int
        Batches of this epoch that were trained.
    stopped : bool
        Whether training has come to its end: there is no epoch to resume with.
    streams : list of (dict or None)
        `Stream.state` of training and validation data that arrive in batches.
    callbacks : list of (str, dict)
        Their classes, and what `Callback.get_state` returned.
    made_by : dict of str to str
        What the backup is good for: the version of lamina, the instruction set, the model, the optimizer, the loss.
    data : dict
        How many rows there are, of a batch too, and whether they are shuffled.
    seed : int
    layer_states : list of dict
        What `lamina.layers.inner.whole_state` returns, for each layer.
    numbers : dict of str to float
        `Optimizer.numbers`.
    """

    weights: list[Array]
    slots: dict[str, list[Array]]
    optimizer: str
    learning_rate: float | None
    training: TrainingState
    batch: int
    stopped: bool
    streams: list[dict[str, Any] | None]
    callbacks: list[tuple[str, dict[str, Any]]]
    made_by: dict[str, str]
    data: dict[str, Any]
    seed: int
    layer_states: list[dict[str, int]]
    numbers: dict[str, float]


def checked_state(state: Any) -> dict[str, int]:
    """Return a layer's state (`lamina.layers.inner.whole_state`); raise if it holds other values than ints >= 0."""
    return {str(name): integer("file", str(name), value, 0, most=2**64 - 1) for name, value in dict(state).items()}


def checked_states(states: Any) -> dict[str, dict[str, int]]:
    """Return the states of layers by their names, each checked."""
    return {str(name): checked_state(own) for name, own in dict(states).items()}
