"""SGD: stochastic gradient descent."""

from __future__ import annotations

from typing import Any

from lamina._common.arguments import Argument
from lamina._common.checks import flag, number
from lamina.optimizers.base import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with optional momentum.

    ``θ ← θ - ηg``; with momentum ``v ← μv - ηg`` and ``θ ← θ + v``, or for Nesterov ``θ ← θ + μv - ηg``
    (Sutskever et al. 2013). Weight decay comes first: ``θ ← θ - ηλθ``.

    Parameters
    ----------
    learning_rate : float, >= 0, or LearningRateSchedule
        ``η``.
    momentum : float in [0, 1]
        ``μ``.
    nesterov : bool
    weight_decay : float, >= 0, optional
        ``λ``.
    **shared
        Clipping, averaging, accumulation and the name, as in `Optimizer`.

    Examples
    --------
    >>> SGD(0.1, momentum=0.9).get_config()["momentum"]
    0.9
    """

    kernel = "sgd"
    setting_names = ("momentum", "nesterov")

    momentum = Argument(number, 0, 1)
    nesterov = Argument(flag)

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        **shared: Any,
    ) -> None:
        self.momentum, self.nesterov = momentum, nesterov
        super().__init__(learning_rate, weight_decay, **shared)

    def slot_names(self) -> tuple[str | None, ...]:
        """Return the velocity's name, None without momentum."""
        return ("velocity" if self.momentum else None,)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"momentum": self.momentum, "nesterov": self.nesterov}
