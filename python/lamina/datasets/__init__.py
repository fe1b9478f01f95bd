"""Data sets for examples and tests."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.datasets import digits, fashion_mnist

__all__ = ["digits", "fashion_mnist"]

_ABSENT = dict.fromkeys(
    ("mnist", "cifar10", "cifar100", "imdb", "reuters", "boston_housing", "california_housing"),
    "nothing is downloaded; there are digits, inside the package, and fashion_mnist, from Debian's package",
)


__getattr__ = absences(__name__, globals(), _ABSENT)
