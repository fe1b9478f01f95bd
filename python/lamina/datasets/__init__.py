"""Data sets to try things on."""

from __future__ import annotations

from lamina.datasets import digits, fashion_mnist

__all__ = ["digits", "fashion_mnist"]
