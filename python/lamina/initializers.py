"""Initializers: the initial values of a layer's parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import config, random
from lamina._common.arguments import Argument, one_of
from lamina._common.checks import KindError, choice, integer, number, only_none, short, sizes, text
from lamina._common.names import absences
from lamina._common.objects import Configurable, OfFunction, deserialize_keras_object, serialize_keras_object
from lamina._common.objects import serialize as serialize
from lamina._common.registry import Registry
from lamina._data.arrays import broadcast, converted, real_array

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "get",
    "serialize",
]

Array = npt.NDArray[Any]

# Standard deviation of a standard normal distribution cut at two deviations.
_TRUNCATED_DEVIATION = 0.87962566103423978


class Initializer(Configurable):
    """Base class. An instance called with a shape returns an array."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return an array of `shape` and `dtype` (default: `lamina.config.floatx`)."""
        raise NotImplementedError(f"{type(self).__name__}: a subclass of Initializer defines __call__.")

    def _wanted(self, shape: Any, dtype: Any) -> tuple[tuple[int, ...], str]:
        """Return the checked shape and dtype of the array to create."""
        who = type(self).__name__
        return sizes(who, "shape", shape), config.any_dtype(who, dtype) or config.floatx()

    def clone(self) -> Initializer:
        """Return a new initializer with the same configuration."""
        return self.from_config(self.get_config())


def _values(who: str, name: str, value: Any) -> Any:
    array = real_array(who, name, value)
    if not np.isfinite(array).all():
        raise ValueError(f"{who}: {name} must be finite; it holds NaN or infinite values.")
    return number(who, name, value) if array.ndim == 0 else array


class Constant(Initializer):
    """All elements ``value``.

    Parameters
    ----------
    value : float or array_like
        An array is broadcast to the requested shape.
    """

    value = Argument(_values)

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        shape, dtype = self._wanted(shape, dtype)
        return np.array(broadcast("Constant", "value", converted(np.asarray(self.value), dtype), shape))

    def get_config(self) -> dict[str, Any]:
        """Return the argument."""
        return {"value": serialize_keras_object(self.value)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constant:
        """Return an initializer from `get_config`."""
        return cls(deserialize_keras_object(config["value"]))


class Zeros(Initializer):
    """All elements 0."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        return np.zeros(*self._wanted(shape, dtype))


class Ones(Initializer):
    """All elements 1."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        return np.ones(*self._wanted(shape, dtype))


class _RandomInitializer(Initializer):
    """Base class of random initializers.

    As in Keras 3, all calls of one instance return the same numbers, unless its seed is a generator. Subclasses check
    their own arguments before this constructor draws a seed, so that a refused initializer draws none.
    """

    def __init__(self, seed: Any = None) -> None:
        self.seed = seed

    @property
    def seed(self) -> int | random.SeedGenerator:
        """The seed, or a generator of a seed for each call; may be assigned."""
        return self._seed

    @seed.setter
    def seed(self, seed: Any) -> None:
        if isinstance(seed, dict):
            if not isinstance(seed.get("config"), dict) or seed.get("class_name") != "SeedGenerator":
                raise KindError(
                    f"{type(self).__name__}: seed must be an int, a SeedGenerator, or one that was serialized; got "
                    f"{short(seed)}."
                )
            seed = random.SeedGenerator.from_config(seed["config"])
        if not isinstance(seed, random.SeedGenerator):
            seed = None if seed is None else integer(type(self).__name__, "seed", seed, least=-(2**63))
        self._given_seed: int | random.SeedGenerator | None = seed
        self._seed = random.global_seeds.next_seed() if self._given_seed is None else self._given_seed

    def _draw(self, distribution: str, a: float, b: float, shape: tuple[int, ...], dtype: str | None) -> Array:
        seed = self.seed if isinstance(self.seed, int) else self.seed.next_seed()
        return random.fill(distribution, seed, a, b, shape, config.floatx() if dtype is None else dtype)

    def _seed_config(self) -> Any:
        given = self._given_seed
        return serialize(given) if isinstance(given, random.SeedGenerator) else given


class RandomNormal(_RandomInitializer):
    """Normal distribution.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional
        Drawn from the global seeds if omitted.
    """

    mean = Argument(number)
    stddev = Argument(number, least=0)

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        return self._draw("normal", self.mean, self.stddev, shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"mean": self.mean, "stddev": self.stddev, "seed": self._seed_config()}


class TruncatedNormal(RandomNormal):
    """Normal distribution without values more than two standard deviations from the mean."""

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        return self._draw("truncated_normal", self.mean, self.stddev, shape, dtype)


class RandomUniform(_RandomInitializer):
    """Uniform distribution in ``[minval, maxval)``.

    Parameters
    ----------
    minval, maxval : float
    seed : int, optional
    """

    minval = Argument(number)
    maxval = Argument(number)

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None) -> None:
        self.minval, self.maxval = minval, maxval
        self.check_together()
        super().__init__(seed)

    def check_together(self) -> None:
        """Raise if the arguments contradict each other."""
        if self.minval > self.maxval:
            raise ValueError(f"RandomUniform: minval must be <= maxval; got {self.minval:g} and {self.maxval:g}.")

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        return self._draw("uniform", self.minval, self.maxval, shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"minval": self.minval, "maxval": self.maxval, "seed": self._seed_config()}


def _distribution(who: str, name: str, value: Any) -> str:
    found = text(who, name, value).lower()
    choices = ("truncated_normal", "untruncated_normal", "uniform")
    return str(choice(who, name, "truncated_normal" if found == "normal" else found, choices))


class VarianceScaling(_RandomInitializer):
    """Variance ``scale / fan``, so that signals keep their size from layer to layer.

    Parameters
    ----------
    scale : float, > 0
    mode : {"fan_in", "fan_out", "fan_avg"}
        For a matrix ``(in, out)`` the fan is ``in``, ``out`` or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
    seed : int, optional
    input_axes, output_axes : None
        For convolutions in Keras; another value raises.
    """

    scale = Argument(number, above=0)
    mode = Argument(one_of("fan_in", "fan_out", "fan_avg"))
    distribution = Argument(_distribution)

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: None = None,
        output_axes: None = None,
    ) -> None:
        only_none(type(self).__name__, input_axes=input_axes, output_axes=output_axes)
        self.scale, self.mode, self.distribution = scale, mode, distribution
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        fan_in, fan_out = compute_fans(sizes(type(self).__name__, "shape", shape))
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return self._draw("uniform", -limit, limit, shape, dtype)
        deviation = math.sqrt(variance)
        if self.distribution == "untruncated_normal":
            return self._draw("normal", 0.0, deviation, shape, dtype)
        return self._draw("truncated_normal", 0.0, deviation / _TRUNCATED_DEVIATION, shape, dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {
            "scale": self.scale,
            "mode": self.mode,
            "distribution": self.distribution,
            "seed": self._seed_config(),
        }


class _Preset(VarianceScaling):
    """A VarianceScaling with fixed arguments."""

    _arguments: tuple[float, str, str]

    def __init__(self, seed: Any = None, input_axes: None = None, output_axes: None = None) -> None:
        super().__init__(*self._arguments, seed, input_axes, output_axes)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"seed": self._seed_config()}


class GlorotUniform(_Preset):
    """Uniform within ``sqrt(6 / (in + out))`` of 0 (Glorot & Bengio 2010)."""

    _arguments = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Preset):
    """Truncated normal of variance ``2 / (in + out)`` (Glorot & Bengio 2010)."""

    _arguments = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Preset):
    """Uniform within ``sqrt(6 / in)`` of 0 (He et al. 2015)."""

    _arguments = (2.0, "fan_in", "uniform")


class HeNormal(_Preset):
    """Truncated normal of variance ``2 / in`` (He et al. 2015)."""

    _arguments = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Preset):
    """Uniform within ``sqrt(3 / in)`` of 0 (LeCun et al. 1998)."""

    _arguments = (1.0, "fan_in", "uniform")


class LecunNormal(_Preset):
    """Truncated normal of variance ``1 / in`` (LeCun et al. 1998)."""

    _arguments = (1.0, "fan_in", "truncated_normal")


class Identity(Initializer):
    """The identity matrix times `gain`; the shape must be that of a matrix.

    Parameters
    ----------
    gain : float

    Examples
    --------
    >>> Identity(2.0)((2, 2))
    array([[2., 0.],
           [0., 2.]], dtype=float32)
    """

    gain = Argument(number)

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        shape, dtype = self._wanted(shape, dtype)
        if len(shape) != 2:
            raise ValueError(f"Identity: shape must be that of a matrix; got {shape}.")
        found: Array = self.gain * np.eye(*shape)
        return found.astype(dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"gain": self.gain}


class Orthogonal(_RandomInitializer):
    """Orthogonal rows or columns, whichever are fewer, times `gain` (Saxe et al. 2014).

    The factor Q of a QR decomposition of a matrix of normal numbers; each column gets the sign of R's diagonal element.

    Parameters
    ----------
    gain : float
    seed : int, optional
    """

    gain = Argument(number)

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the array."""
        shape, dtype = self._wanted(shape, dtype)
        if len(shape) < 2:
            raise ValueError(f"Orthogonal: shape must have at least two dimensions; got {shape}.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        normal = self._draw("normal", 0.0, 1.0, (max(rows, columns), min(rows, columns)), "float64")
        q, r = np.linalg.qr(normal)
        q = q * np.sign(np.diag(r))
        found = q.T if rows < columns else q
        return converted((self.gain * found).reshape(shape), dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"gain": self.gain, "seed": self._seed_config()}


class _Function(Initializer, OfFunction):
    """A user-defined function of shape and dtype."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Array:
        """Return the function's result as an array."""
        shape, dtype = self._wanted(shape, dtype)
        who = getattr(self.function, "__name__", "an initializer")
        return np.array(real_array(f"{who}", "what it returns", self.function(shape, dtype=dtype)), dtype)


def compute_fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return fan-in and fan-out of a parameter shape; for ``(in, out)`` they are ``in`` and ``out``."""
    if len(shape) == 0:
        return 1.0, 1.0
    if len(shape) == 1:
        return float(shape[0]), float(shape[0])
    field = math.prod(shape[:-2])
    return float(shape[-2] * field), float(shape[-1] * field)


REGISTRY = Registry(
    "initializers",
    "initializer",
    Initializer,
    (Zeros, "zeros zero"),
    (Ones, "ones one"),
    (Identity, "identity IdentityInitializer identity_initializer"),
    (Orthogonal, "orthogonal OrthogonalInitializer"),
    (Constant, "constant"),
    (RandomNormal, "random_normal normal"),
    (RandomUniform, "random_uniform uniform"),
    (TruncatedNormal, "truncated_normal"),
    (VarianceScaling, "variance_scaling"),
    (GlorotUniform, "glorot_uniform"),
    (GlorotNormal, "glorot_normal"),
    (HeUniform, "he_uniform"),
    (HeNormal, "he_normal"),
    (LecunUniform, "lecun_uniform"),
    (LecunNormal, "lecun_normal"),
    from_function=_Function,
)


def get(identifier: object) -> Initializer | None:
    """Return an initializer from a name, a configuration, a class, an instance or a function of shape and dtype.

    None stays None; an array becomes a `Constant`.

    Raises
    ------
    ValueError
        An unknown name; the message suggests the nearest.

    Examples
    --------
    >>> type(get("he_normal")).__name__
    'HeNormal'
    """
    return argument("initializers.get", "initializer", identifier)


def argument(who: str, name: str, identifier: object) -> Initializer | None:
    """Return an initializer as `get` does; error messages begin with `who` and `name`."""
    return Constant(identifier) if isinstance(identifier, np.ndarray) else REGISTRY.get(identifier, who, name)


# Keras's aliases.
constant, glorot_normal, glorot_uniform = Constant, GlorotNormal, GlorotUniform
he_normal, he_uniform, lecun_normal, lecun_uniform = HeNormal, HeUniform, LecunNormal, LecunUniform
identity, ones, orthogonal, zeros = Identity, Ones, Orthogonal, Zeros
random_normal, random_uniform = RandomNormal, RandomUniform
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling


def deserialize(config: dict[str, Any]) -> Initializer | None:
    """Return an initializer from ``{"class_name", "config"}``."""
    return get(config)


_ABSENT = {"STFT": "it is for layers of spectra"}


__getattr__ = absences(__name__, globals(), _ABSENT)
