"""Losses that users write in functions of `lamina.ops`: a function of targets and predictions, or a class's `call`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lamina._common.checks import function
from lamina._common.objects import OfFunction
from lamina.losses.base import NamedLoss

__all__ = ["FunctionLoss"]


class FunctionLoss(NamedLoss, OfFunction):
    """A function of targets and predictions as a loss.

    Parameters
    ----------
    fn : callable
        Called with the targets as they were given, in the dtype of the predictions, and the predictions. Returns values
        whose first axis is the rows (the mean is taken over the others), or one number for the batch.
    reduction, name, dtype
        As in `Loss`.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        reduction: str | None = "sum_over_batch_size",
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        self.function = function("FunctionLoss", "fn", fn)
        super().__init__(reduction, name or getattr(fn, "__name__", type(fn).__name__), dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return what the function returns."""
        return self.function(y_true, y_pred)
