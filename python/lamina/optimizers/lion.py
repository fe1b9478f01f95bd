"""Lion: steps of one size, in the direction of the momentum's sign."""

from __future__ import annotations

from typing import Any

from lamina._common.arguments import Argument
from lamina._common.checks import number
from lamina.optimizers.base import Optimizer

__all__ = ["Lion"]


class Lion(Optimizer):
    """``θ ← θ - η sign(β₁m + (1 - β₁)g)``, then ``m ← β₂m + (1 - β₂)g`` (Chen et al. 2023).

    Weight decay comes first: ``θ ← θ - ηλθ``. Steps are larger than Adam's: a tenth of its learning rate suits.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    beta_1 : float in (0, 1]
    beta_2 : float in [0, 1)
    weight_decay : float, >= 0, optional
        ``λ``.
    **shared
        Clipping, averaging, accumulation and the name, as in `Optimizer`.

    Examples
    --------
    >>> Lion(1e-4).beta_2
    0.99
    """

    kernel = "lion"
    setting_names = ("beta_1", "beta_2")

    beta_1 = Argument(number, above=0, most=1)
    beta_2 = Argument(number, 0, below=1)

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.beta_1, self.beta_2 = beta_1, beta_2
        super().__init__(learning_rate, weight_decay, **shared)

    def slot_names(self) -> tuple[str, ...]:
        """Return the name of the running mean."""
        return ("momentum",)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"beta_1": self.beta_1, "beta_2": self.beta_2}
