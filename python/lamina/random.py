"""Counter-based random numbers: every draw is a function of a seed and a counter.

The generator is Philox4x32-10 (Salmon et al. 2011), compiled in; nothing here touches NumPy's or Python's global
state, except `lamina.utils.set_random_seed`, which seeds all three as in Keras.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import numpy.typing as npt

from lamina import _core

__all__ = ["SeedGenerator", "fill", "permutation", "stream_key"]

_MASK = (1 << 64) - 1


def stream_key(seed: int, *purpose: int | str) -> int:
    """Return the 64-bit key of the stream that belongs to a seed and a purpose.

    Parameters
    ----------
    seed : int
    *purpose : int or str
        What the stream is for, as ``"shuffle"`` or ``"dropout", 3``; different purposes give streams that
        have nothing to do with each other.
    """
    key = _mix(seed & _MASK)
    for part in purpose:
        value = part if isinstance(part, int) else int.from_bytes(part.encode(), "little")
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
        Where it begins; taken from the operating system if omitted.

    Examples
    --------
    >>> SeedGenerator(1).next_seed() == SeedGenerator(1).next_seed()
    True
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = int.from_bytes(os.urandom(8), "little") if seed is None else int(seed)
        self.counter = 0
        self._lock = threading.Lock()

    def next_seed(self) -> int:
        """Return the next seed, in ``[0, 2**63)``."""
        with self._lock:
            counter, self.counter = self.counter, self.counter + 1
        return stream_key(self.seed, "seed", counter) >> 1

    def reset(self, seed: int) -> None:
        """Begin again at a seed."""
        with self._lock:
            self.seed, self.counter = int(seed), 0


global_seeds = SeedGenerator()


def fill(
    distribution: str, seed: int, a: float, b: float, shape: tuple[int, ...], dtype: str, counter: int = 0
) -> npt.NDArray[Any]:
    """Return random numbers.

    Parameters
    ----------
    distribution : {"uniform", "normal", "truncated_normal"}
        Uniform in ``[a, b)``; normal of mean `a` and standard deviation `b`; the same without what lies
        more than two deviations from the mean.
    seed : int
    a, b : float
    shape : tuple of int
    dtype : {"float32", "float64"}
    counter : int
        A different number gives a different draw.
    """
    out = np.empty(shape, dtype)
    _core.random_fill(distribution, stream_key(seed, distribution), counter, a, b, out)
    return out


def permutation(key: int, counter: int, size: int) -> npt.NDArray[np.int64]:
    """Return a random order of ``0 … size - 1``, a function of the three arguments."""
    return _core.permutation(key, counter, size)
