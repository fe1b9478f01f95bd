"""Optimizers that evaluate the loss of a batch at several places: L-BFGS and Levenberg–Marquardt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from lamina import _core
from lamina._common.arguments import Argument, optional
from lamina._common.checks import KindError, choice, integer, number
from lamina._common.memory import memory_bytes
from lamina._engine.specs import DampingSpec, LbfgsSpec
from lamina._engine.variable import Variable
from lamina.optimizers.base import Optimizer
from lamina.optimizers.given import PLAIN_SGD

__all__ = ["LBFGS", "LevenbergMarquardt"]

# Bytes of normal equations for which nobody looks how much memory there is.
_UNCHECKED = 100_000_000


def _count(variables: Sequence[Variable]) -> int:
    return sum(variable.size for variable in variables)


class SeveralEvaluations(Optimizer):
    """Base class of optimizers that evaluate the loss of a batch at several places.

    Attributes
    ----------
    converged : bool
        Whether the last step found nothing to change; `fit` ends then.
    evaluations : int
        How often the loss of a batch was evaluated. It may be set.
    """

    kernel = "sgd"  # adds scaled vectors

    # A class attribute that subclasses cannot change: the steps are the engine's.
    in_python = False

    def __init__(self, learning_rate: Any, name: str | None) -> None:
        super().__init__(learning_rate, name=name)
        self.converged = False
        self.evaluations = 0

    @contextmanager
    def running(self, engine: _core.Trainer) -> Iterator[None]:
        """Note whether the trainer's steps have converged, and count its evaluations."""
        engine.evaluations = self.evaluations
        try:
            yield
        finally:
            self.converged, self.evaluations = engine.converged, engine.evaluations

    def numbers(self) -> dict[str, float]:
        """Return the count of evaluations."""
        return {"evaluations": float(self.evaluations)}

    def take_numbers(self, numbers: dict[str, float]) -> None:
        """Set the count of evaluations."""
        self.evaluations = int(numbers["evaluations"])

    def settings(self, decay: bool = True) -> dict[str, float]:
        """Return the settings of the kernel that adds scaled vectors."""
        return dict(PLAIN_SGD)

    def check_problem(self, loss: Any, layers: Sequence[Any], variables: Sequence[Variable]) -> None:
        """Raise for constraints, and for regularizers written in Python."""
        who = type(self).__name__
        for variable in variables:
            if variable.constraint is not None:
                raise ValueError(
                    f"{who}: {variable.path} must have no constraint: a step along a line would leave it. "
                    "model.objective and SciPy's L-BFGS-B take bounds."
                )
            if variable.host_regularizer is not None:
                raise ValueError(
                    f"{who}: the regularizer of {variable.path} must be one of lamina.regularizers; got "
                    f"{type(variable.regularizer).__name__}."
                )

    def apply(self, gradients: Sequence[Any], variables: Sequence[Variable] | None = None) -> None:
        """Raise: a step needs the loss, not only its gradient."""
        raise KindError(
            f"{type(self).__name__}: apply must not be called: a step evaluates the loss several times. Call fit or "
            "train_on_batch."
        )

    def update(self, variable: Variable, gradient: Any) -> None:
        """Raise, as `apply` does."""
        self.apply([gradient], [variable])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        config = super().get_config()
        return {"name": config["name"], "learning_rate": config["learning_rate"]}


class LBFGS(SeveralEvaluations):
    """L-BFGS: steps along an estimate of Newton's direction, from the last changes of parameters and gradient.

    ``θ ← θ - t H g``, where ``H`` is estimated from `history_size` pairs of changes and ``t`` found by a line search
    (Nocedal & Wright 2006, algorithms 7.4 and 3.5). It suits small data and networks, which it trains to a much lower
    loss than SGD. An epoch of `fit` is one step on all rows, with loss and metrics after it; `train_on_batch` takes a
    step on its batch.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        The length ``t`` that is tried first.
    history_size : int in [1, 1000]
    line_search : "strong_wolfe" or None
        None takes ``t = learning_rate`` as it is.
    tolerance : float, >= 0
        Training ends when no element of the gradient is larger.
    name : str, optional
    loss_tolerance : float, >= 0
        Training ends after a step that lowers the loss by less than this share of it, or of 1 if that is more.
    max_evaluations : int, >= 1, optional
        Training ends after the step in which the loss was evaluated for the so manieth time.

    Attributes
    ----------
    converged : bool
        Whether the last step found a gradient within the tolerance, no lower loss in sight, or one within the loss's
        tolerance, or reached the most evaluations. `fit` ends then.
    evaluations : int
        Evaluations of the loss and its gradient so far: that at the begin of the first step, and those of all line
        searches. It may be set.

    Notes
    -----
    Dropout and other noise stay the same during a step. Weights with constraints are refused. With SciPy,
    ``scipy.optimize.minimize(*model.objective(x, y), jac=True, method="L-BFGS-B", bounds=...)`` keeps bounds.

    Examples
    --------
    >>> LBFGS(history_size=20).get_config()["history_size"]
    20
    """

    whole_batches = True

    history_size = Argument(integer, 1, 1000)
    line_search = Argument(choice, ("strong_wolfe", None))
    tolerance = Argument(number, least=0)
    loss_tolerance = Argument(number, least=0)
    max_evaluations = Argument(optional(integer), 1)

    def __init__(
        self,
        learning_rate: Any = 1.0,
        history_size: int = 10,
        line_search: str | None = "strong_wolfe",
        tolerance: float = 1e-7,
        name: str | None = None,
        *,
        loss_tolerance: float = 0.0,
        max_evaluations: int | None = None,
    ) -> None:
        self.history_size, self.line_search, self.tolerance = history_size, line_search, tolerance
        self.loss_tolerance, self.max_evaluations = loss_tolerance, max_evaluations
        super().__init__(learning_rate, name)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the pairs of changes."""
        return tuple(f"{kind}_{pair}" for pair in range(self.history_size) for kind in ("step", "change"))

    def method(self) -> LbfgsSpec:
        """Return the specification of the method."""
        searches, most = self.line_search is not None, self.max_evaluations or 0
        return LbfgsSpec(self.history_size, searches, self.tolerance, self.loss_tolerance, most)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "history_size": self.history_size,
            "line_search": self.line_search,
            "tolerance": self.tolerance,
            "loss_tolerance": self.loss_tolerance,
            "max_evaluations": self.max_evaluations,
        }


class LevenbergMarquardt(SeveralEvaluations):
    """The Levenberg–Marquardt method, for losses that are sums of squares (Levenberg 1944, Marquardt 1963).

    With the residuals ``r`` and their Jacobian ``J``, ``θ ← θ + η δ`` with ``(JᵀJ + λI) δ = -Jᵀr``; ``JᵀJ`` and ``Jᵀr``
    are those of the loss's mean. They are summed up over blocks of rows and solved in float64. If the loss does not
    become lower, the damping ``λ`` is multiplied by `factor`, and the step is tried again; if it does, ``λ`` is divided
    by it. For ``P`` weights a step takes ``8 P²`` bytes twice, and time that grows with ``P²`` for each row and with
    ``P³`` for the solution: it suits networks of up to a few thousand weights, which it trains to a much lower loss
    than SGD.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    damping : float, > 0
        ``λ`` of the next step.
    factor : float, > 1
    attempts : int in [1, 1000]
        Most tries in a step; without success the weights stay, and ``λ`` remains the larger.
    name : str, optional

    Attributes
    ----------
    converged : bool
        Whether no step on the batches trained last lowered their loss. `fit` ends then.

    Raises
    ------
    MemoryError
        In `fit`: the normal equations of so many weights do not fit into memory. Nothing has changed.

    Notes
    -----
    The loss must be the mean squared error, with sample weights and `lamina.regularizers.L2` if wanted. Loss and
    metrics of a batch are those after its step. Noise, batch normalization in training, constraints, L1 penalties,
    penalties on outputs and layers written in Python are refused.

    Examples
    --------
    >>> LevenbergMarquardt(damping=0.1).get_config()["damping"]
    0.1
    """

    damping = Argument(number, above=0)
    factor = Argument(number, above=1)
    attempts = Argument(integer, 1, 1000)

    def __init__(
        self,
        learning_rate: Any = 1.0,
        damping: float = 1e-3,
        factor: float = 10.0,
        attempts: int = 10,
        name: str | None = None,
    ) -> None:
        self.damping, self.factor, self.attempts = damping, factor, attempts
        super().__init__(learning_rate, name)

    def slot_names(self) -> tuple[str | None, ...]:
        """Return that there is no state beside the variables."""
        return (None,)

    @contextmanager
    def running(self, engine: _core.Trainer) -> Iterator[None]:
        """Give the trainer the damping, and take it back after its steps."""
        engine.damping = self.damping
        try:
            with super().running(engine):
                yield
        finally:
            self.damping = engine.damping

    def method(self) -> DampingSpec:
        """Return the specification of the method."""
        return DampingSpec(self.factor, self.attempts)

    def numbers(self) -> dict[str, float]:
        """Return the damping, and the count of evaluations."""
        return super().numbers() | {"damping": self.damping}

    def take_numbers(self, numbers: dict[str, float]) -> None:
        """Set the damping, and the count of evaluations."""
        super().take_numbers(numbers)
        self.damping = numbers["damping"]

    def check_problem(self, loss: Any, layers: Sequence[Any], variables: Sequence[Variable]) -> None:
        """Raise if the loss is no sum of squares."""
        who = type(self).__name__
        super().check_problem(loss, layers, variables)
        if loss.in_python or loss.kernel != "mse":
            raise ValueError(f"{who}: the loss must be a sum of squares, MeanSquaredError; got {type(loss).__name__}.")
        for variable in variables:
            if variable.regularizer is not None and (variable.regularizer.engine_factors() or (0, 0))[0]:
                raise ValueError(
                    f"{who}: the penalty of {variable.path} must be a sum of squares, L2; it has an L1 part."
                )
        for layer in layers:
            if layer.activity_regularizer is not None:
                raise ValueError(f"{who}: {layer.name} must have no activity_regularizer.")
        needed = self.workspace_bytes(variables)
        if needed > _UNCHECKED and needed > (memory := memory_bytes()):
            raise MemoryError(
                f"{who}: the normal equations must fit into memory: those of {_count(variables)} weights have "
                f"{needed / 1e9:.3g} GB, and there are {memory / 1e9:.3g} GB. LBFGS needs no such matrix."
            )

    def workspace_bytes(self, variables: Sequence[Variable]) -> int:
        """Return the bytes of JᵀJ and of its factor."""
        return 16 * _count(variables) ** 2

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, with the present damping."""
        return super().get_config() | {"damping": self.damping, "factor": self.factor, "attempts": self.attempts}
