"""Adam and its relatives: steps scaled by running means of gradient and squared gradient."""

from __future__ import annotations

import math
from typing import Any

from lamina._common.arguments import Argument
from lamina._common.checks import flag, number
from lamina.optimizers.base import Optimizer, fuzz_factor

__all__ = ["Adam", "AdamW", "Adamax", "Nadam"]


class Adam(Optimizer):
    """Adaptive moment estimation.

    With ``t`` counting steps from 1: ``m ← β₁m + (1 - β₁)g``, ``v ← β₂v + (1 - β₂)g²`` and
    ``θ ← θ - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)`` (Kingma & Ba 2015, algorithm 1 in the order of its section 2).
    With AMSGrad the largest ``v`` so far replaces ``v`` (Reddi et al. 2018). Weight decay comes first:
    ``θ ← θ - ηλθ``.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    beta_1, beta_2 : float in [0, 1)
        ``β₁``, ``β₂``.
    epsilon : float, >= 0; None for `lamina.config.epsilon`
        ``ε``, outside the root and before the bias correction, as in Keras.
    amsgrad : bool
    weight_decay : float, >= 0, optional
        ``λ``.
    **shared
        Clipping, averaging, accumulation and the name, as in `Optimizer`.

    Examples
    --------
    >>> Adam(0.01).get_config()["beta_2"]
    0.999
    """

    kernel = "adam"
    setting_names = ("beta_1", "beta_2", "epsilon", "amsgrad")

    beta_1 = Argument(number, 0, below=1)
    beta_2 = Argument(number, 0, below=1)
    epsilon = Argument(fuzz_factor)
    amsgrad = Argument(flag)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon, self.amsgrad = beta_1, beta_2, epsilon, amsgrad
        super().__init__(learning_rate, weight_decay, **shared)

    together = ("momentum", "velocity")

    def slot_names(self) -> tuple[str | None, ...]:
        """Return the names of the running means and of the largest ``v``, None for the last without AMSGrad."""
        return ("momentum", "velocity", "velocity_hat" if self.amsgrad else None)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """`Adam` with weight decay by default (Loshchilov & Hutter 2019).

    The formulas are those of `Adam`; only the defaults and the order of arguments differ.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
    weight_decay : float, >= 0
    beta_1, beta_2, epsilon, amsgrad, **shared
        As in `Adam`.

    Examples
    --------
    >>> AdamW().weight_decay
    0.004
    """

    weight_decay = Argument(number, least=0)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float | None = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        amsgrad: bool = False,
        **shared: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, **shared)


class _TwoMeans(Optimizer):
    """Base class of `Adamax` and `Nadam`: their arguments."""

    setting_names = ("beta_1", "beta_2", "epsilon")

    beta_1 = Argument(number, 0, below=1)
    beta_2 = Argument(number, 0, below=1)
    epsilon = Argument(fuzz_factor)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float | None = 1e-7,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.beta_1, self.beta_2, self.epsilon = beta_1, beta_2, epsilon
        super().__init__(learning_rate, weight_decay, **shared)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adamax(_TwoMeans):
    """Adam with the largest recent gradient instead of a mean of squares.

    ``m ← β₁m + (1 - β₁)g``, ``u ← max(β₂u, |g|)``, ``θ ← θ - η / (1 - β₁ᵗ) · m / (u + ε)`` (Kingma & Ba 2015,
    algorithm 2). Weight decay comes first.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        ``η``.
    beta_1, beta_2 : float in [0, 1)
    epsilon : float, >= 0; None for `lamina.config.epsilon`
    weight_decay, **shared
        As in `Adam`.

    Examples
    --------
    >>> Adamax().learning_rate
    0.001
    """

    kernel = "adamax"

    together = ("momentum", "norm")

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the running mean and of the largest gradient."""
        return ("momentum", "norm")


class Nadam(_TwoMeans):
    """Adam with Nesterov's momentum.

    With ``μ_t = β₁ (1 - 0.96ᵗ / 2)`` and ``M_t = μ_1 … μ_t``, ``m`` and ``v`` as in `Adam`:
    ``θ ← θ - η (μ_{t+1} m / (1 - M_{t+1}) + (1 - μ_t) g / (1 - M_t)) / (√(v / (1 - β₂ᵗ)) + ε)`` (Dozat 2016). Weight
    decay comes first.

    Parameters
    ----------
    learning_rate : float or LearningRateSchedule
        ``η``.
    beta_1, beta_2 : float in [0, 1)
    epsilon : float, >= 0; None for `lamina.config.epsilon`
    weight_decay, **shared
        As in `Adam`.

    Examples
    --------
    >>> Nadam(0.01).get_config()["beta_1"]
    0.9
    """

    kernel = "nadam"
    together = ("momentum", "velocity")

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the running means."""
        return ("momentum", "velocity")

    def derived_values(self) -> dict[str, float]:
        """Return ``M_t``."""
        steps = range(1, min(int(self.iterations), 4096) + 1)  # what follows is 0 in any float
        return {"u_product": math.prod(self.beta_1 * (1 - 0.5 * 0.96**t) for t in steps)}
