"""Data sets to try things on."""

from __future__ import annotations

from typing import Any

from lamina._names import lazily
from lamina.datasets import digits, fashion_mnist

__all__ = ["digits", "fashion_mnist"]

_ABSENT = dict.fromkeys(
    ("mnist", "cifar10", "cifar100", "imdb", "reuters", "boston_housing", "california_housing"),
    "nothing is downloaded; there are digits, inside the package, and fashion_mnist, from Debian's package",
)


def __getattr__(name: str) -> Any:
    """Say what there is instead of Keras's others."""
    return lazily(__name__, name, {}, _ABSENT, globals())
