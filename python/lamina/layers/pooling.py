"""Layers that pool the steps of a row: their mean, or their largest values."""

from __future__ import annotations

from typing import Any, ClassVar

from lamina._common.checks import flag
from lamina._engine.ops import Op, PoolOp, row_of
from lamina.layers.base import Layer
from lamina.layers.settings import Setting, channels_last
from lamina.layers.shapes import with_steps

__all__ = ["GlobalAveragePooling1D", "GlobalMaxPooling1D"]


class _GlobalPooling1D(Layer):
    """Pools ``(n, steps, features)`` to ``(n, features)``, or ``(n, 1, features)`` with `keepdims`."""

    pooling: ClassVar[str]

    data_format = Setting(channels_last)
    keepdims = Setting(flag, fixed=True)

    def __init__(self, data_format: str | None = None, keepdims: bool = False, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.data_format, self.keepdims = data_format, keepdims

    @property
    def last_axis_alone(self) -> bool:
        """Whether the number of steps does not matter: True."""
        return True

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make sure that rows have steps and features."""
        self.compute_output_shape(input_shape)
        self.mark_built(input_shape)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape without steps, or with one."""
        batch, _, features = with_steps(self._who(), self._input_shape(input_shape))
        return (batch, 1, features) if self.keepdims else (batch, features)

    def ops(self) -> list[Op]:
        """Return the pooling."""
        return [PoolOp(self.pooling, row_of(self.output_shape))]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"data_format": self.data_format, "keepdims": self.keepdims}


class GlobalAveragePooling1D(_GlobalPooling1D):
    """The mean over the steps: ``(n, steps, features)`` becomes ``(n, features)``.

    After an `Embedding` with `mask_zero` it is the mean over the steps whose index is not 0, NaN where all are 0.

    Parameters
    ----------
    data_format : {"channels_last", None}
        Features come last; "channels_first" raises.
    keepdims : bool
        Keep the axis of the steps, with size 1.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalAveragePooling1D()(np.array([[[1.0, 2.0], [3.0, 8.0]]]))
    Tensor([[2., 5.]], dtype=float32)
    """

    pooling = "mean"
    supports_masking = True

    def passes_mask(self, masked: bool) -> bool:
        """Return False: no steps are left to mask."""
        return False


class GlobalMaxPooling1D(_GlobalPooling1D):
    """The largest value over the steps: ``(n, steps, features)`` becomes ``(n, features)``.

    The gradient goes to all steps that have it, in equal parts. Masks are not read, as in Keras.

    Parameters
    ----------
    data_format : {"channels_last", None}
        Features come last; "channels_first" raises.
    keepdims : bool
        Keep the axis of the steps, with size 1.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> GlobalMaxPooling1D()(np.array([[[1.0, 2.0], [3.0, -8.0]]]))
    Tensor([[3., 2.]], dtype=float32)
    """

    pooling = "maximum"
