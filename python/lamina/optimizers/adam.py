"""Adam: steps scaled by running means of gradient and squared gradient."""

from __future__ import annotations

from typing import Any

from lamina._checks import flag, number
from lamina.optimizers.base import Optimizer

__all__ = ["Adam"]


class Adam(Optimizer):
    """Adaptive moment estimation.

    With ``t`` counting steps from 1: ``m ← β₁m + (1 - β₁)g``, ``v ← β₂v + (1 - β₂)g²`` and
    ``θ ← θ - η √(1 - β₂ᵗ) / (1 - β₁ᵗ) · m / (√v + ε)`` (Kingma & Ba 2015, algorithm 1 in the order of its section 2).
    With AMSGrad the largest ``v`` so far takes its place (Reddi et al. 2018). Weight decay comes first:
    ``θ ← θ - ηλθ``.

    Parameters
    ----------
    learning_rate : float, >= 0
        ``η``.
    beta_1, beta_2 : float in [0, 1)
        ``β₁``, ``β₂``.
    epsilon : float, >= 0
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

    def __init__(
        self,
        learning_rate: float = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.beta_1 = _share("beta_1", beta_1)
        self.beta_2 = _share("beta_2", beta_2)
        self.epsilon = number("Adam", "epsilon", epsilon, least=0)
        self.amsgrad = flag("Adam", "amsgrad", amsgrad)
        super().__init__(learning_rate, weight_decay, **shared)

    def slot_names(self) -> tuple[str, ...]:
        """Return the names of the running means, and of the largest ``v`` for AMSGrad."""
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")

    def settings(self, decay: bool = True) -> list[float]:
        """Return both betas, epsilon, whether AMSGrad, and weight decay."""
        return [self.beta_1, self.beta_2, self.epsilon, float(self.amsgrad), decay * (self.weight_decay or 0.0)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


def _share(name: str, value: float) -> float:
    found = number("Adam", name, value, 0, 1)
    if found == 1:
        raise ValueError(f"Adam: {name} must be in [0, 1); got {value}.")
    return found
