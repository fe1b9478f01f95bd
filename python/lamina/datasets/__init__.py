"""Data sets for examples and tests: `digits` is inside the package, the others are read from Keras's cache."""

from __future__ import annotations

from lamina._common.names import absences
from lamina.datasets import (
    boston_housing,
    california_housing,
    cifar10,
    cifar100,
    digits,
    fashion_mnist,
    imdb,
    mnist,
    reuters,
)

__all__ = [
    "boston_housing", "california_housing", "cifar10", "cifar100", "digits", "fashion_mnist", "imdb", "mnist",
    "reuters",
]  # fmt: skip

__getattr__ = absences(__name__, globals(), {})
