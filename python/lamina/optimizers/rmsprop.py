"""RMSprop, Adagrad, Adadelta: steps divided by a root of squared gradients."""

from __future__ import annotations

from typing import Any

from lamina._common.arguments import Argument
from lamina._common.checks import flag, number
from lamina.optimizers.base import Optimizer, fuzz_factor

__all__ = ["Adadelta", "Adagrad", "RMSprop"]


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of squared gradients.

    ``v ← ρv + (1 - ρ)g²``, ``s = ηg / √(v + ε)``; centered ``s = ηg / √(v - a² + ε)`` with ``a ← ρa + (1 - ρ)g``.
    Without momentum ``θ ← θ - s``, else ``m ← μm + s``, ``θ ← θ - m`` (Tieleman & Hinton 2012, Graves 2013). Weight
    decay comes first: ``θ ← θ - ηλθ``.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    rho : float in [0, 1)
        ``ρ``.
    momentum : float in [0, 1]
        ``μ``.
    epsilon : float, >= 0; None for `lamina.config.epsilon`
        ``ε``, inside the root, as in Keras.
    centered : bool
        Divide by the root of the variance instead.
    weight_decay : float, >= 0, optional
        ``λ``.
    **shared
        Clipping, averaging, accumulation and the name, as in `Optimizer`.

    Examples
    --------
    >>> RMSprop().get_config()["rho"]
    0.9
    """

    kernel = "rmsprop"
    setting_names = ("rho", "momentum", "epsilon", "centered")

    rho = Argument(number, 0, below=1)
    momentum = Argument(number, 0, 1)
    epsilon = Argument(fuzz_factor)
    centered = Argument(flag)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float | None = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.rho, self.momentum, self.epsilon, self.centered = rho, momentum, epsilon, centered
        super().__init__(learning_rate, weight_decay, **shared)

    def slot_names(self) -> tuple[str | None, ...]:
        """Return the names of the running mean, the momentum and the mean gradient; None for an unused one."""
        return (
            "velocity",
            "momentum" if self.momentum else None,
            "average_gradient" if self.centered else None,
        )

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    ``a ← a + g²``, ``θ ← θ - ηg / √(a + ε)`` (Duchi et al. 2011). Weight decay comes first: ``θ ← θ - ηλθ``.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    initial_accumulator_value : float, >= 0
        Initial value of ``a``.
    epsilon : float, >= 0; None for `lamina.config.epsilon`
        ``ε``, inside the root.
    weight_decay, **shared
        As in `RMSprop`.

    Examples
    --------
    >>> Adagrad(0.1).initial_accumulator_value
    0.1
    """

    kernel = "adagrad"
    setting_names = ("epsilon",)

    initial_accumulator_value = Argument(number, least=0)
    epsilon = Argument(fuzz_factor)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.initial_accumulator_value, self.epsilon = initial_accumulator_value, epsilon
        super().__init__(learning_rate, weight_decay, **shared)

    def slot_names(self) -> tuple[str, ...]:
        """Return the name of the sum."""
        return ("accumulator",)

    def initial_state(self, name: str) -> float:
        """Return the initial value of the sum."""
        return self.initial_accumulator_value if name == "accumulator" else super().initial_state(name)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """Steps as large as recent steps were, relative to recent gradients.

    ``a ← ρa + (1 - ρ)g²``, ``d = -g √(b + ε) / √(a + ε)``, ``b ← ρb + (1 - ρ)d²``, ``θ ← θ + ηd`` (Zeiler 2012, whose
    ``η`` is 1). Weight decay comes first: ``θ ← θ - ηλθ``.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    rho : float in [0, 1)
        ``ρ``.
    epsilon : float, >= 0; None for `lamina.config.epsilon`
        ``ε``, inside the roots.
    weight_decay, **shared
        As in `RMSprop`.

    Examples
    --------
    >>> Adadelta(1.0).rho
    0.95
    """

    kernel = "adadelta"
    setting_names = ("rho", "epsilon")

    rho = Argument(number, 0, below=1)
    epsilon = Argument(fuzz_factor)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.rho, self.epsilon = rho, epsilon
        super().__init__(learning_rate, weight_decay, **shared)

    together = ("accumulated_grad", "accumulated_delta_var")

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the running means of squared gradients and squared steps."""
        return ("accumulated_grad", "accumulated_delta_var")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"rho": self.rho, "epsilon": self.epsilon}
