"""Counter-based random numbers: every draw is a function of a seed and a counter.

The generator is Philox4x32-10 (Salmon et al. 2011), in compiled code. It does not touch NumPy's or Python's global
state; only `lamina.utils.set_random_seed` seeds all three, as in Keras.
"""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core, config
from lamina._common.checks import arguments, choice, integer, number, short, sizes, text
from lamina._common.locks import Once
from lamina._common.names import absences
from lamina._common.tries import drawn_in_try
from lamina._data.arrays import any_array
from lamina._data.autodiff import array_module, returned

__all__ = [
    "SeedGenerator", "categorical", "dropout", "fill", "normal", "permutation", "randint", "shuffle", "stream_key",
    "truncated_normal", "uniform",
]  # fmt: skip

_MASK = (1 << 64) - 1


def stream_key(seed: int, *purpose: int | str) -> int:
    """Return the 64-bit key of the stream that belongs to a seed and a purpose.

    Parameters
    ----------
    seed : int
    *purpose : int or str
        The purpose of the stream, such as ``"shuffle"`` or ``"dropout", 3``; different purposes have independent
        streams.
    """
    key = _mix(integer("random.stream_key", "seed", seed, -(2**63), 2**64 - 1) & _MASK)
    for part in purpose:
        value = (
            int.from_bytes(part.encode(), "little")
            if isinstance(part, str)
            else integer("random.stream_key", "purpose", part, -(2**63), 2**64 - 1)
        )
        while True:
            key = _mix(key ^ (value & _MASK))
            value >>= 64
            if value <= 0:
                break
    return key


def _mix(value: int) -> int:
    """Scatter the bits of a 64-bit number (SplitMix64, Steele et al. 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


class SeedGenerator:
    """A sequence of seeds.

    Parameters
    ----------
    seed : int, optional
        Start of the sequence; taken from the operating system if omitted.
    name : str, optional

    Examples
    --------
    >>> SeedGenerator(1).next_seed() == SeedGenerator(1).next_seed()
    True
    """

    def __init__(self, seed: int | None = None, name: str | None = None) -> None:
        self._given_seed = None if seed is None else integer("SeedGenerator", "seed", seed, least=-(2**63))
        self.seed = int.from_bytes(os.urandom(8), "little") if self._given_seed is None else self._given_seed
        self.name = text("SeedGenerator", "name", name) if name is not None else "seed_generator"
        self.counter = 0
        self._lock = Once()

    def get_config(self) -> dict[str, Any]:
        """Return the arguments."""
        return {"seed": self._given_seed, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """Return a generator from `get_config`."""
        return cls(**arguments(cls, config))

    def next_seed(self) -> int:
        """Return the next seed, in ``[0, 2**63)``."""
        tried = drawn_in_try(self)
        with self._lock.taken():
            counter = self.counter + (tried or 0)
            self.counter += tried is None
        return stream_key(self.seed, "seed", counter) >> 1

    def reset(self, seed: int) -> None:
        """Restart the sequence at a seed."""
        with self._lock.taken():
            self.seed, self.counter = integer("SeedGenerator.reset", "seed", seed, -(2**63), 2**64 - 1), 0


global_seeds = SeedGenerator()

_DISTRIBUTIONS = ("uniform", "normal", "truncated_normal")


def fill(
    distribution: str, seed: int, a: float, b: float, shape: tuple[int, ...], dtype: str, counter: int = 0
) -> npt.NDArray[Any]:
    """Return random numbers.

    Parameters
    ----------
    distribution : {"uniform", "normal", "truncated_normal"}
        Uniform in ``[a, b)``; normal with mean `a` and standard deviation `b`; the same without values more than two
        standard deviations from the mean.
    seed : int
    a, b : float
    shape : tuple of int
    dtype : {"float32", "float64"}
    counter : int
        A different number gives a different draw.
    """
    who = f"random.{choice('random.fill', 'distribution', distribution, _DISTRIBUTIONS)}"
    seed = integer(who, "seed", seed, -(2**63), 2**64 - 1)
    a, b, shape = (
        number(who, "its first parameter", a),
        number(who, "its second parameter", b),
        sizes(who, "shape", shape),
    )
    counter = integer(who, "counter", counter, 0, 2**64 - 1)
    out = np.empty(shape, config.check_float_type(who, dtype))
    _core.random_fill(distribution, stream_key(seed, distribution), counter, a, b, out)
    return out


def permutation(key: int, counter: int, size: int) -> npt.NDArray[np.int64]:
    """Return a random permutation of ``0 … size - 1`` that depends only on the three arguments."""
    who = "random.permutation"
    key, counter = integer(who, "key", key, 0, 2**64 - 1), integer(who, "counter", counter, 0, 2**64 - 1)
    return _core.permutation(key, counter, integer(who, "size", size, 0))


def _seed_of(seed: int | SeedGenerator | None) -> int:
    if isinstance(seed, SeedGenerator):
        return seed.next_seed()
    return global_seeds.next_seed() if seed is None else integer("random", "seed", seed, least=-(2**63))


def _drawn(distribution: str, a: Any, b: Any, shape: Any, dtype: Any, seed: Any) -> npt.NDArray[Any]:
    """Return random numbers; all other arguments are checked before a seed is drawn."""
    who = f"random.{distribution}"
    shape, dtype = sizes(who, "shape", shape), _float(dtype)
    a, b = (
        number(who, "minval" if distribution == "uniform" else "mean", a),
        number(
            who,
            "maxval" if distribution == "uniform" else "stddev",
            b,
            least=-math.inf if distribution == "uniform" else 0,
        ),
    )
    if distribution == "uniform" and b < a:
        raise ValueError(f"{who}: maxval must be >= minval; got {a} and {b}.")
    return fill(distribution, _seed_of(seed), a, b, shape, dtype)


def normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | SeedGenerator | None = None
) -> npt.NDArray[Any]:
    """Return random numbers from a normal distribution.

    Parameters
    ----------
    shape : tuple of int
    mean, stddev : float
    dtype : {"float32", "float64"}, optional
        `lamina.config.floatx` if omitted.
    seed : int or SeedGenerator, optional
        An int returns the same numbers in every call; the next global seed is used if omitted.
    """
    return _drawn("normal", mean, stddev, shape, dtype, seed)


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: Any = None, seed: int | SeedGenerator | None = None
) -> npt.NDArray[Any]:
    """Return normal random numbers, none more than two standard deviations from the mean; arguments as `normal`."""
    return _drawn("truncated_normal", mean, stddev, shape, dtype, seed)


def uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: Any = None, seed: int | SeedGenerator | None = None
) -> npt.NDArray[Any]:
    """Return uniform random numbers in ``[minval, maxval)``; the other arguments as `normal`."""
    return _drawn("uniform", minval, maxval, shape, dtype, seed)


def randint(
    shape: Any, minval: int, maxval: int, dtype: str = "int32", seed: int | SeedGenerator | None = None
) -> npt.NDArray[Any]:
    """Return uniform random integers in ``[minval, maxval)``; the other arguments as `normal`."""
    who, most = "random.randint", 2**63 - 1
    minval, maxval = integer(who, "minval", minval, -most), integer(who, "maxval", maxval, -most)
    if not minval < maxval:
        raise ValueError(f"{who}: minval must be below maxval; got {minval} and {maxval}.")
    name = config.any_dtype(who, dtype) or "int32"
    kind = np.dtype(bool if name == "bfloat16" else name)
    if kind.kind not in "iu":
        raise ValueError(f"{who}: dtype must be one of integers; got {short(dtype)}.")
    shape = sizes(who, "shape", shape)
    if not (np.iinfo(kind).min <= minval and maxval - 1 <= np.iinfo(kind).max):
        raise ValueError(f"random.randint: minval and maxval must be within {kind}; got {minval} and {maxval}.")
    if maxval - minval > 2**53 or max(abs(minval), abs(maxval)) > 2**53:
        raise ValueError(f"random.randint: minval and maxval must be within 2**53; got {minval} and {maxval}.")
    draw = fill("uniform", _seed_of(seed), 0.0, 1.0, shape, "float64")
    found: npt.NDArray[Any] = (minval + np.floor(draw * (maxval - minval))).astype(kind)
    return found


# Dtypes that hold class numbers.
_COUNTING = ("int32", "int64", "int16", "int8", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


def categorical(
    logits: npt.ArrayLike, num_samples: int, dtype: str = "int32", seed: int | SeedGenerator | None = None
) -> npt.NDArray[Any]:
    """Return class numbers drawn with the probabilities ``softmax(logits)`` of each row.

    Parameters
    ----------
    logits : array_like, shape (n, classes)
    num_samples : int
        How many to draw for each row.
    dtype : str
    seed : int or SeedGenerator, optional
        As in `normal`.

    Returns
    -------
    ndarray, shape (n, num_samples)
    """
    who = "random.categorical"
    scores = any_array(who, "logits", logits).astype(np.float64)
    if scores.ndim != 2 or not scores.shape[1]:
        raise ValueError(f"{who}: logits must have shape (n, classes); got {scores.shape}.")
    count = integer(who, "num_samples", num_samples, 0)
    kind = choice(who, "dtype", config.any_dtype(who, dtype), _COUNTING)
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    sums = np.cumsum(weights, axis=1)
    if not np.isfinite(sums).all():
        raise ValueError(f"{who}: logits must be finite, or -inf for some classes of a row.")
    drawn = fill("uniform", _seed_of(seed), 0.0, 1.0, (len(scores), count), "float64") * sums[:, -1:]
    found = [np.searchsorted(row, points, side="right") for row, points in zip(sums, drawn, strict=True)]
    classes: npt.NDArray[Any] = np.minimum(found, scores.shape[1] - 1).reshape(drawn.shape).astype(kind)
    return classes


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: int | SeedGenerator | None = None) -> Any:
    """Return values of which random ones are 0, and the others are divided by ``1 - rate``; differentiable.

    Parameters
    ----------
    inputs : array_like
    rate : float, in [0, 1]
        The probability of 0.
    noise_shape : tuple of int or None, optional
        Shape of the noise, which is broadcast; items of None are the sizes of `inputs`.
    seed : int or SeedGenerator, optional
        As in `normal`.
    """
    who = "random.dropout"
    rate, own = number(who, "rate", rate, 0, most=1), np.shape(inputs)
    shape = own if noise_shape is None else tuple(noise_shape)
    if len(shape) != len(own) or any(size not in (None, 1, whole) for size, whole in zip(shape, own, strict=True)):
        raise ValueError(f"{who}: noise_shape must hold 1 or None for each of the {len(own)} axes; got {noise_shape}.")
    shape = tuple(whole if size is None else size for size, whole in zip(shape, own, strict=True))
    values = inputs if hasattr(inputs, "dtype") else any_array(who, "inputs", inputs)
    values = values if values.dtype.kind in "fc" else values.astype(config.floatx())
    kept = fill("uniform", _seed_of(seed), 0.0, 1.0, shape, "float64") >= rate
    zero = np.zeros((), values.dtype)
    return returned(array_module().where(kept, values / (1 - rate) if rate < 1 else zero, zero))


def shuffle(x: npt.ArrayLike, axis: int = 0, seed: int | SeedGenerator | None = None) -> npt.NDArray[Any]:
    """Return an array shuffled along an axis.

    Parameters
    ----------
    x : array_like
    axis : int
    seed : int or SeedGenerator, optional
        As in `normal`.
    """
    array = any_array("random.shuffle", "x", x)
    axis = integer("random.shuffle", "axis", axis, -array.ndim, array.ndim - 1)
    return np.take(array, permutation(stream_key(_seed_of(seed), "shuffle"), 0, array.shape[axis]), axis)


def _float(dtype: Any) -> str:
    return config.floatx() if dtype is None else config.check_float_type("random", dtype)


_ABSENT = dict.fromkeys(
    ("beta", "binomial", "categorical", "dropout", "gamma"), "draw with a numpy.random.Generator; Dropout is a layer"
)


__getattr__ = absences(__name__, globals(), _ABSENT)
