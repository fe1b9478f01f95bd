"""Keras computes with JAX, unless KERAS_BACKEND says otherwise; it looks when it is imported for the first time."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
