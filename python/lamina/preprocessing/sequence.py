"""The part of ``keras.preprocessing.sequence`` that lamina has."""

from __future__ import annotations

from lamina.utils.sequences import pad_sequences

__all__ = ["pad_sequences"]
