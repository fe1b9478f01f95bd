"""What Keras's ``keras.preprocessing.sequence`` has of use here."""

from __future__ import annotations

from lamina.utils import pad_sequences

__all__ = ["pad_sequences"]
