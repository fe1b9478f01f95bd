"""Layers that bring their input to mean 0 and deviation 1, by the batch, by the row, or by the data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import constraints, initializers, regularizers
from lamina._arrays import real_array
from lamina._checks import flag, number
from lamina._names import serialize_optional
from lamina.layers.base import Layer
from lamina.plan import BatchNormStep, RowNormStep, ScaleStep, Step
from lamina.variables import Variable

__all__ = ["BatchNormalization", "LayerNormalization", "Normalization", "RMSNormalization", "Rescaling"]

Array = npt.NDArray[Any]


class _GammaBeta(Layer):
    """What `BatchNormalization` and `LayerNormalization` share: a factor and a shift for each column."""

    def _set(self, axis: Any, epsilon: float, center: bool, scale: bool, rules: dict[str, Any]) -> None:
        who = f"{type(self).__name__} {self.name!r}"
        self.axis = last_axis(who, axis)
        self.epsilon = number(who, "epsilon", epsilon, least=0)
        self.center, self.scale = flag(who, "center", center), flag(who, "scale", scale)
        self._rules = {
            name: {"initializer": initializers, "regularizer": regularizers, "constraint": constraints}[
                name.rsplit("_", 1)[1]
            ].get(value)
            for name, value in rules.items()
        }
        self._gamma: Variable | None = None
        self._beta: Variable | None = None

    def __getattr__(self, name: str) -> Any:
        rules = self.__dict__.get("_rules", {})
        if name in rules:
            return rules[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _columns(self) -> int:
        return self._built_input()[-1]

    def _column_weight(self, name: str) -> Variable:
        return self.add_weight(
            (self._columns(),), self._rules[f"{name}_initializer"], regularizer=self._rules.get(f"{name}_regularizer"),
            constraint=self._rules.get(f"{name}_constraint"), name=name,
        )  # fmt: skip

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
        return -1 if variable is None else next(i for i, v in enumerate(self._variables) if v is variable)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **{name: serialize_optional(rule) for name, rule in self._rules.items()},
        }


class BatchNormalization(_GammaBeta):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` of each column (Ioffe & Szegedy 2015).

    While training mean and variance are those of the batch, and running means of them are kept,
    ``m ← momentum m + (1 - momentum) batch``; otherwise, and where `trainable` is False, the running means are used.
    The variance is the mean square deviation.

    Parameters
    ----------
    axis : -1
        Columns lie along the last axis.
    momentum : float in [0, 1]
    epsilon : float, >= 0
    center, scale : bool
        Whether there is a `beta`, a `gamma`.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : str, Initializer or dict
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    synchronized : False
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
    array([[-1.],
           [ 1.]], dtype=float32)
    """

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
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        rules = {
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "moving_mean_initializer": moving_mean_initializer,
            "moving_variance_initializer": moving_variance_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "beta_constraint": beta_constraint,
            "gamma_constraint": gamma_constraint,
        }
        self._set(axis, epsilon, center, scale, rules)
        who = f"BatchNormalization {self.name!r}"
        self.momentum = number(who, "momentum", momentum, 0, 1)
        if synchronized:
            raise ValueError(f"{who}: synchronized must be False: there is one process.")
        self._means: list[Variable] = []

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make gamma, beta and the running means."""
        self.mark_built(input_shape)
        self._build_gamma_beta()
        self._means = [
            self.add_weight((self._columns(),), self._rules[f"{name}_initializer"], trainable=False, name=name)
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

    def steps(self) -> list[Step]:
        """Return the normalization."""
        tensors = [self._number(v) for v in (self._gamma, self._beta, *self._means)]
        return [BatchNormStep(self, tensors, self.momentum, self.epsilon)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"momentum": self.momentum, "synchronized": False}


class LayerNormalization(_GammaBeta):
    """``gamma (x - mean) / sqrt(variance + epsilon) + beta`` of each row, by its own moments (Ba et al. 2016).

    Parameters
    ----------
    axis : -1
        Rows lie along the last axis.
    epsilon : float, >= 0
    center, scale : bool
        Whether there is a `beta`, a `gamma`.
    beta_initializer, gamma_initializer : str, Initializer or dict
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    gamma, beta : Variable, shape (columns,), or None

    Examples
    --------
    >>> import numpy as np
    >>> LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0]]))
    array([[-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        axis: int = -1,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        rules = {
            "beta_initializer": beta_initializer,
            "gamma_initializer": gamma_initializer,
            "beta_regularizer": beta_regularizer,
            "gamma_regularizer": gamma_regularizer,
            "beta_constraint": beta_constraint,
            "gamma_constraint": gamma_constraint,
        }
        self._set(axis, epsilon, center, scale, rules)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make gamma and beta."""
        self.mark_built(input_shape)
        self._build_gamma_beta()

    def steps(self) -> list[Step]:
        """Return the normalization."""
        return [RowNormStep(self, self._number(self._gamma), self._number(self._beta), True, self.epsilon)]


class RMSNormalization(Layer):
    """``scale x / sqrt(mean(x²) + epsilon)`` of each row (Zhang & Sennrich 2019).

    Parameters
    ----------
    axis : -1
        Rows lie along the last axis.
    epsilon : float, >= 0
    **layer_arguments
        As in `Layer`.

    Attributes
    ----------
    scale : Variable, shape (columns,)
    """

    def __init__(self, axis: int = -1, epsilon: float = 1e-6, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        who = f"RMSNormalization {self.name!r}"
        self.axis = last_axis(who, axis)
        self.epsilon = number(who, "epsilon", epsilon, least=0)
        self._scale: Variable | None = None

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the scale."""
        self.mark_built(input_shape)
        self._scale = self.add_weight((self._built_input()[-1],), "ones", name="scale")

    @property
    def scale(self) -> Variable:
        """Factor of each column; for built layers."""
        self._built_input()
        assert self._scale is not None
        return self._scale

    def steps(self) -> list[Step]:
        """Return the normalization."""
        return [RowNormStep(self, 0, -1, False, self.epsilon)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"axis": self.axis, "epsilon": self.epsilon}


class Rescaling(Layer):
    """``x * scale + offset``.

    Parameters
    ----------
    scale, offset : float, or sequence with one for each column
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> Rescaling(1 / 255)([[0, 255]])
    array([[0., 1.]], dtype=float32)
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **layer_arguments: Any) -> None:
        super().__init__(**layer_arguments)
        who = f"Rescaling {self.name!r}"
        self.scale = _constants(who, "scale", scale)
        self.offset = _constants(who, "offset", offset)

    def steps(self) -> list[Step]:
        """Return the scaling."""
        columns = self._built_input()[-1]
        scale, offset = (np.broadcast_to(values, columns).tolist() for values in (self.scale, self.offset))
        return [ScaleStep(scale, offset)]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return super().get_config() | {"scale": _plain(self.scale), "offset": _plain(self.offset)}


class Normalization(Layer):
    """``(x - mean) / sqrt(variance)`` of each column, with moments that are given or taken from data by `adapt`.

    Parameters
    ----------
    axis : -1, or None
        A mean for each column, or one for all.
    mean, variance : float or sequence, optional
        Both or none; without them `adapt` must be called.
    invert : bool
        ``x * sqrt(variance) + mean`` instead.
    **layer_arguments
        As in `Layer`.

    Examples
    --------
    >>> layer = Normalization()
    >>> layer.adapt([[1.0], [3.0]])
    >>> layer([[5.0]])
    array([[3.]], dtype=float32)
    """

    def __init__(
        self,
        axis: int | None = -1,
        mean: Any = None,
        variance: Any = None,
        invert: bool = False,
        **layer_arguments: Any,
    ) -> None:
        super().__init__(**layer_arguments)
        who = f"Normalization {self.name!r}"
        self.axis = None if axis is None else last_axis(who, axis)
        self.invert = flag(who, "invert", invert)
        if (mean is None) != (variance is None):
            raise ValueError(f"{who}: mean and variance must be given together.")
        self._moments: tuple[Any, Any] | None = None
        self._given = mean is not None
        if mean is not None:
            self._moments = (_constants(who, "mean", mean), _constants(who, "variance", variance))

    def adapt(self, data: Any) -> None:
        """Take mean and variance from data.

        Parameters
        ----------
        data : array_like, shape (n, ..., columns)
            All of it, or an iterable of batches.
        """
        who = f"Normalization {self.name!r}: adapt"
        if self._given:
            raise ValueError(f"{who}: the layer has mean and variance already, from its arguments.")
        array = real_array(who, "data", data)
        if array.ndim < 2:
            array = array[:, np.newaxis]
        if self.built and array.shape[1:] != self._built_input():
            raise ValueError(f"{who}: rows must have shape {self._built_input()}; got {array.shape[1:]}.")
        axes = tuple(range(array.ndim - 1)) if self.axis is not None else None
        self._moments = (
            array.mean(axis=axes, dtype=np.float64).tolist(),
            array.var(axis=axes, dtype=np.float64).tolist(),
        )
        self._own_plan = None
        if not self.built:
            self.build_or_discard((None, *array.shape[1:]))
        self.changes += 1

    @property
    def mean(self) -> Array:
        """Mean of each column, or of all."""
        return np.asarray(self._known()[0], self.dtype)

    @property
    def variance(self) -> Array:
        """Variance of each column, or of all."""
        return np.asarray(self._known()[1], self.dtype)

    def _known(self) -> tuple[Any, Any]:
        if self._moments is None:
            raise ValueError(f"Normalization {self.name!r}: adapt must be called first, or mean and variance be given.")
        return self._moments

    def steps(self) -> list[Step]:
        """Return the scaling."""
        columns = self._built_input()[-1]
        mean, variance = (np.broadcast_to(np.asarray(values, np.float64), columns) for values in self._known())
        deviation = np.maximum(np.sqrt(variance), 1e-7)
        if self.invert:
            return [ScaleStep(deviation.tolist(), mean.tolist())]
        return [ScaleStep((1 / deviation).tolist(), (-mean / deviation).tolist())]

    def get_config(self) -> dict[str, Any]:
        """Return the arguments; what `adapt` found too."""
        mean, variance = (None, None) if self._moments is None else self._moments
        return super().get_config() | {
            "axis": self.axis,
            "mean": _plain(mean),
            "variance": _plain(variance),
            "invert": self.invert,
        }


def last_axis(who: str, axis: Any) -> int:
    """Return -1, or raise."""
    if isinstance(axis, (list, tuple)) and len(axis) == 1:
        axis = axis[0]
    if axis != -1:
        raise ValueError(f"{who}: axis must be -1, the last one; got {axis}.")
    return -1


def _constants(who: str, name: str, value: Any) -> Any:
    """Return a float, or a list of them."""
    array = real_array(who, name, value)
    if array.ndim == 0 or array.size == 1:
        return number(who, name, float(array.reshape(-1)[0]))
    return [number(who, name, item) for item in array.reshape(-1).tolist()]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
