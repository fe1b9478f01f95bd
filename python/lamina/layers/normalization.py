"""Layers that normalize their input, by the moments of the batch or of each row."""

from __future__ import annotations

import math
from typing import Any

from lamina._common.checks import flag, integer, number, only_none
from lamina._common.objects import serialize
from lamina._engine.ops import BatchNormOp, Op, ReshapeOp, RowNormOp
from lamina._engine.variable import Variable
from lamina.layers.base import Layer
from lamina.layers.settings import Rule, Setting

__all__ = ["BatchNormalization", "LayerNormalization", "RMSNormalization"]


def checked_axis(who: str, name: str, axis: Any) -> int | list[int]:
    """Return an axis, or a sorted list of several, or raise; a sequence of one axis becomes that axis."""
    if isinstance(axis, (list, tuple)):
        axes = sorted({integer(who, name, one, -(2**31)) for one in axis})
        if not axes:
            raise ValueError(f"{who}: {name} must name an axis; got {axis}.")
        return axes if len(axes) > 1 else axes[0]
    return integer(who, name, axis, -(2**31))


def _one_axis(who: str, name: str, axis: Any) -> int:
    found = checked_axis(who, name, axis)
    if isinstance(found, list):
        raise ValueError(f"{who}: {name} must be one axis, the last; got {axis}.")
    return found


class _GammaBeta(Layer):
    """Base of `BatchNormalization` and `LayerNormalization`: a factor and a shift for each column."""

    axis = Setting(checked_axis, fixed=True)
    epsilon = Setting(number, least=0)
    center = Setting(flag, fixed=True)
    scale = Setting(flag, fixed=True)
    beta_initializer = Rule()
    gamma_initializer = Rule()
    beta_regularizer = Rule()
    gamma_regularizer = Rule()
    beta_constraint = Rule()
    gamma_constraint = Rule()

    # Names of the arguments that are a `Rule`, in the order of the configuration.
    _rules: tuple[str, ...] = (
        "beta_initializer", "gamma_initializer", "beta_regularizer", "gamma_regularizer", "beta_constraint",
        "gamma_constraint",
    )  # fmt: skip

    def __init__(self, arguments: dict[str, Any], layer_arguments: dict[str, Any]) -> None:
        super().__init__(**layer_arguments)
        for name, value in arguments.items():
            setattr(self, name, value)
        self._gamma: Variable | None = None
        self._beta: Variable | None = None

    @property
    def last_axis_alone(self) -> bool:
        """Whether the parameters' shapes depend on the last axis of the input alone."""
        return isinstance(self.axis, int)

    def _weight_shape(self) -> tuple[int, ...]:
        """Return the shape of gamma and beta: the sizes of a row along `axis`."""
        row = self._built_input()
        return tuple(row[-len(trailing_axes(self._who(), self.axis, len(row))) :])

    def _column_weight(self, name: str) -> Variable:
        initializer, regularizer, constraint = (
            getattr(self, f"{name}_{kind}") for kind in ("initializer", "regularizer", "constraint")
        )
        return self.add_weight(
            self._weight_shape(), initializer, regularizer=regularizer, constraint=constraint, name=name
        )

    def _build_gamma_beta(self) -> None:
        if self.scale:
            self._gamma = self._column_weight("gamma")
        if self.center:
            self._beta = self._column_weight("beta")

    @property
    def gamma(self) -> Variable | None:
        """Factor of each column, or None; for built layers."""
        self._built_input()
        return self._gamma

    @property
    def beta(self) -> Variable | None:
        """Shift of each column, or None; for built layers."""
        self._built_input()
        return self._beta

    def _number(self, variable: Variable | None) -> int:
        return -1 if variable is None else next(i for i, v in enumerate(self.engine_weights) if v is variable)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **{name: serialize(getattr(self, name)) for name in self._rules},
        }


class BatchNormalization(_GammaBeta):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` of each column (Ioffe & Szegedy 2015).

    In training, mean and variance are those of the batch, and update running means,
    ``m ← momentum m + (1 - momentum) batch``. Otherwise, and if `trainable` is False, the running means are used.
    The variance is the mean square deviation.

    Parameters
    ----------
    axis : int
        Axis of the columns: the last one.
    momentum : float in [0, 1]
    epsilon : float, >= 0
    center, scale : bool
        Whether there is a `beta`, a `gamma`.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : str, Initializer or dict
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    synchronized : False
    renorm, renorm_clipping, renorm_momentum
        For Keras's sake: `renorm` and `renorm_clipping` raise unless False and None, `renorm_momentum` is ignored.
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    gamma, beta : Variable, shape (columns,), or None
    moving_mean, moving_variance : Variable, shape (columns,)

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNormalization(epsilon=0.0)
    >>> layer(np.array([[1.0], [3.0]]), training=True)
    Tensor([[-1.],
            [ 1.]], dtype=float32)
    """

    supports_masking = True

    differs_in_training = True
    can_fix_training = False

    axis = Setting(_one_axis, fixed=True)
    momentum = Setting(number, 0, 1)
    moving_mean_initializer = Rule()
    moving_variance_initializer = Rule()

    _rules = (
        "beta_initializer", "gamma_initializer", "moving_mean_initializer", "moving_variance_initializer",
        "beta_regularizer", "gamma_regularizer", "beta_constraint", "gamma_constraint",
    )  # fmt: skip

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        synchronized: bool = False,
        renorm: bool = False,
        renorm_clipping: None = None,
        renorm_momentum: float = 0.99,
        **layer_arguments: Any,
    ) -> None:
        arguments = {
            "axis": axis,
            "momentum": momentum,
            "epsilon": epsilon,
            "center": center,
            "scale": scale,
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "moving_mean_initializer": moving_mean_initializer,
            "moving_variance_initializer": moving_variance_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "beta_constraint": beta_constraint,
            "gamma_constraint": gamma_constraint,
        }
        super().__init__(arguments, layer_arguments)
        who = f"BatchNormalization {self.name!r}"
        only_none(who, renorm=flag(who, "renorm", renorm) or None, renorm_clipping=renorm_clipping)
        number(who, "renorm_momentum", renorm_momentum)
        if flag(who, "synchronized", synchronized):
            raise ValueError(f"{who}: synchronized must be False: there is one process.")
        self._means: list[Variable] = []

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make gamma, beta and the running means."""
        self.mark_built(input_shape)
        self._build_gamma_beta()
        self._means = [
            self.add_weight(self._weight_shape(), getattr(self, f"{name}_initializer"), trainable=False, name=name)
            for name in ("moving_mean", "moving_variance")
        ]

    @property
    def moving_mean(self) -> Variable:
        """Running mean of the batches' means; for built layers."""
        self._built_input()
        return self._means[0]

    @property
    def moving_variance(self) -> Variable:
        """Running mean of the batches' variances; for built layers."""
        self._built_input()
        return self._means[1]

    def ops(self) -> list[Op]:
        """Return the normalization."""
        tensors = [self._number(v) for v in (self._gamma, self._beta, *self._means)]
        return [BatchNormOp(self, tensors, self.momentum, self.epsilon, always_frozen=self.fixed_training is False)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"momentum": self.momentum, "synchronized": False}


class LayerNormalization(_GammaBeta):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` of each row, by its own moments (Ba et al. 2016).

    Parameters
    ----------
    axis : int or sequence of int
        Axes over which the moments are taken: the last axis, or the last few.
    epsilon : float, >= 0
    center, scale : bool
        Whether there is a `beta`, a `gamma`.
    beta_initializer, gamma_initializer : str, Initializer or dict
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    rms_scaling : False
        True raises; use `RMSNormalization`.
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    gamma, beta : Variable, of the row's shape along the axes, or None

    Examples
    --------
    >>> import numpy as np
    >>> LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0]]))
    Tensor([[-1.,  1.]], dtype=float32)
    """

    supports_masking = True

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        rms_scaling: bool = False,
        **layer_arguments: Any,
    ) -> None:
        arguments = {
            "axis": axis,
            "epsilon": epsilon,
            "center": center,
            "scale": scale,
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "beta_constraint": beta_constraint,
            "gamma_constraint": gamma_constraint,
        }
        super().__init__(arguments, layer_arguments)
        who = f"LayerNormalization {self.name!r}"
        only_none(who, rms_scaling=flag(who, "rms_scaling", rms_scaling) or None)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make gamma and beta."""
        self.mark_built(input_shape)
        self._build_gamma_beta()

    def ops(self) -> list[Op]:
        """Return the normalization."""
        op = RowNormOp(self, self._number(self._gamma), self._number(self._beta), True, self.epsilon)
        return along(op, self._built_input(), len(self._weight_shape()))


class RMSNormalization(Layer):
    """``scale x / sqrt(mean(x²) + epsilon)`` of each row (Zhang & Sennrich 2019).

    Parameters
    ----------
    axis : int or sequence of int
        Axes over which the mean square is taken: the last axis, or the last few.
    epsilon : float, >= 0
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    scale : Variable, of the row's shape along the axes
    """

    axis = Setting(checked_axis, fixed=True)
    epsilon = Setting(number, least=0)

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        self.axis = axis
        self.epsilon = epsilon
        self._scale: Variable | None = None

    @property
    def last_axis_alone(self) -> bool:
        """Whether the parameters' shapes depend on the last axis of the input alone."""
        return isinstance(self.axis, int)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the scale."""
        self.mark_built(input_shape)
        row = self._built_input()
        axes = trailing_axes(f"RMSNormalization {self.name!r}", self.axis, len(row))
        self._scale = self.add_weight(row[-len(axes) :], "ones", name="scale")

    @property
    def scale(self) -> Variable:
        """Factor of each column; for built layers."""
        self._built_input()
        assert self._scale is not None
        return self._scale

    def ops(self) -> list[Op]:
        """Return the normalization."""
        row = self._built_input()
        axes = trailing_axes(f"RMSNormalization {self.name!r}", self.axis, len(row))
        return along(RowNormOp(self, 0, -1, False, self.epsilon), row, len(axes))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"axis": self.axis, "epsilon": self.epsilon}


def trailing_axes(who: str, axis: int | list[int], row_axes: int) -> list[int]:
    """Return axes as sorted indices >= 0 (0 is the batch); raise unless they are the last ones."""
    rank = row_axes + 1
    given = [axis] if isinstance(axis, int) else axis
    axes = sorted({one + rank if one < 0 else one for one in given})
    if axes != list(range(rank - len(axes), rank)) or 0 in axes:
        raise ValueError(f"{who}: axis must be the last axis, or the last few, of (n{', ...' * row_axes}); got {axis}.")
    return axes


def along(op: Op, row: tuple[int, ...], axes: int) -> list[Op]:
    """Return ops that apply `op`, which works along the last axis, along the last `axes` axes."""
    if axes == 1:
        return [op]
    return [ReshapeOp((*row[:-axes], math.prod(row[-axes:]))), op, ReshapeOp(row)]
