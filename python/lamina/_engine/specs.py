"""Loss, metrics and optimizer as the engine's trainer is given them, besides the network.

`lamina._core.Trainer` reads these objects by their attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from lamina import _core
from lamina._common.records import Record
from lamina._engine.ops import LINEAR, Kernel
from lamina.constraints import Projection

__all__ = ["DampingSpec", "LayerUpdateSpec", "LbfgsSpec", "LossSpec", "MetricSpec", "TensorUpdateSpec", "UpdateSpec"]


class LossSpec(Record):
    """A loss.

    Attributes
    ----------
    kernel : str or function
        The compiled loss's name, or a function of targets, predictions, weights and whether a gradient is wanted.
    parameters : dict of str to float
    divisor : {"one", "rows", "weights"}
        What the sum of the rows' losses is divided by.
    activation : Kernel
        The final activation that the loss includes; linear where it includes none.
    weight : float
        Factor of the loss.
    columns : sequence of float
        The parameter of each column of the output, for a loss that takes them.
    """

    kernel: str | Callable[..., Any]
    parameters: dict[str, float] = {}  # noqa: RUF012  (never changed)
    divisor: str = "rows"
    activation: Kernel = LINEAR
    weight: float = 1.0
    columns: Sequence[float] = ()


class MetricSpec(Record):
    """A metric.

    Attributes
    ----------
    kind : str
        The name of a compiled metric or loss; "host" for one that is written in Python.
    parameters : dict of str to float
    target : int
        Index into the trainer's targets; 0 for those of the loss.
    weighted : bool
        Whether it takes sample weights.
    function : callable or None
        For a host metric: called with targets, predictions and weights, returns one value for each row.
    """

    kind: str
    parameters: dict[str, float]
    target: int
    weighted: bool
    function: Callable[..., Any] | None = None


class TensorUpdateSpec(Record):
    """How one tensor is updated.

    Attributes
    ----------
    group : int
        Index into `UpdateSpec.settings`; -1 for a tensor that is not trained.
    l1, l2 : float
        Factors of the penalty.
    per_row : bool
        Whether the penalty is divided by the rows of a batch, or the sum of their weights.
    constraint : Projection or None
    """

    group: int
    l1: float = 0.0
    l2: float = 0.0
    per_row: bool = False
    constraint: Projection | None = None


class LayerUpdateSpec(Record):
    """How the parameters of one op are updated; empty if it has none.

    Attributes
    ----------
    slots : sequence of Parameters or None
        The optimizer's state, in the order that its kernel reads it.
    accumulator, average : Parameters or None
        Accumulated gradients, and running average of the parameters.
    tensors : sequence of TensorUpdateSpec
    """

    slots: Sequence[_core.Parameters | None] = ()
    accumulator: _core.Parameters | None = None
    average: _core.Parameters | None = None
    tensors: Sequence[TensorUpdateSpec] = ()


class LbfgsSpec(NamedTuple):
    """L-BFGS, in the place of an optimizer's formula.

    Attributes
    ----------
    history_size : int
        Pairs of changes that are kept; each has two of the slots.
    searches : bool
        Whether a step ends where the strong Wolfe conditions hold.
    tolerance : float
        Nothing is changed if no element of the gradient is larger.
    loss_tolerance : float
        Training ends after a step that lowers the loss by less than this share of it, or of 1 if that is more.
    max_evaluations : int
        Training ends after so many evaluations of the loss; 0 for no limit.
    """

    history_size: int
    searches: bool
    tolerance: float
    loss_tolerance: float = 0.0
    max_evaluations: int = 0


class DampingSpec(NamedTuple):
    """The Levenberg–Marquardt method, in the place of an optimizer's formula.

    Attributes
    ----------
    factor : float
        The damping is divided by it after a step that lowers the loss, and multiplied by it after a try that does not.
    attempts : int
        Most tries in a step.
    """

    factor: float
    attempts: int


class UpdateSpec(Record):
    """The optimizer's step.

    Attributes
    ----------
    optimizer : str
        The compiled optimizer's name.
    settings : list of dict
        The optimizer's arguments by name, without the learning rate, for each group of tensors.
    clip : {"none", "value", "norm", "global_norm"}
    limit : float
        Limit of clipping.
    accumulate : int
        Number of batches whose gradients are averaged before a step.
    average_momentum : float or None
        Momentum of the running average of the parameters; None for no average.
    overwrite_every : int
        Number of steps after which the average replaces the parameters; 0 for never.
    layers : list of LayerUpdateSpec
        One for each op of the network.
    method : LbfgsSpec, DampingSpec or None
        A method that evaluates the loss at several places; None for the optimizer's formula.
    """

    optimizer: str
    settings: list[dict[str, float]]
    clip: str = "none"
    limit: float = 0.0
    accumulate: int = 1
    average_momentum: float | None = None
    overwrite_every: int = 0
    layers: list[LayerUpdateSpec] = []  # noqa: RUF012  (never changed)
    method: LbfgsSpec | DampingSpec | None = None
