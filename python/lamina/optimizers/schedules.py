"""Learning rates that change with the number of batches seen.

A schedule is called with the number of batches before this one, and returns the learning rate of this batch. A custom
schedule is a subclass of `LearningRateSchedule` that defines ``__call__`` and ``get_config``.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import Any

from lamina._common.arguments import Argument, optional
from lamina._common.checks import flag, integer, number, numbers, text
from lamina._common.names import required
from lamina._common.objects import Configurable
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


def _steps(who: str, name: str, value: Any) -> float:
    """Return a number of batches above 0, as an int if it is whole, or raise."""
    found = number(who, name, value, above=0)
    return int(found) if found.is_integer() else found


class LearningRateSchedule(Configurable):
    """Base class of schedules."""

    def _checked(self, step: Any) -> float:
        """Return a number of batches as a float, or raise."""
        step = step.numpy() if hasattr(step, "numpy") else step  # a Variable, with which custom loops may count
        return number(type(self).__name__, "step", step)

    def __call__(self, step: float) -> float:
        """Return the learning rate after `step` batches."""
        raise NotImplementedError(f"{type(self).__name__}: a schedule defines __call__.")


class _Decay(LearningRateSchedule):
    """Base class of schedules with an initial rate and a number of batches."""

    name = Argument(text)
    initial_learning_rate = Argument(number, least=0)
    decay_steps = Argument(_steps)

    def __init__(self, initial_learning_rate: float, decay_steps: float, name: str) -> None:
        self.initial_learning_rate, self.decay_steps, self.name = initial_learning_rate, decay_steps, name

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "name": self.name,
        }


class ExponentialDecay(_Decay):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float, >= 0
    decay_steps : int, > 0
    decay_rate : float
    staircase : bool
        Round ``step / decay_steps`` down.
    name : str

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
    0.025
    """

    decay_rate = Argument(number, least=0)
    staircase = Argument(flag)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.decay_rate = decay_rate
        self.staircase = staircase

    def _periods(self, step: float) -> float:
        periods = self._checked(step) / self.decay_steps
        return float(math.floor(periods)) if self.staircase else periods

    def __call__(self, step: float) -> float:
        """Return the rate."""
        return self.initial_learning_rate * float(self.decay_rate ** self._periods(step))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"decay_rate": self.decay_rate, "staircase": self.staircase}


class InverseTimeDecay(ExponentialDecay):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate, staircase, name
        As in `ExponentialDecay`.

    Examples
    --------
    >>> InverseTimeDecay(0.1, decay_steps=1, decay_rate=0.5)(2)
    0.05
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, decay_rate, staircase, name)

    def __call__(self, step: float) -> float:
        """Return the rate."""
        return self.initial_learning_rate / (1 + self.decay_rate * self._periods(step))


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[i]`` between ``boundaries[i - 1]``, exclusive, and ``boundaries[i]``, inclusive.

    Parameters
    ----------
    boundaries : sequence of int
        Ascending.
    values : sequence of float
        One more than boundaries.
    name : str

    Examples
    --------
    >>> schedule = PiecewiseConstantDecay([10, 20], [0.1, 0.05, 0.01])
    >>> schedule(10), schedule(11), schedule(21)
    (0.1, 0.05, 0.01)
    """

    name = Argument(text)
    boundaries = Argument(numbers)
    values = Argument(numbers, least=0)

    def __init__(self, boundaries: Sequence[float], values: Sequence[float], name: str = "PiecewiseConstant") -> None:
        self.boundaries, self.values, self.name = boundaries, values, name
        self.check_together()

    def check_together(self) -> None:
        """Raise if the arguments contradict each other."""
        who = type(self).__name__
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{who}: values must be one more than boundaries; got {len(self.values)} and {len(self.boundaries)}."
            )
        if self.boundaries != sorted(self.boundaries):
            raise ValueError(f"{who}: boundaries must ascend; got {self.boundaries}.")

    def __call__(self, step: float) -> float:
        """Return the rate."""
        return self.values[bisect_left(self.boundaries, self._checked(step))]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(_Decay):
    """``(initial_learning_rate - end_learning_rate) * (1 - step / decay_steps) ** power + end_learning_rate``.

    Parameters
    ----------
    initial_learning_rate : float, >= 0
    decay_steps : int, > 0
        Number of batches after which the rate stays at `end_learning_rate`.
    end_learning_rate : float, >= 0
    power : float, >= 0
    cycle : bool
        Instead of staying there, decay until the next multiple of `decay_steps`, as if that were `decay_steps`.
    name : str

    Examples
    --------
    >>> PolynomialDecay(1.0, decay_steps=4, end_learning_rate=0.0)(1)
    0.75
    """

    end_learning_rate = Argument(number, least=0)
    power = Argument(number, least=0)
    cycle = Argument(flag)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle

    def __call__(self, step: float) -> float:
        """Return the rate."""
        step, steps = self._checked(step), self.decay_steps
        if self.cycle:
            steps *= max(1, math.ceil(step / steps))
        left = 1 - min(step, steps) / steps
        return float((self.initial_learning_rate - self.end_learning_rate) * left**self.power + self.end_learning_rate)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
        }


class CosineDecay(_Decay):
    """Half a cosine wave from a rate down to `alpha` times this rate, after an optional linear warm-up.

    ``rate * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)`` (Loshchilov & Hutter 2017). With
    `warmup_target` the rate first rises from `initial_learning_rate` to this target in `warmup_steps`, then decays.

    Parameters
    ----------
    initial_learning_rate : float, >= 0
    decay_steps : int, > 0
    alpha : float, >= 0
        Share of the rate that is left at the end.
    name : str
    warmup_target : float, >= 0, optional
    warmup_steps : int, >= 0

    Examples
    --------
    >>> CosineDecay(0.1, decay_steps=10)(5)
    0.05
    """

    alpha = Argument(number, least=0)
    warmup_target = Argument(optional(number), least=0)
    warmup_steps = Argument(integer, least=0)

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        super().__init__(initial_learning_rate, decay_steps, name)
        self.alpha = alpha
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: float) -> float:
        """Return the rate."""
        step, rate, target = self._checked(step), self.initial_learning_rate, self.warmup_target
        if target is not None:
            if step < self.warmup_steps:
                return rate + (target - rate) * step / self.warmup_steps
            step, rate = step - self.warmup_steps, target
        share = min(step, self.decay_steps) / self.decay_steps
        return rate * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * share)) + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "alpha": self.alpha,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Repeats `CosineDecay`, each time `t_mul` times as long and from `m_mul` times the rate.

    Parameters
    ----------
    initial_learning_rate : float, >= 0
    first_decay_steps : int, > 0
    t_mul : float, >= 1
    m_mul : float, >= 0
    alpha : float, >= 0
        Share of the initial rate below which the rate does not fall.
    name : str

    Examples
    --------
    >>> CosineDecayRestarts(0.1, first_decay_steps=10, m_mul=0.5)(10)
    0.05
    """

    name = Argument(text)
    initial_learning_rate = Argument(number, least=0)
    first_decay_steps = Argument(_steps)
    t_mul = Argument(number, least=1)
    m_mul = Argument(number, least=0)
    alpha = Argument(number, least=0)

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: float) -> float:
        """Return the rate."""
        restarts, share, length = 0, self._checked(step) / self.first_decay_steps, 1.0
        if self.t_mul == 1:
            restarts = math.floor(share)
            share -= restarts
        else:
            while share >= length:
                share -= length
                length *= self.t_mul
                restarts += 1
            share /= length
        wave = 0.5 * self.m_mul**restarts * (1 + math.cos(math.pi * share))
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul,
            "m_mul": self.m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


REGISTRY = Registry(
    "optimizers.schedules",
    "schedule",
    LearningRateSchedule,
    *(
        (kind, "")
        for kind in (
            ExponentialDecay, InverseTimeDecay, PiecewiseConstantDecay, PolynomialDecay, CosineDecay,
            CosineDecayRestarts,
        )
    ),
)  # fmt: skip


def deserialize(config: object) -> LearningRateSchedule:
    """Return a schedule from ``{"class_name", "config"}``."""
    who = "schedules.deserialize"
    return required(who, "config", REGISTRY.get(config, who, "schedule"))
